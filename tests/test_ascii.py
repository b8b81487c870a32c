"""Text output in an ASCII locale: UTF-8 bytes, never a traceback."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import dream_keras
from dream_keras.leaderboard.board import create_board
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate

ASCII = {
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONUTF8": "0",
    "KERAS_BACKEND": "jax",  # the quicker one to import; only the menu imports it
}
SUBCOMMANDS = ("init", "submit", "show", "compare", "page", "phase")
TEAM = "Größe 東京"
COMMANDS = [
    ["--help"],
    *([command, "--help"] for command in dream_keras.COMMANDS),
    *(["leaderboard", name, "--help"] for name in SUBCOMMANDS),
    ["leaderboard", "show", "--board", "board.sqlite"],
    ["leaderboard", "compare", "1", "1", "--board", "board.sqlite", "--suite", "suite"],
    ["evaluate", "--predictions", "Größe.tsv", "--suite", "suite"],
    ["menu", "--slot", "trainer"],
    ["predict", "Größe", "-"],
]

IN_ONE_PROCESS = """
import contextlib, io, json, os, sys
from dream_keras.__main__ import main
from dream_keras.common.cli import run
assert (sys.stdout.encoding, sys.getfilesystemencoding()) == ("ascii", "ascii")
ends = []
for arguments in json.loads(sys.argv[1]):
    arguments = [os.fsdecode(argument.encode()) for argument in arguments]  # as in sys.argv
    said = [io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True) for _ in range(2)]
    status = 0
    with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]):
        try:
            run(lambda: main(arguments))
        except SystemExit as end:
            status = end.code or 0
        except Exception as error:
            status = repr(error)
    ends.append([status, *(text.buffer.getvalue().decode() for text in said)])
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A suite, predictions in a file with a name of many letters, and a leaderboard."""
    folder = tmp_path_factory.mktemp("ascii")
    suite = load_suite(simulate(folder / "suite", 20, 600, seed=1))
    values = zip(suite.sequences, suite.measured[:, 0] ** 2, strict=True)
    predictions = folder / "Größe.tsv"
    predictions.write_text("".join(f"{sequence}\t{value}\n" for sequence, value in values))
    create_board(folder / "board.sqlite", folder / "suite").submit(TEAM, predictions, resamples=20)
    return folder


@pytest.fixture(scope="module")
def ends(folder):
    """Status, output and errors of every command, one after the other in one process."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, json.dumps(COMMANDS)],
        capture_output=True,
        cwd=folder,
        env={**os.environ, **ASCII},
    )
    assert done.returncode == 0, done.stderr.decode()
    return [SimpleNamespace(status=s, out=o, error=e) for s, o, e in json.loads(done.stdout)]


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda n: " ".join(COMMANDS[n]))
def test_no_command_ends_in_a_traceback(ends, number):
    end, arguments = ends[number], COMMANDS[number]
    assert end.status in (0, 2), end
    if end.status == 2:
        assert end.error.startswith("error: ")
        assert "Gr" in end.error
    elif arguments[1:2] in (["show"], ["compare"]) and "--help" not in arguments:
        assert TEAM in end.out
    else:
        assert end.out


def test_a_fresh_process_writes_utf_8(folder):
    command = ["-m", "dream_keras.leaderboard", "show", "--board", "board.sqlite"]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, cwd=folder, env={**os.environ, **ASCII}
    )
    assert done.returncode == 0, done.stderr.decode()
    assert TEAM in done.stdout.decode("utf-8")
