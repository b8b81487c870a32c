"""Predictions of each strand and of the bins, against predicting one row and strand at a time."""

from pathlib import Path

import keras
import numpy as np
import pytest

from dream_keras import menu
from dream_keras.analyse import inference
from dream_keras.config.experiment import load_experiment
from dream_keras.data.table import Rows, tokenize
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.run import Run
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate

ORDERS = {
    "autosome": ("{name: autosome, length: 110}", "autosome"),
    "bhi": ("{name: bhi, label_mean: 11.0, label_std: 2.0}", "autosome_regression"),
    "bhi, shifted": ("{name: bhi, shifts: 1, label_std: 2.0}", "autosome_regression"),
    "bhi, between 0 and 1": ("{name: bhi, shifts: 1, normal_cdf: true}", "autosome_regression"),
    "plain": ("{name: plain, length: 142}", "autosome_regression"),
    "profile": (
        "{name: profile, length: 142, positions: 40, jitter: 5}",
        "{name: profile, positions: 40, kernel_size: 15}",
    ),
    "unlockdna": ("{name: unlockdna, label_std: 2.0}", "autosome_regression"),
}
ONE = ("unlockdna", "profile")
"""Orders whose strands are not predicted apart."""
SINGLETON = 5
"""Channel of is_singleton that the autosome processor makes."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with random weights for each order, made when it is asked for."""
    made = {}

    def make(name):
        if name not in made:
            processor, final = ORDERS[name]
            first = "{name: autosome, out_channels: 6}"
            slots = {"processor": processor, "first": first, "final": final}
            slots["core"] = "{name: autosome, widths: [6], out_channels: 6, expansion: 1}"
            overrides = [f"model.{slot}={choice}" for slot, choice in slots.items()]
            experiment = load_experiment("quickstart", overrides)
            folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
            keras.utils.set_random_seed(1)
            folder.create(experiment)
            folder.save_weights(Run(folder, experiment).untrained_network(), folder.best_weights)
            made[name] = Run(folder, experiment)
        return made[name]

    return make


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    suite = load_suite(simulate(tmp_path_factory.mktemp("data") / "suite", 20, 600, seed=1))
    return [*suite.sequences[:4], suite.sequences[9][:70], suite.sequences[10][:95]]


def one_at_a_time(run, sequence, reverse):
    """What the network says of each view of one strand, (views,)."""
    processor = run.processor
    encoded = processor.encode(*tokenize([sequence], processor.max_length))
    said = []
    for view in processor.prediction_views(encoded):
        channels = processor.make_channels(view, np.array([reverse]), np.array([0]))
        said.append(float(run.network.expression(channels)[0, 0]))
    return np.array(said)[:, None]


def test_every_processor_is_tried():
    tried = {run.partition(",")[0] for run in ORDERS}
    folder = Path(menu.__file__).parent
    places = {name: menu.get("processor", name).place for name in menu.names("processor")}
    assert tried == {name for name, place in places.items() if place.startswith(str(folder))}


@pytest.mark.parametrize("name", [name for name in ORDERS if name not in ONE])
def test_strands_are_predicted_as_one_at_a_time(runs, sequences, name):
    run = runs(name)
    assert inference.has_strands(run)
    found = inference.predict_strands(run, sequences, progress=False)
    kind = "bins" if name == "autosome" else "value"
    for row, sequence in enumerate(sequences):
        for strand in (0, 1):
            views = one_at_a_time(run, sequence, strand)[None]
            wanted = run.processor.to_expression(views, kind)[0]
            assert found[row, strand, 0] == pytest.approx(wanted[0], rel=1e-4, abs=1e-5)
    assert (np.abs(found[:, 0] - found[:, 1]) > 1e-5).any()  # strands do differ


@pytest.mark.parametrize("name", ["autosome", "bhi", "bhi, shifted"])
def test_the_mean_of_the_strands_is_the_prediction(runs, sequences, name):
    run = runs(name)
    strands = inference.predict_strands(run, sequences, progress=False)
    whole = run.predict(sequences)[:, None]
    np.testing.assert_allclose(strands.mean(axis=1), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ONE)
def test_one_prediction_of_both_strands_is_not_told_apart(runs, name):
    assert not inference.has_strands(runs(name))


@pytest.mark.parametrize("name", list(ORDERS))
def test_only_a_network_trained_on_bins_has_them(runs, name):
    assert inference.has_bins(runs(name)) == (name == "autosome")


def test_bins_are_the_mean_of_both_strands_with_their_own_flag(runs, sequences, monkeypatch):
    monkeypatch.setattr(inference, "BATCH", 4)
    run = runs("autosome")
    processor = run.processor
    labels = np.array([8, 9.5, 17, 3.25, 0, 6.1], np.float32)
    tokens = processor.encode(*tokenize(sequences, processor.max_length))
    flags = processor.row_flags(labels[:, None].astype(np.float64))
    rows = Rows(tokens, labels[:, None], flags, np.ones(len(labels), np.float32))
    probabilities, targets = inference.predict_bins(run, rows, progress=False)
    assert probabilities.shape == targets.shape == (6, 18)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    for row, label in enumerate(labels):
        said = []
        for reverse in (0, 1):
            channels = processor.make_channels(
                rows.tokens[[row]], np.array([reverse]), np.array([label == round(label)])
            )
            assert (np.asarray(channels)[..., SINGLETON] == (label % 1 == 0)).all()
            said.append(np.asarray(run.network(channels, training=False))[0])
        np.testing.assert_allclose(probabilities[row], np.mean(said, axis=0), rtol=1e-4, atol=1e-6)
    # A label is spread with a deviation of half a bin around the middle of its bin.
    centres = targets @ np.arange(18)
    inner = (labels > 1) & (labels < 16)
    np.testing.assert_allclose(centres[inner], labels[inner], atol=0.02)


def test_a_sample_is_the_same_every_time():
    assert inference.sample(7, 10).tolist() == list(range(7))
    once, again = inference.sample(100, 10), inference.sample(100, 10)
    assert once.tolist() == again.tolist() == sorted(set(once.tolist()))
    assert len(once) == 10
    assert once.max() < 100
