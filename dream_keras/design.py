"""Design sequences with a wanted prediction, within constraints."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dream_keras.common.cli import (
    add_adapters_argument,
    add_plugin_argument,
    load_backend,
    make_callable,
    run,
)
from dream_keras.common.errors import UserError, at_least, unknown
from dream_keras.common.files import new_folder

if TYPE_CHECKING:
    import pandas as pd

    from dream_keras.interpret.constraints import Constraints

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""
ROUNDS: Mapping[str, int] = {"evolve": 10, "beam": 10, "anneal": 1000, "gradient": 200}
"""The methods and their rounds."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.design", description=SUMMARY)
    p.add_argument(
        "run", metavar="RUN", nargs="+", help="run folder; of several the mean is optimised"
    )
    p.add_argument(
        "--goal",
        metavar="max|min|VALUE|TASK",
        required=True,
        help='high, low, or near a value; a task or a difference "A - B" is to be high',
    )
    p.add_argument("--task", metavar="NAME", help='what max, min or VALUE is about, or "A - B"')
    _add_starts(p)
    p.add_argument(
        "--method",
        choices=list(ROUNDS),
        default="evolve",
        help="the best single edit in each round (default), a beam search, simulated annealing, "
        "or gradients",
    )
    p.add_argument(
        "--beam", type=int, default=5, metavar="K", help="width of the beam search (default: 5)"
    )
    p.add_argument("--rounds", type=int, metavar="N", help="default: 10; anneal 1000; gradient 200")
    _add_constraints(p)
    p.add_argument(
        "--cautious",
        action="store_true",
        help="count the spread of several runs against a design",
    )
    p.add_argument("--judge", metavar="RUN", help="run that predicts the designs, not optimised")
    add_adapters_argument(p)
    p.add_argument("--seed", type=int, default=0, help="seed of all random choices (default: 0)")
    p.add_argument("--out", "-o", metavar="FOLDER", required=True, help="folder to write")
    add_plugin_argument(p)
    return p


