"""Runs at addresses: on a stand-in for an object store, and on file:// across processes."""

import dataclasses
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.locks import LOCK, Owner
from dream_keras.common.remote import Mirror, absolute, is_remote, local_copy
from dream_keras.runtime.steps import Steps

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "trainer.batch_size=16",
    "trainer.epochs=2",
    "trainer.steps_per_epoch=6",
    "runtime.checkpoint_minutes=0",
]


class Store(MemoryFileSystem):
    """Objects in memory, under gs:// addresses, with listings that are kept until told."""

    protocol = "gs"
    store, pseudo_dirs, listings = {}, [""], {}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("gs://"))

    def ls(self, path, **settings):
        if path not in self.listings:
            self.listings[path] = super().ls(path, detail=True)
        return self.listings[path]

    def invalidate_cache(self, path=None):
        self.listings.clear()

    def mv(self, *paths, **settings):
        raise AssertionError("an object store has no rename")


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setitem(_registry, "gs", Store)
    yield Store()
    Store.store.clear()
    Store.listings.clear()
    Store.pseudo_dirs[:] = [""]


@pytest.fixture(params=["object store", "disk"])
def bucket(request, tmp_path):
    """An address of either kind."""
    if request.param == "disk":
        return f"file://{tmp_path}/bucket"
    request.getfixturevalue("store")
    return "gs://bucket"


def put(source, address):
    files, path = fsspec.url_to_fs(address)
    files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    files.put_file(str(source), path)


def small_run(table, out, **settings):
    return dream_keras.train(
        "dream_cnn", train=table, out=out, overrides=SMALL, deterministic=True, seed=4, **settings
    )


def names(address):
    files, path = fsspec.url_to_fs(address)
    return {name.removeprefix(f"{path}/") for name in files.find(path)}


def variables(path):
    with np.load(path) as saved:
        return [saved[name] for name in saved.files if name.startswith("variable")]


def test_addresses():
    assert is_remote("gs://bucket/run")
    assert not is_remote("runs/mine")
    assert absolute("gs://bucket/run") == "gs://bucket/run"
    assert absolute("runs").startswith("/")


@pytest.mark.slow
def test_a_run_in_a_bucket_is_broken_off_resumed_and_used(
    store, training_table, tmp_path, monkeypatch
):
    """Table, suite and run are in the bucket; the result is that of a run on the disk."""
    from dream_keras.simulate import simulate

    bucket = "gs://bucket"
    suite = simulate(tmp_path / "suite", 100, 600, seed=0)
    for file in suite.rglob("*"):
        if file.is_file():
            put(file, f"{bucket}/suite/{file.relative_to(suite).as_posix()}")
    put(training_table, f"{bucket}/train.txt")
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
    assert "state.npz" in names(run)
    assert "report.md" not in names(run)
    with pytest.raises(UserError, match=f"{run} exists already"):
        small_run(f"{bucket}/train.txt", run)

    resumed = dream_keras.train(out=run, resume=True)
    assert resumed.metrics == whole.metrics
    here = {f.relative_to(whole.folder).as_posix() for f in whole.folder.rglob("*") if f.is_file()}
    events = {name for name in here if name.startswith("tensorboard")}
    assert names(run) >= here - events
    assert not any(UNFINISHED in name for name in names(run))
    pairs = zip(
        variables(local_copy(f"{run}/state.npz")),
        variables(whole.folder / "state.npz"),
        strict=True,
    )
    for got, want in pairs:
        np.testing.assert_array_equal(got, want)

    card = dream_keras.evaluate(run, suite=f"{bucket}/suite")
    assert card.pearson_score == pytest.approx(whole.metrics["pearson_score"], rel=1e-3)
    dream_keras.analyse(run)
    assert "analysis/analysis.md" in names(run)


def test_a_bucket_that_cannot_be_written_is_said_before_training(
    store, training_table, monkeypatch
):
    def refuse(*paths, **settings):
        raise PermissionError("no")

    monkeypatch.setattr(Store, "put_file", refuse)
    with pytest.raises(UserError, match=r"gs://bucket/run could not be written. The run is in "):
        small_run(training_table, "gs://bucket/run")


def test_a_checkpoint_that_cannot_be_sent_is_sent_later(store, training_table, monkeypatch, caplog):
    sent, put_file = [], Store.put_file

    def moody(self, source, target, **settings):
        if target.endswith("state.npz"):
            sent.append(target)
            if len(sent) == 3:
                raise ConnectionError("busy")
        put_file(self, source, target, **settings)

    monkeypatch.setattr(Store, "put_file", moody)
    with caplog.at_level(logging.WARNING):
        small_run(training_table, "gs://bucket/run")
    assert (
        caplog.text.count(
            "state.npz could not be written, but will be tried again: ConnectionError: busy"
        )
        == 1
    )
    assert len(sent) > 4
    assert "report.md" in names("gs://bucket/run")


