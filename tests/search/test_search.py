"""Searches as a whole, with stand-ins for the training; one with real training at the end."""

import os
import re
import signal
import time

import fake_trials
import pandas as pd
import pytest
from slow_searches import epochs, start, wait_for

from dream_keras.common.errors import UserError
from dream_keras.search import search, worker


@pytest.fixture
def fake(monkeypatch):
    """Put a stand-in in the place of the training."""

    def use(repeat):
        monkeypatch.setattr(worker, "run_repeat", repeat)

    use(fake_trials.scored)
    return use


def test_a_whole_grid(fake, space_file, tmp_path):
    out = tmp_path / "out"
    result = search(space_file(), out=out, repeats=2)
    table = pd.read_csv(out / "trials.csv", dtype={"trial": str})
    assert len(table) == len(result.trials) == 9
    assert table["status"].eq("completed").all()
    assert table[["processor", "core", "core.num_heads"]].drop_duplicates().shape == (9, 3)
    assert (table["trainer"] == table["processor"].str.partition("(")[0]).all()
    first, second = table["seed_0"].to_numpy(), table["seed_1"].to_numpy()
    assert second - first == pytest.approx([0.001] * 9)
    assert table["score"].to_numpy() == pytest.approx((first + second) / 2)
    assert table["score_sd"].to_numpy() == pytest.approx([0.001 / 2**0.5] * 9)
    assert result.best is not None
    assert result.best.model.processor.name == "unlockdna"
    assert result.best.model.core.options["num_heads"] == 2
    assert [number for number, _ in fake_trials.calls(out)] == [
        f"{number:04d}" for number in range(1, 10) for _ in range(2)
    ]


def test_the_report_says_what_was_equal_and_has_its_pictures(fake, space_file, tmp_path):
    out = tmp_path / "out"
    search(space_file(), out=out, repeats=2, seed=5, max_trials=8, budget_minutes=30)
    report = (out / "report.md").read_text()
    for said in (
        "2 epochs of 3 steps of 8 rows, 48 rows seen by every order",
        "600 simulated rows; the same rows for every order, at most 127 bp long",
        "Seeds: 5, 6",
        "trials at most: 8; budget: 30 minutes",
        "8 trials completed, 0 failed; the space holds 9 orders",
        "are within this noise",
        "gap to the best",
    ):
        assert said in report
    for picture in ("heat_map", "main_effects"):
        assert f"(plots/{picture}.png)" in report
        assert (out / "plots" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_failed_trials_are_recorded_and_the_others_go_on(fake, space_file, tmp_path, caplog):
    fake(fake_trials.moody)
    out = tmp_path / "out"
    result = search(space_file(), out=out)
    table = result.trials.set_index("trial")
    assert table["status"].eq("failed").sum() == 4
    reasons = table.loc[table["status"].eq("failed"), "reason"].tolist()
    assert reasons[0] == "this order is refused"
    assert reasons[1] == "ZeroDivisionError: what a pity (log.txt has more)"
    assert reasons[2].startswith("the process died with signal 9 (SIGKILL)")
    assert reasons[3].startswith("val_pearson is not a number")
    assert table["score"].notna().sum() == 5
    report = (out / "report.md").read_text()
    assert "5 trials completed, 4 failed" in report
    assert "| this order is refused |" in report
    assert "what a pity\nsecond line" in (out / "trials" / "0005" / "log.txt").read_text()
    assert "trial 0004" in caplog.text


def test_a_search_of_failures_ends_with_the_first_reason(fake, space_file, tmp_path):
    fake(fake_trials.failing)
    with pytest.raises(UserError, match="all 9 trials failed, the first because: nothing works"):
        search(space_file(), out=tmp_path / "out")
    assert (tmp_path / "out" / "report.md").exists()


def test_a_full_disk_stops_the_search_and_fails_no_trial(fake, space_file, tmp_path):
    out = tmp_path / "out"
    fake(fake_trials.full_disk)
    with pytest.raises(OSError, match="No space left"):
        search(space_file(), out=out, max_trials=2)
    fake(fake_trials.scored)
    assert search(out=out, resume=True).trials["status"].tolist() == ["completed"] * 2


def test_a_finished_search_goes_on_with_a_higher_limit(fake, space_file, tmp_path):
    out = tmp_path / "out"
    search(space_file(), out=out, max_trials=2)
    search(out=out, resume=True)
    assert len(fake_trials.calls(out)) == 2
    assert len(search(out=out, resume=True, max_trials=4).trials) == 4
    assert [number for number, _ in fake_trials.calls(out)] == ["0001", "0002", "0003", "0004"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 3}, "was started with search"),
        ({"overrides": ["model.core=bhi"]}, "was started with model"),
        ({"train": "other.txt"}, "was started with data"),
        ({"repeats": 2}, "was started with search"),
    ],
)
def test_a_resumed_search_takes_no_other_settings(fake, space_file, tmp_path, changes, said):
    out = tmp_path / "out"
    search(space_file(), out=out, max_trials=1)
    search(space_file(), out=out, max_trials=1, resume=True)
    with pytest.raises(UserError, match=said):
        search(out=out, resume=True, **changes)


