"""Show the menu, or every order that can be made from it."""

import argparse
import inspect
import itertools
import json
import re
import textwrap
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dream_keras import menu
from dream_keras.common.cli import add_plugin_argument, load_backend, run
from dream_keras.common.errors import UserError
from dream_keras.common.files import write_text
from dream_keras.common.progress import hide_bar
from dream_keras.common.text import align
from dream_keras.menu.outline import outline
from dream_keras.menu.plugins import check_plugins, load_plugins
from dream_keras.menu.registry import ORDER_SLOTS, SLOTS, not_on_menu

if TYPE_CHECKING:
    from dream_keras.model.summary import Found, Shape, Survey

WIDTH = 100
"""Columns of the terminal that the menu is laid out for."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    result = argparse.ArgumentParser(
        prog="python -m dream_keras.menu",
        description="Show what is on the menu: processors, first, core and final blocks and "
        "trainers, with their options, their size as published, and where they come from. Or show "
        "every order that can be made from it.",
    )
    shown = result.add_mutually_exclusive_group()
    shown.add_argument("--slot", choices=SLOTS, help="show only what is in this slot")
    shown.add_argument(
        "--orders",
        action="store_true",
        help="show all orders, options at their defaults: whether each can be built, its size, "
        "and the multiply-adds of a forward pass per sequence",
    )
    result.add_argument(
        "--final",
        metavar="NAME",
        action="append",
        default=[],
        help="with --orders: only those with this final block; may be given several times "
        "(default: all final blocks for the challenge's data)",
    )
    add_plugin_argument(result)
    result.add_argument("--json", metavar="FILE", help="also write what is shown to this file")
    return result


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = parser().parse_args(argv)
    if arguments.final and not arguments.orders:
        raise UserError("--final chooses among orders: give --orders as well.")
    check_plugins(arguments.plugin)
    known = [name for slot, name in outline() if slot == "final"]
    for name in arguments.final:
        if not arguments.plugin and name not in known:
            raise not_on_menu("final", name, known)
    load_backend()
    load_plugins(arguments.plugin)
    content = _show_orders(arguments.final) if arguments.orders else _show_items(arguments.slot)
    if arguments.json is not None:
        write_text(Path(arguments.json), json.dumps(content, indent=2) + "\n")


def _show_items(slot: str | None) -> list[dict[str, Any]]:
    """Print the menu, or one slot of it, and return it as JSON takes it."""
    from dream_keras.model.summary import STAND_IN, Survey

    survey = Survey()
    content = [_describe(item, survey) for item in menu.entries() if slot in (None, item.slot)]
    for at, items in itertools.groupby(content, key=lambda item: item["slot"]):
        print(at)
        for item in items:
            print(f"  {item['name']:<24}{_size_in_words(item)}".rstrip())
            print(_wrapped(item["source"]))
            # A no-break space keeps an option on one line.
            options = [
                f"{name}: {option['type']} = {option['default']!r}".replace(" ", "\xa0")
                for name, option in item["options"].items()
            ]
            print(_wrapped(", ".join(options) or "no options").replace("\xa0", " "))
        print()
    if slot not in ("processor", "trainer"):
        print(
            "Parameters: trainable weights, all options at their defaults, in the order of the "
            f"block's own\nteam; what a team lacks is taken from team {STAND_IN}."
        )
    return content


def _describe(item: menu.MenuEntry, survey: "Survey") -> dict[str, Any]:
    """Describe an item: a processor with its input, a block with its size."""
    from dream_keras.menu.registry import BLOCKS
    from dream_keras.model.summary import own_order

    types = typing.get_type_hints(item.build_function)
    options = {
        name: {"type": _type(types.get(name, Any)), "default": default}
        for name, default in item.options.items()
    }
    said = {"slot": item.slot, "name": item.name, "source": item.source, "options": options}
    if item.slot == "processor":
        processor = item.build()
        return {**said, "length": processor.length, "channels": processor.channels}
    if item.slot == "trainer":
        return said
    found = survey.order(own_order(item))
    if found.reason:
        return {**said, "parameters": None, "reason": found.reason}
    return {**said, "parameters": found.parts[BLOCKS.index(item.slot)].parameters}


def _size_in_words(item: dict[str, Any]) -> str:
    if "length" in item:
        length = f"{item['length']} positions" if item["length"] else "positions as the table needs"
        return f"{length}, {item['channels']} channels"
    if item.get("parameters") is not None:
        return f"{item['parameters']:,} parameters"
    return item.get("reason", "")


def _wrapped(text: str) -> str:
    indent = " " * 6
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )


def _type(annotation: object) -> str:
    """Return an annotation as it is written in code, modules left out."""
    return re.sub(r"\b[a-z_]+\.", "", inspect.formatannotation(annotation))


def _show_orders(finals: Sequence[str]) -> list[dict[str, object]]:
    """Print all orders and return them as JSON takes them."""
    from tqdm import tqdm

    from dream_keras.model.summary import Survey, orders

    survey = Survey()
    bar = tqdm(orders(finals), unit="order", leave=False, disable=hide_bar(None))
    found = [survey.order(order) for order in bar]
    print(_table(found))
    refused = [each for each in found if each.reason]
    for each in refused:
        print(f"{' '.join(_names(each))}: {each.reason}")
    print(f"{len(found) - len(refused)} of {len(found)} orders build")
    return [each.plain() for each in found]


def _names(found: "Found") -> tuple[str, ...]:
    return tuple(getattr(found.order, slot).name for slot in ORDER_SLOTS)


def _table(found: Sequence["Found"]) -> str:
    """Lay orders out in columns; numbers are aligned on the right."""
    rows = [(*ORDER_SLOTS, "input", "parameters", "multiply-adds", "out")]
    for each in found:
        numbers = (
            (f"{each.parameters:,}", f"{each.multiply_adds:,}", _shapes(each.parts[-1].output))
            if each.reason is None
            else ("", "", "cannot be built")
        )
        rows.append((*_names(each), f"{each.length} x {each.channels}", *numbers))
    return "\n".join(align(rows, left=(0, 1, 2, 3, 4, 7)))


def _shapes(output: "Shape | dict[str, Shape]") -> str:
    """Return the shape of an output, or of each output of several."""
    if isinstance(output, dict):
        return ", ".join(_shapes(shape) for shape in output.values())
    return " x ".join(map(str, output))


if __name__ == "__main__":
    run(main)
