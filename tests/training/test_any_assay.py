"""Sequences of an assay other than the challenge's: lengths, tasks and the end of a run."""

import contextlib
import logging
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.completion import with_length
from dream_keras.config.experiment import CONFIGS, load_experiment
from dream_keras.data.stream import Batch
from dream_keras.data.table import load_rows
from dream_keras.menu.plain import PlainProcessor
from dream_keras.runs.folder import RunFolder, State
from dream_keras.runs.run import Run
from dream_keras.runs.test_part import read_test_part
from dream_keras.runtime.steps import Steps
from dream_keras.scoring.suite import load_suite
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
    with pytest.raises(UserError, match=r"model.*length"):
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
        network=SimpleNamespace(variables=[]),
        optimizer=SimpleNamespace(variables=[]),
        averaged_weights=contextlib.nullcontext,
    )
    settings = EngineSettings(len(ROWS), 1, best, patience)
    engine, state = Engine(steps, None, None, folder, None, ["a"], settings), State()
    while not engine._is_finished(state):
        engine._keep({"epoch": state.epoch + 1, **ROWS[state.epoch]}, state)
    assert (state.best_epoch, state.epoch) == (kept, epochs)
    ending = "all of its" if epochs == len(ROWS) else f"the last of {patience} without a better"
    assert ending in engine._ending(state)
    assert saved.count("last") == epochs
    assert saved.count("best") == kept  # each epoch up to it was better than those before


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Rows of three folds with names, weights and errors; the test fold shares some sequences."""
    random = np.random.default_rng(1)
    sequences = ["".join(random.choice(list("ACGT"), 30)) for _ in range(150)]
    complement = str.maketrans("ACGT", "TGCA")
    sequences[140] = sequences[3][::-1].translate(complement)
    sequences[141] = sequences[4]
    path = tmp_path_factory.mktemp("folds") / "folds.csv"
    table = pd.DataFrame(
        {
            "name": [f"row{n}{'_rc' if n % 2 else ''}" for n in range(150)],
            "seq": sequences,
            "value": [text.count("G") + 0.5 for text in sequences],
            "fold": np.repeat([0, 1, 2], [100, 20, 30]),
            "weight": np.where(np.arange(150) < 50, 1.0, 3.0),
            "error": 0.5,
        }
    )
    table.to_csv(path, index=False)
    return path


def test_a_column_tells_training_validation_and_test_rows(folds, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dream_keras")
    run = train(
        folds,
        tmp_path / "run",
        "model.processor.reverse=flag",
        "model.processor.reverse_mark=_rc",
        "data.id_column=name",
        "data.split_column=fold",
        "data.test='2'",
        validation="1",
        target_columns="value",
    )
    assert "100 rows to train on, 20 to validate on" in caplog.text
    assert "2 of 30 test rows stand among the training rows" in caplog.text
    assert "row140, row141" in caplog.text
    table = pd.read_csv(folds)
    tested = table[table.fold == 2]
    opened = dream_keras.load_run(run.folder)
    suite = load_suite(run.folder / "test")
    np.testing.assert_array_equal(suite.measured[:, 0], tested.value)
    np.testing.assert_array_equal(suite.reverse, tested.name.str.endswith("_rc"))
    # The score is that of the predictions with the flags from the names, one row at a time.
    assert run.score.subsets["value"].pearson == pytest.approx(
        np.corrcoef(opened.predict_suite(suite)[:, 0], tested.value)[0, 1], abs=1e-6
    )
    names = tmp_path / "names.csv"
    tested[["name", "seq"]].to_csv(names, index=False)
    out = tmp_path / "predictions.tsv"
    dream_keras.predict(run.folder, names, out, id_column="name")
    predicted = pd.read_csv(out, sep="\t", header=None, index_col=0)[1]
    np.testing.assert_allclose(predicted, opened.predict_suite(suite)[:, 0], atol=2e-6)
    assert dream_keras.evaluate(run.folder).subsets["value"].pearson == pytest.approx(
        run.score.subsets["value"].pearson, abs=1e-6
    )


def read(table, *overrides, part="train"):
    columns = ["data.sequence_column=seq", "data.target_columns=[value]"]
    data = load_experiment("any_dream_cnn", [*columns, *overrides]).data
    return load_rows(table, PlainProcessor(40), data.reading(part)).weighted_by_errors(
        data.error_floor
    )


def test_weights_are_those_of_the_columns(folds, tmp_path):
    rows = read(folds, "data.weight_column=weight")
    np.testing.assert_allclose(rows.weights, np.repeat([1, 3], [50, 100]) / (350 / 150), rtol=1e-6)
    assert (read(folds).weights == 1).all()
    assert (read(folds, "data.error_column=error").weights == 1).all()
    table = pd.read_csv(folds)
    table["error"] = np.linspace(0.1, 2, 150)
    table.to_csv(tmp_path / "errors.csv", index=False)
    expected = 1 / (table.error**2 + 0.3**2)
    rows = read(tmp_path / "errors.csv", "data.error_column=error", "data.error_floor=0.3")
    np.testing.assert_allclose(rows.weights, expected / expected.mean(), rtol=1e-5)
    errors = "data.error_column=error"
    assert (
        len(read(tmp_path / "errors.csv", errors, "data.max_error=1")) == (table.error <= 1).sum()
    )
    table.loc[7, "error"] = -1
    table.to_csv(tmp_path / "negative.csv", index=False)
    with pytest.raises(UserError, match=r"negative\.csv:9: the error -1 is negative"):
        read(tmp_path / "negative.csv", errors)


@pytest.mark.parametrize(
    ("overrides", "part", "rows"),
    [
        (["data.validation='1'", "data.test='0,2'"], "test", 130),
        (["data.validation='1'", "data.test='2'"], "train", 100),
        (["data.validation='0'", "data.test='1'"], "train", 30),
    ],
)
def test_parts_by_value(folds, overrides, part, rows):
    assert len(read(folds, "data.split_column=fold", *overrides, part=part)) == rows


def test_parts_by_word_and_what_is_none(folds, tmp_path):
    table = pd.read_csv(folds)
    table["set"] = np.repeat(["Train", "Val", "Test"], 50)
    table.to_csv(tmp_path / "words.csv", index=False)
    for part in ("train", "validation", "test"):
        assert len(read(tmp_path / "words.csv", "data.split_column=set", part=part)) == 50
    with pytest.raises(UserError, match=r'folds\.csv:2: "0" in column fold names no part'):
        read(folds, "data.split_column=fold")
    both = ["data.validation='7'", "data.test='2'"]
    with pytest.raises(UserError, match=r"validation part \(7\); the column fold holds 0, 1, 2"):
        read(folds, "data.split_column=fold", *both, part="validation")
    with pytest.raises(UserError, match="give both"):
        read(folds, "data.split_column=fold", "data.test='2'")


def test_words_need_not_name_test_rows(folds, tmp_path):
    """Then there is nothing to score; a value that is given for test rows must be there."""
    table = pd.read_csv(folds)
    for words, said in (["Train", "Val"], None), (["Train", "Val", "test"], "1 test rows"):
        table["set"] = [*words, *["Train"] * (len(table) - len(words))]
        table.to_csv(tmp_path / "words.csv", index=False)
        run = untrained(tmp_path, "data.split_column=set")
        if said is None:
            assert read_test_part(run) is None
        else:
            with pytest.raises(UserError, match=said):
                read_test_part(run)
    table["set"] = "Train"
    table.loc[:9, ["set", "seq"]] = ["Test", "ACGT" * 30]
    table.to_csv(tmp_path / "words.csv", index=False)
    with pytest.raises(UserError, match="no usable row is left of the test part"):
        read_test_part(untrained(tmp_path, "data.split_column=set", "data.long_rows=drop"))
    run = untrained(tmp_path, "data.split_column=fold", "data.validation='1'", "data.test='9'")
    with pytest.raises(UserError, match=r"test part \(9\); the column fold holds 0, 1, 2"):
        read_test_part(run)


def untrained(folder, *overrides):
    settings = {"data.train": str(folder / "words.csv"), "data.target_columns": ["value"]}
    overrides = ["data.sequence_column=seq", "model.processor.length=40", *overrides]
    return Run(RunFolder(folder / "run"), load_experiment("any_dream_cnn", overrides, settings))


def test_the_loss_is_the_weighted_mean_of_its_rows(random):
    network = dream_keras.build_network(
        {
            "processor": {"name": "plain", "length": 12},
            "first": {"name": "bhi", "out_channels": 4, "dropout": 0.0},
            "core": {
                "name": "bhi",
                "out_channels": 4,
                "units": 2,
                "branch_dropout": 0.0,
                "dropout": 0.0,
            },
            "final": {"name": "autosome_regression", "features": 4},
        },
        12,
        5,
    )
    steps = Steps(network, PlainProcessor(12), keras.optimizers.SGD(0.0))
    tokens = random.integers(0, 4, (3, 12)).astype(np.uint8)
    labels = random.normal(size=(3, 1)).astype(np.float32)
    zeros = np.zeros(3, np.uint8)

    def loss(rows, weights):
        batch = Batch(tokens[rows], zeros, zeros, labels[rows], np.array(weights, np.float32))
        return steps.train([batch])[0, 0]

    alone = [loss([row] * 3, [1, 1, 1]) for row in range(3)]
    assert loss([0, 1, 2], [2, 0.5, 0]) == pytest.approx(
        (2 * alone[0] + 0.5 * alone[1]) / 3, rel=1e-5
    )


@pytest.mark.slow
def test_a_cross_validation_tests_every_row_once(folds, tmp_path, caplog):
    table = pd.read_csv(folds)[["seq", "value"]]
    table["fold"] = np.arange(150) % 3 + 8  # "10" comes behind "9"
    table.to_csv(tmp_path / "table.csv", index=False)
    settings = {
        "target_columns": "value",
        "overrides": [*SMALL, "trainer.epochs=1"],
        "progress": False,
    }
    out = tmp_path / "folds"

    def run(**more):
        columns = {"split_column": "fold", "out": out}
        return dream_keras.cross_validate(
            "any_dream_cnn", tmp_path / "table.csv", **columns, **settings, **more
        )

    result = run()
    assert [path.name for path in sorted(out.glob("fold-*"))] == ["fold-10", "fold-8", "fold-9"]
    assert result.scores["fold"].tolist() == ["8", "9", "10"]
    pooled = pd.read_csv(out / "predictions.tsv", sep="\t")
    assert sorted(pooled["sequence"]) == sorted(table["seq"])
    for fold, rows in pooled.groupby("fold"):
        own = dream_keras.load_run(out / f"fold-{fold}").predict(rows["sequence"].tolist())
        np.testing.assert_allclose(rows["predicted"], own, atol=2e-6)
    [summary] = result.summary.to_dict("records")
    r = [np.corrcoef(rows.measured, rows.predicted)[0, 1] for _, rows in pooled.groupby("fold")]
    assert summary["mean r"] == pytest.approx(np.mean(r))
    assert summary["sd"] == pytest.approx(np.std(r, ddof=1))
    together = np.corrcoef(pooled.measured, pooled.predicted)[0, 1]
    assert summary["pooled pearson"] == pytest.approx(together)
    with pytest.raises(UserError, match="--resume"):
        run()
    shutil.rmtree(out / "fold-9")
    kept = (out / "fold-8" / "state.npz").stat().st_mtime_ns
    again = run(resume=True)
    assert (out / "fold-8" / "state.npz").stat().st_mtime_ns == kept
    np.testing.assert_allclose(again.scores["pearson"], result.scores["pearson"], atol=1e-5)
    two = table[table.fold < 10]
    two.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(UserError, match=r"column fold holds 8, 9; a cross-validation needs 3"):
        run(resume=True)
