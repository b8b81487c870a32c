"""Sequences of an assay other than the challenge's: lengths, tasks and the end of a run."""

import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.completion import with_length
from dream_keras.config.experiment import CONFIGS, load_experiment
from dream_keras.runs.folder import State
from dream_keras.training.engine import Engine, EngineSettings

SMALL = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "model.final={name: autosome_regression, features: 8}",
    "trainer.batch_size=16",
    "trainer.steps_per_epoch=10",
    "trainer.epochs=2",
]


def train(table, out, *overrides, **settings):
    return dream_keras.train(
        "any_dream_cnn",
        train=table,
        out=out,
        overrides=[*SMALL, *overrides],
        progress=False,
        **settings,
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sequences of 20 to 43 bp with two values, about 5 and about 700."""
    random = np.random.default_rng(0)
    sequences = ["".join(random.choice(list("ACGT"), 20 + row % 24)) for row in range(200)]
    gc = np.array([sum(base in "GC" for base in text) / len(text) for text in sequences])
    path = tmp_path_factory.mktemp("any") / "measured.tsv"
    columns = {"seq": sequences, "liver": 10 * gc, "brain": 100 * (7 + gc)}
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("any") / "run"
    return train(table, out, sequence_column="seq", target_columns=["liver", "brain"])


def test_length_tasks_and_scale_come_from_the_table(finished, table):
    model = yaml.safe_load((finished.folder / "config.yaml").read_text())["model"]
    assert model["processor"]["length"] == 43
    assert model["final"]["tasks"] == 2
    rows = pd.read_csv(table, sep="\t")
    means = rows[["liver", "brain"]].mean().tolist()
    assert model["processor"]["label_mean"] == pytest.approx(means, rel=0.02)
    assert {"val_pearson_liver", "val_pearson_brain"} <= set(finished.history)


def test_the_command_that_started_it_resumes_it(finished, table, caplog):
    caplog.set_level(logging.INFO, "dream_keras")
    columns = {"sequence_column": "seq", "target_columns": ["liver", "brain"]}
    train(table, finished.folder, resume=True, **columns)
    assert "is finished: all of its 2 epochs are done" in caplog.text
    with pytest.raises(UserError, match="model.*length"):
        train(table, finished.folder, "model.processor.length=50", resume=True, **columns)


def test_a_prepared_folder_knows_its_length(table, tmp_path):
    columns = {"sequence_column": "seq", "target_columns": ["liver", "brain"]}
    folder = tmp_path / "prepared"
    dream_keras.prepare(table, folder, 1, "any_dream_cnn", progress=False, **columns)
    experiment = with_length(load_experiment("any_dream_cnn"), lambda: folder)
    assert experiment.make_processor().length == 43


def test_a_network_without_a_table_needs_its_length():
    with pytest.raises(UserError, match=r"set it.*model\.processor\.length"):
        load_experiment("any_dream_cnn").make_processor()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("tasks/*_dream_*.yaml")), ids=lambda p: p.stem)
def test_weights_are_as_many_as_published(path):
    """Two LSTM biases per gate, as PyTorch counts them."""
    experiment = load_experiment(path.stem)
    processor = experiment.make_processor()
    network = dream_keras.build_network(experiment.model, processor.length, processor.channels)
    weights = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert f"{weights:,} weights" in path.read_text()


ROWS = [  # the highest r is that of epoch 2, the lowest error that of epoch 3
    {"val_pearson": 0.3, "val_mse": 3.0},
    {"val_pearson": 0.5, "val_mse": 2.0},
    {"val_pearson": 0.4, "val_mse": 1.0},
    {"val_pearson": np.nan, "val_mse": 4.0},
    {"val_pearson": 0.4, "val_mse": 5.0},
]


@pytest.mark.parametrize(
    ("best", "patience", "kept", "epochs"),
    [("pearson", None, 2, 5), ("mse", None, 3, 5), ("pearson", 2, 2, 4), ("mse", 1, 3, 4)],
)
def test_which_epoch_is_kept_and_which_is_the_last(best, patience, kept, epochs):
    saved = []
    folder = SimpleNamespace(
        best_weights="best",
        last_weights="last",
        save_weights=lambda network, path: saved.append(path),
        save_state=lambda state, variables: None,
        write_table=lambda name, table: None,
    )
    steps = SimpleNamespace(
        network=SimpleNamespace(variables=[]), optimizer=SimpleNamespace(variables=[])
    )
    settings = EngineSettings(len(ROWS), 1, best, patience)
    engine, state = Engine(steps, None, None, folder, ["a"], settings), State()
    while not engine._is_finished(state):
        engine._keep({"epoch": state.epoch + 1, **ROWS[state.epoch]}, state)
    assert (state.best_epoch, state.epoch) == (kept, epochs)
    ending = "all of its" if epochs == len(ROWS) else f"the last of {patience} without a better"
    assert ending in engine._ending(state)
    assert saved.count("last") == epochs
    assert saved.count("best") == kept  # each epoch up to it was better than those before
