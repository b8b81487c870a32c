"""Leaderboards: an SQLite file of submissions, and the static web page made of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import make_callable

if TYPE_CHECKING:
    from dream_keras.leaderboard.board import Board


def leaderboard(board: str | Path, *, suite: str | Path | None = None) -> "Board":
    """Open a leaderboard; ``dream_keras.leaderboard.board.create_board`` makes one.

    Args:
        board: File of the leaderboard.
        suite: Folder or YAML file of its suite, if that has moved.

    Returns:
        The leaderboard, with ``submit``, ``standings`` and ``find``; what compares and draws it is
        in ``dream_keras.leaderboard.comparison`` and ``dream_keras.leaderboard.page_data``.

    Raises:
        UserError: The file is no leaderboard, or a newer version wrote it.
    """
    from dream_keras.leaderboard.board import Board

    return Board(board, suite)


make_callable(__name__, leaderboard)
