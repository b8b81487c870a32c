"""Insert motifs into backgrounds: effects by position, orientation, copies and spacing."""

import argparse
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
from dream_keras.common.errors import UserError, at_least
from dream_keras.common.files import new_folder, replacing

if TYPE_CHECKING:
    from dream_keras.interpret.backgrounds import Backgrounds
    from dream_keras.interpret.predictor import Predictor

BACKGROUNDS = 100
"""Random backgrounds, unless their number is given."""
TABLE, PICTURE = "effects.tsv", "curves.png"
FOOTPRINTS = "footprints.tsv"
SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.marginalise", description=SUMMARY)
    p.add_argument("run", metavar="RUN", help="run folder whose model predicts")
    p.add_argument(
        "--motif",
        metavar="SEQ|NAME=SEQ|MEME",
        action="append",
        default=[],
        help="IUPAC letters, or a file in MEME format (FILE:NAME for one motif of it); may be "
        "given several times",
    )
    p.add_argument(
        "--consensus",
        action="store_true",
        help="insert the most probable bases of matrices (default: sites drawn from them)",
    )
    p.add_argument(
        "--positions",
        metavar="START-END[:STEP]",
        help="first bases of a motif in the insert, from 1 (default: about 20 of all that fit)",
    )
    p.add_argument(
        "--copies", metavar="START-END", help="numbers of copies (default: 1-4, if they fit)"
    )
    p.add_argument(
        "--gap", type=int, default=10, metavar="BP", help="bp between copies (default: 10)"
    )
    p.add_argument(
        "--pairs-of-motifs",
        action="store_true",
        help="interactions of all pairs of the motifs, or of the only one with itself",
    )
    p.add_argument(
        "--spacings",
        metavar="START-END[:STEP]",
        help="bp between the two motifs of a pair (default: about 20 of all that fit)",
    )
    p.add_argument(
        "--backgrounds", type=int, metavar="N", help="number of random inserts (default: 100)"
    )
    p.add_argument(
        "--length", type=int, metavar="BP", help="length of random inserts (default: the run's)"
    )
    p.add_argument(
        "--base-shares",
        metavar="A,C,G,T",
        help="shares of the bases in random inserts (default: equal)",
    )
    p.add_argument(
        "--background-sequences",
        metavar="FILE",
        help="FASTA or table of named sequences to insert motifs into instead",
    )
    p.add_argument(
        "--shuffle",
        type=int,
        default=0,
        metavar="N",
        help="take N shuffles of each given sequence, dinucleotides kept (default: itself)",
    )
    p.add_argument("--task", help='a task, or a difference "A - B" (default: all tasks)')
    add_adapters_argument(p, "given sequences", "; put on random inserts")
    p.add_argument(
        "--seed", type=int, default=0, help="seed of inserts, sites and intervals (default: 0)"
    )
    p.add_argument("--out", "-o", metavar="FOLDER", required=True, help="folder to write to")
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = vars(parser().parse_args(argv))
    out = args.pop("out")
    args["plugins"], args["motifs"] = args.pop("plugin"), args.pop("motif")
    number = marginalise(args.pop("run"), out, **args)
    print(f"{number:,} effects in {Path(out) / TABLE}, drawn in {PICTURE}", file=sys.stderr)


