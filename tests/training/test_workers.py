"""Several worker processes on this machine compute what one process does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from dream_keras.common.cli import EXIT_RESUME, EXIT_USER_ERROR
from dream_keras.common.errors import UserError
from dream_keras.runtime.cluster import ALONE, WorkerProcess, find_worker_process

TINY = {
    "model.first.out_channels": 8,
    "model.first.dropout": 0,  # replicas draw numbers of their own
    "model.core.widths": "[8]",
    "model.core.out_channels": 8,
    "trainer.batch_size": 16,
    "trainer.epochs": 2,
    "trainer.steps_per_epoch": 6,
    "trainer.seed": 4,
    "runtime.steps_per_call": 2,
    "trainer.learning_rate": 0.0005,  # Adam turns rounding into steps of this size
}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(out, *arguments, environment=None):
    command = [sys.executable, "-m", "dream_keras.train", "--out", str(out), *arguments]
    return subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_workers(out, *arguments, own=((), ()), scratch):
    """Start two workers, which keep what is theirs alone in ``scratch``."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"worker": addresses}
    workers = []
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(task), "TMPDIR": str(scratch)}
        workers.append(start(out, *arguments, *own[index], environment=environment))
    return workers


def end(process, status=0):
    out, said = process.communicate(timeout=300)
    assert process.returncode == status, said
    return out, said


def settings(table, suite, **changed):
    pairs = {**TINY, **changed}.items()
    files = ["--config", "dream_cnn", "--train", str(table)]
    files += ["--suite", str(suite)] if suite else []
    return [*files, *(part for key, value in pairs for part in ("--set", f"{key}={value}"))]


def variables(out):
    with np.load(out / "state.npz") as saved:
        return [saved[name] for name in saved.files if name.startswith("variable")]


