import fcntl
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import settings
from region_runs import BIAS, MAIN, train

import dream_keras
from dream_keras.runs import plots

# Time is never asserted: another process may have the machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

GOLDEN = Path(__file__).parent / "golden"


LONG = ("test_readme", "test_notebooks", "test_strategy", "test_train")
"""Modules that take longest: they begin first, so that two processes end together."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.module.__name__ not in LONG)


DRAWN = {name: getattr(plots, name) for name in ("prediction_figure", "learning_curve")}


def blank_figure(*arguments):
    """Stands for the pictures that every training draws, and which take half a second each."""
    from matplotlib.figure import Figure

    return Figure(figsize=(0.1, 0.1))


for _name in DRAWN:
    setattr(plots, _name, blank_figure)  # before the modules that draw them are imported


@pytest.fixture
def drawn():
    """The functions that draw a training's pictures, by name."""
    return DRAWN


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data; the test is skipped without it."""
    folder = os.environ.get("DREAM_KERAS_DATA")
    if not folder:
        pytest.skip("needs real data: set DREAM_KERAS_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """Keep what the tests simulate away from the user's cache."""
    os.environ["DREAM_KERAS_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def golden():
    """Load a golden file: its arrays, and its weights without their prefix."""

    def load(name):
        arrays = dict(np.load(GOLDEN / f"{name}.npz"))
        weights = {k.partition(":")[2]: v for k, v in arrays.items() if ":" in k}
        return {k: v for k, v in arrays.items() if ":" not in k}, weights

    return load


def official_rows(random, count, insert=80):
    """Make rows in the official format: sequences with adapters, and labels."""
    inserts = random.choice(list("ACGT"), (count, insert))
    sequences = ["TGCATTTTTTTCACATC" + "".join(i) + "GGTTACGGCTGTT" for i in inserts]
    # The share of G and C decides the label, so that there is something to learn.
    gc = np.isin(inserts, ["G", "C"]).mean(axis=1)
    labels = np.clip(np.round(20 * gc + random.normal(0, 0.5, count), 1), 0, 17)
    return sequences, labels


@pytest.fixture(scope="session", name="official_rows")
def _official_rows():
    """The function, for modules that make tables of their own."""
    return official_rows


@pytest.fixture(scope="session")
def training_table(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "train.txt"
    sequences, labels = official_rows(np.random.default_rng(3), 400)
    path.write_text("".join(f"{s}\t{y}\n" for s, y in zip(sequences, labels, strict=True)))
    return path


@pytest.fixture(scope="session")
def once_for_all(tmp_path_factory):
    """Makes a folder once for all worker processes: the first makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name, make):
        folder, done = shared / "shared" / name, shared / "shared" / f"{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with (folder.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def regions(once_for_all):
    """The regions file of a simulated genome."""
    from dream_keras.simulate import simulate_genome

    return once_for_all("genome", lambda out: simulate_genome(out, 400_000)) / "regions.yaml"


@pytest.fixture(scope="session")
def bias_run(regions, once_for_all):
    """A bias model, trained on its regions without peaks."""
    return once_for_all("bias", lambda out: train("bpnet_bias", BIAS, regions, out))


@pytest.fixture(scope="session")
def main_run(regions, bias_run, once_for_all):
    """A run that is trained on the regions beside the bias model."""
    return once_for_all(
        "main", lambda out: train("atac_dream_cnn", MAIN, regions, out, bias=bias_run)
    )


@pytest.fixture(scope="session")
def region_ensemble(regions, bias_run, once_for_all):
    """An ensemble of two such runs, trained for an epoch with different seeds."""
    return once_for_all(
        "ensemble",
        lambda out: dream_keras.train_ensemble(
            "atac_dream_cnn",
            2,
            out=out,
            train=regions,
            bias=bias_run,
            overrides=[*MAIN, "trainer.epochs=1", "trainer.steps_per_epoch=40"],
            progress=False,
        ),
    )
