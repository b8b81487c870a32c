"""The commands of the README work as written, one after the other."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
TEST_ROWS = 8_000
"""Of the simulated suite."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files of a user's own that the README mentions."""
    folder = tmp_path_factory.mktemp("desk")
    random = np.random.default_rng(0)
    rows = [
        "TGCATTTTTTTCACATC" + "".join(random.choice(list("ACGT"), 80)) + "GGTTACGGCTGTT"
        for _ in range(60)
    ]
    activity = random.normal(size=60)
    pairs = zip(rows, activity, strict=True)
    (folder / "measured.tsv").write_text(
        "seq\tactivity\n" + "".join(f"{row}\t{value:.3f}\n" for row, value in pairs)
    )
    submission = dict(enumerate(random.normal(size=TEST_ROWS)))
    (folder / "submission.json").write_text(json.dumps(submission))
    (folder / "promoters.fasta").write_text("".join(f">p{n}\n{r}\n" for n, r in enumerate(rows)))
    return folder


@pytest.mark.parametrize(
    "search", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["all but search", "search"]
)
def test_commands_of_the_readme(desk, search):
    commands = [command for command in COMMANDS if ("dream_keras.search" in command) == search]
    assert len(commands) >= (1 if search else 6)
    for command in commands:
        words = shlex.split(command)
        assert words[:2] == ["python", "-m"]
        if words[2] in ("dream_keras.train", "dream_keras.search") and "--resume" not in words:
            words.append("--smoke")
        words[0] = sys.executable
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            words,
            cwd=desk,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_python_of_the_readme(desk):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    if not (desk / "data").exists():
        pytest.skip("the commands come first")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=desk,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


def test_files_that_the_readme_and_docs_point_to_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
