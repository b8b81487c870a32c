"""Ensembles: the mean of their members in every command, and training them."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.interpret.gradients import one_hot
from dream_keras.interpret.predictor import run_predictor
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.run import Run
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
CNN = ["model.first.out_channels=4", "model.core.widths=[4]", "model.core.out_channels=4"]
RNN = ["model.first.out_channels=8", "model.core.out_channels=8", "model.core.units=4"]


def untrained(folder, config, overrides, seed):
    """Make a run with slim, untrained weights."""
    experiment = load_experiment(config, overrides)
    run = Run(RunFolder(folder), experiment)
    run.folder.create(experiment)
    keras.utils.set_random_seed(seed)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A suite, two networks of one order, one of another with another encoding, their ensemble."""
    folder = tmp_path_factory.mktemp("desk")
    simulate(folder / "suite", 20, 600, seed=1)
    suite = f"scoring.suite={folder / 'suite'}"
    for number, (config, overrides) in enumerate(
        [("dream_cnn", CNN), ("dream_cnn", CNN), ("dream_rnn", RNN)], 1
    ):
        untrained(folder / f"run{number}", config, [*overrides, suite], seed=number)
    runs = [folder / f"run{number}" for number in (3, 1, 2)]
    card = dream_keras.ensemble(runs, folder / "ensemble", progress=False)
    assert (
        card.pearson_score
        == json.loads((folder / "ensemble/metrics.json").read_text())["pearson_score"]
    )
    return folder


@pytest.fixture(scope="module")
def opened(desk):
    return dream_keras.load_run(desk / "ensemble")


@pytest.fixture(scope="module")
def sequences():
    random = np.random.default_rng(0)
    return [LEFT + "".join(random.choice(list("ACGT"), n)) + RIGHT for n in (80, 78, 80, 60)]


@pytest.fixture(scope="module")
def apart(desk, sequences):
    """What each member predicts on its own, (members, rows)."""
    runs = [dream_keras.load_run(desk / f"run{n}") for n in (1, 2, 3)]
    return np.array([run.predict(sequences) for run in runs])


def test_sequences_get_the_mean_of_the_members(opened, sequences, apart):
    assert len(opened.members) == 3
    assert opened.processor.max_length == min(m.processor.max_length for m in opened.members)
    np.testing.assert_allclose(opened.predict(sequences), apart.mean(axis=0), rtol=1e-6)
    each = opened.predict_distribution(sequences).values[..., 0]
    np.testing.assert_allclose(np.sort(each, axis=0), np.sort(apart, axis=0), rtol=1e-6)


def test_files_get_the_mean_and_the_spread(desk, sequences, apart, tmp_path):
    (tmp_path / "in.txt").write_text("\n".join(sequences))
    dream_keras.predict(desk / "ensemble", tmp_path / "in.txt", tmp_path / "out.tsv")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert list(table.columns) == ["sequence", "expression", "expression_sd"]
    np.testing.assert_allclose(table["expression"], apart.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(table["expression_sd"], apart.std(axis=0, ddof=1), atol=1e-6)
    returned = dream_keras.predict(desk / "ensemble", tmp_path / "in.txt")
    np.testing.assert_allclose(returned, table["expression"], atol=1e-6)


def test_suites_get_the_mean_also_from_a_file_with_the_spread(desk, opened, tmp_path):
    suite = load_suite(desk / "suite")
    alone = [member.predict_suite(suite) for member in opened.members]
    np.testing.assert_allclose(opened.predict_suite(suite), np.mean(alone, axis=0), rtol=1e-6)
    (tmp_path / "in.txt").write_text("\n".join(suite.sequences))
    dream_keras.predict(desk / "ensemble", tmp_path / "in.txt", tmp_path / "out.tsv")
    card = dream_keras.evaluate(predictions=tmp_path / "out.tsv", suite=desk / "suite")
    assert card.pearson_score == pytest.approx(
        dream_keras.evaluate(desk / "ensemble").pearson_score, rel=1e-2
    )


def test_gradients_are_the_mean_of_the_members(desk, sequences):
    whole = run_predictor(desk / "ensemble")
    parts = whole.members
    bases, weights = one_hot(sequences[:1]), np.ones(1)
    value, slope = whole.gradients(bases, weights)
    found = [part.gradients(bases, weights) for part in parts]
    np.testing.assert_allclose(value, np.mean([v for v, _ in found], axis=0), rtol=1e-6)
    np.testing.assert_allclose(slope, np.mean([s for _, s in found], axis=0), atol=1e-7)
    assert whole.longest == min(part.longest for part in parts)


def test_effects_of_variants_have_the_spread_between_members(desk, opened, sequences, tmp_path):
    changed = [sequence[:40] + "GGGG" + sequence[44:] for sequence in sequences]
    pairs = pd.DataFrame({"ref": sequences, "alt": changed})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    dream_keras.variants(desk / "ensemble", pairs=tmp_path / "pairs.csv", out=tmp_path / "out.tsv")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t", comment="#")
    before, after = (
        opened.predict_distribution(each).values[..., 0] for each in (sequences, changed)
    )
    delta = after - before
    np.testing.assert_allclose(table["delta"], delta.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(table["delta_sd"], delta.std(axis=0, ddof=1), rtol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.target_columns=[a, b]", "model.final=autosome_regression"], "differ in the tasks"),
        (["data.adapters=add"], "differ in data.adapters"),
        (None, "is an ensemble itself"),
    ],
)
def test_members_that_do_not_fit(desk, tmp_path, overrides, said):
    other = desk / "ensemble"
    if overrides is not None:
        other = untrained(tmp_path / "other", "dream_cnn", [*CNN, *overrides], seed=0)
    with pytest.raises(UserError, match=said):
        dream_keras.ensemble([desk / "run1", other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes(desk, tmp_path):
    with pytest.raises(UserError, match="two or more"):
        dream_keras.ensemble([desk / "run1"], tmp_path / "out")
    with pytest.raises(UserError, match="exists already"):
        dream_keras.ensemble([desk / "run1", desk / "run2"], desk / "ensemble")
    with pytest.raises(UserError, match="needs a single network: give one of them, such as"):
        dream_keras.train("dream_cnn", init_from=desk / "ensemble", out=tmp_path / "tuned")


def test_members_are_trained_on_the_same_rows_and_resumed(training_table, tmp_path):
    out = tmp_path / "ensemble"
    settings = {"train": training_table, "overrides": CNN, "smoke": True, "progress": False}
    assert dream_keras.train_ensemble("dream_cnn", 2, out=out, seed=5, **settings) is None
    runs = [dream_keras.load_run(out / f"seed-{seed}") for seed in (5, 6)]
    states = [json.loads(str(np.load(run.folder.state)["state"]))["data"] for run in runs]
    assert states[0] == states[1]
    values = [run.predict([LEFT + "ACGT" * 20 + RIGHT])[0] for run in runs]
    assert values[0] != values[1]
    with pytest.raises(UserError, match="exists already"):
        dream_keras.train_ensemble("dream_cnn", 2, out=out, **settings)
    shutil.rmtree(out / "seed-6")
    (out / "config.yaml").unlink()
    dream_keras.train_ensemble("dream_cnn", 2, out=out, seed=5, resume=True, **settings)
    again = dream_keras.load_run(out).predict_distribution([LEFT + "ACGT" * 20 + RIGHT]).values
    np.testing.assert_allclose(again.ravel(), values, rtol=1e-5)
    assert "seed-6" in (out / "report.md").read_text()
