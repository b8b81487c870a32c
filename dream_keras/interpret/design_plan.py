"""What the design command is asked for, and how it is done with runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.errors import UserError
from dream_keras.common.progress import progress_bar
from dream_keras.data import alphabet, yeast
from dream_keras.data.variants import read_named_sequences
from dream_keras.interpret.constraints import Checker, Constraints
from dream_keras.interpret.design_files import Judge, design_table, write_designs
from dream_keras.interpret.design_gradient import climb
from dream_keras.interpret.design_search import Search, anneal, evolve, repair
from dream_keras.interpret.goal import read_goal
from dream_keras.interpret.predictor import Predictor, run_predictor
from dream_keras.interpret.starts import Starts, make_starts, random_starts
from dream_keras.runs.run import Run, load_run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Plan:
    """What is designed, from what, and how.

    Attributes:
        runs: Folders of the runs that are optimised.
        goal: As ``read_goal`` takes it.
        task: The task or difference that it is about.
        start: File of sequences to start from; None draws random ones.
        random: How many of these.
        length: bp of these without adapters; None is the usual number.
        shares: Shares of A, C, G and T in these.
        designs: Number of designs; None is one of each start.
        method: ``evolve``, ``beam``, ``anneal`` or ``gradient``.
        beam: Width of the beam search.
        rounds: Rounds of the method.
        protect: Positions that must not change.
        constraints: What every design has to fulfil.
        cautious: Whether the spread of the runs counts against a design.
        judge: Folder of a run that is not optimised.
        adapters: As ``data.adapters``.
        seed: Of all random choices.
    """

    runs: Sequence[str | Path]
    goal: str
    task: str | None
    start: str | Path | None
    random: int
    length: int | None
    shares: Sequence[float]
    designs: int | None
    method: str
    beam: int
    rounds: int
    protect: str | None
    constraints: Constraints
    cautious: bool
    judge: str | Path | None
    adapters: str | None
    seed: int


def carry_out(plan: Plan, out: Path, description: str, progress: bool | None) -> "pd.DataFrame":
    """Design, write everything into a folder and return the table.

    Args:
        plan: What is asked for.
        out: A folder that is there.
        description: How the designs are made, for the first line of the tables.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: If runs, sequences and constraints do not fit together.
    """
    predictors = [run_predictor(folder, plan.adapters) for folder in plan.runs]
    for each in predictors[1:]:
        if each.tasks != predictors[0].tasks:
            raise UserError(
                f"{each.name} has the tasks {', '.join(each.tasks)}, {predictors[0].name} "
                f"{', '.join(predictors[0].tasks)}: runs that are averaged need the same"
            )
    goal = read_goal(plan.goal, plan.task, predictors[0].tasks, plan.cautious)
    judge = None
    if plan.judge is not None:
        judging = run_predictor(plan.judge, plan.adapters)
        judge = Judge(judging, goal.weights(judging.tasks))
    every = predictors if judge is None else [*predictors, judge.predictor]
    starts = _starts(plan, every, load_run(plan.runs[0]))
    flanks = _flanks(predictors[0])
    with progress_bar(progress, total=plan.rounds, desc=plan.method, unit="round") as bar:
        checker = Checker(plan.constraints, starts, flanks)
        search = Search(starts, checker, goal, predictors, plan.seed, bar.update)
        optimise(search, plan.method, plan.rounds, plan.beam)
    simulated = all(each.simulated for each in predictors)
    table = design_table(search, judge, flanks if simulated else None)
    if not (table["status"] == "ok").any():
        reasons = ", ".join(table["status"].unique())
        raise UserError(
            f"no start could be edited so that it fulfils the constraints ({reasons}): relax them, "
            "or protect less"
        )
    about = f"{description}; adapters put on={predictors[0].adapters}"
    title = f"{plan.method}, goal {plan.goal}"
    write_designs(out, search, table, about, title, simulated)
    return table


def optimise(search: Search, method: str, rounds: int, beam: int = 1) -> None:
    """Bring designs to fulfil the constraints, and optimise them.

    Args:
        search: The designs.
        method: ``evolve``, ``beam``, ``anneal`` or ``gradient``.
        rounds: Rounds of the method.
        beam: Width of the beam search.
    """
    repair(search)
    if method == "anneal":
        anneal(search, rounds)
    elif method == "gradient":
        climb(search, rounds)
    else:
        evolve(search, rounds, beam if method == "beam" else 1)


def _starts(plan: Plan, every: Sequence[Predictor], run: Run) -> Starts:
    """Return where the designs start, checked against all models."""
    kept = (max(each.kept[0] for each in every), max(each.kept[1] for each in every))
    longest = min((each.longest for each in every if each.longest is not None), default=None)
    if plan.start is not None:
        sequences: Mapping[str, str] = read_named_sequences(plan.start)
        if not sequences:
            raise UserError(f"{plan.start} holds no sequences")
    else:
        ends = _ends(run, kept)
        length = plan.length
        if length is None:
            yeast_run = alphabet.decode(run.processor.left_adapter) == yeast.LEFT_ADAPTER
            assert longest is not None
            length = longest - sum(kept)
            length = min(length, yeast.INSERT_LENGTH) if yeast_run else length
        sequences = random_starts(plan.random, length, plan.shares, plan.seed, ends)
    for each in every:
        each.check_named(sequences, "" if plan.start is None else f"{plan.start}: ")
    starts = make_starts(sequences, plan.designs, kept, plan.protect)
    _check_distances(plan, starts, len(sequences))
    return starts


def _ends(run: Run, kept: tuple[int, int]) -> tuple[str, str]:
    """Return what is put around random sequences.

    Raises:
        UserError: If the sequences of the run have constant ends that are not known.
    """
    if not sum(kept):
        return "", ""
    processor = run.processor
    ends = (alphabet.decode(processor.left_adapter), alphabet.decode(processor.right_adapter))
    if (len(ends[0]), len(ends[1])) != kept:
        raise UserError(
            f"sequences of {run.folder} have {kept[0]} and {kept[1]} constant bases at their ends, "
            "which are not recorded: give sequences to start from with --start, or the ends with "
            "--adapters LEFT,RIGHT"
        )
    return ends


def _check_distances(plan: Plan, starts: Starts, distinct: int) -> None:
    """Refuse distances between designs that cannot be reached, and designs that would be equal."""
    nearest, edits = plan.constraints.min_distance, plan.constraints.max_edits
    copies = len(starts.names) > distinct
    if copies and not nearest and plan.method in ("evolve", "beam"):
        raise UserError(
            f"{len(starts.names)} designs of {distinct} starts: those of one start would be equal. "
            "Give --min-distance, or --method anneal"
        )
    fewest = int(starts.editable.sum(axis=1).min())
    if copies and nearest > min(fewest, 2 * edits if edits is not None else fewest):
        limit = "" if edits is None else f", each of at most {edits} edits"
        raise UserError(
            f"min_distance={nearest}: designs of one start, of which {fewest} bases may change"
            f"{limit}, cannot differ that much"
        )


def _flanks(predictor: Predictor) -> tuple[str, str]:
    """Return the bases that a model puts on the sequences it is given."""
    if predictor.adapters == "none":
        return "", ""
    left, right = predictor.adapters.split(",")
    return left.upper(), right.upper()
