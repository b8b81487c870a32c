"""Analyse the errors of a run's predictions of a suite."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import load_backend, make_callable
from dream_keras.common.errors import UserError

if TYPE_CHECKING:
    from dream_keras.runs.run import Run

log = logging.getLogger(__name__)


def analyse(
    run: str | Path,
    *,
    suite: str | Path | None = None,
    part: str | None = None,
    train: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> Path:
    """Analyse the errors of a run's predictions of a suite.

    Args:
        run: Run folder.
        suite: Folder or YAML file of the suite; the one recorded in the run when left out. Of a run
            that predicts profiles, the regions file or prepared folder whose test peaks are
            looked at.
        part: ``"private"``, ``"public"`` or ``"all"``; None is private, or all where nothing is
            public.
        train: Training table to compare test rows with; the run's own when left out.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show progress bars; None shows them on a terminal.

    Returns:
        The page that was written, ``analysis/analysis.md`` in the run folder. For a suite with
        several targets there is a page for each, ``analysis/TARGET/analysis.md``; the first.

    Raises:
        UserError: If run, suite or training table cannot be used.
    """
    from dream_keras.common.locks import claimed
    from dream_keras.config.check import check_files
    from dream_keras.data.shards import may_hold_regions
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run, load_run
    from dream_keras.scoring.suite import load_suite

    check_run(run)
    check_plugins(plugins := listed(plugins))
    check_files(train)
    given = None if suite is None or may_hold_regions(suite) else load_suite(suite)
    load_backend()
    from dream_keras.analyse.analysis import Analysis
    from dream_keras.analyse.report import write_analysis

    load_plugins(plugins)
    opened = load_run(run)
    if opened.is_of_regions:
        return _on_regions(opened, suite, part, train, progress)
    suite = suite or opened.suite_folder
    if suite is None:
        raise UserError(f"no suite to look at: {run} records none. Name one with --suite PATH.")
    loaded = given or load_suite(suite)
    part = loaded.choose_part(part)
    predictions = opened.find_predictions(loaded, part, progress)
    with claimed(opened.folder.path / "analysis", "wait for it"):
        pages = [
            write_analysis(Analysis(opened, loaded, part, predictions, target, train, progress))
            for target in range(len(loaded.targets))
        ]
    opened.folder.publish()
    for target, page in zip(loaded.targets[1:], pages[1:], strict=True):
        log.info("the analysis of %s is in %s", target, page)
    return pages[0]


def _on_regions(
    run: "Run",
    regions: str | Path | None,
    part: str | None,
    train: str | Path | None,
    progress: bool | None,
) -> Path:
    """Analyse a run that predicts profiles; arguments as for ``analyse``."""
    from dream_keras.analyse.regions import RegionAnalysis, write_region_analysis
    from dream_keras.common.locks import claimed
    from dream_keras.runs.region_scores import read_test_peaks
    from dream_keras.runs.rows import regions_of

    for option, given in (("part", part), ("train", train)):
        if given is not None:
            raise UserError(f"--{option}: a run that predicts profiles has none")
    peaks = read_test_peaks(run, regions_of(run, regions))
    analysis = RegionAnalysis.of(run, peaks, progress)
    with claimed(run.folder.path / "analysis", "wait for it"):
        page = write_region_analysis(analysis)
    run.folder.publish()
    return page


make_callable(__name__, analyse)
