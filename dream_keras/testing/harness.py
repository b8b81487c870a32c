"""Shared code of the checks: collecting problems, and parts that are not registered yet."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from dream_keras import menu
from dream_keras.common.errors import line_in
from dream_keras.common.text import reason
from dream_keras.menu.registry import Slot, remove

Case = TypeVar("Case")

LONGEST = 400
"""Characters of an exception's message that are shown; Keras prints whole weights in some."""


class BlockProblems(AssertionError):
    """What is wrong with a block, processor or trainer, one sentence for each problem.

    Attributes:
        problems: The sentences.
    """

    def __init__(self, what: str, problems: Iterable[str]):
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n- ".join([f"{what}: {count}", *self.problems]))


@dataclass(frozen=True)
class Report:
    """A part that passed.

    Attributes:
        what: Its slot, name and options.
        facts: What was measured, such as ``"parameters"`` and ``"output"`` of a block.
    """

    what: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        facts = [f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in self.facts.items()]
        return "; ".join([f"{self.what} is fine", *facts])


@contextlib.contextmanager
def on_the_menu(slot: Slot, part: str | Callable[..., object]) -> Iterator[menu.MenuEntry]:
    """Give the item of that name, or of that function or class.

    One that is not registered is put on the menu for the length of the ``with``.

    Raises:
        UserError: If there is no such name, or the part cannot be registered.
    """
    if isinstance(part, str):
        yield menu.get(slot, part)
        return
    known = [item for item in menu.entries() if item.slot == slot and item.build is part]
    if known:
        yield known[0]
        return
    name = getattr(part, "__name__", "")
    name = name if name.isidentifier() and name not in menu.names(slot) else "unnamed"
    menu.register(slot, name, source="being checked")(part)
    try:
        yield menu.get(slot, name)
    finally:
        remove(slot, name)


def describe_part(item: menu.MenuEntry, options: Mapping[str, object]) -> str:
    """Return slot, name and options as messages name a part."""
    told = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f'{item.slot} "{item.name}"' + (f" ({told})" if told else "")


def run_checks(
    what: str,
    item: menu.MenuEntry,
    checks: Mapping[str, Callable[[Case], Iterable[str]]],
    case: Case,
) -> None:
    """Run all checks and raise what they found.

    Args:
        what: Description of the part.
        item: The part.
        checks: For each check, what is being done, for the sentence about an exception in it.
        case: What the checks are called with.

    Raises:
        BlockProblems: If there are any.
    """
    problems: list[str] = []
    for doing, check in checks.items():
        try:
            problems += check(case)
        except Exception as error:
            problems.append(f"{doing} fails with {describe_error(error, item)}")
    if problems:
        raise BlockProblems(what, problems)


def describe_error(error: Exception, item: menu.MenuEntry) -> str:
    """Return an exception in one line, with the line of the part's file that it went through."""
    if isinstance(item.build, type):
        file = getattr(sys.modules.get(item.build.__module__), "__file__", None)
    else:
        file = item.build.__code__.co_filename
    line = line_in(error, file) if file else None
    message = reason(error)
    message = message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."
    where = f" (line {line} of {file})" if line else ""
    return f"{type(error).__name__}: {message}{where}"
