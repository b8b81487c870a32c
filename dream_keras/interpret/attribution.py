"""How much each base of a sequence contributes to its prediction.

All methods return hypothetical scores, which say of each of the four bases what it would contribute
at a position. Those of in-silico mutagenesis and of the gradient add up to 0 over the bases; the
mean over the bases is subtracted (Majdandzic et al. 2023, Genome Biology 24:109). Those of
integrated gradients add up, over the bases that stand in the sequence, to the difference between
its prediction and that of the baseline (Sundararajan et al. 2017, arXiv 1703.01365).
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.interpret.choices import Method
from dream_keras.interpret.gradients import BASES, Soft, one_hot
from dream_keras.interpret.predictor import Floats, Predictor
from dream_keras.interpret.shuffle import dinucleotide_shuffle

INSERT, ALL = "insert", "all"
"""Regions with a name: between the ends that belong to the assay's construct, and everything."""
STEPS = {"integrated_gradients": 50, "shuffled_integrated_gradients": 20}
"""Steps along the path from a baseline, by default."""
AT_A_TIME = 4096
"""Sequences that are predicted together."""
LETTERS = np.frombuffer(BASES.encode(), np.uint8)


@dataclass(frozen=True)
class Attribution:
    """What the bases in a region of a sequence contribute.

    Attributes:
        sequence: The whole sequence.
        start: Where the region begins, from 0.
        prediction: Of the sequence, in units of the training labels.
        scores: Hypothetical scores of A, C, G and T, (width, 4), in the same units.
        effects: With in-silico mutagenesis, the change of the prediction with each base in place of
            the one that stands there, (width, 4); otherwise None.
    """

    sequence: str
    start: int
    prediction: float
    scores: Floats
    effects: Floats | None = None

    @property
    def end(self) -> int:
        """Where the region ends, from 0; the first position behind it."""
        return self.start + len(self.scores)

    @property
    def bases(self) -> Soft:
        """The region as one-hot, (width, 4); all 0 for N."""
        return one_hot([self.sequence[self.start : self.end]])[0]

    @property
    def contributions(self) -> Floats:
        """The scores of the bases that stand in the sequence, (width,); 0 for N."""
        return (self.bases * self.scores).sum(axis=1)


def find_region(text: str, length: int, kept: tuple[int, int]) -> tuple[int, int]:
    """Return where a region begins and ends in a sequence, from 0, the end excluded.

    Args:
        text: ``"insert"``, ``"all"``, or first and last position counted from 1, ``"18-97"``.
        length: Of the sequence, in bp.
        kept: How many bp at both ends belong to the assay's construct.

    Raises:
        UserError: If it is none, or not in the sequence.

    Examples:
        >>> find_region("18-97", 110, (0, 0)), find_region("insert", 110, (17, 13))
        ((17, 97), (17, 97))
    """
    if text == ALL:
        return 0, length
    if text == INSERT:
        start, end = kept[0], length - kept[1]
    else:
        match = re.fullmatch(r"(\d+)-(\d+)", text)
        if match is None:
            raise UserError(
                f"region {text}: expected {INSERT}, {ALL}, or first and last position such as 18-97"
            )
        start, end = int(match[1]) - 1, int(match[2])
    if not 0 <= start < end <= length:
        raise UserError(f"region {text}: not in a sequence of {length} bp")
    return start, end


