"""The chief of a search: assigns trials to workers, collects results and keeps the journal."""

import contextlib
import threading
import time
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.config.yaml_file import Yaml
from dream_keras.search.journal import Journal, Metrics, Trial
from dream_keras.search.plan import Plan
from dream_keras.search.space import Answers

if TYPE_CHECKING:
    import keras_tuner


class Answer(Enum):
    """Reply to a worker when there is no trial for it."""

    WAIT = "wait"
    """Another worker's trial is still running; it may be lost, or lead to more."""
    STOP = "stop"
    """The search is over."""


@dataclass(frozen=True)
class Task:
    """A trial as it is sent to a worker, with all that it needs.

    Attributes:
        number: The trial's number.
        config: The experiment, as YAML holds it.
        seeds: One run each.
        objective: The metric that must be a number.
        lease: Longest time in seconds between two heartbeats of the worker.
    """

    number: int
    config: dict[str, Yaml]
    seeds: list[int]
    objective: str
    lease: float


@dataclass(frozen=True)
class Outcome:
    """Result of a trial: its metrics, one entry per seed, or the reason why it failed."""

    repeats: list[Metrics]
    reason: str = ""


class Chief:
    """Assigns trials to one or several workers; thread-safe.

    Args:
        plan: The search.
        journal: Its events so far are replayed.

    Attributes:
        trials: By number.
        last_heard: Time of each worker's last request or heartbeat, in monotonic seconds.
        stopped: Workers that have been told that the search is over.
        changed: Set after every trial that ends.
    """

    def __init__(self, plan: Plan, journal: Journal):
        from dream_keras.search.oracle import make_oracle

        self.plan = plan
        self.trials: dict[int, Trial] = {}
        self.last_heard: dict[str, float] = {}
        self.stopped: set[str] = set()
        self.changed = threading.Event()
        self._journal = journal
        self._oracle = make_oracle(plan)
        self._ids: dict[int, str] = {}
        self._heartbeats: dict[int, float] = {}
        self._exhausted = False
        self._lock = threading.Lock()
        settings = plan.settings
        minutes = np.inf if settings.budget_minutes is None else settings.budget_minutes
        self._deadline = time.monotonic() + 60 * minutes
        limits = [settings.max_trials, plan.space.size() if settings.tuner == "grid" else None]
        self.limit = min((limit for limit in limits if limit is not None), default=None)
        for event in journal.events():
            self._replay(event)

    @property
    def running(self) -> list[Trial]:
        """Trials that a worker has and that have not ended."""
        return [trial for trial in self.trials.values() if trial.status == "running"]

    @property
    def out_of_time(self) -> bool:
        """Whether the budget is used up."""
        return time.monotonic() >= self._deadline

    @property
    def over(self) -> bool:
        """Whether no trial is running and none will be started."""
        full = self.limit is not None and len(self.trials) >= self.limit
        return not self.running and (full or self._exhausted or self.out_of_time)

    def ask(self, worker: str) -> Task | Answer:
        """Return a trial for a worker: its own, one that another worker lost, or a new one."""
        with self._lock:
            self.last_heard[worker] = time.monotonic()
            own = [trial for trial in self.running if trial.worker == worker]
            trial = own[0] if own else self._lost() or self._new(worker)
            if trial is None:
                if self.running:
                    return Answer.WAIT
                self.stopped.add(worker)
                return Answer.STOP
            if trial.worker != worker:
                trial.worker = worker
                self._journal.append("move", number=trial.number, worker=worker)
            self._heartbeats[trial.number] = time.monotonic()
            return self._task(trial, self.plan.experiment(trial.answers).plain())

    def heartbeat(self, number: int) -> None:
        """Record a heartbeat of a trial's worker."""
        with self._lock:
            self._heartbeats[number] = time.monotonic()
            self.last_heard[self.trials[number].worker] = time.monotonic()

    def heartbeats(self, task: Task) -> contextlib.AbstractContextManager[None]:
        """Do nothing: a worker in this process needs no heartbeats."""
        return contextlib.nullcontext()

    def tell(self, number: int, outcome: Outcome) -> None:
        """Record a trial's result; a second one, from a worker that had timed out, is dropped."""
        with self._lock:
            if self.trials[number].status == "running":
                self._finish(number, outcome)

    def snapshot(self) -> list[Trial]:
        """Return copies of all trials, in the order of their numbers."""
        with self._lock:
            return [replace(trial) for trial in self.trials.values()]

    def _task(self, trial: Trial, config: dict[str, Yaml]) -> Task:
        settings = self.plan.settings
        return Task(trial.number, config, settings.seeds, settings.objective, settings.lease)

    def _lost(self) -> Trial | None:
        """Return a trial whose worker has timed out."""
        late = time.monotonic() - self.plan.settings.lease
        return next((t for t in self.running if self._heartbeats[t.number] < late), None)

    def _new(self, worker: str) -> Trial | None:
        """Start the next trial that is a valid experiment; invalid ones count as failed."""
        while not self.out_of_time and (self.limit is None or len(self.trials) < self.limit):
            created = self._create()
            self._exhausted = created.status == "STOPPED"
            if created.status != "RUNNING":
                return None
            answers = dict(created.hyperparameters.values)
            number = len(self.trials) + 1
            content: dict[str, Any] = {"number": number, "answers": answers, "worker": worker}
            content["started"] = time.time()
            self._journal.append("start", **content)
            self._start(created.trial_id, **content)
            try:
                self.plan.experiment(answers)
                return self.trials[number]
            except UserError as error:
                self._finish(number, Outcome([], str(error)))
        return None

    def _create(self) -> "keras_tuner.engine.trial.Trial":
        # An oracle gives each tuner id one trial at a time; here workers are assigned by the chief.
        return self._oracle.create_trial(str(len(self.trials) + 1))

    def _start(self, trial_id: str, number: int, **content: Any) -> None:
        self.trials[number] = Trial(number, **content)
        self._ids[number] = trial_id
        self._heartbeats[number] = time.monotonic()

    def _finish(self, number: int, outcome: Outcome) -> None:
        content = {"number": number, **asdict(outcome), "ended": time.time()}
        self._journal.append("end", **content)
        self._end(**content)

    def _end(self, number: int, repeats: list[Metrics], reason: str, ended: float) -> None:
        trial = self.trials[number]
        trial.repeats, trial.reason, trial.ended = repeats, reason, ended
        trial.status = "failed" if reason else "completed"
        theirs = self._oracle.get_trial(self._ids[number])
        theirs.status = trial.status.upper()
        if trial.status == "completed":
            score = trial.mean(self.plan.settings.objective)
            self._oracle.update_trial(theirs.trial_id, {self.plan.settings.objective: score})
        self._oracle.end_trial(theirs)
        self.changed.set()

    def _replay(self, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        if kind == "end":
            self._end(**event)
        elif kind == "move":
            self.trials[event["number"]].worker = event["worker"]
        else:
            answers: Answers = event["answers"]
            self._oracle.replayed = answers
            created = self._create()
            self._oracle.replayed = None
            if created.status != "RUNNING":
                raise UserError(
                    f"{self._journal.path}: the {self.plan.settings.tuner} tuner of this version "
                    "of keras-tuner chooses other trials: start a new search"
                )
            # The recorded choice counts, even if the tuner would choose another one now.
            created.hyperparameters.values = dict(answers)
            self._start(created.trial_id, **event)
