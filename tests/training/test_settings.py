"""Settings of the run and of the user hold, whatever the machine's files say."""

import inspect
import json
import logging
import os
import re
import shutil
import subprocess
import sys

import pytest

import dream_keras
from dream_keras.common.errors import UserError

SMALL = [
    "model.first={name: autosome, out_channels: 8}",
    "model.core={name: autosome, widths: [8], out_channels: 8}",
    "trainer.epochs=1",
    "trainer.steps_per_epoch=2",
    "trainer.batch_size=16",
]


def first_loss(run):
    """The loss of a run's first epoch, as its history has it."""
    return (run / "history.csv").read_text().split("\n")[1].split(",")[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, training_table):
    folder = tmp_path_factory.mktemp("settings")
    table = shutil.copy(training_table, folder / "train.txt")
    run = folder / "run"
    dream_keras.train("dream_cnn", train=table, out=run, overrides=SMALL, progress=False)
    return run


def test_an_experiment_trains_as_its_file_does(finished, tmp_path):
    experiment = dream_keras.load_run(finished).experiment
    again = dream_keras.train(experiment, out=tmp_path / "run", progress=False)
    first = dream_keras.load_run(finished)
    assert again.folder.joinpath("config.yaml").read_text() == first.folder.config.read_text()
    assert first_loss(again.folder) == first_loss(finished)


def test_a_finished_run_says_so(finished, caplog):
    with caplog.at_level(logging.INFO):
        dream_keras.train(out=finished, resume=True, progress=False)
    assert f"{finished} is finished: all of its 1 epochs are done" in caplog.text


def test_a_run_whose_table_moved_goes_on_with_it(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    moved = shutil.move(finished.parent / "train.txt", tmp_path / "moved.txt")
    with pytest.raises(UserError, match="no file"):
        dream_keras.train(out=run, resume=True, progress=False)
    dream_keras.train(out=run, resume=True, train=moved, progress=False)
    assert dream_keras.load_run(run).experiment.data.train == str(moved)
    changed = tmp_path / "changed.txt"
    changed.write_text("".join(reversed(moved.read_text().splitlines(keepends=True))))
    with pytest.raises(UserError, match="rows to train or validate on have changed"):
        dream_keras.train(out=run, resume=True, train=changed, progress=False)
    shutil.copy(moved, finished.parent / "train.txt")


@pytest.mark.parametrize("config", ["quickstart", "bhi_deepgxp", "unlockdna_proformer"])
def test_labels_that_do_not_differ_are_refused(tmp_path, training_table, config):
    table = tmp_path / "same.txt"
    rows = [line.split("\t")[0] for line in training_table.read_text().splitlines()]
    table.write_text("".join(f"{sequence}\t8\n" for sequence in rows))
    with pytest.raises(UserError, match="all training labels are 8: there is nothing to learn"):
        dream_keras.train(
            config,
            train=table,
            validation=training_table,
            out=tmp_path / "run",
            smoke=True,
            progress=False,
        )


def test_smoke_keeps_what_was_asked_for(tmp_path, training_table):
    overrides = ["scoring.part=all", "trainer.batch_size=8", "trainer.epochs=1"]
    result = dream_keras.train(
        train=training_table,
        out=tmp_path / "run",
        overrides=overrides,
        smoke=True,
        progress=False,
    )
    experiment = dream_keras.load_run(result.folder).experiment
    assert experiment.scoring.part == "all"
    assert (experiment.make_trainer().batch_size, experiment.make_trainer().epochs) == (8, 1)
    assert experiment.make_trainer().steps_per_epoch == 5


KERAS_JSON = {
    "floatx": "float16",
    "epsilon": 1e-3,
    "image_data_format": "channels_first",
    "backend": "torch",
    "nnx_enabled": True,
}
"""Every key that Keras reads, each with a value that would change or break a run."""
VARIABLES = {
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
}


def test_a_users_keras_json_and_variables_change_nothing(finished, tmp_path):
    """float16 there would change the networks, or fail, while the log says float32."""
    (tmp_path / "keras.json").write_text(json.dumps(KERAS_JSON))
    words = [word for override in SMALL for word in ("--set", override)]
    command = [sys.executable, "-m", "dream_keras.train", "--config", "dream_cnn", *words]
    done = subprocess.run(
        [*command, "--train", finished.parent / "train.txt", "--out", tmp_path / "run"],
        env={**os.environ, **VARIABLES, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert first_loss(tmp_path / "run") == first_loss(finished)


LOOK = """
import json, os
from dream_keras.common.cli import load_backend
load_backend()
import keras
config = keras.config
found = {"backend": config.backend(), "nnx": config.is_nnx_enabled(), "floatx": config.floatx(),
         "epsilon": config.epsilon(), "format": config.image_data_format(),
         "policy": config.dtype_policy().name, "limits": [config.max_epochs(),
         config.max_steps_per_epoch()]}
if config.backend() == "jax":
    import jax
    found["jax"] = [jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision,
                    jax.config.jax_numpy_dtype_promotion, jax.config.jax_default_prng_impl]
print(json.dumps(found))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_what_is_set_for_each_backend(tmp_path, backend):
    pytest.importorskip(backend)
    (tmp_path / "keras.json").write_text(json.dumps(KERAS_JSON))
    environment = {**os.environ, **VARIABLES, "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**environment, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = {
        "backend": backend,
        "nnx": False,
        "floatx": "float32",
        "epsilon": 1e-7,
        "format": "channels_last",
        "policy": "float32",
        "limits": [None, None],
    }
    if backend == "jax":
        expected["jax"] = [False, None, "standard", "threefry2x32"]
    assert json.loads(done.stdout) == expected


def test_every_key_of_keras_json_is_known():
    """A key that a later Keras reads must be set by runs too."""
    from keras.src.backend import config

    keys = set(re.findall(r"_config\.get\(\s*\"(\w+)\"", inspect.getsource(config)))
    assert keys == set(KERAS_JSON)


def test_a_damaged_keras_json_is_named(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "bfloat16"}))
    script = "from dream_keras.common.cli import load_backend, run\nrun(load_backend)\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert str(tmp_path / "keras.json") in done.stderr
    assert "Traceback" not in done.stderr
