"""Contestants in turns: what each did in every repeat."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.settings import Settings
from benchmarks.worker import Worker


@dataclass(frozen=True)
class Track:
    """A contestant with a piece of work.

    Attributes:
        who: Its name in the table.
        contestant: As ``benchmarks.worker`` knows it.
        settings: Of its process; tracks with equal contestant and settings share one.
        work: What it is told to do.
    """

    who: str
    contestant: str
    settings: Settings
    work: str


@dataclass
class Measured:
    """What one track did.

    Attributes:
        seconds: Of each repeat.
        rates: Rows per second of each repeat.
        gib: Peak memory of its process, after the last repeat.
        facts: What its process says of itself.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    gib: float = 0.0

    def take(self, answer: dict[str, Any]) -> None:
        """Keep a repeat."""
        self.seconds.append(answer["seconds"])
        self.rates.append(answer["rows"] / answer["seconds"])
        self.gib = answer["gib"]

    def against(self, other: "Measured") -> npt.NDArray[np.float64]:
        """Return the rate of each repeat as a part of another track's in the same repeat."""
        return np.array(self.rates) / np.array(other.rates)


def in_turns(tracks: list[Track], repeats: int, gpu: bool = False) -> dict[str, Measured]:
    """Run each track once untimed, which compiles and fills caches, then once per repeat."""
    workers: dict[tuple[str, Settings], Worker] = {}
    measured: dict[str, Measured] = {}
    try:
        for track in tracks:
            key = (track.contestant, track.settings)
            if key not in workers:
                workers[key] = Worker(*key, gpu)
            workers[key].ask(track.work)
            measured[track.who] = Measured(workers[key].facts)
        for _ in range(repeats):
            for track in tracks:
                answer = workers[track.contestant, track.settings].ask(track.work)
                measured[track.who].take(answer)
    finally:
        for worker in workers.values():
            worker.close()
    return measured


def in_fresh_processes(tracks: list[Track], repeats: int, gpu: bool = False) -> dict[str, Measured]:
    """Run each track once per repeat, in a process of its own each time: compilation counts."""
    measured: dict[str, Measured] = {}
    for _ in range(repeats):
        for track in tracks:
            worker = Worker(track.contestant, track.settings, gpu)
            try:
                found = measured.setdefault(track.who, Measured(worker.facts))
                found.take(worker.ask(track.work))
            finally:
                worker.close()
    return measured
