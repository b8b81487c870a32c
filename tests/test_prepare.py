"""``dream_keras.prepare``, and training from what it makes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data import shard_writer, shards
from dream_keras.data.table import load_rows
from dream_keras.prepare import main
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.run import Run

TINY = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "trainer.batch_size=16",
    "trainer.epochs=2",
    "trainer.steps_per_epoch=4",
]


@pytest.fixture(scope="module")
def prepared(training_table, tmp_path_factory):
    """The 400 rows of the training table in 13 blocks and 4 shards."""
    out = tmp_path_factory.mktemp("prepared") / "rows"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_writer, "BLOCK_ROWS", 32)
        main([str(training_table), "--out", str(out), "--shards", "4", "--config", "dream_cnn"])
    return out


def train(table, out, *overrides, **settings):
    return dream_keras.train(
        "dream_cnn",
        train=table,
        out=out,
        overrides=[*TINY, *overrides],
        progress=False,
        **settings,
    )


def opened(folder):
    experiment = dream_keras.load_experiment("dream_cnn")
    settings = experiment.processor_settings()
    return shards.open_shards(folder, experiment.make_processor(), settings)


def test_the_rows_are_those_of_the_table(prepared, training_table):
    processor = dream_keras.load_experiment("dream_cnn").make_processor()
    expected, got = load_rows(training_table, processor), opened(prepared).load()
    np.testing.assert_array_equal(got.tokens, expected.tokens)
    np.testing.assert_array_equal(got.labels, expected.labels)
    assert opened(prepared).manifest.source == "train.txt"


def test_a_folder_of_simulated_rows_says_so(prepared, training_table, tmp_path):
    (tmp_path / "truth").mkdir()
    table = shutil.copy(training_table, tmp_path / "train.txt")
    folder = dream_keras.prepare(table, tmp_path / "elsewhere" / "rows", 1, "dream_cnn")
    assert opened(folder).manifest.source == "train.txt (simulated data)"
    for rows, simulated in ((folder, True), (prepared, False)):
        experiment = dream_keras.load_experiment("dream_cnn", settings={"data.train": str(rows)})
        assert Run(RunFolder(tmp_path / "run"), experiment).has_simulated_rows == simulated


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    return train(prepared, tmp_path_factory.mktemp("run") / "run", seed=4, deterministic=True)


def test_training_streams_from_the_folder(finished, prepared):
    with np.load(finished.folder / "state.npz") as saved:
        train, validation = json.loads(str(saved["state"]))["data"].split()
    assert train.endswith("-blocks")
    held_out = opened(prepared).hold_out(0.1, seed=4)
    assert [train.split("-")[0], validation.split("-")[0]] == [str(len(r)) for r in held_out]
    assert len(finished.history) == 2
    assert np.isfinite(finished.history["loss"]).all()


def test_a_broken_run_resumes_to_the_same_losses(finished, prepared, tmp_path, monkeypatch):
    from dream_keras.training.engine import Engine

    validate, count = Engine._validate, []

    def interrupted(self, *arguments):
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return validate(self, *arguments)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, out, seed=4, deterministic=True)
    resumed = dream_keras.train(out=out, resume=True, progress=False)
    for column in ("loss", "val_pearson"):
        assert resumed.history[column].tolist() == finished.history[column].tolist()


def test_resume_refuses_other_rows_in_the_same_folder(
    finished, training_table, tmp_path, monkeypatch
):
    monkeypatch.setattr(shard_writer, "BLOCK_ROWS", 32)
    lines = training_table.read_text().splitlines(keepends=True)
    np.random.default_rng(1).shuffle(lines)
    (tmp_path / "train.txt").write_text("".join(lines))
    dream_keras.prepare(tmp_path / "train.txt", tmp_path / "rows", 4, "dream_cnn")
    run = shutil.copytree(finished.folder, tmp_path / "run")
    with pytest.raises(UserError, match="have changed since"):
        dream_keras.train(out=run, resume=True, train=tmp_path / "rows")


@pytest.mark.parametrize("validation", ["table", "folder"])
def test_validation_may_be_a_table_or_a_folder(prepared, training_table, validation):
    from dream_keras.runs.rows import load_data

    path = training_table if validation == "table" else prepared
    settings = {"data.train": str(prepared), "data.validation": str(path)}
    experiment = dream_keras.load_experiment("dream_cnn", settings=settings)
    run = Run(RunFolder(prepared), experiment)
    rows, held_out = load_data(run)
    assert isinstance(rows, shards.ShardedRows)
    assert len(rows) == len(held_out) == 400
    assert held_out.labels.tolist() == rows.labels.tolist()


def test_few_rows_are_taken_from_the_front(prepared):
    from dream_keras.runs.rows import load_data

    settings = {"data.train": str(prepared), "data.max_rows": 50}
    experiment = dream_keras.load_experiment("dream_cnn", settings=settings)
    run = Run(RunFolder(prepared), experiment)
    kept, held_out = load_data(run)
    assert sorted([*kept.labels, *held_out.labels]) == sorted(opened(prepared).load().labels[:50])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"split": "similarity"}, "Split the table first"),
        ({"overrides": [*TINY, "model.processor.length=110"]}, "length=150, but this one has l"),
        ({"overrides": [*TINY, "data.adapters=add"]}, "no data.adapters, but this one has data.a"),
    ],
)
def test_what_a_prepared_folder_cannot_give_is_refused(prepared, tmp_path, settings, said):
    given = {"overrides": TINY, **settings}
    with pytest.raises(UserError, match=said):
        dream_keras.train("dream_cnn", train=prepared, out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_damage_is_found_before_the_first_step(prepared, tmp_path):
    for file in prepared.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    victim = tmp_path / "rows-00002-of-00004.tfrecord"
    content = bytearray(victim.read_bytes())
    content[100] ^= 4
    victim.write_bytes(content)
    with pytest.raises(UserError, match=r"rows-00002-of-00004.tfrecord: record 0 of 3 does not"):
        train(tmp_path, tmp_path / "run")


def test_bad_rows_are_refused_or_written_down(training_table, tmp_path):
    table = tmp_path / "bad.txt"
    table.write_text(training_table.read_text() + "ACGU\t1\n")
    with pytest.raises(UserError, match=r"bad.txt:401: letter 'U'.*--on-bad-row skip"):
        dream_keras.prepare(table, tmp_path / "rows", 1, "dream_cnn")
    assert [file.name for file in tmp_path.iterdir()] == ["bad.txt"]
    dream_keras.prepare(table, tmp_path / "rows", 1, "dream_cnn", on_bad_row="skip")
    assert opened(tmp_path / "rows").manifest.skipped == 1
    written = (tmp_path / "rows" / "skipped_rows.tsv").read_text().splitlines()
    assert written[0] == "line\treason\tdetail\ttext\tname"
    assert written[1].startswith("401\tletter\tletter 'U' at position 4")
    assert written[1].endswith('\t"ACGU\t1"\tACGU')


def test_it_runs_on_jax_without_tensorflow(training_table, tmp_path):
    pytest.importorskip("jax")
    script = (
        "import os, sys; sys.modules['tensorflow'] = None; os.environ['KERAS_BACKEND'] = 'jax'\n"
        "from dream_keras.prepare import main\n"
        f"main([{str(training_table)!r}, *'--out rows --shards 1 --config dream_cnn'.split()])\n"
        "print('DONE')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("DONE\n")
    assert len(opened(tmp_path / "rows")) == 400
