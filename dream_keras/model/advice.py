"""Advice on an order that cannot be built."""

import itertools
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace

from dream_keras import menu
from dream_keras.config.order import Choice, Order
from dream_keras.menu.registry import BLOCKS, Slot
from dream_keras.model.summary import Survey


def advice(order: Order, length: int, channels: int, slot: Slot) -> str:
    """Return a sentence that names the nearest order that can be built, or nothing.

    Nearest is the one with the fewest changes, changes of ``slot`` first: one option back at its
    default, then all of them, then another block.

    Args:
        order: The order that cannot be built.
        length: Positions of its input.
        channels: Channels of its input.
        slot: The slot of the block that failed.
    """
    survey = Survey()
    for changed in _neighbours(order, slot):
        if survey.order(changed, length, channels).reason is None:
            settings = [_setting(s, getattr(order, s), getattr(changed, s)) for s in BLOCKS]
            return f". Nearest order that can: {' '.join(filter(None, settings))}"
    return ""


def _neighbours(order: Order, slot: Slot) -> Iterator[Order]:
    """Yield orders with one, two or three changed blocks, the nearest ones first."""
    variants = {at: list(_variants(at, getattr(order, at))) for at in BLOCKS}
    for count in (1, 2, 3):
        together = itertools.combinations(BLOCKS, count)
        for slots in sorted(together, key=lambda slots: slot not in slots):
            for choices in itertools.product(*(variants[at] for at in slots)):
                yield replace(order, **dict(zip(slots, choices, strict=True)))


def _variants(slot: Slot, choice: Choice) -> Iterator[Choice]:
    """Yield alternatives to a choice, the nearest first."""
    for dropped in choice.options if len(choice.options) > 1 else ():
        yield Choice(choice.name, {k: v for k, v in choice.options.items() if k != dropped})
    if choice.options:
        yield Choice(choice.name)
    yield from (Choice(name) for name in menu.names(slot) if name != choice.name)


def _setting(slot: Slot, before: Choice, after: Choice) -> str:
    """Return the command line's words that turn one choice into another."""
    if after == before:
        return ""
    dropped = [name for name in before.options if name not in after.options]
    if after.name == before.name and len(dropped) == 1:
        default = menu.get(slot, after.name).options[dropped[0]]
        value = json.dumps(default, separators=(",", ":"))
        return f"--set {shlex.quote(f'model.{slot}.{dropped[0]}={value}')}"
    return f"--set model.{slot}={after.name}"
