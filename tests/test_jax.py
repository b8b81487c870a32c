"""The JAX backend, in processes of its own that find no TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.config.experiment import CONFIGS, load_experiment

pytest.importorskip("jax")

WITHOUT_TENSORFLOW = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] == "tensorflow" else find(name, *rest)
)
"""
ROOT = Path(__file__).parent.parent
ON_JAX = ("tests/training/test_traces.py", "tests/test_docstrings.py")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder, and a function that runs a command there: on JAX, on two devices."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), *sys.path]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    environment.pop("KERAS_BACKEND", None)

    def command(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return folder, command


def test_there_is_no_tensorflow(desk):
    code = "import importlib.util as u; print(u.find_spec('tensorflow'), u.find_spec('jax'))"
    assert desk[1]("-c", code).startswith("None ModuleSpec")


@pytest.fixture(scope="module")
def run(desk):
    folder, command = desk
    command(
        *("-m", "dream_keras.train", "--smoke", "--out", "run", "--strategy", "mirrored:2"),
        *("--set", "runtime.steps_per_call=2", "--deterministic"),
    )
    return folder / "run"


def test_a_run_is_trained_and_scored_on_two_devices(run):
    written = json.loads((run / "environment.json").read_text())
    assert written["backend"] == "jax"
    assert written["replicas"] == 2
    assert written["batch_per_replica"] == written["batch"] // 2
    assert json.loads((run / "metrics.json").read_text())["part"] == "public"
    assert (run / "history.csv").read_text().count("\n") == 3


def test_both_backends_train_the_same(run, tmp_path):
    """From the same initial weights, on the same rows; the default draws no other numbers."""
    dream_keras.train(out=tmp_path / "run", smoke=True, deterministic=True, progress=False)
    jax, tensorflow = (pd.read_csv(folder / "history.csv") for folder in (run, tmp_path / "run"))
    assert jax["val_pearson"].abs().min() > 0.01
    for column in ("loss", "val_pearson", "val_mse"):
        np.testing.assert_allclose(jax[column], tensorflow[column], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_its_scores_are_those_that_were_written_down(desk, run):
    desk[1]("-m", "dream_keras.evaluate", "run", "--part", "public", "--json", "score.json")
    got = json.loads((desk[0] / "score.json").read_text())
    want = json.loads((run / "metrics.json").read_text())
    assert got["pearson_score"] == pytest.approx(want["pearson_score"], abs=1e-5)


def test_both_backends_predict_the_same_with_its_weights(desk, run):
    folder, command = desk
    letters = np.random.default_rng(0).choice(list("ACGT"), (20, 80))
    rows = ["TGCATTTTTTTCACATC" + "".join(row) + "GGTTACGGCTGTT" for row in letters]
    (folder / "rows.txt").write_text("\n".join(rows) + "\n")
    command("-m", "dream_keras.predict", "run", "rows.txt", "-o", "jax.tsv")
    dream_keras.predict(run, folder / "rows.txt", folder / "tensorflow.tsv", progress=False)
    jax, tensorflow = (
        np.loadtxt(folder / f"{name}.tsv", usecols=1) for name in ("jax", "tensorflow")
    )
    np.testing.assert_allclose(jax, tensorflow, atol=1e-4)
    assert jax.std() > 1e-3


@pytest.mark.slow
def test_both_backends_attribute_the_same_with_its_weights(desk, run):
    folder, command = desk
    letters = np.random.default_rng(1).choice(list("ACGT"), (2, 80))
    rows = ["TGCATTTTTTTCACATC" + "".join(row) + "GGTTACGGCTGTT" for row in letters]
    (folder / "two.txt").write_text("\n".join(rows) + "\n")
    method = "shuffled_integrated_gradients"
    options = {"shuffles": 2, "steps": 4, "pictures": 0}
    words = (f"--{name}={value}" for name, value in options.items())
    command("-m", "dream_keras.attribute", "run", "two.txt", "--method", method, "-o", "at", *words)
    jax = np.load(folder / "at" / "attributions.npz")["arr_0"]
    found = dream_keras.attribute(run, rows, method=method, progress=False, **options)
    tensorflow = np.stack([each.scores.T for each in found])
    np.testing.assert_allclose(jax, tensorflow, atol=1e-4 * np.abs(tensorflow).max())


# Prints checksums of the initial weights of each config's network.
STARTS = """
import json, sys, zlib
from pathlib import Path
import keras
from dream_keras.config.experiment import load_experiment
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.run import Run
found = {}
for config, *settings in json.load(sys.stdin):
    keras.utils.set_random_seed(3)
    network = Run(RunFolder(Path()), load_experiment(config, settings)).untrained_network()
    found[f"{config} {settings}"] = [zlib.crc32(w.tobytes()) for w in network.get_weights()]
print(json.dumps(found))
"""
# The last have the blocks that no config has.
SLOTS = ("first", "core", "final")
ORDERS = [
    *([path.stem] for path in sorted(CONFIGS.glob("*.yaml")) if not path.stem.startswith("any")),
    ["dream_rnn", "model.final=autosome_regression"],
    ["dream_rnn", "model.final=gaussian"],
    ["dream_attn", "model.final=unlockdna", "model.first=unlockdna"],
    ["atac_dream_cnn"],
    ["atac_dream_rnn"],
    ["bpnet_bias"],
    *(
        ["dream_cnn", *(f"model.{slot}={name}" for slot in SLOTS)]
        for name in ("deepstarr", "malinois", "mpralegnet", "mprann", "vaishnav_transformer")
    ),
]


@pytest.mark.slow
def test_a_seed_gives_both_backends_the_same_initial_weights():
    found = []
    for backend in ("tensorflow", "jax"):
        done = subprocess.run(
            [sys.executable, "-c", STARTS],
            input=json.dumps(ORDERS),
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    orders = [load_experiment(config, settings).model for config, *settings in ORDERS]
    built = {(slot, getattr(order, slot).name) for order in orders for slot in SLOTS}
    assert built == {(item.slot, item.name) for item in menu.entries() if item.slot in SLOTS}


@pytest.mark.slow
@pytest.mark.parametrize("file", ON_JAX)
def test_golden_numbers_and_examples_hold_on_jax(file):
    """The tests against the published implementation and of the examples, once more."""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    arguments = ["-p", "no:cacheprovider", "-p", "no:xdist", str(ROOT / file)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "[100%]" in done.stdout
