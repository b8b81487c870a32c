"""The one exception for mistakes that a user can mend, and its helpers."""

import contextlib
import difflib
import traceback
from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """A mistake in what the user gave: a file, a setting, an argument.

    The message says what was given, where, what is allowed and what to do. Commands print it
    without a traceback and leave with exit status 2.

    Attributes:
        key: Where in a config the mistake stands, outermost section first.
    """

    key: tuple[str, ...] = ()


@contextlib.contextmanager
def within(key: str) -> Iterator[None]:
    """Put ``key`` in front of the config key of any mistake found inside."""
    try:
        yield
    except UserError as error:
        error.key = (key, *error.key)
        raise


def at_least(minimum: float, **values: float | None) -> None:
    """Refuse a setting below its minimum; None passes.

    Raises:
        UserError: Names the setting, its value and the minimum.
    """
    for name, value in values.items():
        if value is not None and not value >= minimum:
            with within(name):
                raise UserError(f"{name}={value}: at least {minimum} is needed")


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the nearest allowed word, or an empty string."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def unknown(kind: str, word: str, allowed: Iterable[str]) -> UserError:
    """Build the error for a name that is not one of the allowed names."""
    names = sorted(allowed)
    return UserError(
        f'unknown {kind} "{word}".{did_you_mean(word, names)} Allowed: {", ".join(names)}.'
    )


def line_in(error: BaseException, file: str) -> int | None:
    """Return the line of ``file`` that an exception came through last, or None."""
    steps = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in steps if frame.f_code.co_filename == file]
    return lines[-1] if lines else None