def marginalise(
    run: str | Path,
    out: str | Path,
    *,
    motifs: str | Path | Iterable[str | Path],
    consensus: bool = False,
    positions: str | Sequence[int] | None = None,
    copies: str | Sequence[int] | None = None,
    gap: int = 10,
    pairs_of_motifs: bool = False,
    spacings: str | Sequence[int] | None = None,
    backgrounds: int | None = None,
    length: int | None = None,
    base_shares: str | Sequence[float] | None = None,
    background_sequences: str | Path | None = None,
    shuffle: int = 0,
    task: str | None = None,
    adapters: str | None = None,
    seed: int = 0,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> int:
    """Insert motifs into backgrounds, and write effects with intervals and a picture of them.

    ``docs/marginalise.md`` explains the numbers.

    Args:
        run: Run folder.
        out: Folder to create, with ``effects.tsv`` and ``curves.png``; and ``footprints.tsv`` of
            a run that predicts profiles: those with each motif in the middle, and without.
        motifs: IUPAC letters, ``NAME=LETTERS``, files in MEME format, or ``FILE:NAME`` for one of
            a file's motifs.
        consensus: Insert the most probable bases of matrices, not sites drawn from them.
        positions: First bases of a motif in the insert, from 1: numbers, or as the option; None
            takes about 20 of all that fit.
        copies: Numbers of copies; None takes 1 to 4, as far as they fit.
        gap: Bases between neighbouring copies.
        pairs_of_motifs: Whether to look for interactions of two motifs.
        spacings: Bases between the two; None takes about 20 of all that fit.
        backgrounds: Number of random inserts; None is 100.
        length: Their length in bp; None is that of the run.
        base_shares: Shares of A, C, G and T in them; None is equal shares.
        background_sequences: FASTA or table of named sequences to insert motifs into instead.
        shuffle: Shuffled copies of each of them that are taken in its place.
        task: A task, or ``"A - B"``; None is all tasks.
        adapters: As ``data.adapters``; None as in training, but random inserts get those that the
            processor expects.
        seed: Seed of inserts, shuffles, sites and intervals.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The number of rows of the table.

    Raises:
        UserError: If run, motifs, backgrounds or settings cannot be used.
    """
    from dream_keras.config.check import check_files
    from dream_keras.interpret.marginal_plan import plan, read_range
    from dream_keras.interpret.motif_file import read_motifs
    from dream_keras.interpret.random_inserts import read_shares
    from dream_keras.menu.plugins import check_plugins, listed
    from dream_keras.runs.run import check_run

    check_run(run)
    check_plugins(plugins := listed(plugins))
    check_files(background_sequences)
    at_least(0, seed=seed, gap=gap, shuffle=shuffle)
    at_least(1, backgrounds=backgrounds, length=length)
    if background_sequences is None and shuffle:
        raise UserError("--shuffle shuffles given sequences: give --background-sequences")
    random = (backgrounds, length, base_shares)
    if background_sequences is not None and any(given is not None for given in random):
        raise UserError(
            "--backgrounds, --length and --base-shares describe random inserts: leave them out, "
            "or --background-sequences"
        )
    found = read_motifs([motifs] if isinstance(motifs, (str, Path)) else motifs, consensus)
    where = read_range(positions, "positions", 1)
    numbers = read_range(copies, "copies", 1)
    between = read_range(spacings, "spacings", 0)
    shares = read_shares(base_shares)
    with new_folder(Path(out)) as folder:
        load_backend()
        from dream_keras.interpret.backgrounds import random_backgrounds
        from dream_keras.interpret.marginal import marginal_effects, write_effects
        from dream_keras.interpret.marginal_plots import curves
        from dream_keras.interpret.predictor import run_predictor
        from dream_keras.interpret.tasks import task_weights
        from dream_keras.menu.plugins import load_plugins
        from dream_keras.runs.plots import mark_simulated

        load_plugins(plugins)
        predictor = run_predictor(run, adapters, bare=background_sequences is None)
        if task is not None:
            task_weights(task, predictor.tasks)
        if background_sequences is None:
            size = _insert_length(run, predictor, length)
            around = random_backgrounds(backgrounds or BACKGROUNDS, size, shares, seed)
            made = f"{len(around)} random inserts of {size} bp"
            if base_shares is not None:
                made += f" with shares {','.join(f'{share:g}' for share in shares)} of A,C,G,T"
        else:
            around = _given(predictor, background_sequences, shuffle, seed)
            made = f"{len(around)} of {Path(background_sequences).name}"
            made += f", {shuffle} shuffles of each" if shuffle else ""
        rows = plan(found, around.insert, where, numbers, gap, pairs_of_motifs, between)
        effects = marginal_effects(predictor, found, around, rows, task, seed, progress)
        said = {
            "model": predictor.name,
            "effect": "with motif - background, in units of the training labels; spacing: effect "
            "of both - sum of the effects of each alone",
            "interval": "95 % percentile interval, bootstrap over backgrounds",
            "backgrounds": made,
            "insert": f"{around.insert} bp",
            "adapters put on": predictor.adapters,
            **({"task": task} if task is not None else {}),
            "sites": "most probable bases" if consensus else "drawn for each background",
            "seed": seed,
        }
        description = "; ".join(f"{key}={value}" for key, value in said.items())
        write_effects(folder / TABLE, effects, f"dream_keras.marginalise; {description}")
        if predictor.profiles is not None:
            from dream_keras.interpret.footprints import footprints, write_footprints

            profiles = footprints(predictor, found, around, seed, progress)
            said |= {"effect": "mean share of the counts at each bp from the middle"}
            about = "; ".join(f"{key}={value}" for key, value in said.items())
            write_footprints(
                folder / FOOTPRINTS, found, profiles, f"dream_keras.marginalise; {about}"
            )
        figure = curves(effects)
        if predictor.simulated:
            mark_simulated(figure)
        with replacing(folder / PICTURE) as temporary:
            figure.savefig(temporary)
    return len(rows)


def _insert_length(run: str | Path, predictor: "Predictor", length: int | None) -> int:
    """Return the length of random inserts: as given, as designed, or the longest the run takes.

    Raises:
        UserError: If the run does not take it, or expects ends that are not put on.
    """
    from dream_keras.data.yeast import INSERT_LENGTH
    from dream_keras.runs.run import load_run

    processor = load_run(run).processor
    ends = [len(processor.left_adapter), len(processor.right_adapter)]
    fixed = [getattr(processor, f"fixed_{side}", 0) for side in ("left", "right")]
    if predictor.adapters == "none" and any(ends + fixed):
        raise UserError(
            "the run expects constant ends, which random inserts lack: put them on with "
            "--adapters LEFT,RIGHT, or give whole sequences with --background-sequences"
        )
    shortest, longest = predictor.shortest, predictor.longest
    assert longest is not None
    if length is None:
        # Processors with adapters of their own are those of the yeast library.
        length = max(min(longest, INSERT_LENGTH), shortest) if any(ends) else longest
    if not shortest <= length <= longest:
        raise UserError(
            f"--length {length}: the run takes {shortest} to {longest} bp, besides the adapters "
            "that are put on"
        )
    return length


def _given(predictor: "Predictor", path: str | Path, shuffle: int, seed: int) -> "Backgrounds":
    """Read backgrounds, and refuse those that the run does not take."""
    from dream_keras.data.variants import read_named_sequences
    from dream_keras.interpret.backgrounds import given_backgrounds

    sequences = read_named_sequences(path)
    predictor.check_named(sequences, f"{path}: ")
    return given_backgrounds(sequences, predictor.kept, shuffle, seed)


make_callable(__name__, marginalise)

if __name__ == "__main__":
    run(main)
