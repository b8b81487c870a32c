"""Compute how much each base of sequences contributes to their predictions."""

import argparse
import contextlib
import importlib.util
import logging
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import (
    add_adapters_argument,
    add_plugin_argument,
    load_backend,
    make_callable,
    run,
)
from dream_keras.common.errors import UserError, at_least, unknown
from dream_keras.common.files import new_folder
from dream_keras.interpret.choices import METHODS, Method

if TYPE_CHECKING:
    from dream_keras.interpret.attribution import Attribution

PICTURES = 24
"""Sequences that get a picture by default."""
SCORED = 200
"""Simulated sequences on which methods are scored by default."""
SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""

PROFILE = "profile"
"""What stands for a task where the shape of a predicted profile is explained."""
log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.attribute", description=SUMMARY)
    p.add_argument("run", metavar="RUN", help="run folder whose model is explained")
    p.add_argument("input", nargs="?", metavar="INPUT", help="FASTA or table of sequences")
    p.add_argument(
        "--method", choices=METHODS, default="ism", help="(default: ism, in-silico mutagenesis)"
    )
    p.add_argument("--task", metavar="NAME", help='the task, or a difference "A - B"')
    p.add_argument(
        "--region",
        default="insert",
        metavar="insert|all|A-B",
        help="what is attributed: between the assay's adapters (default), everything, or positions "
        "from 1",
    )
    p.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="steps of integrated gradients (default: 50, or 20 from each shuffled sequence)",
    )
    p.add_argument(
        "--shuffles", type=int, default=20, metavar="N", help="shuffled sequences (default: 20)"
    )
    p.add_argument("--seed", type=int, default=0, help="seed of the shuffles (default: 0)")
    add_adapters_argument(p)
    p.add_argument(
        "--pictures",
        type=int,
        default=PICTURES,
        metavar="N",
        help=f"sequences that get a picture, the first ones (default: {PICTURES})",
    )
    p.add_argument("--modisco", action="store_true", help="find motifs with tf-modisco-lite")
    p.add_argument("--motifs", metavar="MEME", help="known motifs to compare these with")
    p.add_argument(
        "--score",
        action="store_true",
        help="score all methods on simulated promoters with known motifs, instead of INPUT",
    )
    p.add_argument(
        "--control",
        action="append",
        default=[],
        metavar="RUN",
        help="with --score: another run to score, such as one trained on shuffled labels",
    )
    p.add_argument(
        "--sequences",
        type=int,
        default=SCORED,
        metavar="N",
        help=f"with --score: simulated promoters (default: {SCORED})",
    )
    p.add_argument("--out", "-o", metavar="FOLDER", required=True, help="folder to write")
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = vars(parser().parse_args(argv))
    out = args.pop("out")
    args["plugins"] = args.pop("plugin")
    score, scored = args.pop("score"), {k: args.pop(k) for k in ("control", "sequences")}
    if score:
        if args["input"] is not None:
            raise UserError("--score makes its own sequences: leave INPUT out")
        kept = {k: args[k] for k in ("steps", "shuffles", "seed", "modisco", "plugins")}
        print(score_attributions(args["run"], out, **kept, **scored))
        return
    if scored["control"]:
        raise UserError("--control belongs to --score")
    if args["input"] is None:
        raise UserError("name a file of sequences, or give --score")
    number = len(attribute(args.pop("run"), args.pop("input"), out, **args))
    print(f"{number:,} sequences in {Path(out) / 'index.html'}", file=sys.stderr)


