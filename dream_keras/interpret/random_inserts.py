"""Random sequences whose bases are independent."""

from collections.abc import Sequence

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import Tokens

EQUAL_SHARES = (0.25, 0.25, 0.25, 0.25)
"""Of A, C, G and T."""


def random_inserts(
    count: int, length: int, shares: Sequence[float] = EQUAL_SHARES, seed: int = 0
) -> Tokens:
    """Draw sequences, (count, length); a larger count begins with the same ones.

    Args:
        count: How many.
        length: In bp.
        shares: Of A, C, G and T, with a sum of 1.
        seed: Of the drawing.

    Examples:
        >>> random_inserts(2, 8, (0.5, 0, 0.5, 0)).tolist()
        [[2, 0, 0, 0, 2, 2, 2, 2], [2, 2, 2, 0, 2, 0, 2, 0]]
    """
    drawn = np.random.default_rng(seed).random((count, length))
    return np.searchsorted(np.cumsum(shares)[:3], drawn, side="right").astype(np.uint8)


def read_shares(given: str | Sequence[float] | None) -> tuple[float, ...]:
    """Return shares of A, C, G and T with a sum of 1; equal ones for None.

    Raises:
        UserError: If these are not four shares.

    Examples:
        >>> read_shares("3,2,2,3")
        (0.3, 0.2, 0.2, 0.3)
    """
    if given is None:
        return EQUAL_SHARES
    words = given.split(",") if isinstance(given, str) else given
    try:
        shares = [float(word) for word in words]
    except ValueError:
        shares = []
    if len(shares) != 4 or not all(0 <= share < np.inf for share in shares) or not sum(shares):
        shown = given if isinstance(given, str) else ",".join(map(str, given))
        raise UserError(
            f'base_shares "{shown}": expected those of A, C, G and T, such as 0.3,0.2,0.2,0.3'
        )
    return tuple(share / sum(shares) for share in shares)
