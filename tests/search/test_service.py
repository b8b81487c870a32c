import socket
import threading
import time

import fake_trials
import pandas as pd
import pytest
from slow_searches import epochs, start, wait_for

from dream_keras.common.errors import UserError
from dream_keras.search import search, worker
from dream_keras.search.chief import Answer, Chief, Outcome
from dream_keras.search.journal import Journal
from dream_keras.search.plan import load_plan
from dream_keras.search.service import RemoteChief, parse_address, serving
from dream_keras.search.worker import work


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere", "expected HOST:PORT"),
        (":5000", "expected HOST:PORT"),
        ("localhost:port", "expected HOST:PORT"),
        ("localhost:70000", "expected HOST:PORT"),
        ("no-such-host.invalid:5000", "unknown host no-such-host.invalid"),
    ],
)
def test_bad_addresses_are_named(text, said):
    with pytest.raises(UserError, match=said):
        parse_address(text)


def test_good_addresses_are_taken():
    for text in ("localhost:5000", "127.0.0.1:1", "[::1]:65535"):
        assert parse_address(text) == text


def test_tasks_and_outcomes_survive_the_way(plan, tmp_path, address):
    chief = Chief(plan, Journal(tmp_path / "journal"))
    reason = "a|b\n'ü' " + "x" * 10_000
    with serving(chief, address), RemoteChief(address) as remote:
        assert remote.ask("w") == chief.ask("w")
        remote.tell(1, Outcome([{"val_pearson": 0.1 + 0.2, "loss": float("inf")}]))
        assert chief.trials[1].repeats == [{"val_pearson": 0.1 + 0.2, "loss": float("inf")}]
        remote.ask("w")
        remote.tell(2, Outcome([], reason))
        assert chief.trials[2].reason == reason
        for number in range(3, 10):
            remote.ask("w")
            assert remote.ask("v") is Answer.WAIT if number == 9 else True
            remote.tell(number, Outcome([{"val_pearson": 1.0}]))
        assert remote.ask("w") is Answer.STOP


def test_signs_of_life_keep_a_trial(space_file, tmp_path, address):
    chief = Chief(load_plan(space_file(), (), {"search.lease": 1}), Journal(tmp_path / "journal"))
    with serving(chief, address), RemoteChief(address) as remote:
        task = remote.ask("a")
        with remote.heartbeats(task):
            time.sleep(1.6)
            assert remote.ask("b").number == 2
        time.sleep(1.2)
        assert remote.ask("c").number == 1


def test_a_taken_port_is_named(plan, tmp_path, address):
    chief = Chief(plan, Journal(tmp_path / "journal"))
    with (
        serving(chief, address),
        pytest.raises(UserError, match="port is taken"),
        serving(chief, address),
    ):
        pass


def test_a_worker_without_a_chief_says_so(address, caplog):
    with (
        caplog.at_level("INFO"),
        RemoteChief(address, timeout=1) as remote,
        pytest.raises(UserError, match=f"no chief answers at {address}"),
    ):
        remote.ask("w")
    assert "waiting for the chief" in caplog.text


def test_a_worker_may_be_there_before_its_chief(plan, tmp_path, address):
    chief = Chief(plan, Journal(tmp_path / "journal"))
    with RemoteChief(address, timeout=20) as remote:
        tasks = []
        thread = threading.Thread(target=lambda: tasks.append(remote.ask("w")))
        thread.start()
        time.sleep(0.5)
        with serving(chief, address):
            thread.join(20)
            assert tasks[0].number == 1


def test_a_worker_without_its_files_fails_no_trial(space_file, tmp_path, address, monkeypatch):
    monkeypatch.setattr(worker, "run_repeat", fake_trials.scored)
    chief = Chief(load_plan(space_file()), Journal(tmp_path / "journal"))
    options = {"role": "worker", "chief": address, "out": tmp_path / "worker"}
    with serving(chief, address):
        with pytest.raises(UserError, match=r"no file .*missing\.txt"):
            search(train="missing.txt", **options)
        assert [trial.status for trial in chief.snapshot()] == ["running"]
        here = tmp_path / "train.txt"
        here.touch()
        search(train=here, overrides=["runtime.steps_per_call=2"], **options)
    assert chief.over
    config = (tmp_path / "worker" / "trials" / "0001" / "config.yaml").read_text()
    assert f"train: {here}" in config
    assert "steps_per_call: 2" in config


def test_work_over_the_network_is_the_same_as_here(space_file, tmp_path, address, monkeypatch):
    monkeypatch.setattr(worker, "run_repeat", fake_trials.moody)
    here = Chief(load_plan(space_file()), Journal(tmp_path / "here.jsonl"))
    work(here, "w", tmp_path / "here")
    there = Chief(load_plan(space_file()), Journal(tmp_path / "there.jsonl"))
    with serving(there, address), RemoteChief(address) as remote:
        work(remote, "w", tmp_path / "there")
    for ours, theirs in zip(here.snapshot(), there.snapshot(), strict=True):
        assert (ours.answers, ours.status, ours.reason) == (
            theirs.answers,
            theirs.status,
            theirs.reason,
        )
        assert str(ours.repeats) == str(theirs.repeats)


@pytest.mark.slow
def test_chief_and_workers_lose_nothing_when_one_is_killed(space_file, tmp_path, address):
    """Two workers in folders of their own; one is killed in mid-trial and never comes back."""
    chief = start(
        *("--space", space_file(), "--out", tmp_path / "chief", "--max-trials", 5),
        *("--role", "chief", "--chief", address, "--set", "search.lease=8"),
    )
    names = ("a", "b")
    workers = [
        start("--role", "worker", "--chief", address, "--out", tmp_path / name) for name in names
    ]
    wait_for(lambda: all(epochs(tmp_path / name) for name in names))
    workers[0].kill()
    for process in (chief, workers[1]):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    workers[0].communicate()
    table = pd.read_csv(tmp_path / "chief" / "trials.csv", dtype={"trial": str})
    assert table["trial"].tolist() == ["0001", "0002", "0003", "0004", "0005"]
    assert table["status"].eq("completed").all()
    assert table["score"].notna().all()
    killed, left = ([n for n, _ in fake_trials.calls(tmp_path / name)] for name in names)
    assert sorted({*killed, *left}) == table["trial"].tolist()
    assert len(left) == len(set(left))  # none finished twice, ...
    assert set(killed) & set(left) <= set(killed[-1:])  # but one that was not told of any more
    assert (tmp_path / "chief" / "report.md").exists()


@pytest.mark.slow
def test_worker_and_chief_come_back_and_go_on(space_file, tmp_path, address):
    """Both are gone in mid-trial; the trial's first epoch is not repeated."""
    plan = load_plan(space_file(), (), {"search.max_trials": 2})
    journal, here = Journal(tmp_path / "journal"), tmp_path / "worker"
    command = ("--role", "worker", "--chief", address, "--out", here)
    with serving(Chief(plan, journal), address):
        process = start(*command)
        wait_for(lambda: epochs(here))
        process.kill()
        process.communicate()
    chief = Chief(plan, journal)
    with serving(chief, address):
        process = start(*command)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert chief.over
    assert epochs(here) == ["0001", "0001", "0002", "0002"]
