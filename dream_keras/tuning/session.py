"""A search from its space to its report: what ``dream_keras.search`` does."""

import fcntl
import logging
import math
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from dream_keras.errors import UserError, unknown
from dream_keras.files import UNFINISHED, write_text
from dream_keras.order import Experiment, parse_override, set_key
from dream_keras.progress import hide_bar
from dream_keras.tuning.chief import Chief, Outcome
from dream_keras.tuning.events import write_events
from dream_keras.tuning.journal import Journal, Trial
from dream_keras.tuning.plan import Plan, Terms, load_plan
from dream_keras.tuning.report import write_search_report
from dream_keras.tuning.results import best_of, describe, table, write_results
from dream_keras.tuning.worker import POLL, work

PLAN = "search.yaml"
JOURNAL = "journal.jsonl"
SMOKE_TERMS = Terms(batch_size=16, epochs=2, steps_per_epoch=5)
SMOKE_TRIALS = 3
REDRAW = 30.0
"""Seconds between two reports while trials run: pictures take about a second."""
WORKERS_OWN = ("data.train", "data.validation", "scoring.suite", "runtime.", "plugins")
"""Settings that a worker may change: where files are on its machine, and how it computes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchResult:
    """What a search gives.

    Attributes:
        folder: The search's folder.
        trials: One row per trial, as in ``trials.csv``; empty for a worker.
        best: The best experiment, or None.
    """

    folder: Path
    trials: pd.DataFrame
    best: Experiment | None


def search(
    space: str | Path | None = None,
    *,
    tuner: str | None = None,
    objective: str | None = None,
    max_trials: int | None = None,
    budget_minutes: float | None = None,
    repeats: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    role: str | None = None,
    chief: str | None = None,
    overrides: Iterable[str] = (),
    train: str | Path | None = None,
    validation: str | Path | None = None,
    suite: str | Path | None = None,
    seed: int | None = None,
    smoke: bool = False,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> SearchResult:
    """Search a space of orders, each trained on equal terms, and leave a folder about it.

    Trials run in child processes, so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        space: A YAML file or the name of a built-in space.
        tuner: ``"grid"``, ``"random"``, ``"bayesian"`` or ``"hyperband"``.
        objective: ``"val_pearson"``, ``"pearson_score"`` or ``"spearman_score"``.
        max_trials: Trials at most.
        budget_minutes: Start no trial later than this.
        repeats: Runs of each trial, with different seeds.
        out: The search's folder; ``runs/search-<space>-<time>`` by default.
        resume: Go on with the search in ``out``; finished trials are not repeated.
        role: ``"chief"`` hands out trials over the network, ``"worker"`` runs them.
        chief: ``HOST:PORT`` where the chief is.
        overrides: Settings as ``"section.key=value"``.
        train: Training table, as for ``train``.
        validation: Validation table.
        suite: Folder of the gold-standard suite.
        seed: First seed of every trial.
        smoke: Three trials in miniature, to see that it runs.
        plugins: Files that put more on the menu.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: For anything wrong with the space, the settings, the files or the folder.
    """
    changes: dict[str, Any] = {
        "search.tuner": tuner,
        "search.objective": objective,
        "search.max_trials": max_trials,
        "search.budget_minutes": budget_minutes,
        "search.repeats": repeats,
        "search.seed": seed,
        "data.train": train and str(Path(train).resolve()),
        "data.validation": validation and str(Path(validation).resolve()),
        "scoring.suite": suite and str(Path(suite).resolve()),
    }
    if smoke:
        changes["search.smoke"] = True
        changes["search.terms"] = asdict(SMOKE_TERMS)
        changes["search.max_trials"] = min(max_trials or SMOKE_TRIALS, SMOKE_TRIALS)
    settings = {key: value for key, value in changes.items() if value is not None}
    overrides, files = list(overrides), [str(Path(file).resolve()) for file in plugins]
    if role not in (None, "chief", "worker"):
        raise unknown("role", str(role), ("chief", "worker"))
    if (role is None) != (chief is None):
        raise UserError("--role chief|worker and --chief HOST:PORT go together")
    if role == "worker":
        folder = Path(out) if out else _new_folder("worker")
        return _work(folder, str(chief), _own_changes(overrides, settings, files))
    plan, folder = _open(space, out, resume, overrides, settings, files)
    with _locked(folder):
        write_text(folder / PLAN, plan.to_yaml())
        boss = Chief(plan, Journal(folder / JOURNAL))
        report = _Report(boss, folder, progress)
        if role is None:
            _check_files(plan)
            with report.kept():
                work(boss, "here", folder, after=report.ended)
        else:
            with report.kept():
                _serve(boss, str(chief), report)
    return report.result()


def _open(
    space: str | Path | None,
    out: str | Path | None,
    resume: bool,
    overrides: list[str],
    settings: dict[str, Any],
    plugins: list[str],
) -> tuple[Plan, Path]:
    """Read the plan of a new search, or of the one to go on with; make its folder."""
    if not resume:
        if space is None:
            raise UserError("a search needs --space: a YAML file or the name of a built-in space")
        plan = load_plan(space, overrides, settings, plugins)
        folder = Path(out) if out else _new_folder(Path(space).stem)
        if folder.exists() and (
            not folder.is_dir() or any(not f.name.startswith(UNFINISHED) for f in folder.iterdir())
        ):
            raise UserError(
                f"{folder} exists already. Go on with that search with --resume, or choose "
                "another folder with --out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        log.info("search folder: %s", folder)
        return plan, folder
    if out is None:
        raise UserError("--resume needs --out DIR: the folder of the search to go on with")
    folder = Path(out)
    if not (folder / PLAN).is_file():
        raise UserError(f"{folder} is not the folder of a search: it has no {PLAN}")
    limits = ("search.max_trials", "search.budget_minutes")
    kept = {key: value for key, value in settings.items() if key in limits}
    plan = load_plan(folder / PLAN, (), kept)
    if space or overrides or plugins or len(kept) < len(settings):
        _check_same(plan, load_plan(space or folder / PLAN, overrides, settings, plugins), folder)
    return plan, folder


def _check_same(plan: Plan, given: Plan, folder: Path) -> None:
    """Refuse settings that are not those the search was started with."""
    ours, theirs = dict(plan.config), dict(given.config)
    for section in (*ours, *(name for name in theirs if name not in ours)):
        if ours.get(section) == theirs.get(section):
            continue
        if section == "search" and plan.settings == given.settings and plan.terms == given.terms:
            continue
        raise UserError(
            f"{folder} was started with {section}: {ours.get(section)}, not "
            f"{theirs.get(section)}. Go on with --out {folder} --resume alone (--max-trials and "
            "--budget-minutes may change), or start a new search."
        )


def _new_folder(name: str) -> Path:
    return Path("runs") / f"search-{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _check_files(plan: Plan) -> None:
    """See that the files which every trial reads are there."""
    experiment = plan.experiment(next(iter(plan.space.covering())))
    _check_data(experiment.data.train, experiment.data.validation, experiment.scoring.suite)


def _check_data(train: str | None, validation: str | None, suite: str | None) -> None:
    for file in (train, validation):
        if file is not None and not Path(file).is_file():
            raise UserError(f"no file {file}")
    if suite is not None and not Path(suite).is_dir():
        raise UserError(f"no folder {suite}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second process out of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{UNFINISHED}lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is at work in {folder}; a second worker needs an --out of its own"
            ) from None
        yield


class _Report:
    """Shows how a search goes and keeps its results up to date."""

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
        """Write the results when the context ends, however it does."""
        with logging_redirect_tqdm(), self._bar:
            try:
                yield
            finally:
                self._drawn = -math.inf
                self.ended()

    def ended(self, number: int = 0, outcome: Outcome | None = None) -> None:
        """Tell of the trials that have ended since, and write down all results."""
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


def _serve(boss: Chief, address: str, report: _Report) -> None:
    """Hand out trials until the search is over and the workers know it."""
    from dream_keras.tuning.service import serving

    lease, silent = boss.plan.settings.lease, time.monotonic()
    with serving(boss, address):
        log.info("chief at %s: waiting for workers", address)
        while not boss.over:
            if boss.changed.wait(POLL):
                boss.changed.clear()
                report.ended()
            heard = max(boss.heard.values(), default=silent)
            if time.monotonic() - max(heard, silent) > 2 * lease:
                log.warning("no worker has been heard of for %.0f s", 2 * lease)
                silent = time.monotonic()
        # A worker that is alive asks every second; one that does not is not waited for.
        patience = time.monotonic() + 5 * POLL
        while set(boss.heard) - boss.stopped and time.monotonic() < patience:
            time.sleep(POLL / 4)


def _own_changes(
    overrides: list[str], settings: dict[str, Any], plugins: list[str]
) -> dict[str, Any]:
    """Return what a worker changes in every trial's experiment.

    Raises:
        UserError: If it is not a worker's to change.
    """
    changes = {**dict(map(parse_override, overrides)), **settings}
    for key in changes:
        if not key.startswith(WORKERS_OWN):
            raise UserError(
                f"{key} is the chief's to decide; a worker sets its own files (--train, --val, "
                "--suite, --plugin) and --set runtime...."
            )
    return {**changes, **({"plugins": plugins} if plugins else {})}


def _work(folder: Path, address: str, changes: dict[str, Any]) -> SearchResult:
    """Run a chief's trials in a folder of this worker's own."""
    from dream_keras.tuning.service import RemoteChief

    def adapt(config: dict[str, Any]) -> dict[str, Any]:
        for key, value in changes.items():
            set_key(config, key, value)
        # A worker that lacks the files must not use up the search's trials.
        data = config["data"]
        _check_data(data["train"], data["validation"], config["scoring"]["suite"])
        return config

    def told(number: int, outcome: Outcome) -> None:
        if outcome.reason:
            log.warning("trial %04d failed: %s", number, outcome.reason)
        else:
            log.info("trial %04d is done", number)

    # A worker restarted in the same folder has the same name, and gets its trial back.
    name = f"{socket.gethostname()}:{folder.resolve()}"
    with _locked(folder), RemoteChief(address) as boss:
        log.info("worker %s", name)
        work(boss, name, folder, adapt, told)
    log.info("the search is over")
    return SearchResult(folder, pd.DataFrame(), None)
