"""Runs in a bucket. TensorFlow's file layer has one in memory, ram://, that stands in for gs://."""

import importlib.util
import logging

import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.common.remote import absolute, is_remote, local_copy
from dream_keras.runtime.steps import Steps

SMALL = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "trainer.batch_size=16",
    "trainer.epochs=2",
    "trainer.steps_per_epoch=6",
    "runtime.checkpoint_minutes=0",
]


@pytest.fixture(scope="module")
def gfile():
    import tensorflow as tf

    return tf.io.gfile


@pytest.fixture
def bucket(gfile, request):
    address = f"ram://{request.node.name}"
    gfile.makedirs(address)
    return address


def put(gfile, source, address):
    gfile.makedirs(address.rsplit("/", 1)[0])
    if gfile.exists(address):
        gfile.remove(address)  # ram:// appends to a file that is there
    gfile.copy(str(source), address)


def small_run(table, out, **settings):
    return dream_keras.train(
        "dream_cnn", train=table, out=out, overrides=SMALL, deterministic=True, seed=4, **settings
    )


def names(gfile, address):
    found = {f"{top}/{name}" for top, _, files in gfile.walk(address) for name in files}
    return {name.removeprefix(f"{address}/") for name in found}


def variables(path):
    with np.load(path) as saved:
        return [saved[name] for name in saved.files if name.startswith("variable")]


def test_addresses():
    assert is_remote("gs://bucket/run")
    assert not is_remote("runs/mine")
    assert absolute("gs://bucket/run") == "gs://bucket/run"
    assert absolute("runs").startswith("/")


def test_a_run_in_a_bucket_is_broken_off_resumed_and_used(
    gfile, bucket, training_table, tmp_path, monkeypatch
):
    """Table, suite and run are in the bucket; the result is that of a run on the disk."""
    from dream_keras.simulate import simulate

    suite = simulate(tmp_path / "suite", 100, 600, seed=0)
    for file in suite.rglob("*"):
        if file.is_file():
            put(gfile, file, f"{bucket}/suite/{file.relative_to(suite).as_posix()}")
    put(gfile, training_table, f"{bucket}/train.txt")
    whole = small_run(training_table, tmp_path / "whole", suite=suite)

    train, calls = Steps.train, []

    def breaking(self, batches):
        calls.append(batches)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return train(self, batches)

    monkeypatch.setattr(Steps, "train", breaking)
    run = f"{bucket}/runs/mine"
    with pytest.raises(KeyboardInterrupt):
        small_run(f"{bucket}/train.txt", run, suite=f"{bucket}/suite")
    monkeypatch.setattr(Steps, "train", train)
    assert "state.npz" in names(gfile, run)
    assert "report.md" not in names(gfile, run)
    with pytest.raises(UserError, match=f"{run} exists already"):
        small_run(f"{bucket}/train.txt", run)

    resumed = dream_keras.train(out=run, resume=True)
    assert resumed.metrics == whole.metrics
    here = {f.relative_to(whole.folder).as_posix() for f in whole.folder.rglob("*") if f.is_file()}
    events = {name for name in here if name.startswith("tensorboard")}
    assert names(gfile, run) >= here - events
    assert not any(".writing-" in name for name in names(gfile, run))
    gfile.copy(f"{run}/state.npz", str(tmp_path / "state.npz"))
    pairs = zip(
        variables(tmp_path / "state.npz"), variables(whole.folder / "state.npz"), strict=True
    )
    for got, want in pairs:
        np.testing.assert_array_equal(got, want)

    card = dream_keras.evaluate(run, suite=f"{bucket}/suite")
    assert card.pearson_score == pytest.approx(whole.metrics["pearson_score"], rel=1e-3)
    dream_keras.analyse(run)
    assert "analysis/analysis.md" in names(gfile, run)


def test_a_bucket_that_cannot_be_written_is_said_before_training(
    gfile, bucket, training_table, monkeypatch, caplog
):
    import tensorflow as tf

    def refuse(*arguments, **settings):
        raise tf.errors.PermissionDeniedError(None, None, "no")

    monkeypatch.setattr(gfile, "copy", refuse)
    with pytest.raises(UserError, match=f"{bucket}/run could not be written. The run is in "):
        small_run(training_table, f"{bucket}/run")


def test_a_checkpoint_that_cannot_be_sent_is_sent_later(
    gfile, bucket, training_table, monkeypatch, caplog
):
    import tensorflow as tf

    rename, sent = gfile.rename, []

    def moody(source, target, overwrite=False):
        if target.endswith("state.npz"):
            sent.append(target)
            if len(sent) == 3:
                raise tf.errors.UnavailableError(None, None, "busy")
        rename(source, target, overwrite=overwrite)

    monkeypatch.setattr(gfile, "rename", moody)
    with caplog.at_level(logging.WARNING):
        small_run(training_table, f"{bucket}/run")
    assert caplog.text.count("could not be written, but will be tried again") == 1
    assert len(sent) > 4
    assert "report.md" in names(gfile, f"{bucket}/run")


def test_a_copy_is_made_once_and_again_when_the_file_changes(gfile, bucket, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    put(gfile, tmp_path / "a.txt", f"{bucket}/a.txt")
    copy = local_copy(f"{bucket}/a.txt")
    assert (copy.name, copy.read_text()) == ("a.txt", "one")
    before = copy.stat().st_mtime_ns
    assert local_copy(f"{bucket}/a.txt").stat().st_mtime_ns == before
    (tmp_path / "a.txt").write_text("another")
    put(gfile, tmp_path / "a.txt", f"{bucket}/a.txt")
    assert local_copy(f"{bucket}/a.txt").read_text() == "another"
    assert local_copy(tmp_path / "a.txt") == tmp_path / "a.txt"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ram://nothing/here.txt", "ram://nothing/here.txt: no such file or folder"),
        ("zz://bucket/file", "zz://bucket/file cannot be read: .*not implemented"),
    ],
)
def test_addresses_that_cannot_be_read(address, said):
    with pytest.raises(UserError, match=said):
        local_copy(address)


def test_addresses_need_tensorflow(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="TensorFlow, which is not installed"):
        local_copy("gs://bucket/file")
