"""Score a run, or a file of predictions, on a scoring suite."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import add_plugin_argument, load_backend, make_callable, run
from dream_keras.common.errors import UserError, at_least
from dream_keras.scoring.suite import PARTS

if TYPE_CHECKING:
    from dream_keras.interpret.measured import EffectScore
    from dream_keras.runs.run import Run
    from dream_keras.scoring.card import ScoreCard
    from dream_keras.scoring.region_card import RegionCard


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m dream_keras.evaluate",
        description="Score a run, or a file of predictions, on a scoring suite: Pearson's r and "
        "r^2 and Spearman's rho on every subset, and the two challenge scores.",
    )
    result.add_argument("run", metavar="RUN", nargs="?", help="run folder whose model predicts")
    result.add_argument(
        "--predictions",
        metavar="FILE",
        help="submission to score instead: JSON {position: prediction}, or lines of "
        "sequence<TAB>prediction (a column for each target) with all rows of the suite in order; "
        "may be gzipped",
    )
    result.add_argument(
        "--suite",
        metavar="PATH",
        help="folder of the suite's data, with a suite.yaml or in the layout of the challenge or "
        "another built-in suite; or a suite's YAML file (default: the suite recorded in RUN)",
    )
    result.add_argument(
        "--part",
        choices=PARTS,
        help="rows to score: without the public leaderboard's, only them, or all "
        "(default: private, or all where nothing is public)",
    )
    result.add_argument(
        "--bootstrap",
        type=int,
        default=0,
        metavar="N",
        help="give 95 %% intervals from N bootstrap resamples of the rows and pairs, such as "
        "10000 (default: none)",
    )
    result.add_argument(
        "--ceiling",
        nargs="+",
        default=(),
        metavar="SET",
        help="also give what a perfect predictor is expected to reach, from pairs of the suite "
        "that all of these run folders or files of predictions call unchanged; two or more of "
        "unlike models are advised",
    )
    result.add_argument(
        "--interval",
        metavar="SHARE",
        type=float,
        help="also count how often RUN's prediction intervals, made to cover this share of the "
        "measurements, such as 0.9, do so",
    )
    result.add_argument(
        "--variants",
        metavar="TABLE",
        help="score predicted effects of variants instead: a table of pairs with RUN (columns ref, "
        "alt, effect), or without it a table of dream_keras.variants with a column effect",
    )
    result.add_argument("--json", metavar="FILE", help="also write the scores to this file")
    add_plugin_argument(result)
    return result


def evaluate(
    run: str | Path | None = None,
    *,
    predictions: str | Path | None = None,
    suite: str | Path | None = None,
    part: str | None = None,
    bootstrap: int = 0,
    ceiling: Sequence[str | Path] = (),
    interval: float | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "ScoreCard | RegionCard":
    """Score a run, or a file of predictions, on a scoring suite.

    Args:
        run: Run folder whose model predicts the suite.
        predictions: Submission to score instead of a run: JSON or table, see
            ``dream_keras.scoring.submission.read_submission``.
        suite: Folder or YAML file of the suite; the one recorded in the run when left out. Of a run
            that predicts profiles, the regions file whose test peaks it is scored on, or a folder
            prepared of it.
        part: ``"private"``, ``"public"`` or ``"all"``; None is private, or all where nothing is
            public.
        bootstrap: Number of bootstrap resamples for 95 % intervals, see
            ``dream_keras.scoring.bootstrap``; 0 for none.
        ceiling: Run folders or files of predictions with which the noise ceiling is estimated, see
            ``dream_keras.scoring.ceiling``; none for no ceiling.
        interval: Share of the measurements, 0 to 1, that prediction intervals are made to cover:
            how often they do is counted, see ``dream_keras.runs.calibration.measure_coverage``.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The score card, of a run that predicts profiles a ``RegionCard``;
        ``dream_keras.scoring.report.table`` makes a table of it.

    Raises:
        UserError: Not exactly one of ``run`` and ``predictions`` is given, there is no suite, or
            one of them is unusable, ``bootstrap`` is negative, a ceiling is asked for that the
            suite has no pairs for, or intervals that cannot be calibrated.
    """
    from dream_keras.config.check import check_files
    from dream_keras.data.shards import may_hold_regions
    from dream_keras.leaderboard.source import is_run, predictions_of
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run, load_run
    from dream_keras.scoring.suite import load_suite

    at_least(0, bootstrap=bootstrap)
    if (run is None) == (predictions is None):
        raise UserError("give either a run folder or a file of predictions (--predictions FILE).")
    if interval is not None and run is None:
        raise UserError("--interval needs a run: a file of predictions has no intervals")
    runs = [] if run is None else [run]
    runs += [path for path in ceiling if is_run(path)]
    for path in runs:
        check_run(path)
    check_files(predictions, *ceiling)
    check_plugins(plugins := listed(plugins))
    loaded_suite = None if suite is None or may_hold_regions(suite) else load_suite(suite)
    if runs:
        load_backend()
        load_plugins(plugins)
    loaded_run = None
    if run is not None:
        loaded_run = load_run(run)
        if loaded_run.is_of_regions:
            return _on_regions(loaded_run, suite, part, bootstrap, ceiling, interval, progress)
        suite = suite or loaded_run.suite_folder
    if suite is None:
        where = "to score a file of predictions" if run is None else f"{run} records none"
        raise UserError(f"no suite to score on: {where}. Give its folder with --suite PATH.")
    loaded_suite = loaded_suite or load_suite(suite)
    from dream_keras.scoring.bootstrap import bootstrap as resample
    from dream_keras.scoring.metrics import score
    from dream_keras.scoring.submission import read_submission

    part = loaded_suite.choose_part(part)
    if ceiling:  # loads scipy, which takes a second
        from dream_keras.scoring.ceiling import suite_ceiling
        from dream_keras.scoring.neutral_pairs import check_pairs

        check_pairs(loaded_suite, part)
    coverage = None
    if loaded_run is not None and interval is not None:
        from dream_keras.runs.calibration import measure_coverage

        coverage = measure_coverage(loaded_run, loaded_suite, part, interval, progress)
        if coverage.part != part:
            raise UserError(
                f"--interval: of {loaded_suite.source} the public part calibrates the intervals, "
                f"and they are counted on the {coverage.part} part, not on --part {part}"
            )
    if loaded_run is not None:
        values = loaded_run.predict_suite(loaded_suite, part, progress)
    else:
        assert predictions is not None
        values = read_submission(predictions, loaded_suite)
    if bootstrap:
        resampled = resample(loaded_suite, values, part, resamples=bootstrap, progress=progress)
        card = resampled.card_with_intervals()
    else:
        card = score(loaded_suite, values, part)
    card = replace(card, coverage=coverage)
    if not ceiling:
        return card
    sets = [predictions_of(path, loaded_suite, part, progress) for path in ceiling]
    found = suite_ceiling(loaded_suite, sets, part, resamples=bootstrap, progress=progress)
    return replace(card, ceiling=found)


def _on_regions(
    run: "Run",
    regions: str | Path | None,
    part: str | None,
    bootstrap: int,
    ceiling: Sequence[str | Path],
    interval: float | None,
    progress: bool | None,
) -> "RegionCard":
    """Score a run that predicts profiles; arguments as for ``evaluate``."""
    from dream_keras.runs.region_scores import read_test_peaks, score_run_on_regions
    from dream_keras.runs.rows import regions_of

    for option, given in (("part", part), ("ceiling", ceiling), ("interval", interval)):
        if given:
            raise UserError(f"--{option}: a run that predicts profiles has none")
    peaks = read_test_peaks(run, regions_of(run, regions))
    return score_run_on_regions(run, peaks, bootstrap, progress)[0]


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(argv)
    if arguments.json is not None:
        _check_writable(Path(arguments.json))
    if arguments.variants is not None:
        _print_variants(arguments)
        return
    card = evaluate(
        arguments.run,
        predictions=arguments.predictions,
        suite=arguments.suite,
        part=arguments.part,
        bootstrap=arguments.bootstrap,
        ceiling=arguments.ceiling,
        interval=arguments.interval,
        plugins=arguments.plugin,
    )
    from dream_keras.common.files import write_text
    from dream_keras.scoring.report import table

    print(table(card))
    if arguments.json is not None:
        text = json.dumps(card.to_dict(), indent=2, allow_nan=False)
        write_text(Path(arguments.json), f"{text}\n")


def score_variants(
    table: str | Path,
    run: str | Path | None = None,
    *,
    plugins: Iterable[str | Path] = (),
) -> "dict[str, EffectScore]":
    r"""Score predicted effects of variants against measured ones.

    Args:
        table: Of ``dream_keras.variants`` with another column, ``effect`` (``TASK.effect`` with
            several tasks); or, with a run, a table of pairs: columns ``ref``, ``alt``, ``effect``.
        run: Run folder whose model predicts the pairs.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.

    Returns:
        The scores by task; ``dream_keras.interpret.measured.text`` makes a table of them.

    Raises:
        UserError: If table or run cannot be used.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = Path(folder, "effects.csv")
        ...     _ = table.write_text("delta,effect\n0.5,1\n-1,-2\n2,1.5\n")
        ...     scores = score_variants(table)
        >>> scores["expression"].n, scores["expression"].values["sign_accuracy"]
        (3, 1.0)
    """
    from dream_keras.config.check import check_files
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run

    check_files(table)
    predictor = None
    if run is not None:
        check_run(run)
        check_plugins(plugins := listed(plugins))
        load_backend()
        load_plugins(plugins)
        from dream_keras.interpret.predictor import run_predictor

        predictor = run_predictor(run)
    from dream_keras.interpret.measured import score_table

    return score_table(table, predictor)


def _print_variants(arguments: argparse.Namespace) -> None:
    """Score effects as the command does."""
    for option in ("predictions", "suite", "part", "bootstrap", "ceiling", "interval"):
        if getattr(arguments, option):
            raise UserError(f"--variants takes no --{option}")
    scores = score_variants(arguments.variants, arguments.run, plugins=arguments.plugin)
    from dream_keras.common.files import write_text
    from dream_keras.interpret.measured import text, to_dict

    print(text(scores))
    if arguments.json is not None:
        numbers = json.dumps(to_dict(scores), indent=2, allow_nan=False)
        write_text(Path(arguments.json), f"{numbers}\n")


def _check_writable(path: Path) -> None:
    """Refuse a bad --json before minutes of prediction, not after."""
    if not path.parent.is_dir():
        raise UserError(f"--json {path}: the folder {path.parent} does not exist.")
    if path.exists() and not path.is_file():
        raise UserError(f"--json {path}: exists and is no ordinary file.")


make_callable(__name__, evaluate)

if __name__ == "__main__":
    run(main)
