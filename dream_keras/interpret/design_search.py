"""Discrete searches for designed sequences: the best single edits, beams, simulated annealing.

Every method offers candidates; what is accepted fulfils all constraints and has a higher score.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dream_keras.data.alphabet import Tokens
from dream_keras.interpret.constraints import REASONS, Checker
from dream_keras.interpret.goal import Goal
from dream_keras.interpret.predictor import Floats, Predictor
from dream_keras.interpret.starts import Starts

Integers = npt.NDArray[np.int64]
BASES = 4
PROBES = 16
"""Random edits of each start by which annealing finds its first temperature."""
COOLING = 0.01
"""The last temperature of annealing as a part of the first."""


class Search:
    """Designs in progress.

    Args:
        starts: Where they start.
        checker: Checks them.
        goal: What is optimised.
        predictors: The models whose mean is optimised.
        seed: Of all random choices.
        done: Called after each round.

    Attributes:
        tokens: The designs accepted so far, (designs, width).
        scores: Their scores, (designs,).
        values: Their predictions, mean over the models, (designs,).
        history: ``values`` at the start and after each round.
        random: Source of all random choices.
    """

    def __init__(
        self,
        starts: Starts,
        checker: Checker,
        goal: Goal,
        predictors: Sequence[Predictor],
        seed: int = 0,
        done: Callable[[], object] = lambda: None,
    ):
        self.starts = starts
        self.checker = checker
        self.goal = goal
        self.predictors = predictors
        self.weights = goal.weights(predictors[0].tasks)
        self.random = np.random.default_rng([seed, 1])
        self.tokens = starts.tokens.copy()
        self.everyone = np.arange(len(self.tokens))
        self.scores, self.values = self.evaluate(self.tokens, self.everyone)
        self.history = [self.values.copy()]
        self._done = done

    def evaluate(self, tokens: Tokens, owner: Integers) -> tuple[Floats, Floats]:
        """Predict sequences; return their scores and the mean over the models, (rows,).

        Args:
            tokens: (rows, width).
            owner: Number of the design that each belongs to, (rows,).
        """
        if not len(tokens):
            return np.zeros(0), np.zeros(0)
        texts = self.starts.texts(tokens, owner)
        values = np.stack([each(texts) @ self.weights for each in self.predictors])
        return self.goal.score(values), values.mean(axis=0)

    def crowding(self, design: int, tokens: Tokens) -> Integers:
        """Return by how much candidates of a design are too close to the other designs, (rows,)."""
        nearest = self.checker.constraints.min_distance
        if not nearest:
            return np.zeros(len(tokens), np.int64)
        others = np.delete(self.tokens, design, axis=0)
        distance = np.count_nonzero(tokens[:, None] != others[None], axis=2)
        return np.maximum(nearest - distance, 0).sum(axis=1)

    def broken(self) -> Integers:
        """Return by how much each design breaks its constraints, (designs,)."""
        crowded = [
            int(self.crowding(n, self.tokens[n : n + 1])[0]) for n in range(len(self.tokens))
        ]
        return self.checker.broken(self.tokens, self.everyone) + np.array(crowded, np.int64)

    def accept(self, design: int, tokens: Tokens, score: float, value: float) -> None:
        """Put a candidate in a design's place."""
        self.tokens[design], self.scores[design], self.values[design] = tokens, score, value

    def offer(self, tokens: Tokens, owner: Integers, scores: Floats, values: Floats) -> None:
        """Accept candidates that are better and far enough from the other designs.

        Args:
            tokens: (rows, width); each fulfils the constraints of a sequence by itself.
            owner: Their designs, (rows,).
            scores: (rows,).
            values: (rows,).
        """
        for row in np.flatnonzero(scores > self.scores[owner]):
            design = int(owner[row])
            better = scores[row] > self.scores[design]
            if better and not self.crowding(design, tokens[row : row + 1])[0]:
                self.accept(design, tokens[row], float(scores[row]), float(values[row]))

    def next_round(self) -> None:
        """Note the designs' predictions."""
        self.history.append(self.values.copy())
        self._done()

    def status(self) -> list[str]:
        """Return ``ok`` for each design, or the constraints that it breaks."""
        counts = self.checker.counts(self.tokens, self.everyone)
        nearest = self.checker.constraints.min_distance
        found: list[str] = []
        for design, row in enumerate(counts):
            wrong = [reason for reason, count in zip(REASONS, row, strict=True) if count]
            good = [n for n, status in enumerate(found) if status == "ok"]
            distance = np.count_nonzero(self.tokens[good] != self.tokens[design], axis=1)
            if (distance < nearest).any():
                wrong.append("min_distance")
            found.append(";".join(wrong) or "ok")
        return found


