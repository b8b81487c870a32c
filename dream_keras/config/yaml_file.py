"""YAML files whose mistakes are reported with their line."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from dream_keras.common.errors import UserError, unknown, within

Key = tuple[str, ...]
"""Where something stands in a file, outermost section first."""
Yaml = Any
"""What YAML holds: a mapping, a list, text, a number, true or false, or nothing."""
Lines = dict[Key, int | None]
"""The line of each key, counted from 1; None for a key that was changed after reading."""


def read_yaml(path: Path) -> tuple[Yaml, Lines]:
    """Return a file's content and the line on which each key stands.

    Raises:
        UserError: The file is no YAML, or has a key twice in one mapping.
    """
    lines: Lines = {}
    twice: list[str] = []

    def note(at: Key, part: yaml.Node | None) -> None:
        if isinstance(part, yaml.MappingNode):
            for key, below in part.value:
                name, line = str(key.value), key.start_mark.line + 1
                if (*at, name) in lines:
                    twice.append(f'{path}:{line}: "{name}" stands on line {lines[*at, name]} too')
                lines[(*at, name)] = line
                note((*at, name), below)
        elif isinstance(part, yaml.SequenceNode):
            for number, below in enumerate(part.value):
                lines[(*at, str(number))] = below.start_mark.line + 1
                note((*at, str(number)), below)

    try:
        text = path.read_text(encoding="utf-8-sig")
        value = yaml.safe_load(text)
        note((), yaml.compose(text, yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    if twice:
        raise UserError(f"{twice[0]}. Keep one of them.")
    return value, lines


def located(error: UserError, path: Path, lines: Lines) -> UserError:
    """Put the file in front of a mistake, and the line of its key or of the nearest one above."""
    key = error.key
    while key and key not in lines:
        key = key[:-1]
    line = lines.get(key)
    error.args = (f"{path}:{line}: {error}" if line else f"{path}: {error}",)
    return error


def check_keys(
    value: object, kind: str, required: Collection[str], optional: Collection[str]
) -> None:
    """Refuse what is no mapping, and a key that is unknown or missing.

    Raises:
        UserError: Names the key, what is allowed and the nearest allowed one.

    Examples:
        >>> check_keys({"name": "DREAM"}, "a suite", required=("name", "table"), optional=())
        Traceback (most recent call last):
            ...
        dream_keras.common.errors.UserError: a suite lacks the key "table". Required: name, table.
    """
    allowed = [*required, *optional]
    if not isinstance(value, Mapping):
        raise UserError(f"{kind}: expected a mapping with {', '.join(allowed)}, not {value!r}.")
    for key in value:
        if key not in allowed:
            with within(str(key)):
                raise unknown(f"key of {kind}", str(key), allowed)
    for key in required:
        if key not in value:
            raise UserError(
                f'{kind} lacks the key "{key}". Required: {", ".join(required)}'
                + (f"; optional: {', '.join(optional)}." if optional else ".")
            )


def text_at(value: Mapping[str, Yaml], key: str) -> str:
    """Return the text at a key, or refuse what is none.

    Examples:
        >>> text_at({"name": "DREAM"}, "name")
        'DREAM'
        >>> text_at({"name": 2022}, "name")
        Traceback (most recent call last):
            ...
        dream_keras.common.errors.UserError: name: expected text, not 2022.
    """
    if isinstance(value[key], str) and value[key]:
        return value[key]
    raise at((key,), f"{key}: expected text, not {value[key]!r}.")


def texts_at(value: Mapping[str, Yaml], key: str) -> tuple[str, ...]:
    """Return the text or the list of texts at a key, or refuse what is neither.

    Examples:
        >>> texts_at({"table": "test.tsv"}, "table")
        ('test.tsv',)
    """
    given = value[key] if isinstance(value[key], list) else [value[key]]
    if given and all(isinstance(text, str) and text for text in given):
        return tuple(given)
    raise at((key,), f"{key}: expected text or a list of texts, not {value[key]!r}.")


def name_of(key: object) -> str:
    """Return a key that is a name of the user's choice, or refuse what YAML read otherwise."""
    if isinstance(key, str) and key:
        return key
    raise at((str(key),), f"expected a name, not {key!r}. Put it in quotes.")


def at(key: Key, message: str) -> UserError:
    """Build the error for what stands at a key."""
    error = UserError(message)
    error.key = key
    return error
