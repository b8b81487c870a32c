"""Trials with real training: two tiny orders, and one on two parts of the CPU."""

import fake_trials
import numpy as np
import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from dream_keras.config.experiment import load_experiment
from dream_keras.search import search, worker
from dream_keras.search.chief import Task
from dream_keras.search.child import Child
from dream_keras.search.plan import load_plan

TWO_ORDERS = [
    "model.processor={choose: [{name: autosome, length: 110}, bhi]}",
    "model.core={name: unlockdna, layers: 1, num_heads: 1}",
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Run a small search; the seed is not the default one."""
    from conftest import SPACE

    folder = tmp_path_factory.mktemp("search")
    space = folder / "space.yaml"
    space.write_text(SPACE)
    out = folder / "out"
    result = search(space, out=out, overrides=TWO_ORDERS, objective="pearson_score", seed=3)
    return out, result


def test_a_trial_is_an_ordinary_run(searched):
    out, result = searched
    assert result.trials["status"].tolist() == ["completed"] * 2
    for row in result.trials.itertuples():
        run = out / "trials" / row.trial / "seed-3"
        history = pd.read_csv(run / "history.csv")
        assert len(history) == 2
        assert row.val_pearson == pytest.approx(history["val_pearson"].max())
        assert (run / "best.weights.h5").exists()
        assert yaml.safe_load((run / "metrics.json").read_text())["pearson_score"] == row.score
        experiment = load_experiment(run / "config.yaml")
        assert experiment.trainer.options["seed"] == 3
        assert experiment.data.max_length == 127
    assert result.trials["weights"].gt(1000).all()


def test_all_trials_saw_the_same_rows(searched):
    out, _ = searched
    counts = set()
    for run in (out / "trials").glob("*/seed-3"):
        with np.load(run / "state.npz") as state:
            rows = yaml.safe_load(str(state["state"]))["data"].split()
        counts.add(tuple(part.partition("-")[0] for part in rows))
    assert counts == {("600", "67")}


@pytest.mark.slow
def test_the_best_order_is_ready_to_train(searched, tmp_path):
    out, result = searched
    best = result.trials.nlargest(1, "score").iloc[0]
    with Child() as child:
        val_pearson, score = child.run(
            fake_trials.train_file, str(out / "best.yaml"), str(tmp_path / "run")
        )
    assert val_pearson == pytest.approx(best["val_pearson"], abs=1e-4)
    assert score == pytest.approx(best["score"], abs=1e-3)


def hparams(folder):
    """Return what the HParams tab reads from a folder's events, and its scalars' names."""
    (file,) = folder.glob("events.out.tfevents*")
    found, scalars = {}, set()
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            plugin = value.metadata.plugin_data
            if plugin.plugin_name == metadata.PLUGIN_NAME:
                data = plugin_data_pb2.HParamsPluginData.FromString(plugin.content)
                found[value.tag] = getattr(data, data.WhichOneof("data"))
            else:
                scalars.add(value.tag)
    return found, scalars


def test_tensorboard_shows_the_trials_as_hparams(searched):
    out, result = searched
    config, _ = hparams(out / "trials")
    experiment = config[metadata.EXPERIMENT_TAG]
    (info,) = experiment.hparam_infos
    assert info.name == "processor"
    assert [v.string_value for v in info.domain_discrete.values] == ["autosome", "bhi"]
    assert experiment.metric_infos[0].name.tag == "pearson_score"
    for row in result.trials.itertuples():
        trial, scalars = hparams(out / "trials" / row.trial / "simulated_data")
        begun = trial[metadata.SESSION_START_INFO_TAG]
        assert begun.group_name == row.trial
        assert begun.hparams["processor"].string_value == row.processor
        assert trial[metadata.SESSION_END_INFO_TAG].status == 1  # success
        assert {"pearson_score", "val_pearson", "weights"} <= scalars


@pytest.mark.slow
def test_a_broken_trial_goes_on_from_its_last_epoch(
    space_file, training_table, tmp_path, monkeypatch
):
    """A crash after the first epoch; the second try trains the second one only.

    On two parts of the CPU, which a process can hold for one run only.
    """
    changes = {"data.train": str(training_table), "runtime.strategy": "mirrored:2"}
    plan = load_plan(space_file(), (), changes)
    answers = {"processor": "bhi", "core": "unlockdna", "core[unlockdna].num_heads": "1"}
    config = plan.experiment(answers).plain()
    task = Task(1, config, [0], "val_pearson", 60)
    with Child() as child:
        monkeypatch.setattr(worker, "run_repeat", fake_trials.killed_after_an_epoch)
        outcome = worker.run_trial(task, config, tmp_path / "broken", child)
        assert "signal 9" in outcome.reason
        run = tmp_path / "broken" / "trials" / "0001" / "seed-0"
        before = pd.read_csv(run / "history.csv")
        monkeypatch.undo()
        resumed = worker.run_trial(task, config, tmp_path / "broken", child)
        whole = worker.run_trial(task, config, tmp_path / "whole", child)
        again = worker.run_trial(task, config, tmp_path / "whole", child)
    history = pd.read_csv(run / "history.csv")
    assert len(before) == 1
    pd.testing.assert_frame_equal(history.iloc[:1], before)
    assert len(history) == 2
    (broken,), (unbroken,) = resumed.repeats, whole.repeats
    assert broken["val_pearson"] == pytest.approx(unbroken["val_pearson"], abs=1e-5)
    assert again == whole  # read, not trained: its seconds are the same
    assert load_experiment(run / "config.yaml").runtime.strategy == "mirrored:2"
