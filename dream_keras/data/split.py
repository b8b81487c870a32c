"""Which rows of a table are trained on, validated on and tested on, by one of its columns."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dream_keras.common.errors import UserError, short_list

Part = Literal["train", "validation", "test"]

WORDS: Mapping[str, Part] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
        **dict.fromkeys(("test", "testing"), "test"),
    }
)
"""What a column may call the parts, in any case."""


class NoRowsError(UserError):
    """A part of a table has no usable row.

    Attributes:
        named: Whether the column, or the user, names rows of this part.
    """

    named = True


@dataclass(frozen=True)
class Split:
    """Parts of a table.

    Attributes:
        column: The column that tells them apart.
        validation: Its values in rows to validate on.
        test: Its values in rows to test on. Without any of both, the column says ``train``,
            ``val`` and ``test``, or other ``WORDS``.
    """

    column: str
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def part_of(self, text: str) -> Part | None:
        """Return the part that rows with this text belong to; None if it says nothing.

        Examples:
            >>> folds = Split("fold", validation=("8",), test=("9",))
            >>> [folds.part_of(text) for text in "789"]
            ['train', 'validation', 'test']
            >>> Split("set").part_of("Val"), Split("set").part_of("8")
            ('validation', None)
        """
        if not self.validation and not self.test:
            return WORDS.get(text.lower())
        if text in self.test:
            return "test"
        return "validation" if text in self.validation else "train" if text else None

    def unknown(self, path: object, line: int, text: str) -> UserError:
        """Build the error for a row that belongs to no part."""
        return UserError(
            f'{path}:{line}: "{text[:40]}" in column {self.column} names no part of the table. Say '
            "which of its values are to be validated and tested on with --validation and --test, "
            "or write train, val and test there."
        )

    def no_rows(self, path: object, part: Part, seen: Collection[str]) -> NoRowsError:
        """Build the error for a part that has no usable row; ``seen`` is what the column holds."""
        values = {"validation": self.validation, "test": self.test}.get(part, ())
        wanted = f" ({' or '.join(values)})" if values else ""
        error = NoRowsError(
            f"{path}: no usable row is left of the {part} part{wanted}; the column {self.column} "
            f"holds {short_list(sorted(seen))}"
        )
        error.named = bool(values) or any(self.part_of(text) == part for text in seen)
        return error
