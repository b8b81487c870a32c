"""The commands of the README work as written, one after the other."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder with what the commands find in a fresh clone: the example files."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(EXAMPLES, folder / "docs" / "examples")
    return folder


def run(words, folder):
    """Run a command in a folder with this checkout's package; it must succeed."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"


ONE_AFTER_THE_OTHER = """
import json, os, runpy, sys
from dream_keras.common.cli import load_backend
load_backend()
for words in json.loads(sys.argv[1]):
    if os.fork() == 0:
        sys.argv = words
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        sys.exit()
    if os.wait()[1]:
        sys.exit(f"failed: {words}")
"""
"""Runs commands, each in a process of its own; importing Keras, most of their time, is shared."""


@pytest.mark.parametrize(
    "part", ["own table", *(pytest.param(p, marks=pytest.mark.slow) for p in ("more", "search"))]
)
def test_commands_of_the_readme(clone, part):
    def part_of(command):
        if "dream_keras.search" in command:
            return "search"
        return "own table" if "runs/mine" in command else "more"

    search = part == "search"
    commands = [command for command in COMMANDS if part_of(command) == part]
    assert len(commands) >= {"own table": 4, "more": 6, "search": 1}[part]
    tried = []
    for command in commands:
        python, module, *words = shlex.split(command)
        assert (python, module) == ("python", "-m")
        if words[0] in ("dream_keras.train", "dream_keras.search"):
            # Of a setting that is given twice the last one counts.
            few = ["--set", "trainer.epochs=1", "--set", "trainer.steps_per_epoch=5"]
            words += ["--smoke", *([] if search else few)]
        tried.append(words)
    run([sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(tried)], clone)
    if part == "own table":
        predicted = (clone / "predictions.tsv").read_text().splitlines()
        assert len(predicted) == 100
        assert predicted[19].startswith("element 20, test\t")  # the one without a value


def test_python_of_the_readme(clone):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 12
    run([sys.executable, "-c", code], clone)


def test_example_files_are_made_as_their_page_says(tmp_path):
    page = (EXAMPLES / "README.md").read_text()
    (script,) = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    script = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", script, flags=re.MULTILINE)
    run(["sh", "-e", "-c", script], tmp_path)
    assert {file.name for file in tmp_path.iterdir()} | {"README.md"} == {
        file.name for file in EXAMPLES.iterdir()
    }
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (EXAMPLES / file.name).read_bytes(), file.name


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
