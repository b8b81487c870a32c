"""A search from its space to its report: what ``dream_keras.search`` does."""

import logging
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED, write_text
from dream_keras.common.locks import claimed, new_folder
from dream_keras.config.experiment import parse_override, set_key
from dream_keras.config.yaml_file import Yaml
from dream_keras.hub.paths import is_elsewhere
from dream_keras.search.chief import Chief, Outcome
from dream_keras.search.journal import Journal
from dream_keras.search.plan import PLAN, Plan, Terms, check_resumable, load_plan
from dream_keras.search.record import Record, SearchResult
from dream_keras.search.worker import POLL, work

JOURNAL = "journal.jsonl"
SMOKE_TERMS = Terms(batch_size=16, epochs=2, steps_per_epoch=5)
SMOKE_TRIALS = 3
WORKERS_OWN = ("data.train", "data.validation", "scoring.suite", "runtime.", "plugins")
"""Settings that a worker may change: places of files on its machine, and its hardware."""

REMEDY = "a second worker needs an --out of its own"

log = logging.getLogger(__name__)


def run_search(
    space: str | Path | None,
    settings: dict[str, Yaml],
    overrides: Iterable[str] = (),
    plugins: Iterable[str | Path] = (),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    role: str | None = None,
    chief: str | None = None,
    smoke: bool = False,
    progress: bool | None = None,
) -> SearchResult:
    """Run a search, a chief or a worker; ``dream_keras.search`` documents the arguments.

    ``settings`` are changes of the space's config, ``{"section.key": value}``.
    """
    if smoke:
        trials = min(settings.get("search.max_trials", SMOKE_TRIALS), SMOKE_TRIALS)
        settings = {
            **settings,
            "search.smoke": True,
            "search.terms": asdict(SMOKE_TERMS),
            "search.max_trials": trials,
        }
    overrides, files = list(overrides), [str(Path(file).resolve()) for file in plugins]
    if role == "worker":
        folder = Path(out) if out else _new_folder("worker")
        return _work(folder, str(chief), _own_changes(overrides, settings, files))
    plan, folder = _open(space, out, resume, overrides, settings, files)
    with claimed(folder, REMEDY):
        if not resume:
            _check_new(folder)
            log.info("search folder: %s", folder)
        write_text(folder / PLAN, plan.to_yaml())
        coordinator = Chief(plan, Journal(folder / JOURNAL))
        record = Record(coordinator, folder, progress)
        if role is None:
            _check_files(plan)
            with record.kept():
                work(coordinator, "here", folder, after=record.ended)
        else:
            with record.kept():
                _serve(coordinator, str(chief), record)
    return record.result()


def _open(
    space: str | Path | None,
    out: str | Path | None,
    resume: bool,
    overrides: list[str],
    settings: dict[str, object],
    plugins: list[str],
) -> tuple[Plan, Path]:
    """Read the plan of a new search, or of the one to resume; name its folder."""
    if not resume:
        assert space is not None  # dream_keras.search has checked it
        plan = load_plan(space, overrides, settings, plugins)
        return plan, Path(out) if out else _new_folder(Path(space).stem)
    folder = check_resumable(out)
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
            f"{theirs.get(section)}. Continue with --out {folder} --resume alone (--max-trials and "
            "--budget-minutes may change), or start a new search."
        )


def _check_new(folder: Path) -> None:
    """Refuse a folder that holds something already."""
    if any(not f.name.startswith(UNFINISHED) for f in folder.iterdir()):
        raise UserError(
            f"{folder} exists already. Go on with that search with --resume, or choose "
            "another folder with --out."
        )


def _new_folder(name: str) -> Path:
    return new_folder(Path("runs"), f"search-{name}-{time.strftime('%Y%m%d-%H%M%S')}")


def _check_files(plan: Plan) -> None:
    """Check that the files which every trial reads exist."""
    experiment = plan.experiment(next(iter(plan.space.covering())))
    _check_data(experiment.data.train, experiment.data.validation, experiment.scoring.suite)


def _check_data(train: str | None, validation: str | None, suite: str | None) -> None:
    for file in (train, validation):
        if file is not None and not is_elsewhere(file) and not Path(file).is_file():
            raise UserError(f"no file {file}")
    if suite is not None and not is_elsewhere(suite) and not Path(suite).is_dir():
        raise UserError(f"no folder {suite}")


def _serve(coordinator: Chief, address: str, record: Record) -> None:
    """Serve trials until the search is over and the workers have been told."""
    from dream_keras.search.service import serving

    lease, silent = coordinator.plan.settings.lease, time.monotonic()
    with serving(coordinator, address):
        log.info("chief at %s: waiting for workers", address)
        while not coordinator.over:
            if coordinator.changed.wait(POLL):
                coordinator.changed.clear()
                record.ended()
            heard = max(coordinator.last_heard.values(), default=silent)
            if time.monotonic() - max(heard, silent) > 2 * lease:
                log.warning("no worker has responded for %.0f s", 2 * lease)
                silent = time.monotonic()
        # A live worker asks every second; others are not waited for.
        timeout = time.monotonic() + 5 * POLL
        while set(coordinator.last_heard) - coordinator.stopped and time.monotonic() < timeout:
            time.sleep(POLL / 4)


def _own_changes(
    overrides: list[str], settings: dict[str, object], plugins: list[str]
) -> dict[str, object]:
    """Return a worker's changes to every trial's experiment.

    Raises:
        UserError: If a worker may not change a setting.
    """
    changes = {**dict(map(parse_override, overrides)), **settings}
    for key in changes:
        if not key.startswith(WORKERS_OWN):
            raise UserError(
                f"{key} is set by the chief; a worker sets its own files (--train, --val, "
                "--suite, --plugin) and --set runtime...."
            )
    return {**changes, **({"plugins": plugins} if plugins else {})}


def _work(folder: Path, address: str, changes: dict[str, object]) -> SearchResult:
    """Run a chief's trials in a folder of this worker's own."""
    from dream_keras.search.service import RemoteChief

    def adapt(config: dict[str, Yaml]) -> dict[str, Yaml]:
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
    with claimed(folder, REMEDY), RemoteChief(address) as coordinator:
        log.info("worker %s", name)
        work(coordinator, name, folder, adapt, told)
    log.info("the search is over")
    return SearchResult(folder, pd.DataFrame(), None)
