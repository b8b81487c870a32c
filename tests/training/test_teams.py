"""Whole runs with each team's own processor, blocks and trainer."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data.augment import AugmentSettings
from dream_keras.training.engine import Engine

TEAMS = {
    "autosome": {
        "first": {"name": "autosome", "out_channels": 8},
        "core": {"name": "autosome", "out_channels": 8, "widths": [8]},
        "final": "autosome",
    },
    "bhi": {
        "first": {"name": "bhi", "out_channels": 8},
        "core": {"name": "bhi", "out_channels": 8, "units": 4},
        "final": {"name": "bhi", "hidden": 4},
    },
    "unlockdna": {
        "first": {"name": "unlockdna", "out_channels": 8},
        "core": {"name": "unlockdna", "layers": 1},
        "final": "unlockdna",
    },
}
AUGMENT = {"mutation": 0.1, "deletion": 8, "clean_epochs": 1}
"""Two of the three epochs see changed rows."""
each_team = pytest.mark.parametrize("team", TEAMS)


def settings(team, **trainer):
    rates = {"unlockdna": {"warmup_steps": 4, "learning_rate": 0.003}}.get(team, {})
    return {
        "model": {"processor": team, **TEAMS[team]},
        "augment": AUGMENT if team == "bhi" else {},
        "trainer": {
            "name": team,
            "batch_size": 16,
            "epochs": 3,
            "steps_per_epoch": 4,
            **rates,
            **trainer,
        },
    }


def train(team, folder, table, *, resume=False, overrides=(), **trainer):
    folder.mkdir(exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings(team, **trainer)))
    return dream_keras.train(
        config,
        train=table,
        out=folder / "run",
        resume=resume,
        overrides=overrides,
        deterministic=True,
        progress=False,
    )


@pytest.fixture(scope="module", params=TEAMS)
def finished(request, training_table, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, train(request.param, folder, training_table)


@pytest.mark.parametrize(
    "finished",
    ["bhi", "autosome", "unlockdna"],
    indirect=True,
)
@pytest.mark.slow
def test_a_broken_run_resumes_to_the_same_weights(finished, training_table, tmp_path, monkeypatch):
    """Changes, padding, hidden bases and dropout are drawn again as the unbroken run drew them."""
    team, whole = finished
    epoch = Engine._epoch

    def breaking(self, number, *rest):
        if number == 2:
            raise KeyboardInterrupt
        return epoch(self, number, *rest)

    monkeypatch.setattr(Engine, "_epoch", breaking)
    with pytest.raises(KeyboardInterrupt):
        train(team, tmp_path, training_table)
    monkeypatch.setattr(Engine, "_epoch", epoch)
    with pytest.raises(UserError, match=r"was trained with augment\.hard=True, not False"):
        train(team, tmp_path, training_table, resume=True, overrides=["augment.hard=false"])
    # With the config given again, whose processor names no statistics of the labels.
    resumed = train(team, tmp_path, training_table, resume=True)
    with np.load(whole.folder / "state.npz") as a, np.load(resumed.folder / "state.npz") as b:
        names = [name for name in a.files if name != "state"]
        assert len(names) > 10
        for name in names:
            np.testing.assert_array_equal(a[name], b[name])
    written = yaml.safe_load((whole.folder / "config.yaml").read_text())["augment"]
    changes = AUGMENT if team == "bhi" else {}
    assert written == dataclasses.asdict(AugmentSettings(**changes))


def test_predictions_are_on_the_labels_scale(finished, training_table):
    """The last validation error is that of predictions in label units."""
    team, result = finished
    labels = pd.read_csv(training_table, sep="\t", header=None)[1]
    written = yaml.safe_load((result.folder / "config.yaml").read_text())["model"]["processor"]
    if team == "autosome":
        assert written == "autosome"
    else:
        assert written["label_mean"] == pytest.approx([labels.mean()], abs=0.5)
        assert written["label_std"] == pytest.approx([labels.std()], rel=0.2)
    assert result.history["val_mse"].iloc[-1] < 4 * labels.var()


def test_a_run_predicts_after_it_is_opened_again(finished, training_table, tmp_path):
    _, result = finished
    sequences = pd.read_csv(training_table, sep="\t", header=None)[0][:5]
    (tmp_path / "sequences.txt").write_text("\n".join(sequences) + "\n")
    dream_keras.predict(result.folder, tmp_path / "sequences.txt", tmp_path / "out.tsv")
    values = pd.read_csv(tmp_path / "out.tsv", sep="\t", header=None)[1]
    assert values.between(-10, 30).all()
    assert values.nunique() > 1


@pytest.mark.slow
@each_team
def test_the_loss_falls(team, training_table, tmp_path):
    history = train(team, tmp_path, training_table, epochs=3, steps_per_epoch=25).history
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_labels_without_spread_are_refused(tmp_path):
    table = tmp_path / "flat.txt"
    row = "TGCATTTTTTTCACATC" + "ACGT" * 20 + "GGTTACGGCTGTT"
    table.write_text(f"{row}\t5\n" * 40)
    with pytest.raises(UserError, match="all training labels are 5"):
        train("unlockdna", tmp_path / "flat", table)


def test_rows_are_dropped_by_the_length_asked_for(training_table, tmp_path):
    table = tmp_path / "mixed.txt"
    longer = "TGCATTTTTTTCACATC" + "ACGT" * 25 + "GGTTACGGCTGTT"
    table.write_text(training_table.read_text() + f"{longer}\t5\n" * 9)
    with pytest.raises(UserError, match="9 sequences are longer than the 120 bp"):
        train("bhi", tmp_path / "refused", table, overrides=["data.max_length=120"])
    result = train(
        "bhi",
        tmp_path / "dropped",
        table,
        overrides=["data.max_length=120", "data.long_rows=drop", "trainer.epochs=1"],
    )
    assert len(result.history) == 1


def test_a_strategy_refuses_a_batch_it_cannot_share(training_table, tmp_path):
    with pytest.raises(UserError, match=r"does not divide by the 2 replicas|start a new process"):
        train(
            "bhi",
            tmp_path / "odd",
            training_table,
            batch_size=15,
            overrides=["runtime.strategy=mirrored:2"],
        )
