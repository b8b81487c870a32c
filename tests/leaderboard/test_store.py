"""The file: what goes in comes out, whole or not at all, however many write at once."""

import contextlib
import dataclasses
import datetime
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from boards_helpers import NOW, make_scores, make_submission

from dream_keras.common.errors import UserError
from dream_keras.leaderboard.database import SCHEMA
from dream_keras.leaderboard.entry import Entry
from dream_keras.leaderboard.store import Store


def integrity(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        foreign = connection.execute("PRAGMA foreign_key_check").fetchall()
        return [*connection.execute("PRAGMA integrity_check").fetchone(), *foreign]


def test_what_goes_in_comes_out(store, info):
    submission = dataclasses.replace(
        make_submission("Ünï <b>", value=0.25), note="notes", config="model: x"
    )
    assert store.add(submission, NOW) == 1
    (entry,) = Store(store.path).entries()
    for name in ("team", "note", "source", "versions", "config", "checksum", "scores"):
        assert getattr(entry, name) == getattr(submission, name), name
    assert entry.submitted == NOW
    assert not entry.is_published
    assert store.predictions(1).tobytes() == submission.predictions.tobytes()
    resampled = store.resampled(1, "public")
    np.testing.assert_array_equal(
        resampled["pearson_score"], submission.resampled["public"]["pearson_score"]
    )
    assert resampled["pearson_score"].dtype == np.float32
    assert Store(store.path).info() == info


def test_published_rows_come_first_and_hold_no_predictions(tmp_path, info):
    scores = {"private": make_scores(0.9)}
    row = Entry(None, "Old team", None, "a note", "", None, {}, None, scores)
    store = Store.create(tmp_path / "board", info, [row])
    store.add(make_submission("new"), NOW)
    first, second = store.entries()
    assert first == row
    assert first.is_published
    assert second.team == "new"
    with pytest.raises(UserError, match='"Old team" is a row of the published'):
        store.add(make_submission("Old team"), NOW)


def test_the_phase_can_change(store):
    store.set_phase("public")
    assert Store(store.path).info().phase == "public"


def test_the_same_predictions_are_refused_whoever_submits_them(store):
    first = make_submission("first")
    store.add(first, NOW)
    again = dataclasses.replace(make_submission("second"), checksum=first.checksum)
    later = NOW + datetime.timedelta(days=1)
    for act in (
        lambda: store.add(again, later),
        lambda: store.check(again.team, again.checksum, later),
    ):
        with pytest.raises(
            UserError, match=r"team first submitted them at 2024-05-06T07:08:09\+00:00 as number 1"
        ):
            act()
    assert [entry.team for entry in store.entries()] == ["first"]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_weekly_limit_counts_seven_days_and_one_team(tmp_path, info, limit):
    store = Store.create(tmp_path / "board", dataclasses.replace(info, weekly_limit=limit))
    hour = datetime.timedelta(hours=1)
    for number in range(limit):
        store.add(make_submission("busy", number), NOW + number * hour)
    store.add(make_submission("other"), NOW + limit * hour)
    week = datetime.timedelta(days=7)
    one_more = make_submission("busy", 99)
    early = NOW + week - datetime.timedelta(seconds=1)
    with pytest.raises(UserError, match=r"possible at 2024-05-13T07:08:09\+00:00"):
        store.add(one_more, early)
    with pytest.raises(UserError, match=f"allows {limit}"):
        store.check("busy", "anything", early)
    assert len(store.entries()) == limit + 1
    store.add(one_more, NOW + week)
    if limit > 1:
        with pytest.raises(UserError, match=r"possible at 2024-05-13T08:08:09\+00:00"):
            store.add(make_submission("busy", 100), NOW + week)


def test_a_submission_that_fails_half_way_leaves_nothing(store):
    good = make_submission("a")
    bad = {"public": good.scores["public"], None: good.scores["private"]}
    resampled = {**good.resampled, None: good.resampled["private"]}
    with pytest.raises(sqlite3.IntegrityError):
        store.add(dataclasses.replace(good, scores=bad, resampled=resampled), NOW)
    assert store.entries() == []
    assert store.add(good, NOW) >= 1


def test_an_existing_file_is_not_overwritten(tmp_path, store, info):
    (tmp_path / "other").write_text("mine")
    for path in (store.path, tmp_path / "other", tmp_path):
        with pytest.raises(UserError, match="exists already"):
            Store.create(path, info)
    assert (tmp_path / "other").read_text() == "mine"
    with pytest.raises(UserError, match="nowhere does not exist"):
        Store.create(tmp_path / "nowhere" / "board", info)
    (tmp_path / "empty").touch()
    assert Store.create(tmp_path / "empty", info).entries() == []


def test_files_that_are_no_leaderboards_are_refused(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to look at" * 30)
    (tmp_path / "empty").touch()
    with contextlib.closing(sqlite3.connect(tmp_path / "database")) as connection:
        connection.execute("CREATE TABLE board (schema)")
    for name, said in (
        ("missing", "does not exist. Make one: python -m dream_keras.leaderboard init"),
        ("text", "file is not a database"),
        ("empty", "is not a leaderboard"),
        ("database", "is not a leaderboard"),
        (".", "is not a file"),
    ):
        with pytest.raises(UserError, match=said):
            Store(tmp_path / name)
    assert not (tmp_path / "missing").exists()


def test_a_newer_version_is_refused(store):
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE board SET schema = ?", (SCHEMA + 1,))
    with pytest.raises(UserError, match=f"version {SCHEMA + 1}, this one knows {SCHEMA}"):
        Store(store.path)


def test_a_damaged_file_is_named(store):
    for seed in range(20):
        store.add(make_submission("a", seed), NOW)
    data = bytearray(store.path.read_bytes())
    data[4096 : len(data) // 2] = b"\x55" * (len(data) // 2 - 4096)
    store.path.write_bytes(data)
    with pytest.raises(UserError, match=f"{store.path} cannot be used"):
        Store(store.path).entries()


WRITER = textwrap.dedent("""
    import contextlib, sys, time
    from pathlib import Path
    from boards_helpers import NOW, make_submission
    from dream_keras.leaderboard import store

    path, team, moment = sys.argv[1:]
    whole = store.transaction

    @contextlib.contextmanager
    def halting(connection, kind="IMMEDIATE"):
        connection.execute("PRAGMA cache_size = 2")  # pages: the rest goes to the disk at once
        with whole(connection, kind):
            yield
            if kind == "IMMEDIATE":
                print("inside", flush=True)
                time.sleep(60)

    if moment == "halted":
        store.transaction = halting
    submission = make_submission(team, rows=100_000)
    board = store.Store(Path(path))
    print("ready", flush=True)
    sys.stdin.readline()
    print(board.add(submission, NOW), flush=True)
""")


def start(path, team, moment="not halted"):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), team, moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def go(writer):
    assert writer.stdout.readline() == "ready\n"
    writer.stdin.write("go\n")
    writer.stdin.flush()


def check_whole(path, teams):
    store = Store(path)
    entries = store.entries()
    assert sorted(entry.team for entry in entries) == sorted(teams)
    for entry in entries:
        expected = make_submission(entry.team, rows=100_000)
        assert store.predictions(entry.id).tobytes() == expected.predictions.tobytes()
        assert entry.scores == expected.scores
        assert store.resampled(entry.id, "private").keys() == expected.resampled["private"].keys()
    assert integrity(path) == ["ok"]


def test_processes_that_write_at_once_lose_nothing_even_when_one_is_killed(store):
    victim = start(store.path, "victim", "halted")
    teams = [f"team {number}" for number in range(6)]
    writers = [start(store.path, team) for team in teams]
    go(victim)
    assert victim.stdout.readline() == "inside\n"
    for writer in writers:
        go(writer)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(timeout=10) == -signal.SIGKILL
    numbers = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert len(set(numbers)) == 6
    check_whole(store.path, teams)


def test_a_process_killed_at_any_moment_leaves_all_or_nothing(store):
    """Ten processes, each killed some tenths of a millisecond later than the one before."""
    left = []
    for number in range(10):
        victim = start(store.path, f"team {number}")
        go(victim)
        time.sleep(0.012 + 0.003 * number)
        victim.kill()
        if victim.communicate(timeout=60)[0]:
            left.append(f"team {number}")  # it said so, so it must be there
    found = [entry.team for entry in Store(store.path).entries()]
    assert set(left) <= set(found)
    check_whole(store.path, found)
