"""Options and settings: what YAML gives, as the type that an annotation says."""

import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Union

from dream_keras.common.errors import UserError, unknown, within

RENAMED = {
    "start": "init",
    "label_deviation": "label_std",
    "longest": "max_length",
    "target_column": "target_columns",
}
"""Options and settings by their names in version 0.1.0, under which run folders hold them."""
_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def checked(value: object, expected: Any, name: str) -> Any:
    """Return ``value`` as the annotated type, or refuse it by name.

    YAML reads ``5e-3`` as text and every list as a list, so numbers in text and lists for tuples
    are accepted; a number or a text stands for a list of one.

    Raises:
        UserError: Names the option, the value and what is expected.

    Examples:
        >>> checked("5e-3", float, "learning_rate")
        0.005
        >>> checked([9, 15], tuple[int, ...], "kernel_sizes")
        (9, 15)
        >>> checked("many", int, "epochs")
        Traceback (most recent call last):
            ...
        dream_keras.common.errors.UserError: epochs: expected a whole number, got 'many'
    """
    with within(name):
        try:
            return _convert(value, expected)
        except (TypeError, ValueError):
            raise UserError(f"{name}: expected {_describe(expected)}, got {value!r}") from None


def refuse_unknown(given: Mapping[str, object], allowed: Collection[str], kind: str) -> None:
    """Refuse the first name that is not allowed.

    Raises:
        UserError: Names it, the nearest allowed one and all of them.
    """
    for name in given:
        if name not in allowed:
            with within(str(name)):
                raise unknown(kind, str(name), allowed)


def renamed(given: Mapping[str, object], allowed: Collection[str]) -> dict[str, object]:
    """Return options or settings under their present names."""
    present = {}
    for name, value in given.items():
        new = RENAMED.get(name, name)
        if name in allowed or new not in allowed:
            new = name
        present[new] = value
    return present


def yaml_values(options: Mapping[str, object]) -> dict[str, object]:
    """Return options with lists for tuples, as YAML writes them.

    Examples:
        >>> yaml_values({"kernel_sizes": (9, 15), "dropout": 0.2})
        {'kernel_sizes': [9, 15], 'dropout': 0.2}
    """
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}


def is_supported(annotation: object) -> bool:
    """Return whether ``checked`` knows an annotation, and YAML can hold its values.

    Examples:
        >>> is_supported(tuple[int, ...]), is_supported(Literal["torch", "keras"] | None)
        (True, True)
        >>> is_supported(dict)
        False
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return arguments[1:] == (...,) and _is_single(arguments[0])
    if origin is Sequence:
        return _is_single(arguments[0])
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        return len(kinds) == 1 and is_supported(kinds[0])
    return _is_single(annotation)


def _is_single(annotation: object) -> bool:
    """Return whether an annotation stands for one number, text or yes-no."""
    if typing.get_origin(annotation) is Literal:
        return all(type(value) in _NAMES for value in typing.get_args(annotation))
    return any(annotation is kind for kind in _NAMES)


def _convert(value: Any, expected: Any) -> Any:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is object:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(kind for kind in arguments if kind is not type(None)))
    if origin is Literal:
        if value in arguments:
            return value
    elif origin in (tuple, Sequence):
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            value = [value]
        if isinstance(value, Sequence):
            return tuple(_convert(part, arguments[0]) for part in value)
    elif expected is float and not isinstance(value, bool):
        return float(value)
    elif expected is int and isinstance(value, str):
        return int(value)
    elif isinstance(value, expected) and (expected is bool or not isinstance(value, bool)):
        return value
    raise TypeError


def _describe(expected: Any) -> str:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if a is type(None) else _describe(a) for a in arguments)
    if origin in (tuple, Sequence):
        return f"a list of {_describe(arguments[0])}"
    return _NAMES.get(expected, str(expected))
