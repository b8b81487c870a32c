"""Gradient design of sequences through sampled one-hot sequences.

Method: Linder & Seelig 2021, "Fast activation maximization for molecular sequence design", BMC
Bioinformatics 22:510 (Fast SeqProp). Logits of the bases, normalised in each sequence, give their
probabilities; a sequence drawn from these is predicted, and the gradient with respect to it is
taken for that of the probabilities (straight-through).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.interpret.design_search import BASES, Search
from dream_keras.interpret.predictor import Floats

Integers = npt.NDArray[np.int64]
NOISE = 0.1
"""Standard deviation of what is added to the starts, so that equal ones part."""
RATE = 0.1
"""Learning rate."""
DECAYS = (0.9, 0.999)
"""Of Adam's averages of gradients and of their squares."""
_ONE_HOT = np.eye(alphabet.END + 1, BASES)


@dataclass
class Adam:
    """Adam for the arrays of one optimisation, by name; it climbs."""

    rate: float = RATE
    _steps: int = 0
    _means: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)

    def step(self, arrays: dict[str, Floats], gradients: dict[str, Floats]) -> None:
        """Change arrays in place."""
        self._steps += 1
        for name, gradient in gradients.items():
            found = []
            powers = (gradient, gradient**2)
            before = self._means.get(name, (np.zeros_like(gradient),) * 2)
            for decay, mean, power in zip(DECAYS, before, powers, strict=True):
                found.append(decay * mean + (1 - decay) * power)
            self._means[name] = (found[0], found[1])
            first, second = (m / (1 - d**self._steps) for d, m in zip(DECAYS, found, strict=True))
            arrays[name] += self.rate * first / (np.sqrt(second) + 1e-8)


class SoftSequences:
    """Probabilities of bases, made from logits that are normalised in each sequence and channel.

    Args:
        begin: One-hot starts with noise, (rows, width, 4).
        editable: Where bases may change, (rows, width).
    """

    def __init__(self, begin: Floats, editable: npt.NDArray[np.bool_]):
        shape = (len(begin), 1, BASES)
        self._used = editable[..., None]
        self._number = self._used.sum(axis=1, keepdims=True)
        self.arrays = {"logits": begin, "scale": np.ones(shape), "shift": np.zeros(shape)}

    def probabilities(self) -> Floats:
        """Return the probability of each base, (rows, width, 4)."""
        logits = self.arrays["logits"]
        self._spread = np.sqrt(self._mean((logits - self._mean(logits)) ** 2) + 1e-5)
        self._normal = (logits - self._mean(logits)) / self._spread
        scaled = self._normal * self.arrays["scale"] + self.arrays["shift"]
        powers = np.exp(scaled - scaled.max(axis=2, keepdims=True))
        self._found = powers / powers.sum(axis=2, keepdims=True)
        return self._found

    def gradients(self, upstream: Floats) -> dict[str, Floats]:
        """Return gradients of all arrays, given those of the last probabilities."""
        soft = self._found
        scaled = soft * (upstream - (soft * upstream).sum(axis=2, keepdims=True)) * self._used
        normal = scaled * self.arrays["scale"]
        along = self._normal * self._mean(normal * self._normal)
        return {
            "logits": (normal - self._mean(normal) - along) / self._spread * self._used,
            "scale": (scaled * self._normal).sum(axis=1, keepdims=True),
            "shift": scaled.sum(axis=1, keepdims=True),
        }

    def _mean(self, values: Floats) -> Floats:
        return (values * self._used).sum(axis=1, keepdims=True) / self._number


def climb(search: Search, rounds: int) -> None:
    """Design by gradients; every sequence that is drawn and fulfils the constraints is offered.

    Args:
        search: The designs; those that break constraints are left as they are.
        rounds: Steps; in the last one the most probable sequences are tried instead of drawn ones.

    Raises:
        UserError: If a model has no gradients.
    """
    if any(each.gradients is None for each in search.predictors):
        raise UserError("method gradient needs models with gradients: use evolve")
    fine = np.flatnonzero(search.broken() == 0)
    if not len(fine):
        return
    base = search.tokens[fine]
    noise = NOISE * search.random.standard_normal((*base.shape, BASES))
    soft = SoftSequences(_ONE_HOT[base] + noise, search.starts.editable[fine])
    adam = Adam()
    for step in range(rounds):
        chances = np.log(soft.probabilities() + 1e-12)
        last = step == rounds - 1
        drawn = chances if last else chances + search.random.gumbel(size=chances.shape)
        wanted = np.where(search.starts.editable[fine], drawn.argmax(axis=2).astype(np.uint8), base)
        tried = _allowed(search, fine, base, wanted, chances)
        scores, values, gradients = _differentiate(search, tried, fine)
        search.offer(tried, fine, scores, values)
        adam.step(soft.arrays, soft.gradients(gradients))
        search.next_round()


def _allowed(
    search: Search, owner: Integers, base: Tokens, wanted: Tokens, chances: Floats
) -> Tokens:
    """Return sequences with as many of the wanted bases as the constraints allow.

    The bases are taken in the order of how much more probable they are than those of ``base``,
    which fulfils the constraints.

    Args:
        search: The designs.
        owner: Number of the design that each row belongs to, (rows,).
        base: (rows, width).
        wanted: (rows, width).
        chances: Logarithms of probabilities, (rows, width, 4).
    """
    if not search.checker.constraints.of_sequences:
        return wanted
    found = base.copy()
    differ = wanted != base
    known = np.minimum(base, BASES - 1)[..., None].astype(np.int64)
    gain = np.take_along_axis(chances, wanted[..., None].clip(max=BASES - 1).astype(np.int64), 2)
    gain = np.where(differ, (gain - np.take_along_axis(chances, known, 2))[..., 0], -np.inf)
    order = np.argsort(-gain, axis=1, kind="stable")
    for number in range(int(np.count_nonzero(differ, axis=1).max())):
        rows = np.flatnonzero(np.count_nonzero(differ, axis=1) > number)
        places = order[rows, number]
        tried = found[rows]
        tried[np.arange(len(rows)), places] = wanted[rows, places]
        fits = search.checker.broken(tried, owner[rows]) == 0
        found[rows[fits]] = tried[fits]
    return found


def _differentiate(
    search: Search, tokens: Tokens, owner: Integers
) -> tuple[Floats, Floats, Floats]:
    """Return scores, mean values, (rows,), and gradients of the scores, (rows, width, 4)."""
    values = np.zeros((len(search.predictors), len(tokens)))
    gradients = np.zeros((*values.shape, tokens.shape[1], BASES))
    bases = _ONE_HOT[tokens].astype(np.float32)
    lengths = search.starts.lengths[owner]
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for number, each in enumerate(search.predictors):
            assert each.gradients is not None
            found = each.gradients(bases[rows, :length], search.weights)
            values[number, rows], gradients[number, rows, :length] = found
    slopes = search.goal.slopes(values)
    return (
        search.goal.score(values),
        values.mean(axis=0),
        np.einsum("mr,mrpb->rpb", slopes, gradients),
    )
