"""What ships on the menu, read off its source: names and options can be checked without Keras.

Importing a team's file imports Keras, which takes seconds; a typo in a config need not wait for it.
"""

import ast
import dataclasses
import functools
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

from dream_keras.common.options import is_supported
from dream_keras.menu.trainer import Trainer

Options = dict[str, object]
"""The type of each option; ``object`` where it is not known."""


@functools.cache
def outline() -> dict[tuple[str, str], Options]:
    """Return slot and name of everything that ships with the package, with its options.

    Examples:
        >>> outline()["core", "bhi"]["units"]
        <class 'int'>
    """
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for slot, name in _registered(node):
                    found[slot, name] = _options(node)
    return found


def _registered(node: ast.FunctionDef | ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield the slot and name under which a decorator registers a function or class."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "register":
            slot, name = (ast.literal_eval(argument) for argument in decorator.args)
            yield slot, name


def _options(node: ast.FunctionDef | ast.ClassDef) -> Options:
    """Return the arguments after the first, or the fields of a trainer."""
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.args[1:], *node.args.kwonlyargs]
        return {each.arg: _type(each.annotation) for each in arguments}
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return _options(part)
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    inherited: Options = {field.name: field.type for field in dataclasses.fields(Trainer)}
    return inherited | {ast.unparse(part.target): _type(part.annotation) for part in fields}


def _type(annotation: ast.expr | None) -> object:
    """Return an annotation's type, or ``object`` if a file's own names are needed to read it."""
    known = {"Literal": typing.Literal, "Sequence": Sequence}
    try:
        found = eval(ast.unparse(annotation), known) if annotation else object
    except NameError:
        return object
    return found if is_supported(found) else object
