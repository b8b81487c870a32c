"""Locks of folders, between processes that live, end and are killed."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from dream_keras.common import locks
from dream_keras.common.errors import UserError
from dream_keras.common.locks import LOCK, OWNER, Owner, claimed, new_folder, started

HOLD = """
import sys, time
from pathlib import Path
from dream_keras.common import locks
if sys.argv[2] == "no locks":
    locks.fcntl = None
with locks.claimed(Path(sys.argv[1])):
    print("has it", flush=True)
    time.sleep(60)
"""
SYSTEMS = ["locks", "no locks"]


@pytest.fixture(params=SYSTEMS)
def system(request, monkeypatch):
    """A file system with locks, and one without."""
    if request.param == "no locks":
        monkeypatch.setattr(locks, "fcntl", None)
    return request.param


@pytest.fixture
def holder(tmp_path, system):
    """Another process that has the folder "run"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "run", system], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_told_who_is_at_work(holder, tmp_path):
    said = "another process is at work in"
    with pytest.raises(UserError, match=said) as refused, claimed(tmp_path / "run", "wait"):
        pass
    assert f"process {holder.pid} on {socket.gethostname()}" in str(refused.value)
    assert "wait" in str(refused.value)


def test_a_killed_process_leaves_no_lock_behind(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert any((tmp_path / "run").iterdir())
    with claimed(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["file"]


def test_a_folder_is_removed_if_nothing_was_put_into_it(system, tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "run"):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()


def test_the_number_of_an_ended_process_may_be_given_to_another(tmp_path, monkeypatch):
    """Only the time of its start tells this process from the one that has the lock."""
    monkeypatch.setattr(locks, "fcntl", None)
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": "yesterday"}
    file = tmp_path / OWNER
    file.write_text(json.dumps({**owner, "started": started(os.getpid())}))
    with pytest.raises(UserError, match=f"remove .*{OWNER}"), claimed(tmp_path):
        pass
    file.write_text(json.dumps({**owner, "started": "before"}))
    with claimed(tmp_path):
        assert Owner.read(file).started == started(os.getpid())


def test_without_locks_another_machine_is_not_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    words = {"host": "elsewhere", "pid": 1, "started": "1", "since": "yesterday"}
    (tmp_path / OWNER).write_text(json.dumps(words))
    with pytest.raises(UserError, match="process 1 on elsewhere"), claimed(tmp_path):
        pass


def test_with_locks_a_file_left_by_another_machine_is_taken_over(tmp_path, caplog):
    words = {"host": "elsewhere", "pid": 1, "started": "1", "since": "yesterday"}
    (tmp_path / LOCK).write_text(json.dumps(words))
    with claimed(tmp_path):
        assert Owner.read(tmp_path / LOCK).pid == os.getpid()
    assert "taken over from process 1 on elsewhere" in caplog.text


RACE = """
import sys, time
from pathlib import Path
from dream_keras.common import locks
from dream_keras.common.errors import UserError
if sys.argv[2] == "no locks":
    locks.fcntl = None
folder, inside = Path(sys.argv[1]), Path(sys.argv[1]).with_name("inside")
for _ in range(200):
    try:
        with locks.claimed(folder):
            inside.mkdir()  # fails if another process is in here
            inside.rmdir()
    except UserError:
        pass
"""


@pytest.mark.parametrize("name", SYSTEMS)
def test_two_processes_are_never_inside_together(tmp_path, name):
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path / "run", name]) for _ in range(3)
    ]
    assert [racer.wait() for racer in racers] == [0, 0, 0]


def test_folders_made_at_the_same_time_have_different_names(tmp_path):
    script = (
        "import sys; from pathlib import Path; from dream_keras.common.locks import new_folder\n"
        "print(*(new_folder(Path(sys.argv[1]), 'run').name for _ in range(50)))\n"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    names = [name for maker in makers for name in maker.communicate()[0].split()]
    assert len(set(names)) == len(names) == 100
    assert new_folder(tmp_path, "run").name == "run-101"
