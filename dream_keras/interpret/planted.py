"""Attributions scored on simulated promoters with planted motifs, whose truth is known.

Positions are labelled as in common benchmarks of attribution (Koo and Ploenzke 2021, Nature Machine
Intelligence 3:258): a position is positive if it belongs to a planted site and its column of the
motif says anything about the base; columns that do not, and sites that arose by chance, are left
out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from dream_keras.data import alphabet
from dream_keras.data.yeast import INSERT_LENGTH, LEFT_ADAPTER, RIGHT_ADAPTER
from dream_keras.interpret.attribution import Attribution, Attributor
from dream_keras.interpret.choices import Method
from dream_keras.interpret.measured import auroc
from dream_keras.interpret.predictor import Floats, Predictor
from dream_keras.scoring.bootstrap import percentile_interval
from dream_keras.scoring.card import Interval
from dream_keras.simulate.assay import random_bases, with_adapters
from dream_keras.simulate.designs import instance, plant
from dream_keras.simulate.expression import motif_sites, noise_free_expression
from dream_keras.simulate.motifs import MOTIFS

SITES = 3
"""Planted in each promoter, in stretches of their own."""
LEAST_INFORMATION = 0.01
"""Bits from which a column of a motif says something about the base; the benchmarks' threshold."""
RESAMPLES = 1000
ENDS = (len(LEFT_ADAPTER), len(RIGHT_ADAPTER))
REGION = f"{ENDS[0] + 1}-{ENDS[0] + INSERT_LENGTH}"
"""The insert, as attributions name regions."""
METRICS = ("auroc", "aupr", "auroc_signed", "aupr_signed", "cosine", "spearman")

Labels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Planted:
    """Simulated promoters with planted sites.

    Attributes:
        sequences: With their adapters.
        labels: 1 at planted positions, 0 at background ones, -1 at those left out, (rows, 80).
        signs: 1 where an activating factor was planted, -1 where a repressing one was, otherwise
            0, (rows, 80).
        sites: Name, first position in the insert from 0, and width of each planted site.
    """

    sequences: list[str]
    labels: Labels
    signs: Labels
    sites: list[list[tuple[str, int, int]]]


@dataclass(frozen=True)
class MethodScore:
    """How well a method's attributions agree with the truth.

    Attributes:
        values: Means over the promoters: ``auroc`` and ``aupr`` of the absolute contributions for
            all planted positions; ``auroc_signed`` and ``aupr_signed`` of the contributions
            themselves for those of activating factors; ``cosine`` of the scores and those of the
            simulator's own in-silico mutagenesis; ``spearman`` of the contributions and the
            simulator's at planted positions.
        intervals: 95 % bootstrap intervals of these, over promoters.
        seconds: For each promoter.
    """

    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    seconds: float


def plant_sites(rows: int, seed: int) -> Planted:
    """Plant sites of any factor, on either strand, in random promoters.

    Examples:
        >>> plant_sites(2, seed=0).labels.shape
        (2, 80)
    """
    rng = np.random.default_rng(seed)
    inserts = random_bases((rows, INSERT_LENGTH), rng)
    labels = np.zeros((rows, INSERT_LENGTH), np.int8)
    signs = np.zeros_like(labels)
    sites: list[list[tuple[str, int, int]]] = []
    stretch = INSERT_LENGTH // SITES
    for insert, label, sign in zip(inserts, labels, signs, strict=True):
        sites.append([])
        for number in range(SITES):
            motif = MOTIFS[rng.integers(len(MOTIFS))]
            start = number * stretch + int(rng.integers(0, stretch - motif.width + 1))
            strand = int(rng.choice([1, -1]))
            plant(insert, instance(motif, rng), start, strand)
            informative = information(motif.matrix)[::strand] > LEAST_INFORMATION
            label[start : start + motif.width] = np.where(informative, 1, -1)
            sign[start : start + motif.width] = np.sign(motif.effect)
            sites[-1].append((motif.name, start, motif.width))
    tokens = with_adapters(inserts)
    for site in motif_sites(tokens):
        first = int(site["position"]) - ENDS[0]
        columns = slice(max(first, 0), max(first + MOTIFS[site["motif"]].width, 0))
        by_chance = labels[site["row"], columns]
        by_chance[by_chance == 0] = -1
    return Planted(alphabet.decode_rows(tokens), labels, signs, sites)