def _add_starts(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("where designs start")
    group.add_argument("--start", metavar="FILE", help="FASTA or table of named sequences")
    group.add_argument("--random", type=int, metavar="N", help="N random sequences")
    group.add_argument(
        "--length",
        type=int,
        metavar="BP",
        help="of random sequences without adapters (default: 80 for yeast promoters, else what "
        "the run takes)",
    )
    group.add_argument(
        "--base-shares",
        metavar="A,C,G,T",
        help="shares of the bases in random sequences (default: equal)",
    )
    group.add_argument(
        "--designs", type=int, metavar="N", help="number of designs (default: one of each start)"
    )


def _add_constraints(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("constraints")
    group.add_argument(
        "--protect", metavar="START-END,...", help="positions that must not change, from 1"
    )
    group.add_argument("--gc", metavar="LOW-HIGH", help="share of G and C, such as 0.4-0.6")
    group.add_argument(
        "--forbid",
        metavar="SITE,...",
        help="restriction enzymes or sequences, such as EcoRI,GGTCTC",
    )
    group.add_argument("--max-homopolymer", type=int, metavar="N", help="longest run of one base")
    group.add_argument("--max-edits", type=int, metavar="N", help="most edits of a start")
    group.add_argument(
        "--min-distance",
        type=int,
        default=0,
        metavar="N",
        help="fewest positions at which two designs differ",
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = vars(parser().parse_args(argv))
    args["plugins"] = args.pop("plugin")
    out = args.pop("out")
    table = design(args.pop("run"), out, **args)
    from dream_keras.interpret.design_files import summary

    print("\n".join([*summary(table), f"all files are in {out}"]), file=sys.stderr)


def design(
    run: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    goal: str | float,
    task: str | None = None,
    start: str | Path | None = None,
    random: int | None = None,
    length: int | None = None,
    base_shares: str | Sequence[float] | None = None,
    designs: int | None = None,
    method: str = "evolve",
    beam: int = 5,
    rounds: int | None = None,
    protect: str | None = None,
    gc: str | None = None,
    forbid: str | None = None,
    max_homopolymer: int | None = None,
    max_edits: int | None = None,
    min_distance: int = 0,
    cautious: bool = False,
    judge: str | Path | None = None,
    adapters: str | None = None,
    seed: int = 0,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "pd.DataFrame":
    """Design sequences, and write them into a folder: ``docs/design.md`` explains the files.

    Args:
        run: Run folder, or several, whose mean is optimised.
        out: Folder to write: ``designs.fasta``, ``designs.tsv``, ``trajectory.tsv`` and ``.png``.
        goal: ``"max"``, ``"min"``, a value that is wanted, or a task or ``"A - B"`` to maximise.
        task: The task or difference that ``goal`` is about, if there are several.
        start: FASTA or table of named sequences to start from.
        random: Number of random sequences to start from, instead.
        length: bp of these, without adapters; None is 80 for yeast promoters, and else the longest
            that the run takes.
        base_shares: Shares of A, C, G and T in these, ``"A,C,G,T"``; None is equal ones.
        designs: Number of designs, made of the starts in turn; None is one of each.
        method: ``"evolve"``, ``"beam"``, ``"anneal"`` or ``"gradient"``.
        beam: Width of the beam search.
        rounds: Rounds of the method; None is its usual number.
        protect: Positions that must not change, ``"START-END,..."``, from 1.
        gc: Range of the share of G and C between the construct's ends, ``"LOW-HIGH"``.
        forbid: Restriction enzymes or sequences, separated by commas.
        max_homopolymer: Longest run of one base.
        max_edits: Most edits of a start.
        min_distance: Fewest positions at which two designs differ.
        cautious: Count the spread of several runs against a design.
        judge: Run whose predictions are shown but not optimised.
        adapters: As ``data.adapters``; None as in training.
        seed: Of all random choices.
        plugins: Files that put on the menu what the runs were trained with.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The table of the designs.

    Raises:
        UserError: If a run, a sequence or a setting cannot be used, or no design fulfils the
            constraints.
    """
    from dream_keras.config.check import check_files
    from dream_keras.interpret.random_inserts import read_shares
    from dream_keras.interpret.starts import protected_spans
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run

    folders = [run] if isinstance(run, str | Path) else list(run)
    rounds = ROUNDS.get(method) if rounds is None else rounds
    given = dict(locals())
    if not folders:
        raise UserError("name a run, or several")
    for folder in (*folders, *([] if judge is None else [judge])):
        check_run(folder)
    check_plugins(plugins := listed(plugins))
    check_files(start)
    if rounds is None or method not in ROUNDS:
        raise unknown("method", method, ROUNDS)
    at_least(1, random=random, length=length, designs=designs, beam=beam, rounds=rounds)
    at_least(0, seed=seed)
    _check_starts(start, random, length, base_shares)
    if cautious and len(folders) < 2:
        raise UserError("--cautious needs several runs, whose spread it counts: RUN RUN ...")
    drawn = read_shares(base_shares)
    if protect:
        protected_spans(protect)
    limits = _constraints(gc, forbid, max_homopolymer, max_edits, min_distance)
    with new_folder(Path(out)) as folder:
        load_backend()
        from dream_keras.interpret.design_plan import Plan, carry_out

        load_plugins(plugins)
        plan = Plan(
            runs=folders,
            goal=str(goal),
            task=task,
            start=start,
            random=random or 1,
            length=length,
            shares=drawn,
            designs=designs,
            method=method,
            beam=beam,
            rounds=rounds,
            protect=protect,
            constraints=limits,
            cautious=cautious,
            judge=judge,
            adapters=adapters,
            seed=seed,
        )
        return carry_out(plan, folder, _description(given), progress)


def _description(given: Mapping[str, object]) -> str:
    """Return how designs are made, from the arguments that were given."""
    names = [
        "goal",
        "task",
        "start",
        "random",
        "length",
        "base_shares",
        "designs",
        "method",
        "rounds",
    ]
    names += ["protect", "gc", "forbid", "max_homopolymer", "max_edits", "min_distance"]
    names += ["cautious", "judge", "seed"]
    if given["method"] == "beam":
        names.insert(8, "beam")
    said = {"model": ",".join(map(str, cast("list[object]", given["folders"])))}
    values = {name: given[name] for name in names}
    said |= {key: str(v) for key, v in values.items() if v is not None and v is not False}
    return "dream_keras.design; " + "; ".join(f"{key}={value}" for key, value in said.items())


def _constraints(
    gc: str | None,
    forbid: str | None,
    max_homopolymer: int | None,
    max_edits: int | None,
    min_distance: int,
) -> "Constraints":
    """Return the constraints, read from what was given."""
    from dream_keras.interpret.constraints import Constraints, forbidden_sites, gc_range

    at_least(1, max_homopolymer=max_homopolymer, max_edits=max_edits)
    at_least(0, min_distance=min_distance)
    return Constraints(
        gc_range(gc) if gc else None,
        forbidden_sites(forbid) if forbid else (),
        max_homopolymer,
        max_edits,
        min_distance,
    )


def _check_starts(
    start: str | Path | None,
    random: int | None,
    length: int | None,
    base_shares: str | Sequence[float] | None,
) -> None:
    """Refuse starts that are not clear."""
    if (start is None) == (random is None):
        raise UserError("say where designs start: --start FILE, or --random N")
    if str(start) == "-":
        raise UserError("give the starts as a file instead of standard input (-)")
    if start is not None and (length is not None or base_shares is not None):
        raise UserError("--length and --base-shares are those of random starts: leave them out")


make_callable(__name__, design)

if __name__ == "__main__":
    run(main)
