"""Batches of the sequences that several requests wait for."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dream_keras.interpret.predictor import View
from dream_keras.runs.prediction import BATCH, Distribution
from dream_keras.serve.model import Model


class BusyError(Exception):
    """More sequences wait for their prediction than may."""


@dataclass(eq=False)
class _Job:
    """Sequences of one request.

    Attributes:
        model: What predicts them.
        views: The sequences.
        result: Gets their predictions.
        parts: Predictions of the first ones.
        done: How many these are.
    """

    model: Model
    views: Sequence[View]
    result: "asyncio.Future[Distribution]"
    parts: list[Distribution] = field(default_factory=list)
    done: int = 0


class Batcher:
    """Predicts in a thread, one batch at a time.

    A batch is filled with sequences of several requests, which take turns: a short request waits
    for no more than a batch of each longer one.

    Args:
        most: Sequences that may wait.
    """

    def __init__(self, most: int):
        self.most = most
        self.waiting = 0
        self._jobs: deque[_Job] = deque()
        self._more = asyncio.Event()
        self._thread = ThreadPoolExecutor(1)

    async def predict(self, model: Model, views: Sequence[View]) -> Distribution:
        """Predict sequences; one that is cancelled is not predicted further.

        Args:
            model: What predicts them.
            views: One or more whole sequences.

        Raises:
            BusyError: If too many wait already.
        """
        if self.waiting + len(views) > self.most:
            raise BusyError
        job = _Job(model, views, asyncio.get_running_loop().create_future())
        self.waiting += len(views)
        self._jobs.append(job)
        self._more.set()
        try:
            return await job.result
        finally:
            self.waiting -= len(views)

    async def run(self) -> None:
        """Predict what waits, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._more.wait()
            batch = self._next()
            if not batch:
                self._more.clear()
                continue
            views = [view for job, size in batch for view in job.views[job.done : job.done + size]]
            model = batch[0][0].model
            try:
                found = await loop.run_in_executor(self._thread, model.predict, views)
            except Exception as error:
                for job, _ in batch:
                    if not job.result.done():
                        job.result.set_exception(error)
                continue
            start = 0
            for job, size in batch:
                job.parts.append(found.take(slice(start, start + size)))
                job.done += size
                start += size
                if job.done == len(job.views) and not job.result.done():
                    job.result.set_result(Distribution.of_rows(job.parts))

    def _next(self) -> list[tuple[_Job, int]]:
        """Return the jobs of the next batch, and how many sequences of each; one model's."""
        waiting = [job for job in self._jobs if not job.result.done()]
        batch: list[tuple[_Job, int]] = []
        room = BATCH
        for job in waiting:
            if room and job.model is waiting[0].model:
                batch.append((job, min(room, len(job.views) - job.done)))
                room -= batch[-1][1]
        taken = [job for job, _ in batch]
        self._jobs = deque([*(job for job in waiting if job not in taken), *taken])
        return batch