def information(matrix: Floats) -> Floats:
    """Return the information of each column of a motif in bits, (width,).

    Examples:
        >>> information(np.array([[0.25] * 4, [1, 0, 0, 0]])).tolist()
        [0.0, 2.0]
    """
    return 2 + (matrix * np.log2(np.maximum(matrix, 1e-300))).sum(axis=1)


def simulator() -> Predictor:
    """Return the simulator's noise-free expression as a predictor."""

    def predict(sequences: Sequence[str]) -> Floats:
        return noise_free_expression(np.stack([alphabet.encode(each) for each in sequences]))

    return Predictor(predict, name="simulator", kept=ENDS)


def score_methods(
    predictor: Predictor,
    planted: Planted,
    truth: Sequence[Attribution],
    methods: Sequence[Method],
    steps: int | None = None,
    shuffles: int = 20,
    seed: int = 0,
    done: Callable[[int], object] = lambda rows: None,
) -> dict[Method, MethodScore]:
    """Score the attributions of a predictor, method by method.

    Args:
        predictor: Predicts promoters with their adapters.
        planted: The promoters.
        truth: In-silico mutagenesis of the simulator for these.
        methods: Methods.
        steps: Steps of integrated gradients, as for ``Attributor``.
        shuffles: Shuffled sequences.
        seed: Seed of the shuffles.
        done: Called with the number of promoters after each batch.
    """
    weights = np.ones(1)
    scores: dict[Method, MethodScore] = {}
    for method in methods:
        attributor = Attributor(predictor, weights, method, REGION, steps, shuffles, seed)
        attributor(planted.sequences[:1])  # Compiles.
        began = time.perf_counter()
        found = attributor(planted.sequences, done=done)
        seconds = (time.perf_counter() - began) / len(found)
        scores[method] = score(found, planted, truth, seconds)
    return scores


def score(
    found: Sequence[Attribution],
    planted: Planted,
    truth: Sequence[Attribution],
    seconds: float = float("nan"),
) -> MethodScore:
    """Score the attributions of all promoters; see ``MethodScore``."""
    rows = [
        _score_row(*each) for each in zip(found, truth, planted.labels, planted.signs, strict=True)
    ]
    table = np.array([[row[name] for name in METRICS] for row in rows])
    random = np.random.default_rng(0)
    draws = random.integers(0, len(table), (RESAMPLES, len(table)))
    means = np.nanmean(table[draws], axis=1)
    return MethodScore(
        dict(zip(METRICS, map(float, np.nanmean(table, axis=0)), strict=True)),
        {name: percentile_interval(column) for name, column in zip(METRICS, means.T, strict=True)},
        seconds,
    )


def _score_row(
    found: Attribution, truth: Attribution, labels: Labels, signs: Labels
) -> dict[str, float]:
    contributions, positive = found.contributions, labels == 1
    counted = labels >= 0
    activating = counted & ~(positive & (signs < 0))
    known = positive & (truth.contributions != 0)
    norms = np.linalg.norm(found.scores) * np.linalg.norm(truth.scores)
    return {
        "auroc": auroc(np.abs(contributions[counted]), positive[counted]),
        "aupr": average_precision(np.abs(contributions[counted]), positive[counted]),
        "auroc_signed": auroc(contributions[activating], positive[activating]),
        "aupr_signed": average_precision(contributions[activating], positive[activating]),
        "cosine": float((found.scores * truth.scores).sum() / norms) if norms else np.nan,
        "spearman": _spearman(contributions[known], truth.contributions[known]),
    }


def _spearman(first: Floats, second: Floats) -> float:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(spearmanr(first, second).statistic)


def average_precision(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the precision-recall curve as a sum over its steps; NaN without steps.

    Examples:
        >>> round(average_precision(np.array([3.0, 2, 1]), np.array([True, False, True])), 3)
        0.833
    """
    if not positive.any():
        return np.nan
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    # Equal scores make one step.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = hits[last] / (last + 1)
    return float((precision * np.diff(hits[last], prepend=0)).sum() / hits[-1])