@pytest.fixture
def mirror(bucket):
    mirror = Mirror(f"{bucket}/run")
    (mirror.folder / "plots").mkdir(parents=True)
    for name in ("a.txt", "plots/b.png", "z.txt"):
        (mirror.folder / name).write_text("one")
    return mirror


def test_changed_files_are_sent_once_and_the_one_that_refers_to_them_last(mirror, monkeypatch):
    sent = []
    monkeypatch.setattr(
        "dream_keras.common.remote._upload", lambda source, target: sent.append(target)
    )
    mirror.send(last="a.txt")
    mirror.send(last="a.txt")
    assert sent == [f"{mirror.address}/{name}" for name in ("plots/b.png", "z.txt", "a.txt")]
    (mirror.folder / "z.txt").write_text("another")
    (mirror.folder / f"{UNFINISHED}c.txt").write_text("half")
    mirror.send(last="a.txt")
    assert sent[3:] == [f"{mirror.address}/z.txt"]


def test_what_refers_to_files_that_could_not_be_sent_is_not_sent(mirror, monkeypatch):
    def refuse(self, source, target, **settings):
        if "b.png" in target:
            raise OSError("no")
        put_file(self, source, target, **settings)

    kind = type(fsspec.url_to_fs(mirror.address)[0])
    put_file = kind.put_file
    monkeypatch.setattr(kind, "put_file", refuse)
    mirror.send(last="a.txt")
    assert names(mirror.address) == set()
    monkeypatch.setattr(kind, "put_file", put_file)
    mirror.send_all()
    assert names(mirror.address) == {"a.txt", "plots/b.png", "z.txt"}


def test_an_upload_cut_off_leaves_the_old_file(tmp_path, monkeypatch):
    """On a file system that shows files while they are being written."""
    mirror = Mirror(f"file://{tmp_path}/run")
    mirror.folder.mkdir()
    (mirror.folder / "state.npz").write_text("whole")
    mirror.send_all()

    def half(self, source, target, **settings):
        Path(target).write_text(Path(source).read_text()[:3])
        raise ConnectionError("gone")

    (mirror.folder / "state.npz").write_text("newer")
    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "put_file", half)
        mirror.send()
    assert (tmp_path / "run/state.npz").read_text() == "whole"
    assert (local_copy(mirror.address) / "state.npz").read_text() == "whole"
    assert not list(local_copy(mirror.address).glob(f"{UNFINISHED}*"))
    mirror.send_all()
    assert (tmp_path / "run/state.npz").read_text() == "newer"
    assert names(mirror.address) == {"state.npz"}


@pytest.mark.parametrize("sent", [True, False])
def test_the_folder_goes_when_the_process_ends_unless_something_is_unsent(tmp_path, sent):
    code = f"""
from dream_keras.common.remote import Mirror
mirror = Mirror("file://{tmp_path}/run")
mirror.folder.mkdir()
(mirror.folder / "a.txt").write_text("one")
if {sent}:
    mirror.send_all()
print(mirror.folder.parent)
"""
    folder = Path(fresh(code).strip())
    assert folder.exists() != sent
    assert (tmp_path / "run/a.txt").exists() == sent
    shutil.rmtree(folder, ignore_errors=True)