class Attributor:
    """Computes attributions.

    Args:
        predictor: Predicts; methods other than ``"ism"`` need one that has gradients.
        weights: Weight of each task in the number that is explained, (tasks,).
        method: ``"ism"``: effects of all mutations, minus their mean over all four bases.
            ``"gradient"``: the gradient. ``"integrated_gradients"``: its mean on the way from a
            quarter of each base. ``"shuffled_integrated_gradients"``: its mean on the ways from
            shuffled sequences with the same dinucleotides.
        region: What is attributed and, by integrated gradients, changed; see ``find_region``.
        steps: Steps along a path; None is 50, or 20 from each shuffled sequence.
        shuffles: Shuffled sequences.
        seed: Seed of the shuffles, which depend on it and the sequence alone.

    Raises:
        UserError: If the predictor has no gradients but the method needs them.
    """

    def __init__(
        self,
        predictor: Predictor,
        weights: Floats,
        method: Method = "ism",
        region: str = INSERT,
        steps: int | None = None,
        shuffles: int = 20,
        seed: int = 0,
    ):
        if method != "ism" and predictor.gradients is None:
            raise UserError(f"{predictor.name} has no gradients: use the method ism")
        self.predictor = predictor
        self.weights = weights
        self.method = method
        self.region = region
        self.steps = steps or STEPS.get(method, 1)
        self.shuffles = shuffles
        self.seed = seed

    def __call__(
        self,
        sequences: Sequence[str],
        names: Sequence[str] = (),
        done: Callable[[int], object] = lambda rows: None,
    ) -> list[Attribution]:
        """Attribute sequences, as many at a time as fit into a batch.

        Args:
            sequences: Of any lengths that the predictor takes; letters A, C, G, T and N.
            names: Their names, for runs that read the strand off them.
            done: Called with the number of sequences after each batch.
        """
        mark = self.predictor.reverse_mark
        turned = [bool(mark) and mark in name for name in names] or [False] * len(sequences)
        found: dict[int, Attribution] = {}
        for group in self._groups([sequence.upper() for sequence in sequences], turned):
            found |= group
            done(len(group))
        return [found[number] for number in range(len(sequences))]

    def _groups(
        self, sequences: Sequence[str], turned: Sequence[bool]
    ) -> Iterator[dict[int, Attribution]]:
        """Attribute sequences of one length and strand together, as many as fit into a batch."""
        groups: dict[tuple[int, bool], list[int]] = {}
        for number, sequence in enumerate(sequences):
            groups.setdefault((len(sequence), turned[number]), []).append(number)
        for (length, reverse), numbers in groups.items():
            region = find_region(self.region, length, self.predictor.kept)
            size = max(AT_A_TIME // self.cost(length), 1)
            for first in range(0, len(numbers), size):
                part = numbers[first : first + size]
                method = self._mutate if self.method == "ism" else self._differentiate
                done = method([sequences[number] for number in part], region, reverse)
                yield dict(zip(part, done, strict=True))

    def cost(self, length: int) -> int:
        """Return how many predictions, or gradients, a sequence of some length takes."""
        start, end = find_region(self.region, length, self.predictor.kept)
        paths = self.shuffles if self.method == "shuffled_integrated_gradients" else 1
        return {"ism": 3 * (end - start) + 1, "gradient": 1}.get(
            self.method, paths * (self.steps + 1)
        )

    def _mutate(
        self, sequences: Sequence[str], region: tuple[int, int], turned: bool
    ) -> list[Attribution]:
        """Predict every sequence, and with every other base at every position of the region."""
        start, end = region
        mutants, (row, position, base) = single_mutants(sequences, start, end)
        views = [(text, turned) for text in (*sequences, *mutants)]
        values = self.predictor.views(views) @ self.weights
        predictions, of_mutants = values[: len(sequences)], values[len(sequences) :]
        effects = np.zeros((len(sequences), end - start, len(BASES)))
        effects[row, position, base] = of_mutants - predictions[row]
        scores = effects - effects.mean(axis=2, keepdims=True)
        return [
            Attribution(sequence, start, float(prediction), score, effect)
            for sequence, prediction, score, effect in zip(
                sequences, predictions, scores, effects, strict=True
            )
        ]

    def _differentiate(
        self, sequences: Sequence[str], region: tuple[int, int], turned: bool
    ) -> list[Attribution]:
        """Average gradients along the paths of every sequence."""
        gradients = self.predictor.gradients
        assert gradients is not None
        start, end = region
        paths = [self._path(sequence, region) for sequence in sequences]
        points = np.concatenate([path.points for path in paths])
        values, slopes = gradients(points, self.weights, turned)
        found = []
        for number, (sequence, path) in enumerate(zip(sequences, paths, strict=True)):
            own = slice(number * len(path.points), (number + 1) * len(path.points))
            slope, baseline = slopes[own, start:end], path.baselines[:, start:end]
            from_baseline = slope - (baseline * slope).sum(axis=2, keepdims=True)
            scores = np.tensordot(path.weights, from_baseline, axes=1)
            prediction = float(values[own][-1])
            found.append(Attribution(sequence, start, prediction, scores))
        return found

    def _path(self, sequence: str, region: tuple[int, int]) -> "_Path":
        start, end = region
        bases = one_hot([sequence])[0]
        known = bases.sum(axis=1, keepdims=True)
        even = bases.copy()
        even[start:end] = known[start:end] / len(BASES)
        if self.method == "gradient":
            return _Path(bases[None], np.full_like(bases, 1 / len(BASES))[None], np.ones(1))
        ends = [even]
        if self.method == "shuffled_integrated_gradients":
            source = random.Random(f"{self.seed} {sequence}")
            shuffled = [
                sequence[:start] + _shuffle_between_n(sequence[start:end], source) + sequence[end:]
                for _ in range(self.shuffles)
            ]
            ends = list(one_hot(shuffled))
        share = np.linspace(0, 1, self.steps + 1, dtype=np.float32)[:, None, None]
        points = np.concatenate([one + share * (bases - one) for one in ends])
        trapezoid = np.full(self.steps + 1, 1 / self.steps)
        trapezoid[[0, -1]] /= 2
        # Where the base is unknown there is no way from a baseline; all four count alike.
        reference = np.repeat(np.where(known > 0, ends, 1 / len(BASES)), self.steps + 1, axis=0)
        return _Path(points, reference, np.tile(trapezoid / len(ends), len(ends)))


def single_mutants(
    sequences: Sequence[str], start: int, end: int
) -> tuple[list[str], tuple[npt.NDArray[np.int64], ...]]:
    """Put every other base at every position from start to end.

    Args:
        sequences: Of one length, in capitals.
        start: From 0.
        end: From 0, excluded.

    Returns:
        The mutants; and of each the number of its sequence, its position from ``start`` on and the
        number of its new base, each (mutants,).

    Examples:
        >>> texts, (_, positions, bases) = single_mutants(["ACG"], 1, 3)
        >>> texts, positions.tolist(), bases.tolist()
        (['AAG', 'AGG', 'ATG', 'ACA', 'ACC', 'ACT'], [0, 0, 0, 1, 1, 1], [0, 2, 3, 0, 1, 3])
    """
    references = np.array([list(s.encode()) for s in sequences], np.uint8)
    row, position, base = np.nonzero(references[:, start:end, None] != LETTERS)
    mutants = references[row]
    mutants[np.arange(len(row)), start + position] = LETTERS[base]
    return _strings(mutants), (row, position, base)


@dataclass(frozen=True)
class _Path:
    """Points at which gradients are taken, the last being the sequence itself.

    Attributes:
        points: (points, length, 4).
        baselines: The baseline of each, (points, length, 4).
        weights: The share of each in the mean, (points,).
    """

    points: Soft
    baselines: Floats
    weights: Floats


def _shuffle_between_n(sequence: str, source: random.Random) -> str:
    """Shuffle each stretch between unknown bases, which stay in place."""
    return "".join(
        part if part.startswith("N") else dinucleotide_shuffle(part, source)
        for part in re.findall("N+|[^N]+", sequence)
    )


def _strings(rows: npt.NDArray[np.uint8]) -> list[str]:
    """Return rows of ASCII bytes, (rows, length), as strings."""
    text, length = rows.tobytes().decode("ascii"), rows.shape[1]
    return [text[first : first + length] for first in range(0, len(text), length)]
