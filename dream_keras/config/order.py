"""Orders: what is chosen from the menu, with its options."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dream_keras import menu
from dream_keras.common.errors import UserError, within
from dream_keras.common.options import checked, refuse_unknown, renamed, yaml_values
from dream_keras.config.yaml_file import Yaml
from dream_keras.menu.registry import ORDER_SLOTS, Slot


@dataclass(frozen=True)
class Choice:
    """A name from one slot of the menu, with the options that differ from its defaults."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, slot: Slot, value: object) -> "Choice":
        """Read a name, or a mapping with a name and options, and check both.

        Raises:
            UserError: If the name or an option is not on the menu.

        Examples:
            >>> Choice.parse("core", {"name": "bhi", "units": "64"})
            Choice(name='bhi', options={'units': 64})
        """
        if isinstance(value, Choice):
            return value
        name, options = name_and_options(slot, value)
        item = menu.get(slot, name)
        hints = typing.get_type_hints(item.build_function)
        expected = {option: hints[option] for option in item.options}
        values = check_options(slot, name, options, expected)
        if slot in ("processor", "trainer"):
            item.build(**values)  # refuses values that it cannot work with
        return cls(item.name, values)

    def build(self, slot: Slot) -> Any:
        """Make the processor or trainer that was chosen."""
        return menu.get(slot, self.name).build(**self.options)

    def plain(self) -> str | dict[str, object]:
        """Return what ``parse`` reads: the name alone where no option is set.

        Examples:
            >>> Choice("bhi").plain(), Choice("bhi", {"kernel_sizes": (9, 15)}).plain()
            ('bhi', {'name': 'bhi', 'kernel_sizes': [9, 15]})
        """
        return {"name": self.name, **yaml_values(self.options)} if self.options else self.name


def name_and_options(slot: Slot, value: object) -> tuple[str, dict[str, object]]:
    """Split a choice as YAML gives it.

    Raises:
        UserError: If it is neither a name nor a mapping with one.
    """
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise UserError(f"{slot}: expected a name or a mapping with a name, got {value!r}")
    return given["name"], {key: option for key, option in given.items() if key != "name"}


def check_options(
    slot: Slot, name: str, options: Mapping[str, object], expected: Mapping[str, object]
) -> dict[str, object]:
    """Return a choice's options under their present names, as the types that are expected.

    Raises:
        UserError: If there is no such option, or its value is of another type.
    """
    options = renamed(options, expected)
    refuse_unknown(options, expected, f"option of {slot} {name}")
    return {key: checked(option, expected[key], key) for key, option in options.items()}


@dataclass(frozen=True)
class Order:
    """A model from the menu: processor, first, core and final block.

    Examples:
        >>> slots = {"processor": "autosome", "first": "bhi", "core": "bhi", "final": "autosome"}
        >>> order = Order.parse(slots)
        >>> order.core
        Choice(name='bhi', options={})
    """

    processor: Choice
    first: Choice
    core: Choice
    final: Choice

    @classmethod
    def parse(cls, value: object) -> "Order":
        """Read a mapping of the four slots.

        Raises:
            UserError: If a slot is missing or unknown, or a choice is not on the menu.
        """
        choices = {}
        for slot, given in slots_of(value).items():
            with within(slot):
                choices[slot] = Choice.parse(slot, given)
        return cls(**choices)

    def plain(self) -> dict[str, Yaml]:
        """Return what ``parse`` reads."""
        return {slot: getattr(self, slot).plain() for slot in ORDER_SLOTS}


def slots_of(value: object) -> dict[Slot, object]:
    """Return what each slot of an order holds, as YAML gives it.

    Raises:
        UserError: If a slot is missing or unknown.
    """
    slots = ", ".join(ORDER_SLOTS)
    if not isinstance(value, Mapping):
        raise UserError(f"model: expected a mapping with {slots}, got {value!r}")
    refuse_unknown(value, ORDER_SLOTS, "slot of the model")
    for slot in ORDER_SLOTS:
        if slot not in value:
            raise UserError(f'the model has no "{slot}": an order names {slots}')
    return {slot: value[slot] for slot in ORDER_SLOTS}
