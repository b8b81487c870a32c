"""Effects of inserted motifs: the prediction with a motif minus that of its background alone.

Each background has one site of each motif, which stands wherever the motif is put. An effect is the
mean over backgrounds, each compared with itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dream_keras.common.errors import at_least
from dream_keras.common.files import write_rows
from dream_keras.common.progress import progress_bar
from dream_keras.data import alphabet
from dream_keras.interpret.backgrounds import Backgrounds
from dream_keras.interpret.marginal_plan import Construct, Row
from dream_keras.interpret.motif_file import Motif
from dream_keras.interpret.predictor import Floats, Predictor, distinct
from dream_keras.interpret.tasks import task_weights
from dream_keras.scoring.bootstrap import percentile_interval

AT_A_TIME = 4096
"""Sequences that are predicted together."""
RESAMPLES = 2000
"""Of the backgrounds, for the intervals."""
_WEIGHTS_AT_A_TIME = 1_000_000
"""Numbers of draws of backgrounds that are held at a time."""


@dataclass(frozen=True, eq=False)
class Marginal:
    """Effects of inserted motifs.

    Attributes:
        rows: What each number is.
        outputs: Tasks, or the one number that was asked for.
        effects: Means over the backgrounds, (rows, outputs).
        low: Lower end of their 95 % bootstrap intervals; NaN for a single background.
        high: Upper end.
        n: How many backgrounds there are.
    """

    rows: Sequence[Row]
    outputs: tuple[str, ...]
    effects: Floats
    low: Floats
    high: Floats
    n: int


def marginal_effects(
    predictor: Predictor,
    motifs: Sequence[Motif],
    backgrounds: Backgrounds,
    rows: Sequence[Row],
    task: str | None = None,
    seed: int = 0,
    progress: bool | None = False,
) -> Marginal:
    """Predict backgrounds with and without motifs, and summarise the differences.

    Args:
        predictor: Predicts.
        motifs: The motifs.
        backgrounds: What they are inserted into.
        rows: What is wanted; see ``dream_keras.interpret.marginal_plan.plan``.
        task: A task, or ``"A - B"``; None is all tasks.
        seed: Seed of the sites and of the intervals.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: If the task is unknown.

    Examples:
        >>> from dream_keras.interpret.backgrounds import random_backgrounds
        >>> from dream_keras.interpret.marginal_plan import plan
        >>> from dream_keras.interpret.motif_file import letters_motif
        >>> motif, around = letters_motif("GGG"), random_backgrounds(4, 9, (0.5, 0, 0, 0.5))
        >>> rows = plan([motif], around.insert, positions=[2])
        >>> count = Predictor(lambda sequences: [s.count("G") for s in sequences])
        >>> found = marginal_effects(count, [motif], around, rows)
        >>> found.rows[0].kind, found.rows[0].position, found.effects[0].tolist()
        ('position', 2, [3.0])
    """
    at_least(0, seed=seed)
    chosen = np.eye(len(predictor.tasks))
    outputs = tuple(predictor.tasks)
    if task is not None:
        chosen = task_weights(task, predictor.tasks)[:, None]
        outputs = (task,)
    constructs = distinct(construct for row in rows for _, construct in row.terms)
    values = predict_constructs(
        predictor, motifs, backgrounds, [(), *constructs], chosen, seed, progress
    )
    values -= values[0].copy()
    place = {construct: number for number, construct in enumerate(constructs, 1)}
    wanted = np.stack(
        [sum(share * values[place[each]] for share, each in row.terms) for row in rows]
    )
    low, high = _intervals(wanted, seed)
    return Marginal(rows, outputs, wanted.mean(axis=1), low, high, len(backgrounds))


def predict_constructs(
    predictor: Predictor,
    motifs: Sequence[Motif],
    backgrounds: Backgrounds,
    constructs: Sequence[Construct],
    weights: Floats,
    seed: int = 0,
    progress: bool | None = False,
) -> Floats:
    """Predict each background with each construct's sites in it.

    Args:
        predictor: Predicts.
        motifs: The motifs.
        backgrounds: What they are inserted into.
        constructs: Sites; none for the background alone.
        weights: Of the tasks in each output, (tasks, outputs).
        seed: Seed of the sites. Those of a motif depend on this and its number alone.
        progress: Whether to show a progress bar.

    Returns:
        (constructs, backgrounds, outputs).
    """
    count = len(backgrounds)
    drawn = [motif.draw(count, _source(seed, number)) for number, motif in enumerate(motifs)]
    turned = [alphabet.reverse_complement(sites) for sites in drawn]
    values = np.empty((len(constructs) * count, weights.shape[1]))
    with progress_bar(progress, total=len(values), desc="marginalise", unit="seq") as bar:
        for start in range(0, len(values), AT_A_TIME):
            which, of = np.divmod(np.arange(start, min(start + AT_A_TIME, len(values))), count)
            tokens = backgrounds.tokens[of]
            for number in range(which[0], which[-1] + 1):
                here = slice(*np.searchsorted(which, [number, number + 1]))
                for site in constructs[number]:
                    sites = (turned if site.reverse else drawn)[site.motif]
                    at = backgrounds.kept[0] + site.start
                    tokens[here, at : at + sites.shape[1]] = sites[of[here]]
            rows = zip(alphabet.decode_rows(tokens), backgrounds.lengths[of], strict=True)
            sequences = [text[:length] for text, length in rows]
            values[start : start + len(of)] = predictor(sequences) @ weights
            bar.update(len(of))
    return values.reshape(len(constructs), count, -1)


def write_effects(path: Path, found: Marginal, description: str) -> None:
    """Write the table; columns are explained in ``docs/marginalise.md``.

    Args:
        path: The file.
        found: The effects.
        description: How they were made, for the first line.
    """
    names = [""] if len(found.outputs) == 1 else [f"{name}." for name in found.outputs]
    numbers = np.stack([found.effects, found.low, found.high], axis=2)
    header = ["motif", "kind", "second", "position", "strand", "copies", "spacing"]
    header += [f"{name}{number}" for name in names for number in ("effect", "low", "high")]
    lines: list[list[object]] = [[*header, "n"]]
    for row, values in zip(found.rows, numbers, strict=True):
        cells = ("" if np.isnan(value) else f"{value:.7g}" for value in values.flat)
        place = [row.position, row.strand, row.copies, row.spacing]
        lines.append([row.motif, row.kind, row.second, *place, *cells, found.n])
    write_rows(path, lines, description)


def _source(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, *stream)))


def _intervals(values: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return 95 % bootstrap intervals of means over backgrounds, each (rows, outputs).

    Args:
        values: (rows, backgrounds, outputs).
        seed: Seed of the resamples, which are the same for all rows.
    """
    rows, count, outputs = values.shape
    ends = np.full((2, rows, outputs), np.nan)
    if count < 2:
        return ends[0], ends[1]
    source = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    flat = values.transpose(1, 0, 2).reshape(count, -1)
    step = max(_WEIGHTS_AT_A_TIME // count, 1)
    means = np.concatenate(
        [
            source.multinomial(count, np.full(count, 1 / count), min(step, RESAMPLES - done))
            @ flat
            / count
            for done in range(0, RESAMPLES, step)
        ]
    )
    limits = [percentile_interval(column) for column in means.T]
    low, high = np.array(limits).T.reshape(2, rows, outputs)
    return low, high
