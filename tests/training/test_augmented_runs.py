"""Which steps of a run are trained on changed rows; test_teams.py resumes such a run."""

import dataclasses
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.check import check_experiment
from dream_keras.config.completion import without_rows
from dream_keras.config.smoke import shrink
from dream_keras.data.augment import OPERATIONS, AugmentSettings
from dream_keras.train import parser
from dream_keras.training.engine import Engine

SMALL = [
    "model.first={name: autosome, out_channels: 8}",
    "model.core={name: autosome, widths: [8], out_channels: 8}",
    "trainer.batch_size=16",
    "trainer.epochs=3",
    "trainer.steps_per_epoch=4",
]
AUGMENT = ["augment.mutation=0.1", "augment.deletion=8", "augment.clean_epochs=1"]
AUGMENTED_STEPS = 8


def train(table, out, *overrides):
    return dream_keras.train(
        "dream_cnn",
        train=table,
        out=out,
        overrides=[*SMALL, *overrides],
        deterministic=True,
        progress=False,
    )


class Reached(Exception):
    """Training would begin."""


@pytest.fixture
def stream_of(monkeypatch, tmp_path, training_table):
    """Find the stream that a run with some settings would be trained on."""
    streams = []

    def reached(self):
        streams.append(self.stream)
        raise Reached

    monkeypatch.setattr(Engine, "run", reached)

    def find(*overrides):
        with pytest.raises(Reached):
            train(training_table, tmp_path / str(len(streams)), *overrides)
        return streams[-1]

    return find


def test_the_last_epochs_are_those_of_a_run_without(stream_of):
    plain, zero, changed = (
        stream_of(*overrides) for overrides in ([], ["augment.per_row=3"], AUGMENT)
    )
    for step in range(12):
        want = plain.batch(step)
        for source, same in ((zero, True), (changed, step >= AUGMENTED_STEPS)):
            got = source.batch(step)
            assert (got.tokens == want.tokens).all() == same
            for column, expected in zip(got[1:], want[1:], strict=True):
                np.testing.assert_array_equal(column, expected)
    assert changed.settings.augment.adapters == (17, 13)
    adapters = [source.batch(0).tokens[:, -13:] for source in (plain, changed)]
    np.testing.assert_array_equal(*adapters)


def test_epochs_count_passes_where_steps_are_not_set(stream_of):
    stream = stream_of(*AUGMENT, "trainer.steps_per_epoch=null")
    assert stream.rows_per_pass == 720
    assert stream.settings.augmented_steps == 2 * (720 // 16)


def test_a_run_in_miniature_has_both_kinds_of_epochs():
    experiment = dream_keras.load_experiment(
        "dream_cnn", ["augment.inversion=20", "augment.clean_epochs=5"]
    )
    small = shrink(experiment).augment
    assert small == dataclasses.replace(experiment.augment, clean_epochs=1)


def test_a_run_from_another_one_trains_on_rows_as_they_are(tmp_path):
    """EvoAug's second stage."""
    experiment = dream_keras.load_experiment("dream_cnn", AUGMENT)
    (tmp_path / "config.yaml").write_text(experiment.to_yaml())
    config = without_rows(tmp_path / "config.yaml")
    assert dream_keras.load_experiment(config).augment == AugmentSettings()


def test_a_run_without_an_augmented_epoch_says_so(stream_of, caplog):
    stream = stream_of("augment.inversion=20", "augment.clean_epochs=4")
    assert stream.settings.augmented_steps == 0
    assert "0 of the 3 epochs are augmented: inversion" in caplog.text


def test_a_window_that_would_move_beyond_the_known_bases_is_refused(training_table, tmp_path):
    flank = "model.processor={name: plain, length: 110, downstream: ACG}"
    final = "model.final=autosome_regression"
    with pytest.raises(UserError, match=r"shift=4 needs as many bases"):
        train(training_table, tmp_path / "run", flank, final, "augment.shift=4")
    assert not (tmp_path / "run").exists()


PAGE = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text()


def test_the_page_has_every_setting_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", PAGE, re.MULTILINE)
    defaults = {name: yaml.safe_load(default) for name, default in rows}
    assert defaults == dataclasses.asdict(AugmentSettings())
    operations = [name for name, _ in rows if name in OPERATIONS]
    assert tuple(operations) == OPERATIONS


def test_the_command_and_the_config_of_the_page_are_accepted(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    command = next(line for line in PAGE.splitlines() if line.startswith("python -m"))
    given = parser().parse_args(shlex.split(command)[3:])
    sections = check_experiment(given.config, given.set)
    assert sections.augment.operations == ("deletion", "mutation")
    assert Path(given.train).exists()
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    settings = AugmentSettings(**yaml.safe_load(block)["augment"])
    assert set(settings.operations) == set(OPERATIONS) - {"shift"}
