"""Small boards and suites for the tests of leaderboards."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from boards_helpers import NOW

from dream_keras.leaderboard.board import Board, create_board
from dream_keras.leaderboard.entry import BoardInfo, SubsetInfo
from dream_keras.leaderboard.store import Store
from dream_keras.scoring.suite import Suite, load_suite
from dream_keras.simulate import simulate


@pytest.fixture
def info():
    return BoardInfo(
        phase="private",
        weekly_limit=None,
        checksum="abc",
        folder="suite",
        subsets=(SubsetInfo("all", 1.0, False, {"private": 40, "public": 10, "all": 50}),),
        created=NOW,
    )


@pytest.fixture
def store(tmp_path, info):
    return Store.create(tmp_path / "board.sqlite", info)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime.datetime = NOW

    def __call__(self):
        return self.now


@dataclass
class Desk:
    """A small simulated suite and a folder for files of predictions."""

    suite_folder: Path
    folder: Path
    suite: Suite

    def predictions(self, noise, seed=0):
        """Values that correlate with the measured ones, on another scale, shape (rows,)."""
        random = np.random.default_rng(seed)
        measured = self.suite.measured[:, 0]
        return 9 + 3 * measured + noise * random.normal(size=len(measured))

    def file(self, name, noise, seed=0):
        """A submission with such predictions, as a table."""
        return self.write(name, self.predictions(noise, seed))

    def write(self, name, values):
        rows = zip(self.suite.sequences, values.tolist(), strict=True)
        path = self.folder / name
        path.write_text("".join(f"{sequence}\t{value!r}\n" for sequence, value in rows))
        return path


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    folder = simulate(tmp_path_factory.mktemp("simulated") / "suite", 20, 1_200, seed=3)
    return folder, load_suite(folder)


@pytest.fixture
def desk(simulated, tmp_path):
    return Desk(simulated[0], tmp_path, simulated[1])


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(desk, clock):
    return create_board(desk.folder / "board.sqlite", desk.suite_folder, clock=clock)


@pytest.fixture
def teams(board, desk):
    """A board with three teams; one has a name that would be markup."""
    for number, name in enumerate(["alpha", "<script>alert(1)</script>", "gamma & sons"]):
        board.submit(name, desk.file(f"{number}.tsv", 1 + number, seed=number), resamples=200)
    assert isinstance(board, Board)
    return board
