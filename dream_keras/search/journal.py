"""The journal of a search: one line of JSON per event, from which everything else is made.

``start``: a trial with its answers and its worker; ``move``: another worker took it over; ``end``:
its result. A line is on disk before anything depends on it, and a last line truncated by a kill is
dropped.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.search.space import Answers

Metrics = dict[str, float]


@dataclass
class Trial:
    """One order, its state and its results.

    Attributes:
        number: Counted from 1.
        answers: Of the space's questions; those of keras-tuner's own begin with ``tuner/``.
        worker: The worker that runs it.
        started: Seconds since 1970.
        status: Its state.
        reason: Why it failed.
        repeats: The metrics of each run, in the order of the seeds.
        ended: Seconds since 1970.
    """

    number: int
    answers: Answers
    worker: str
    started: float
    status: Literal["running", "completed", "failed"] = "running"
    reason: str = ""
    repeats: list[Metrics] = field(default_factory=list)
    ended: float | None = None

    @property
    def name(self) -> str:
        """Its name, which is also its folder's."""
        return f"{self.number:04d}"

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the repeats; NaN unless the trial is completed."""
        values = [repeat.get(metric, np.nan) for repeat in self.repeats]
        return float(np.mean(values)) if self.status == "completed" else float("nan")


@dataclass(frozen=True)
class Journal:
    """The file."""

    path: Path

    def append(self, event: str, **content: object) -> None:
        """Append an event."""
        line = json.dumps({"event": event, **content}) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events so far; drop a last line that was cut short.

        Raises:
            UserError: If a line is damaged.
        """
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                yield json.loads(line)
            except ValueError:
                raise UserError(
                    f"{self.path}:{number}: damaged; the search cannot be resumed"
                ) from None