def assert_same(two, one):
    assert len(variables(one)) > 30
    for got, want in zip(variables(two), variables(one), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    columns = ["epoch", "step", "loss", "val_pearson", "val_mse"]
    got, want = (pd.read_csv(out / "history.csv")[columns] for out in (two, one))
    pd.testing.assert_frame_equal(got, want, rtol=0, atol=5e-4)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    from dream_keras.simulate import simulate

    return simulate(tmp_path_factory.mktemp("suite") / "suite", 100, 600, seed=0)


@pytest.fixture(scope="module")
def one(training_table, suite, tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "run"
    end(start(out, *settings(training_table, suite), "--strategy", "none"))
    return out


@pytest.mark.slow
def test_two_workers_equal_one_process(one, training_table, suite, tmp_path, scratch):
    out = tmp_path / "run"
    arguments = (*settings(training_table, suite), "--strategy", "multiworker")
    chief, other = start_workers(out, *arguments, scratch=scratch)
    printed, said = end(chief)
    assert "strategy multiworker" in said
    assert "replicas 2, workers 2, batch 16, batch_per_replica 8" in said
    assert "Pearson Score" in printed
    assert end(other)[0] == ""  # the chief alone speaks ...
    assert not list(scratch.glob("dream_keras*"))  # ... and writes
    assert_same(out, one)
    names = {f.relative_to(out) for f in out.rglob("*") if "tensorboard" not in f.parts}
    assert names == {f.relative_to(one) for f in one.rglob("*") if "tensorboard" not in f.parts}
    assert len(list((out / "tensorboard").iterdir())) == len(list((one / "tensorboard").iterdir()))
    scores = [json.loads((run / "metrics.json").read_text()) for run in (out, one)]
    assert scores[0]["pearson_score"] == pytest.approx(scores[1]["pearson_score"], abs=5e-4)
    assert json.loads((out / "environment.json").read_text())["workers"] == 2


@pytest.mark.slow
def test_a_worker_that_goes_ends_the_other_and_both_resume(training_table, tmp_path, scratch):
    """Told to stop, then killed with -9, then resumed: equal to one process without a break."""
    steps = {"trainer.steps_per_epoch": 300, "runtime.checkpoint_minutes": 0}
    arguments = settings(training_table, None, **steps)
    one, out = tmp_path / "one", tmp_path / "two"
    end(start(one, *arguments, "--strategy", "none"))

    def steps_done():
        try:
            with np.load(out / "state.npz") as saved:
                state = json.loads(str(saved["state"]))
        except OSError:
            return 0
        return state["epoch"] * 300 + len(state["losses"])

    def wait_for(steps, workers):
        for _ in range(3000):
            if steps_done() >= steps:
                return
            assert all(worker.poll() is None for worker in workers)
            time.sleep(0.05)
        pytest.fail(f"{steps_done()} steps after 150 s")

    workers = start_workers(out, *arguments, "--strategy", "multiworker", scratch=scratch)
    wait_for(20, workers)
    workers[1].send_signal(signal.SIGTERM)  # one is told; all of them save and leave
    for worker in workers:
        end(worker, EXIT_RESUME)
    done = steps_done()
    assert 20 <= done < 600
    workers = start_workers(out, "--resume", scratch=scratch)
    wait_for(done + 20, workers)
    workers[1].kill()
    said = end(workers[0], EXIT_RESUME)[1]
    assert "worker 1 of 2 stopped, since another one has ended" in said
    assert "Traceback" not in said
    assert done + 20 <= steps_done() < 600
    for worker in start_workers(out, "--resume", scratch=scratch):
        end(worker)
    # 600 steps let the order of additions show.
    history = [pd.read_csv(run / "history.csv") for run in (out, one)]
    np.testing.assert_allclose(history[0]["loss"], history[1]["loss"], rtol=1e-3)
    assert history[0]["step"].tolist() == [300, 600]


@pytest.mark.slow
def test_workers_stream_their_shards_of_a_prepared_folder(training_table, tmp_path, scratch):
    (tmp_path / "many.txt").write_text(8 * training_table.read_text())
    prepare = [sys.executable, "-m", "dream_keras.prepare", str(tmp_path / "many.txt")]
    prepare += ["--config", "dream_cnn", "--out", str(tmp_path / "rows"), "--shards", "2"]
    subprocess.run(prepare, check=True)
    out = tmp_path / "run"
    arguments = (*settings(tmp_path / "rows", None), "--strategy", "multiworker")
    for worker in start_workers(out, *arguments, scratch=scratch):
        end(worker)
    with np.load(out / "state.npz") as saved:
        assert "-2-hosts" in json.loads(str(saved["state"]))["data"]
    assert pd.read_csv(out / "history.csv")["step"].tolist() == [6, 12]


@pytest.mark.slow
def test_workers_with_different_settings_are_refused(training_table, tmp_path, scratch):
    arguments = (*settings(training_table, None), "--strategy", "multiworker")
    own = (("--seed", "4"), ("--seed", "5"))
    for worker in start_workers(tmp_path / "run", *arguments, own=own, scratch=scratch):
        assert "the workers have different settings" in end(worker, EXIT_USER_ERROR)[1]


def config(roles, kind, index):
    return json.dumps({"cluster": roles, "task": {"type": kind, "index": index}})


def test_the_place_is_read_from_the_environment(monkeypatch):
    workers = {"worker": ["a:1", "b:1"]}
    monkeypatch.setenv("TF_CONFIG", config(workers, "worker", 1))
    assert find_worker_process("multiworker") == WorkerProcess(1, ("a:1", "b:1"))
    assert find_worker_process("mirrored") == ALONE
    monkeypatch.setenv("TF_CONFIG", config({"chief": ["c:1"], **workers}, "worker", 0))
    assert find_worker_process("multiworker") == WorkerProcess(1, ("c:1", "a:1", "b:1"))
    monkeypatch.setenv("TF_CONFIG", config({"chief": ["c:1"], **workers}, "chief", 0))
    assert find_worker_process("multiworker").is_chief


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the environment variable TF_CONFIG"),
        ("{", "TF_CONFIG={ cannot be used"),
        ("[]", "cannot be used"),
        ('{"cluster": {"worker": ["a:1"]}}', "cannot be used .KeyError: 'task'"),
        (config({"worker": ["a:1"]}, "ps", 0), "cannot be used .KeyError: 'ps'"),
        (config({"worker": ["a:1"]}, "worker", "x"), "cannot be used"),
        (config({"worker": ["a:1"]}, "worker", 1), "index 1, but there are 1 addresses"),
        (config({"worker": ["a:1"]}, "worker", -1), "index -1"),
    ],
)
def test_places_that_cannot_be_used(monkeypatch, text, said):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=said):
        find_worker_process("multiworker")


def test_several_workers_need_a_folder(monkeypatch, training_table):
    import dream_keras

    monkeypatch.setenv("TF_CONFIG", config({"worker": ["a:1", "b:1"]}, "worker", 1))
    with pytest.raises(UserError, match="several workers need --out"):
        dream_keras.train("dream_cnn", train=training_table, strategy="multiworker")
