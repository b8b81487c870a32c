import numpy as np
import pytest

import dream_keras
from dream_keras.interpret.predictor import Predictor

_WEIGHTS = np.random.default_rng(7).normal(size=(2, 5, 4**6))


class Counting:
    """Two tasks: sums of saturated scores of all 6-mers; counts what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, sequences):
        self.asked += sequences
        return np.array([self._one(sequence) for sequence in sequences])

    @staticmethod
    def _one(sequence):
        codes = np.array(["ACGT".find(letter) % 4 for letter in sequence])
        words = np.convolve(codes, 4 ** np.arange(6), "valid")
        # Neighbouring words act together, so that an effect depends on its surroundings.
        return np.tanh(np.cumsum(_WEIGHTS[:, 0, words], axis=1)[:, ::5]).sum(axis=1)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def predictor(counting):
    return Predictor(counting, ("liver", "brain"), "stand-in", 40)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run that was trained for a few steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    dream_keras.train("quickstart", smoke=True, out=out, progress=False)
    return dream_keras.load_run(out)