def test_mistakes_before_the_first_trial(fake, space_file, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    space = space_file()
    for given, said in [
        ({"space": None}, "needs --space"),
        ({"space": space, "out": tmp_path / "full"}, "exists already"),
        ({"resume": True}, "--resume needs --out"),
        ({"resume": True, "out": tmp_path / "full"}, "is not the folder of a search"),
        ({"space": space, "train": "missing.txt", "out": tmp_path / "a"}, "no file .*missing.txt"),
        (
            {"space": space, "suite": "missing", "out": tmp_path / "b"},
            "suite .*missing does not",
        ),
        ({"space": space, "role": "chief"}, "go together"),
        ({"space": space, "chief": "a:1"}, "go together"),
        ({"role": "boss", "chief": "a:1"}, "unknown role"),
        ({"role": "worker", "chief": "a:1", "overrides": ["trainer.epochs=1"]}, "set by the chief"),
        ({"role": "worker", "chief": "a:1", "repeats": 2}, "set by the chief"),
    ]:
        with pytest.raises(UserError, match=said):
            search(**given)


def test_two_searches_do_not_share_a_folder(fake, space_file, tmp_path):
    import fcntl

    out = tmp_path / "out"
    search(space_file(), out=out, max_trials=1)
    with (out / ".writing-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is at work"):
            search(out=out, resume=True)


def test_a_killed_search_repeats_nothing(space_file, tmp_path):
    """kill -9 in the middle of trial 2, one of its two epochs done."""
    out = tmp_path / "out"
    process = start("--space", space_file(), "--out", out, "--max-trials", 3)
    wait_for(lambda: len(epochs(out)) >= 3)
    process.kill()
    process.wait()
    before = epochs(out)
    time.sleep(1.5)  # a child that lived on would write by now
    assert epochs(out) == before
    process = start("--out", out, "--resume")
    assert process.wait() == 0, process.stderr.read()
    assert epochs(out) == ["0001", "0001", "0002", "0002", "0003", "0003"]
    assert [number for number, _ in fake_trials.calls(out)] == ["0001", "0002", "0003"]
    assert pd.read_csv(out / "trials.csv")["status"].eq("completed").all()


@pytest.mark.slow
def test_ctrl_c_leaves_a_report(space_file, tmp_path):
    out = tmp_path / "out"
    process = start("--space", space_file(), "--out", out, start_new_session=True)
    wait_for(lambda: len(epochs(out)) >= 3)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert "leaked" not in errors
    report = (out / "report.md").read_text()
    assert re.search("[1-9] trials completed, 0 failed, 1 not finished", report)
