"""Progress and results of a search."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from dream_keras.common.errors import UserError
from dream_keras.common.progress import hide_bar, logging_redirect_tqdm
from dream_keras.config.experiment import Experiment
from dream_keras.search.chief import Chief, Outcome
from dream_keras.search.events import write_events
from dream_keras.search.journal import Trial
from dream_keras.search.report import write_search_report
from dream_keras.search.results import best_of, describe, table, write_results

REDRAW = 30.0
"""Seconds between two reports while trials run: figures take about a second."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        folder: The search's folder.
        trials: One row per trial, as in ``trials.csv``; empty for a worker.
        best: The best experiment, or None.
    """

    folder: Path
    trials: pd.DataFrame
    best: Experiment | None


class Record:
    """Shows the progress of a search and keeps its result files up to date."""

    def __init__(self, chief: Chief, folder: Path, progress: bool | None):
        self._chief = chief
        self._folder = folder
        self._bar: tqdm = tqdm(
            total=chief.limit, unit="trial", disable=hide_bar(progress), smoothing=0.3
        )
        self._told: set[int] = {t.number for t in chief.snapshot() if t.ended is not None}
        self._bar.update(len(self._told))
        self._drawn = time.monotonic()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write the results when the context ends, also after an error."""
        with logging_redirect_tqdm(), self._bar:
            try:
                yield
            finally:
                self._drawn = -math.inf
                self.ended()

    def ended(self, number: int = 0, outcome: Outcome | None = None) -> None:
        """Report the trials that have ended since the last call, and write all results."""
        plan, trials = self._chief.plan, self._chief.snapshot()
        best = best_of(plan, trials)
        for trial in trials:
            if trial.ended is not None and trial.number not in self._told:
                self._told.add(trial.number)
                self._bar.update()
                self._log(trial, best)
        if best is not None:
            self._bar.set_postfix(best=f"{best.mean(plan.settings.objective):.4f}")
        write_results(plan, trials, self._folder)
        write_events(plan, trials, self._folder)
        if time.monotonic() - self._drawn > REDRAW:
            write_search_report(plan, trials, self._folder)
            self._drawn = time.monotonic()

    def result(self) -> SearchResult:
        """Return what the search found.

        Raises:
            UserError: If every trial failed.
        """
        plan, trials = self._chief.plan, self._chief.snapshot()
        best = best_of(plan, trials)
        failed = [trial for trial in trials if trial.status == "failed"]
        if failed and best is None:
            raise UserError(
                f"all {len(failed)} trials failed, the first because: {failed[0].reason}"
            )
        experiment = plan.experiment(best.answers) if best else None
        return SearchResult(self._folder, table(plan, trials), experiment)

    def _log(self, trial: Trial, best: Trial | None) -> None:
        plan = self._chief.plan
        name = f"trial {trial.name} ({describe(plan, trial)})"
        if trial.status == "failed":
            log.warning("%s failed: %s", name, trial.reason)
            return
        objective = plan.settings.objective
        ahead = "" if best is None else f", best so far {best.mean(objective):.4f}"
        seconds = (trial.ended or 0) - trial.started
        log.info("%s: %s %.4f%s, %.0f s", name, objective, trial.mean(objective), ahead, seconds)
