"""Random changes of training rows: deletions, insertions, mutations and others, as in EvoAug.

Source: Lee et al., Evolution-inspired augmentations improve deep learning for regulatory genomics
(Genome Biology 24:105, 2023), and the code published with it. Differences: docs/augmentation.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dream_keras.common.errors import UserError, at_least, within
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.edits import DRAWN, Ints, Part, deleted, inserted, inverted, mutated, rotated
from dream_keras.data.processor import Processor, unpadded

OPERATIONS = (
    "shift",
    "deletion",
    "insertion",
    "inversion",
    "translocation",
    "mutation",
    "reverse_complement",
)
"""Settings that switch an operation on, in the order in which those of a row are done."""


@dataclass(frozen=True)
class AugmentSettings:
    """Which random changes are made to training rows; 0 or None switches an operation off.

    Attributes:
        per_row: Different operations on each row in each step, or all if fewer are switched on.
        hard: Whether every row gets exactly ``per_row`` of them; otherwise their number is drawn
            from 1 to ``per_row``.
        deletion: Longest stretch that is deleted, in bp; random bases are put on both ends.
        insertion: Longest random stretch that is inserted, in bp; both ends lose as many bases.
        inversion: Longest stretch that is replaced by its reverse complement, in bp.
        translocation: Most bp by which the sequence is rotated, in either direction.
        mutation: Share of the bases that are replaced by another one.
        reverse_complement: Probability that a row with this operation is turned around.
        shift: Most bp by which the window moves along the construct.
        protect_adapters: Change nothing but the insert where the processor knows what surrounds
            it; otherwise the whole row may change. The window moves over adapters as well.
        clean_epochs: Epochs at the end of the run without augmentation.
    """

    per_row: int = 2
    hard: bool = True
    deletion: int | None = 0
    insertion: int | None = 0
    inversion: int | None = 0
    translocation: int | None = 0
    mutation: float | None = 0.0
    reverse_complement: float | None = 0.0
    shift: int | None = 0
    protect_adapters: bool = True
    clean_epochs: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        at_least(1, per_row=self.per_row)
        at_least(0, clean_epochs=self.clean_epochs)
        at_least(0, **{name: getattr(self, name) for name in OPERATIONS})
        for name in ("mutation", "reverse_complement"):
            share = getattr(self, name)
            if share is not None and share > 1:
                with within(name):
                    raise UserError(f"{name}={share}: expected a share between 0 and 1")

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the operations that are switched on, in their order."""
        return tuple(name for name in OPERATIONS if getattr(self, name))


STRETCHES: Mapping[str, Callable[[Tokens, Part, Ints, Ints], Tokens]] = {
    "deletion": deleted,
    "insertion": inserted,
    "inversion": inverted,
}
"""Operations on a stretch of random length at a random place."""


@dataclass(frozen=True)
class Augmentation:
    """Makes random changes to the rows of a batch.

    Attributes:
        settings: Which.
        processor: Has encoded the rows.
        adapters: bp of adapter in front of and behind the sequences that it was given.

    Raises:
        UserError: If the window is to move further than the bases that the processor knows.

    Examples:
        >>> from dream_keras.menu import get
        >>> processor = get("processor", "plain").build(length=8)
        >>> flip = Augmentation(AugmentSettings(reverse_complement=1.0), processor)
        >>> rows = flip(alphabet.encode("NAACGTTN")[None], np.random.default_rng(0))
        >>> alphabet.decode(rows[0])
        'NAACGTTN'
    """

    settings: AugmentSettings
    processor: Processor
    adapters: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.settings.shift:
            with within("augment"), within("shift"):
                self.processor.flanks(
                    np.zeros((0, self.processor.length), np.uint8), self.settings.shift
                )

    def __call__(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        """Return changed copies of encoded rows, (batch, length).

        Args:
            tokens: (batch, length), as the processor encoded them.
            random: Belongs to the step alone, so a resumed run draws the same.
        """
        return self.processor.edit(tokens, lambda sequences: self._changed(sequences, random))

    def _changed(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        drawn = self._draw(len(tokens), random)
        changed, distance = tokens.copy(), np.zeros(len(tokens), np.int64)
        if "shift" in drawn:
            rows = drawn.pop("shift")
            changed[rows], distance[rows] = self._moved(tokens[rows], random)
        if self.settings.protect_adapters:
            bounds = self.processor.insert_bounds(tokens, *self.adapters)
            start, stop = (np.clip(at - distance, 0, tokens.shape[1]) for at in bounds)
        else:
            start, stop = unpadded(changed)
        part = Part(start, np.maximum(start, stop))
        for name, rows in drawn.items():
            changed[rows] = self._applied(name, changed[rows], part.take(rows), random)
        unknown = np.flatnonzero(changed == DRAWN)
        changed.ravel()[unknown] = random.integers(0, 4, len(unknown), np.uint8)
        return changed

    def _draw(self, rows: int, random: np.random.Generator) -> dict[str, Ints]:
        """Draw different operations for each row; return the rows of each operation."""
        settings, names = self.settings, self.settings.operations
        most = min(settings.per_row, len(names))
        number = most if settings.hard else random.integers(1, most, (rows, 1), endpoint=True)
        keys = random.random((rows, len(names)))
        last = np.broadcast_to(np.int64(number - 1), (rows, 1))
        chosen = keys <= np.take_along_axis(np.sort(keys), last, axis=1)
        return {name: np.flatnonzero(column) for name, column in zip(names, chosen.T, strict=True)}

    def _moved(self, tokens: Tokens, random: np.random.Generator) -> tuple[Tokens, Ints]:
        """Move the windows of rows; return what they show, and how far to the right they went."""
        before, behind = self.processor.flanks(tokens, self.settings.shift or 0)
        before = np.where(tokens[:, :1] == alphabet.N, alphabet.N, before)
        behind = np.where(tokens[:, -1:] == alphabet.N, alphabet.N, behind)
        reach = before.shape[1]
        distance = random.integers(-reach, behind.shape[1], len(tokens), endpoint=True)
        # Where a row stands that ends with END is drawn by the processor.
        distance[tokens[:, -1] == alphabet.END] = 0
        at = np.arange(tokens.shape[1]) + reach + distance[:, None]
        wide = np.concatenate([before, tokens, behind], axis=1)
        return np.take_along_axis(wide, at, axis=1), distance

    def _applied(
        self, name: str, tokens: Tokens, part: Part, random: np.random.Generator
    ) -> Tokens:
        """Return rows with one operation, whose sizes and places are drawn for each row."""
        amount = getattr(self.settings, name)
        if name == "mutation":
            return mutated(tokens, part, amount, random)
        if name == "reverse_complement":
            size = part.length * (random.random(len(tokens)) < amount)
            return inverted(tokens, part, np.zeros_like(size), size)
        size = random.integers(0, np.minimum(amount, part.length), endpoint=True)
        if name == "translocation":
            sign = 2 * random.integers(0, 2, len(size)) - 1
            return rotated(tokens, part, size * sign)
        room = part.length - (0 if name == "insertion" else size)
        place = random.integers(0, room, endpoint=True)
        return STRETCHES[name](tokens, part, place, size)
