"""The command in fresh processes."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from dream_keras.evaluate import evaluate
from dream_keras.leaderboard.__main__ import main
from dream_keras.leaderboard.board import Board
from dream_keras.scoring.ceiling import suite_ceiling


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "dream_keras.leaderboard", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(capsys, *arguments):
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_a_board_from_start_to_end(desk, capsys):
    board = ("--board", desk.folder / "b.sqlite")
    a, b = desk.file("a.tsv", 1.0, seed=1), desk.file("b.tsv", 2.0, seed=2)
    few = ("--resamples", 40)
    made = command(capsys, "init", *board, "--suite", desk.suite_folder, "--phase", "public")
    assert "public phase" in made
    said = command(capsys, "submit", *board, "--team", "A team", "--predictions", a, *few)
    stored = Board(board[1]).store.entries()[0]
    value, low, high = stored.scores["public"].totals["pearson_score"]
    assert said.startswith(
        "number 1, team A team, public part: "
        f"Pearson Score {value:.6f} [{low:.6f}, {high:.6f}], Spearman Score "
    )
    assert f"{stored.scores['private'].totals['pearson_score'].value:.4f}" not in said
    command(capsys, "submit", *board, "--team", "B", "--predictions", b, *few, "--note", "x")
    assert "public part" in command(capsys, "show", *board)
    assert "private phase" in command(capsys, "phase", "private", *board)
    assert "private part" in command(capsys, "show", *board)
    assert "public part" in command(capsys, "show", *board, "--phase", "public")
    shown = json.loads(command(capsys, "show", *board, "--json"))
    assert [row["team"] for row in shown["rows"]] == ["A team", "B"]
    assert "A is better in" in command(capsys, "compare", "A team", "2", *board)
    alone = ("--suite", desk.suite_folder, *few, "--phase", "private")
    assert (
        command(capsys, "compare", a, b, *alone).splitlines()[2:]
        == command(capsys, "compare", "1", "2", *board).splitlines()[2:]
    )
    page = command(capsys, "page", desk.folder / "web", *board).strip()
    assert page == str(desk.folder / "web" / "index.html")
    assert "A team" in (desk.folder / "web" / "index.html").read_text()


def test_mistakes_are_one_line_and_status_2(desk, board):
    path = desk.file("x.tsv", 1.0)
    board.submit("first", path, resamples=5)
    before = board.store.path.read_bytes()
    (desk.folder / "text").write_text("no board, " * 100)
    file = board.store.path
    for arguments, said in (
        (["show", "--board", desk.folder / "missing"], "does not exist. Make one:"),
        (["show", "--board", desk.folder / "text"], "file is not a database"),
        (["init", "--board", file, "--suite", desk.suite_folder], "exists already"),
        (
            ["submit", "--board", file, "--team", "second", "--predictions", path],
            "team first submitted them at 2024-05-06T07:08:09+00:00 as number 1",
        ),
        (["page", path, "--board", file], "is a file; the page needs a folder"),
    ):
        process = start(*arguments)
        out, error = process.communicate(timeout=60)
        assert process.returncode == 2, error
        assert out == ""
        (line,) = error.splitlines()
        assert line.startswith("error: ")
        assert said in line
    assert file.read_bytes() == before


def test_submissions_at_once_lose_nothing_and_a_kill_leaves_all_or_nothing(desk, board):
    """Six processes at once; a seventh is killed when the first has written."""
    processes = {}
    for number in range(7):
        team = f"team {number}"
        path = desk.file(f"{number}.tsv", 1.0, seed=number)
        options = ("--board", board.store.path, "--team", team, "--resamples", 20)
        processes[team] = start("submit", *options, "--predictions", path)
    victim = processes.pop("team 6")
    deadline = time.monotonic() + 60
    while not board.store.entries() and time.monotonic() < deadline:
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    for process in processes.values():
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    victim.communicate(timeout=10)
    with contextlib.closing(sqlite3.connect(board.store.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    entries = board.store.entries()
    assert {entry.team for entry in entries} >= processes.keys()
    for entry in entries:
        expected = desk.predictions(1.0, seed=int(entry.team[-1]))
        assert board.predictions(entry).tobytes() == expected.tobytes()
        assert set(entry.scores) == {"public", "private"}
        assert board.samples(entry, "private").resamples == 20


@pytest.fixture(scope="module")
def runs(simulated, tmp_path_factory):
    """Two run folders that record the suite, with slim, untrained networks."""
    import keras

    from dream_keras.config.experiment import load_experiment
    from dream_keras.runs.folder import RunFolder
    from dream_keras.runs.run import Run

    slim = ["model.first.out_channels=8", "model.core.widths=[8]", "model.core.out_channels=8"]
    settings = {"scoring.suite": str(simulated[0])}
    folders = []
    for seed in (0, 1):
        run = Run(
            RunFolder(tmp_path_factory.mktemp("runs") / f"run{seed}"),
            load_experiment("quickstart", slim, settings),
        )
        run.folder.create(run.experiment)
        keras.utils.set_random_seed(seed)
        run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
        folders.append(run.folder.path)
    return folders


def test_runs_submit_and_compare(runs, desk, board, capsys):
    entry = board.submit("ours", run=runs[0], resamples=10, progress=False)
    assert entry.source == "run0"
    assert entry.config == (runs[0] / "config.yaml").read_text()
    from dream_keras.runs.run import load_run

    expected = load_run(runs[0]).predict_suite(desk.suite, progress=False)
    assert board.predictions(entry).tobytes() == expected.tobytes()
    path = desk.write("theirs.tsv", desk.predictions(1.0))
    both = board.submit("both", path, run=runs[1], resamples=10)
    assert both.source == "theirs.tsv"
    assert both.config == (runs[1] / "config.yaml").read_text()
    said = command(capsys, "compare", *runs, "--resamples", 10)
    assert said.startswith(f"A: {runs[0]}\nB: {runs[1]}\nprivate part; 10 resamples")
    with_board = command(capsys, "compare", runs[0], "ours", "--board", board.store.path)
    card = evaluate(predictions=path, suite=desk.suite_folder, ceiling=runs[:1], progress=False)
    ceiling = suite_ceiling(desk.suite, [expected], resamples=0).pearson_score.value
    assert card.ceiling.pearson_score.value == pytest.approx(ceiling, rel=0.01)
    # Only the rows of the private part were predicted now: other batches, other last digits.
    assert with_board.count("0.0000, 95 % interval") == 2
