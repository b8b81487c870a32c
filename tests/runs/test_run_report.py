"""The report of a run: its scores in TensorBoard, and which weights its predictions belong to."""

import dataclasses
import hashlib
import json
import os

import keras
import numpy as np
import pytest

from dream_keras.config.experiment import load_experiment
from dream_keras.runs.folder import RunFolder, State, events_folder
from dream_keras.runs.report import write_report
from dream_keras.runs.run import Run, load_run
from dream_keras.scoring.metrics import score
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate


@pytest.fixture
def suite(tmp_path):
    return load_suite(simulate(tmp_path / "suite", 20, 600, seed=1))


@pytest.fixture
def run(tmp_path, suite):
    """A run with slim, untrained weights and its report."""
    slim = ["model.first.out_channels=8", "model.core.widths=[8]", "model.core.out_channels=8"]
    experiment = load_experiment("quickstart", [*slim, "scoring.part=public"])
    run = Run(RunFolder(tmp_path / "run"), experiment)
    run.folder.create(experiment)
    keras.utils.set_random_seed(0)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
    columns = ("loss", "learning_rate", "val_loss", "val_pearson", "val_spearman")
    epochs = [{"epoch": n, "step": 7 * n, **dict.fromkeys(columns, 0.5)} for n in (1, 2, 3)]
    write_report(run, State(3, 2, 0.5, epochs), suite, progress=False)
    return run


def test_scores_of_the_suite_stand_in_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    metrics = json.loads((run.folder.path / "metrics.json").read_text())
    events = EventAccumulator(str(run.events_folder), {"tensors": 0})
    events.Reload()

    def value(tag):
        (event,) = events.Tensors(tag)
        assert event.step == 14  # the best epoch's, whose weights were scored
        return float(make_ndarray(event.tensor_proto))

    for name in ("pearson_score", "spearman_score"):
        assert value(f"suite/{name}") == pytest.approx(metrics[name], rel=1e-6)
    for name, subset in metrics["subsets"].items():
        assert value(f"suite/r2_{name}") == pytest.approx(subset["r2"], rel=1e-6)
        assert value(f"suite/rho_{name}") == np.float32(subset["spearman"])


def runs_in_tensorboard(folder):
    """Names of the runs that TensorBoard shows."""
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    return set(EventMultiplexer().AddRunsFromDirectory(str(folder)).Runs())


def test_simulated_data_are_called_so_in_every_heading(run, suite, monkeypatch):
    """In TensorBoard, the report and the suite's name, which stands on every picture."""
    assert runs_in_tensorboard(run.folder.path.parent) == {"run/tensorboard/simulated_data"}
    report = (run.folder.path / "report.md").read_text()
    assert report.startswith("# run (simulated data)\n")
    assert suite.name.endswith("(simulated data)")


def test_pictures_of_simulated_data_are_marked(run, monkeypatch):
    from matplotlib.figure import Figure

    texts = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: texts.append(self.texts))
    columns = ("learning_rate", "loss", "val_pearson", "val_spearman")
    state = State(1, 1, 0.5, [{"epoch": 1, "step": 7, **dict.fromkeys(columns, 0.5)}])
    write_report(run, state, None)
    own = dataclasses.replace(run.experiment.data, train="measured.tsv")
    experiment = dataclasses.replace(run.experiment, data=own)
    write_report(Run(run.folder, experiment), state, None)
    assert [[text.get_text() for text in found] for found in texts] == [["simulated data"], []]


def test_only_tables_beside_a_truth_are_simulated(tmp_path, suite):
    """A table that the simulator wrote, given by its name; one of the user's own."""
    (tmp_path / "own").mkdir()
    for folder, names in [(suite.source, "simulated_data"), (tmp_path / "own", "tensorboard")]:
        experiment = load_experiment("quickstart", settings={"data.train": f"{folder}/train.txt"})
        run = Run(RunFolder(tmp_path / "run"), experiment)
        assert run.events_folder.name == names
    converted = load_experiment("quickstart", settings={"weights_from": "published.pth"})
    assert not Run(RunFolder(tmp_path / "run"), converted).has_simulated_rows


def test_a_run_of_an_earlier_version_keeps_its_events_together(tmp_path):
    events = tmp_path / "tensorboard"
    assert events_folder(events, simulated=True) == events / "simulated_data"
    events.mkdir()
    (events / "events.out.tfevents.1.machine").touch()
    assert events_folder(events, simulated=True) == events


def test_predictions_are_those_of_the_weights_that_are_there(run, suite, caplog):
    """Whichever file is newer: the leaderboard and ``evaluate`` must give one score."""
    weights, rows = run.folder.best_weights, suite.rows("public")
    checksum = hashlib.sha256(weights.read_bytes()).hexdigest()
    sidecar = run.folder.path / "predictions.sha256"
    assert sidecar.read_text() == f"{checksum}  best.weights.h5\n"
    with caplog.at_level("INFO"):
        taken = load_run(run.folder).find_predictions(suite, "public", False)
    assert "taking the predictions" in caplog.text
    metrics = json.loads((run.folder.path / "metrics.json").read_text())
    known = score(suite, taken, "public").pearson_score
    assert known == pytest.approx(metrics["pearson_score"], abs=1e-4)

    keras.utils.set_random_seed(1)
    run.folder.save_weights(run.untrained_network(), weights)
    os.utime(weights, (1, 1))
    with caplog.at_level("INFO"):
        found = load_run(run.folder).find_predictions(suite, "public", False)
    assert "predictions.sha256 says that other weights made it" in caplog.text
    anew = load_run(run.folder).predict_suite(suite, "public", False)
    np.testing.assert_array_equal(found[rows], anew[rows])
    assert np.abs(found - taken)[rows].max() > 1e-3
