"""``python -m dream_keras.simulate``: fast help, one line out, clean errors, callable module."""

import subprocess
import sys

import pytest

HEAVY = ["tensorflow", "keras", "pandas", "matplotlib", "scipy", "torch", "jax", "numpy"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dream_keras.simulate", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help():
    done = command("--help")
    assert done.returncode == 0
    for word in ("OUT", "--train-rows", "--test-rows", "--genome", "--bp", "--seed"):
        assert word in done.stdout


def test_building_the_parser_imports_nothing_heavy():
    code = (
        "import sys; from dream_keras.simulate.__main__ import parser; parser(); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_command_writes_and_repeats(tmp_path):
    out = tmp_path / "out"
    arguments = (str(out), "--train-rows", "90", "--test-rows", "600", "--seed", "4")
    done = command(*arguments)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(out), "")
    assert len((out / "train.txt").read_text().splitlines()) == 90
    assert len((out / "val.txt").read_text().splitlines()) == 10
    again = command(*arguments)
    assert again.returncode == 0
    assert "already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train-rows", "-1"], "train_rows = -1 is out of range"),
        (["--test-rows", "10"], "test_rows = 10 is out of range: allowed are 600"),
        (["--seed", "-3"], "seed = -3"),
    ],
)
def test_mistakes_are_one_line_and_status_two(tmp_path, arguments, message):
    done = command(str(tmp_path / "out"), *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_folder_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    done = command(str(tmp_path), "--train-rows", "9")
    assert done.returncode == 2
    assert "Name another folder" in done.stderr


def test_module_is_callable(tmp_path):
    import dream_keras.simulate

    out = dream_keras.simulate(tmp_path / "out", train_rows=9, test_rows=600, progress=False)
    assert (out / "val.txt").read_text().count("\n") == 1