def attribute(
    run: str | Path,
    source: str | Path | Sequence[str],
    out: str | Path | None = None,
    *,
    method: Method = "ism",
    task: str | None = None,
    region: str = "insert",
    steps: int | None = None,
    shuffles: int = 20,
    seed: int = 0,
    adapters: str | None = None,
    pictures: int = PICTURES,
    modisco: bool = False,
    motifs: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "list[Attribution]":
    """Compute attributions, and write them: ``docs/attribution.md`` explains the files.

    Args:
        run: Run folder.
        source: FASTA or table of sequences, or a list of them.
        out: Folder to create; None writes nothing.
        method: ``"ism"``, ``"gradient"``, ``"integrated_gradients"`` or
            ``"shuffled_integrated_gradients"``.
        task: The task, or a difference ``"A - B"``; None is the only one. ``"profile"``, of a run
            that predicts profiles, explains where the counts are instead of how many.
        region: ``"insert"``, ``"all"`` or first and last position from 1, ``"18-97"``.
        steps: Steps of integrated gradients; None is 50, or 20 from each shuffled sequence.
        shuffles: Shuffled sequences.
        seed: Seed of the shuffles.
        adapters: As ``data.adapters``; None as in training.
        pictures: How many sequences get a picture.
        modisco: Find motifs with tf-modisco-lite.
        motifs: MEME file of known motifs to compare these with.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The attributions, in the order of the input.

    Raises:
        UserError: If run, input or settings cannot be used.
    """
    from dream_keras.config.check import check_files
    from dream_keras.data.variants import read_named_sequences
    from dream_keras.menu.plugins import check_plugins, listed
    from dream_keras.runs.run import check_run

    check_run(run)
    check_plugins(plugins := listed(plugins))
    _check_options(method, steps, shuffles, pictures)
    if (motifs is not None or modisco) and out is None:
        raise UserError("modisco and motifs need a folder to write to: out")
    if motifs is not None and not modisco:
        raise UserError("--motifs are what the motifs of --modisco are compared with: give both")
    check_files(motifs)
    where = ""
    if isinstance(source, str | Path):
        check_files(source)
        where = f"{source}: "
        sequences = read_named_sequences(source)
    else:
        sequences = {str(number): sequence for number, sequence in enumerate(source, 1)}
    if not sequences:
        raise UserError("there are no sequences")
    if modisco:
        from dream_keras.interpret.motif_file import read_meme

        _check_modisco()
        if motifs is not None:
            read_meme(motifs)  # A mistake in it is named before the work begins.
    with contextlib.nullcontext() if out is None else new_folder(Path(out)) as folder:
        load_backend()
        import numpy as np

        from dream_keras.common.progress import progress_bar
        from dream_keras.interpret.attribution import Attributor
        from dream_keras.interpret.predictor import run_predictor
        from dream_keras.interpret.tasks import task_weights
        from dream_keras.menu.plugins import load_plugins

        load_plugins(plugins)
        predictor = run_predictor(run, adapters)
        predictor.check_named(sequences, where)
        if task == PROFILE and predictor.profiles is not None:
            if method == "ism":
                raise UserError("--task profile is explained by gradients: give another --method")
            weights = np.append(np.zeros(len(predictor.tasks)), 1.0)
        else:
            weights = task_weights(task, predictor.tasks)
        attributor = Attributor(predictor, weights, method, region, steps, shuffles, seed)
        names, texts = list(sequences), list(sequences.values())
        with progress_bar(progress, total=len(texts), desc="attribute", unit="seq") as bar:
            found = attributor(texts, names, bar.update)
        if folder is not None:
            said = {
                "model": predictor.name,
                "task": task or predictor.tasks[0],
                "method": method,
                "region": region,
                **({} if method in ("ism", "gradient") else {"steps": attributor.steps}),
                **({"shuffles": shuffles, "seed": seed} if method.startswith("shuffled") else {}),
                "adapters put on": predictor.adapters,
                "units": "of the training labels",
            }
            made = "; ".join(f"{key}={value}" for key, value in said.items())
            from dream_keras.interpret.attribution_files import write_attributions

            named = dict(zip(names, found, strict=True))
            description = f"dream_keras.attribute; {made}"
            write_attributions(folder, named, description, pictures, predictor.simulated, progress)
            _find_motifs(folder, found, modisco, motifs)
        return found


def _find_motifs(
    folder: Path, found: "list[Attribution]", modisco: bool, motifs: str | Path | None
) -> None:
    """Run tf-modisco on what was written, or say how."""
    from dream_keras.interpret.motif_discovery import REPORT, command, find_patterns

    rows, width = len(found), max(len(each.scores) for each in found)
    if not modisco:
        finding = command(folder, rows, width)
        if finding is not None:
            log.info("to find motifs: %s", shlex.join(finding))
        return
    patterns = find_patterns(folder, rows, width, None if motifs is None else Path(motifs))
    if not patterns:
        log.warning("tf-modisco found no motif; it needs more than 100 stretches that stand out")
    for pattern in patterns:
        log.info("%s: %s, found %s times", pattern.name, pattern.consensus, pattern.seqlets)
    if patterns:
        log.info("report: %s", folder / REPORT / "report.html")


def score_attributions(
    run: str | Path,
    out: str | Path,
    *,
    control: Sequence[str | Path] = (),
    sequences: int = SCORED,
    steps: int | None = None,
    shuffles: int = 20,
    seed: int = 0,
    modisco: bool = False,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> str:
    """Score all methods on simulated promoters with planted motifs, with an untrained control.

    Args:
        run: Run folder; trained on simulated promoters.
        out: Folder to create.
        control: Other runs to score, such as one trained on shuffled labels.
        sequences: Promoters.
        steps: Steps of integrated gradients, as for ``attribute``.
        shuffles: Shuffled sequences.
        seed: Seed of the promoters and of the shuffles.
        modisco: Find motifs with tf-modisco-lite in the run's in-silico mutagenesis, and say how
            many of the planted ones they are. Takes a thousand promoters or more.
        plugins: Files that put on the menu what the runs were trained with.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The scores as text.

    Raises:
        UserError: If the run was not trained on simulated promoters, or settings cannot be used.
    """
    from dream_keras.menu.plugins import check_plugins, listed
    from dream_keras.runs.run import check_run

    for each in (run, *control):
        check_run(each)
    check_plugins(plugins := listed(plugins))
    _check_options("ism", steps, shuffles, 0)
    at_least(2, sequences=sequences)
    if modisco:
        _check_modisco()
    with new_folder(Path(out)) as folder:
        load_backend()
        from dream_keras.interpret.planted_report import recovered_motifs, score_models, text
        from dream_keras.interpret.predictor import run_predictor
        from dream_keras.menu.plugins import load_plugins

        load_plugins(plugins)
        models = {str(each): run_predictor(each) for each in (run, *control)}
        main = models[str(run)]
        if not main.simulated:
            raise UserError(
                f"{run} was not trained on simulated promoters, the only ones whose motifs are "
                "known"
            )
        models["untrained"] = run_predictor(run, trained=False)
        scores = text(score_models(models, folder, sequences, steps, shuffles, seed, progress))
        if not modisco:
            return scores
        return f"{scores}\n{recovered_motifs(main, folder, sequences, seed, progress)}"


def _check_options(method: str, steps: int | None, shuffles: int, pictures: int) -> None:
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    at_least(1, steps=steps, shuffles=shuffles)
    at_least(0, pictures=pictures)


def _check_modisco() -> None:
    if importlib.util.find_spec("modiscolite") is None:
        raise UserError('tf-modisco-lite is missing: pip install "dream-keras[motif]"')


make_callable(__name__, attribute)

if __name__ == "__main__":
    run(main)