def test_what_is_at_the_address_is_there_at_first(bucket, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    put(tmp_path / "a.txt", f"{bucket}/run/plots/a.txt")
    mirror = Mirror(f"{bucket}/run/")
    assert (mirror.folder / "plots/a.txt").read_text() == "one"
    assert mirror.folder.name == "run"
    shutil.rmtree(mirror.folder)
    mirror.send_all()
    assert names(f"{bucket}/run") == {"plots/a.txt"}


def test_a_copy_is_made_once_and_again_when_the_file_changes(bucket, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    put(tmp_path / "a.txt", f"{bucket}/a.txt")
    copy = local_copy(f"{bucket}/a.txt")
    assert (copy.name, copy.read_text()) == ("a.txt", "one")
    before = copy.stat().st_ino
    assert local_copy(f"{bucket}/a.txt").stat().st_ino == before
    (tmp_path / "a.txt").write_text("two")
    put(tmp_path / "a.txt", f"{bucket}/a.txt")
    assert local_copy(f"{bucket}/a.txt").read_text() == "two"
    assert local_copy(tmp_path / "a.txt") == tmp_path / "a.txt"


def test_a_folder_is_copied_as_it_is_now(bucket, tmp_path):
    """Files that are no longer there, or are being written, do not stay or come along."""
    (tmp_path / "a.txt").write_text("one")
    for name in ("a.txt", "b/c.txt", "b/d/e.txt", f"b/{UNFINISHED}f"):
        put(tmp_path / "a.txt", f"{bucket}/folder/{name}")
    copy = local_copy(f"{bucket}/folder")
    found = {f.relative_to(copy).as_posix() for f in copy.rglob("*") if f.is_file()}
    assert found == {"a.txt", "b/c.txt", "b/d/e.txt"}
    files, path = fsspec.url_to_fs(f"{bucket}/folder/b/d/e.txt")
    files.rm(path)
    assert local_copy(f"{bucket}/folder") == copy
    found = {f.relative_to(copy).as_posix() for f in copy.rglob("*") if f.is_file()}
    assert found == {"a.txt", "b/c.txt"}


def test_an_object_that_marks_a_folder_is_no_file(store, tmp_path, monkeypatch):
    """Consoles make folders as empty objects whose names end in a slash."""
    (tmp_path / "a.txt").write_text("one")
    put(tmp_path / "a.txt", "gs://bucket/marked/a.txt")
    marker = {"name": "/bucket/marked/", "type": "file", "size": 0}
    info, ls = Store.info, Store.ls

    def marked_info(self, path, **settings):
        return marker if path == "/bucket/marked" else info(self, path, **settings)

    monkeypatch.setattr(Store, "info", marked_info)
    monkeypatch.setattr(Store, "isfile", lambda self, path: path in self.store)
    monkeypatch.setattr(Store, "ls", lambda self, path, **settings: [marker, *ls(self, path)])
    assert [f.name for f in local_copy("gs://bucket/marked").iterdir()] == ["a.txt"]


def test_names_in_a_store_cannot_leave_the_folder(store):
    store.store["/bucket/foreign/../evil.txt"] = store.open("/bucket/foreign/a.txt", "wb")
    copy = local_copy("gs://bucket/foreign")
    assert [f.name for f in copy.parent.rglob("*") if f.is_file()] == ["a.txt"]


def test_addresses_that_cannot_be_read(store, monkeypatch):
    with pytest.raises(UserError, match=r"^gs://nothing/here.txt: no such file or folder$"):
        local_copy("gs://nothing/here.txt")
    with pytest.raises(UserError, match=r"^zz://bucket/file: .*zz.* Use gs://, s3:// or another"):
        local_copy("zz://bucket/file")

    def refuse(*paths, **settings):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(Store, "info", refuse)
    for read in (local_copy, Mirror):
        with pytest.raises(
            UserError, match=r"^gs://bucket/file cannot be read: PermissionError: Forbidden$"
        ):
            read("gs://bucket/file")


@pytest.mark.parametrize(
    ("address", "package", "said"),
    [
        ("gs://bucket/file", "gcsfs", r"the extra \[gcs\] of dream-keras.*: pip install gcsfs$"),
        ("s3://bucket/file", "s3fs", r"the extra \[s3\] of dream-keras.*: pip install s3fs$"),
        ("abfs://bucket/file", "adlfs", "adlfs"),
    ],
)
def test_a_package_that_is_missing_is_named(monkeypatch, address, package, said):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(_registry, address.split("://")[0], raising=False)
    for read in (local_copy, Mirror):
        with pytest.raises(UserError, match=f"^{address}: .*{said}"):
            read(address)


def fresh(code, **variables):
    """Run code in a process of its own and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_at_an_address_needs_no_tensorflow(training_table, tmp_path):
    pytest.importorskip("jax")
    bucket = f"file://{tmp_path}/bucket"
    put(training_table, f"{bucket}/train.txt")
    code = f"""
import sys
sys.modules["tensorflow"] = None
import dream_keras
settings = {{"out": "{bucket}/run", "overrides": {[*SMALL, "trainer.epochs=1"]}}}
dream_keras.train("dream_cnn", train="{bucket}/train.txt", **settings)
"""
    fresh(code, KERAS_BACKEND="jax")
    assert {"state.npz", "best.weights.h5", "report.md"} <= names(f"{bucket}/run")
    assert '"backend": "jax"' in (local_copy(f"{bucket}/run") / "environment.json").read_text()


# Two processes and one address.
def test_an_address_in_use_is_left_alone_or_taken_over(bucket, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("1")
    put(tmp_path / "file", f"{bucket}/runs/mine/config.yaml")
    first, second = (Mirror(f"{bucket}/runs/mine") for _ in range(2))
    with first.claimed():
        said = rf"another process .*process {os.getpid()} on"
        with pytest.raises(UserError, match=said), second.claimed():
            pass
        (first.folder / "weights").write_text("first")
        first.send_all()
        here = Owner.here()
        monkeypatch.setattr(Owner, "here", lambda: dataclasses.replace(here, pid=1, host="b"))
        monkeypatch.setattr("socket.gethostname", lambda: "b")
        with second.claimed():
            assert "taken over from" in caplog.text
            (first.folder / "weights").write_text("late")
            with pytest.raises(UserError, match=r"taken over by another process .*1 on b"):
                first.send()
            (second.folder / "weights").write_text("second")
            second.send_all()
    assert local_copy(f"{bucket}/runs/mine/weights").read_text() == "second"
    files, root = fsspec.url_to_fs(f"{bucket}/runs/mine")
    assert not files.exists(f"{root}/{LOCK}")
