"""The exception for mistakes that a user can correct, and its helpers."""

import contextlib
import difflib
import traceback
from collections.abc import Iterable, Iterator, Sequence


class UserError(ValueError):
    """A mistake in what the user gave: a file, a setting, an argument.

    The message says what was given, where, what is allowed and what to do. Commands print it
    without a traceback and leave with exit status 2.

    Attributes:
        key: Place of the mistake in a config, outermost section first.
    """

    key: tuple[str, ...] = ()


@contextlib.contextmanager
def within(key: str) -> Iterator[None]:
    """Put ``key`` in front of the config key of any mistake found inside.

    Examples:
        >>> try:
        ...     with within("trainer"):
        ...         at_least(1, epochs=0)
        ... except UserError as error:
        ...     error.key
        ('trainer', 'epochs')
    """
    try:
        yield
    except UserError as error:
        error.key = (key, *error.key)
        raise


def at_least(minimum: float, **values: float | None) -> None:
    """Refuse a setting below its minimum; None passes.

    Raises:
        UserError: Names the setting, its value and the minimum.

    Examples:
        >>> at_least(1, epochs=0, batch_size=None)
        Traceback (most recent call last):
            ...
        dream_keras.common.errors.UserError: epochs=0: at least 1 is needed
    """
    for name, value in values.items():
        if value is not None and not value >= minimum:
            with within(name):
                raise UserError(f"{name}={value}: at least {minimum} is needed")


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the nearest allowed word, or an empty string.

    Examples:
        >>> did_you_mean("learning_rat", ["epochs", "learning_rate"])
        ' Did you mean "learning_rate"?'
        >>> did_you_mean("xyz", ["epochs", "learning_rate"])
        ''
    """
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


LONGEST_LIST = 300
"""Characters of a list of allowed names in a message, which may be a table's header."""


def short_list(names: Sequence[str]) -> str:
    """Join names for a message; of a long list only the beginning.

    Examples:
        >>> short_list(["seq", "activity"])
        'seq, activity'
    """
    shown = ", ".join(names)
    if len(shown) <= LONGEST_LIST:
        return shown
    return f"{shown[:LONGEST_LIST].rpartition(', ')[0]} and others, {len(names)} in all"


def unknown(kind: str, word: str, allowed: Iterable[str]) -> UserError:
    """Build the error for a name that is not one of the allowed names.

    Examples:
        >>> print(unknown("slot", "cores", ["core", "first"]))
        unknown slot "cores". Did you mean "core"? Allowed: core, first.
    """
    names = sorted(allowed)
    return UserError(
        f'unknown {kind} "{word}".{did_you_mean(word, names)} Allowed: {short_list(names)}.'
    )


def line_in(error: BaseException, file: str) -> int | None:
    """Return the line of ``file`` that an exception came through last, or None."""
    steps = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in steps if frame.f_code.co_filename == file]
    return lines[-1] if lines else None
