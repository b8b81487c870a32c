"""Ensembles: a folder with runs whose predictions are averaged, which commands take as a run."""

import dataclasses
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED, write_text
from dream_keras.common.tables import markdown
from dream_keras.runs.folder import RunFolder, open_folder
from dream_keras.runs.model_card import write_card
from dream_keras.runs.region_scores import find_test_peaks, windows_of
from dream_keras.runs.report import score_regions_of, score_run
from dream_keras.runs.run import Run, load_run
from dream_keras.scoring.card import ScoreCard
from dream_keras.scoring.region_card import RegionCard
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate.truth import SIMULATED

LEFT_OUT = (f"{UNFINISHED}*", "state.npz", "last.weights.h5", "tensorboard", "analysis")
"""What predictions do not need of a run that is copied."""

log = logging.getLogger(__name__)


def check_members(runs: Sequence[Run]) -> None:
    """Refuse runs whose predictions cannot be averaged.

    Raises:
        UserError: If there are fewer than two, or one is not trained, is an ensemble, has other
            tasks, takes sequences with other ends or regions of another size, or was trained with a
            bias model where another was not.
    """
    if len(runs) < 2:
        raise UserError("an ensemble needs two or more runs")
    first = runs[0]
    for run in runs:
        if run.experiment.members:
            raise UserError(f"{run.folder} is an ensemble itself: give its members")
        _ = run.network  # says what is missing
        interfaces = zip(_interface(first).items(), _interface(run).values(), strict=True)
        for (what, ours), theirs in interfaces:
            if ours != theirs:
                raise UserError(
                    f"{first.folder} and {run.folder} differ in {what} ({ours}; {theirs}): only "
                    "predictions of the same values from the same sequences can be averaged"
                )


def _interface(run: Run) -> dict[str, str]:
    """Return what runs must agree in so that they predict the same of the same sequences."""
    processor = run.processor
    ends = (bytes(processor.left_adapter), bytes(processor.right_adapter))
    windows, bias = "no profiles", "none"
    if run.is_of_regions:
        sizes = windows_of(run)
        windows = f"{sizes.length} bp, of which {sizes.positions} are predicted"
        bias = "one" if run.folder.bias.exists() else "none"
    return {
        "the tasks": ", ".join(run.task_names),
        "the ends of sequences": str(ends),
        "data.adapters": str(run.experiment.data.adapters),
        "the mark of reverse strands": processor.reverse_mark,
        "the windows of regions": windows,
        "the bias model": bias,
    }


def make_ensemble(
    runs: Sequence[str | Path], out: str | Path, progress: bool | None = None
) -> ScoreCard | RegionCard | None:
    """Make an ensemble of finished runs, and score it on their suite if they record one.

    Args:
        runs: Run folders. Those in ``out`` stay where they are, others are copied into it.
        out: The ensemble's folder.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The score, of regions that of the test part's peaks; None without a suite.

    Raises:
        UserError: If the runs do not fit each other, or ``out`` is a run already.
    """
    opened = [load_run(run) for run in runs]
    check_members(opened)
    folder = open_folder(out)
    if folder.config.exists():
        raise UserError(f"{folder} is a run already: choose another folder with --out")
    opened.sort(key=lambda run: run.processor.max_length)
    names = [_bring(run.folder, folder.path) for run in opened]
    experiment = dataclasses.replace(opened[0].experiment, members=tuple(names), init_from=None)
    folder.create(experiment)
    card = _report(load_run(folder), progress)
    folder.publish()
    log.info("%s: an ensemble of %d runs", folder, len(names))
    return card


def _bring(run: RunFolder, ensemble: Path) -> str:
    """Copy a run into an ensemble unless it is there; return its path from there on."""
    here, there = ensemble.resolve(), run.path.resolve()
    if there.is_relative_to(here):
        return there.relative_to(here).as_posix()
    number = 1
    while (ensemble / (name := f"member-{number}")).exists():
        number += 1
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(run.path, ensemble / name, ignore=ignore)
    return name


def _report(ensemble: Run, progress: bool | None) -> ScoreCard | RegionCard | None:
    """Score an ensemble and write ``report.md``: its members, and the score beside theirs."""
    folder = ensemble.folder
    simulated = SIMULATED if ensemble.has_simulated_rows else ""
    lines = [f"# {folder.path.name}{simulated}", "", "The mean of these runs:", ""]
    card: ScoreCard | RegionCard | None = None
    section = list[str]()
    if ensemble.is_of_regions:
        try:
            if (peaks := find_test_peaks(ensemble)) is not None:
                card, section = score_regions_of(ensemble, peaks, progress)
        except UserError as error:
            log.warning("%s is not scored: %s", folder, error)
            section = [f"Not scored: {error}", ""]
    elif ensemble.suite_folder is not None:
        (folder.path / "plots").mkdir(exist_ok=True)
        card, section = score_run(ensemble, load_suite(ensemble.suite_folder), progress)
    names = ensemble.experiment.members
    rows = [_row(name, run) for name, run in zip(names, ensemble.members, strict=True)]
    lines += [markdown(pd.DataFrame(rows)), "", *section]
    write_text(folder.path / "report.md", "\n".join(lines))
    write_card(ensemble)
    return card


def _row(name: str, member: Run) -> dict[str, object]:
    """Return a member's line in the report."""
    model, history = member.experiment.model, member.folder.path / "history.csv"
    row: dict[str, object] = {
        "run": name,
        "first, core, final": f"{model.first.name}, {model.core.name}, {model.final.name}",
        "seed": member.experiment.make_trainer().seed,
    }
    if history.exists():
        row["validation r"] = pd.read_csv(history)["val_pearson"].max()
    return row