def single_edits(starts: Starts, tokens: Tokens, owner: Integers) -> tuple[Tokens, Integers]:
    """Return all sequences with one other base, (rows, width), and the row each comes from.

    Args:
        starts: Which bases may change.
        tokens: (rows, width).
        owner: Number of the design that each belongs to, (rows,).
    """
    parent, place = np.nonzero(starts.editable[owner])
    parent, place = np.repeat(parent, BASES), np.repeat(place, BASES)
    base = np.tile(np.arange(BASES, dtype=np.uint8), len(parent) // BASES)
    other = tokens[parent, place] != base
    parent, place, base = parent[other], place[other], base[other]
    edited = tokens[parent]
    edited[np.arange(len(edited)), place] = base
    return edited, parent


def repair(search: Search) -> None:
    """Edit designs until they fulfil the constraints, best edits first, or no edit helps."""
    while (broken := search.broken()).any():
        wrong = np.flatnonzero(broken)
        edited, parent = single_edits(search.starts, search.tokens[wrong], wrong)
        owner = wrong[parent]
        alone = search.checker.broken(edited, owner)
        total = alone.copy()
        for design in wrong.tolist():
            total[owner == design] += search.crowding(design, edited[owner == design])
        keep = total < broken[owner]
        edited, owner, alone = edited[keep], owner[keep], alone[keep]
        scores, values = search.evaluate(edited, owner)
        moved = False
        for design in wrong.tolist():
            rows = np.flatnonzero(owner == design)
            own = search.tokens[design : design + 1]
            # Designs before this one have moved in the meantime.
            now = search.checker.broken(own, np.array([design])) + search.crowding(design, own)
            left = alone[rows] + search.crowding(design, edited[rows])
            order = np.lexsort((-scores[rows], left))
            if len(rows) and left[order[0]] < now[0]:
                best = rows[order[0]]
                search.accept(design, edited[best], float(scores[best]), float(values[best]))
                moved = True
        if not moved:
            return


def evolve(search: Search, rounds: int, beam: int = 1) -> None:
    """Make the best single edit in each round, or keep several of the best sequences.

    Args:
        search: The designs; those that break constraints are left as they are.
        rounds: Most rounds; it ends when no edit is better.
        beam: Sequences that are kept for each design.
    """
    fine = np.flatnonzero(search.broken() == 0)
    tokens, owner = search.tokens[fine], fine
    scores, values = search.scores[fine], search.values[fine]
    for _ in range(rounds):
        edited, parent = single_edits(search.starts, tokens, owner)
        of = owner[parent]
        keep = search.checker.broken(edited, of) == 0
        edited, of = edited[keep], of[keep]
        new_scores, new_values = search.evaluate(edited, of)
        # Sequences of the last round stand first, so that equal scores change nothing.
        pool, owners = np.concatenate([tokens, edited]), np.concatenate([owner, of])
        pool_scores = np.concatenate([scores, new_scores])
        pool_values = np.concatenate([values, new_values])
        kept: list[int] = []
        for design in fine.tolist():
            rows = np.flatnonzero(owners == design)
            rows = rows[np.argsort(-pool_scores[rows], kind="stable")]
            rows = rows[search.crowding(design, pool[rows]) == 0]
            kept += (best := _distinct(pool, rows, beam))
            first = best[0]
            search.accept(design, pool[first], float(pool_scores[first]), float(pool_values[first]))
        same = kept == list(range(len(tokens)))
        tokens, owner = pool[kept], owners[kept]
        scores, values = pool_scores[kept], pool_values[kept]
        search.next_round()
        if same:
            return


def _distinct(pool: Tokens, rows: Integers, number: int) -> list[int]:
    """Return the first rows that differ from those before them."""
    seen: dict[bytes, int] = {}
    for row in rows.tolist():
        seen.setdefault(pool[row].tobytes(), row)
        if len(seen) == number:
            break
    return list(seen.values())


def anneal(search: Search, rounds: int) -> None:
    """Make random edits, and take back those that are worse the more often the later it is.

    The first temperature is the mean size of the effects of random edits; it falls geometrically.

    Args:
        search: The designs; those that break constraints are left as they are.
        rounds: Edits that are tried of each design.
    """
    fine = np.flatnonzero(search.broken() == 0)
    tokens, scores = search.tokens[fine], search.scores[fine]
    probed = np.repeat(np.arange(len(fine)), PROBES)
    probes, _ = search.evaluate(random_edits(search, tokens[probed], fine[probed]), fine[probed])
    first = max(float(np.abs(probes - scores[probed]).mean()), 1e-12) if len(fine) else 1.0
    for step in range(rounds):
        temperature = first * COOLING ** (step / max(rounds - 1, 1))
        edited = random_edits(search, tokens, fine)
        rows = np.flatnonzero(search.checker.broken(edited, fine) == 0)
        new_scores, new_values = search.evaluate(edited[rows], fine[rows])
        search.offer(edited[rows], fine[rows], new_scores, new_values)
        loss = np.maximum(scores[rows] - new_scores, 0)
        taken = search.random.random(len(rows)) < np.exp(-loss / temperature)
        tokens[rows[taken]], scores[rows[taken]] = edited[rows[taken]], new_scores[taken]
        search.next_round()


def random_edits(search: Search, tokens: Tokens, owner: Integers) -> Tokens:
    """Return sequences with one base changed at random, (rows, width).

    Where no more edits are allowed, another edit is taken back.

    Args:
        search: The designs.
        tokens: (rows, width).
        owner: Number of the design that each belongs to, (rows,).
    """
    edited = tokens.copy()
    each = np.arange(len(edited))
    begin = search.starts.tokens[owner]
    place = _any(search, search.starts.editable[owner])
    moved = (tokens[each, place] + search.random.integers(1, BASES, len(edited))) % BASES
    edited[each, place] = moved.astype(np.uint8)
    limit = search.checker.constraints.max_edits
    if limit is not None:
        changed = edited != begin
        over = np.flatnonzero(np.count_nonzero(changed, axis=1) > limit)
        changed[each, place] = False
        back = _any(search, changed)[over]
        edited[over, back] = begin[over, back]
    return edited


def _any(search: Search, allowed: npt.NDArray[np.bool_]) -> Integers:
    """Return a random place that is allowed in each row, (rows,)."""
    return np.where(allowed, search.random.random(allowed.shape), -1.0).argmax(axis=1)
