"""Training on two tasks, from the table to the analysis; and on one, as ever."""

import json

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.scoring.metrics import pearson
from dream_keras.training.engine import validation_scores

TASKS = ["gc", "at_left"]
OVERRIDES = [
    "model.first={name: autosome, out_channels: 16}",
    "model.core={name: autosome, widths: [16], out_channels: 16}",
    "model.final={name: autosome_regression, tasks: 2, features: 16}",
    "trainer.epochs=3",
    "trainer.steps_per_epoch=25",
    "trainer.batch_size=32",
    "scoring.part=all",
]
SUITE = """
name: two targets
table: rows.tsv
columns: {sequence: seq, targets: {at_left: at_left, gc: gc}}
scores: {pearson: weighted_mean_r, spearman: weighted_mean_rho}
subsets:
  gc rows: {weight: 1, target: gc}
  left rows: {weight: 1, target: at_left}
"""


def write_table(official_rows, path, count, seed, missing=0.0):
    """Rows in the official format with two targets: the share of G and C, and of A in the front."""
    random = np.random.default_rng(seed)
    sequences, labels = official_rows(random, count)
    left = [20 * sequence[17:57].count("A") / 40 for sequence in sequences]
    table = pd.DataFrame({"seq": sequences, "gc": labels, "at_left": left})
    for name in TASKS:
        table.loc[random.random(count) < missing / 2, name] = np.nan
    table = table[table[TASKS].notna().any(axis=1)]
    table.to_csv(path, sep="\t", index=False, na_rep="NA")
    return table


@pytest.fixture(scope="module")
def desk(tmp_path_factory, official_rows):
    folder = tmp_path_factory.mktemp("tasks")
    write_table(official_rows, folder / "train.tsv", 600, 1, missing=0.2)
    (folder / "suite").mkdir()
    write_table(official_rows, folder / "suite" / "rows.tsv", 200, 2)
    (folder / "suite" / "suite.yaml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def result(desk):
    return dream_keras.train(
        "dream_cnn",
        train=desk / "train.tsv",
        suite=desk / "suite",
        out=desk / "run",
        sequence_column="seq",
        target_columns=TASKS,
        overrides=OVERRIDES,
        progress=False,
    )


def test_history_has_the_scores_of_each_task_and_their_mean(result):
    history = pd.read_csv(result.folder / "history.csv")
    for score in ("val_pearson", "val_spearman", "val_mse"):
        mean = history[[f"{score}_{task}" for task in TASKS]].mean(axis=1)
        np.testing.assert_allclose(history[score], mean, rtol=1e-12)
    assert history["val_pearson_gc"].max() > 0.8
    assert history["val_pearson_at_left"].max() > 0.2


def test_targets_of_a_suite_are_those_of_their_names(result, desk):
    """The suite has the targets in another order than the run has the tasks."""
    run = dream_keras.load_run(result.folder)
    table = pd.read_csv(desk / "suite" / "rows.tsv", sep="\t")
    values = run.predict(table["seq"].tolist())
    assert values.shape == (200, 2)
    metrics = json.loads((result.folder / "metrics.json").read_text())["subsets"]
    for column, (task, subset) in enumerate(zip(TASKS, ("gc rows", "left rows"), strict=True)):
        wanted = pearson(values[:, column], table[task])
        assert metrics[subset]["pearson"] == pytest.approx(wanted, abs=1e-5)
    assert dream_keras.evaluate(result.folder).to_dict()["subsets"] == metrics


def test_predictions_have_a_column_for_each_task(result, desk):
    """With their names; so it is a submission to a suite with its targets in another order."""
    out = desk / "predictions.tsv"
    dream_keras.predict(
        result.folder, desk / "suite" / "rows.tsv", out, sequence_column="seq", progress=False
    )
    table = pd.read_csv(out, sep="\t")
    assert table.shape == (200, 3)
    assert list(table) == ["sequence", *TASKS]
    own = pd.read_csv(result.folder / "predictions.tsv", sep="\t")
    pd.testing.assert_frame_equal(own[list(table)], table, rtol=0, atol=2e-6)
    scores = [
        dream_keras.evaluate(predictions=p, suite=desk / "suite").pearson_score
        for p in (out, result.folder / "predictions.tsv")
    ]
    assert scores == pytest.approx([dream_keras.evaluate(result.folder).pearson_score] * 2)


def test_there_is_an_analysis_of_each_target(result):
    dream_keras.analyse(result.folder, progress=False)
    for task in TASKS:
        page = result.folder / "analysis" / task / "analysis.md"
        assert "## Residuals" in page.read_text()
        worst = pd.read_csv(page.with_name("worst.tsv"), sep="\t")
        assert len(worst) == 50


def test_a_resumed_run_is_finished(result):
    again = dream_keras.train(out=result.folder, resume=True, progress=False)
    pd.testing.assert_frame_equal(again.history, result.history)


def test_other_numbers_of_tasks_are_refused(desk):
    settings = {"train": desk / "train.tsv", "out": desk / "refused", "sequence_column": "seq"}
    said = r"predicts 2 values per row, but the table gives 1 \(gc\)"
    with pytest.raises(UserError, match=said):
        dream_keras.train("dream_cnn", target_columns="gc", overrides=OVERRIDES, **settings)
    assert not (desk / "refused").exists()


def test_scores_leave_missing_labels_out(random):
    measured = random.normal(size=(50, 2))
    predicted = measured + random.normal(size=(50, 2))
    known = measured.copy()
    known[:20, 1] = np.nan
    scores = validation_scores(predicted, known, ["a", "b"])
    assert scores["val_pearson_a"] == pearson(predicted[:, 0], measured[:, 0])
    assert scores["val_pearson_b"] == pearson(predicted[20:, 1], measured[20:, 1])
    alone = validation_scores(predicted[:, :1], measured[:, :1], ["a"])
    assert alone == {name: scores[f"{name}_a"] for name in alone}
    assert set(alone) == {"val_pearson", "val_spearman", "val_mse"}
