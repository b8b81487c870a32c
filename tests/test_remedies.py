"""What messages advise is tried: the advised command is run, and then the first one works."""

import errno
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from dream_keras import prepare
from dream_keras.common import cli
from dream_keras.common.errors import UserError
from dream_keras.data import yeast
from dream_keras.simulate import writer


def advice(path, number=errno.EACCES):
    return cli._describe_os_error(OSError(number, os.strerror(number), str(path)))


@pytest.fixture
def allowed(monkeypatch):
    """Rights as somebody who is not root has them."""

    def access(path, mode):
        rights = Path(path).stat().st_mode >> 6
        return bool(rights & mode)

    monkeypatch.setattr(cli.os, "access", access)
    return access


def run_advice(message):
    command = re.search(r"chmod \S+ [^)]*", message)[0]
    subprocess.run(shlex.split(command), check=True)


@pytest.mark.parametrize("name", ["table.txt", "a table's.txt"])
def test_an_unreadable_file(tmp_path, allowed, name):
    path = tmp_path / name
    path.write_text("ACGT\n")
    path.chmod(0)
    message = advice(path)
    assert message.startswith(f"{path}: permission denied. Allow reading it")
    assert "--out" not in message
    run_advice(message)
    assert allowed(path, os.R_OK)


def test_a_folder_that_cannot_be_written(tmp_path, allowed):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o500)
    message = advice(folder / "analysis" / "report.md")
    assert "Allow writing there" in message
    assert "--out" not in message
    run_advice(message)
    assert allowed(folder, os.W_OK)


def test_other_errors_of_the_file_system(tmp_path):
    assert "read-only: copy" in advice(tmp_path / "x", errno.EROFS)
    assert "Free some space" in advice(tmp_path / "x", errno.ENOSPC)
    assert advice(tmp_path / "x", errno.EISDIR) == f"{tmp_path / 'x'}: is a directory."


def test_a_cache_that_cannot_be_written_names_its_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DREAM_KERAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set DREAM_KERAS_CACHE to another folder"):
        writer.write_simulation(tmp_path / "file" / "data", 10, 600, 0, False)
    monkeypatch.setenv("DREAM_KERAS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="or choose another folder"):
        writer.write_simulation(tmp_path / "file" / "data", 10, 600, 0, False)


LEFT, RIGHT = yeast.LEFT_ADAPTER, yeast.RIGHT_ADAPTER
INSERT = "ACGTTGCAAC" * 8
ROW = f"{LEFT}{INSERT}{RIGHT}\t5.5\n"
TABLES = {
    "without adapters": ("dream_cnn", f"{INSERT}\t5.5\n" * 3),
    "too long": ("dream_cnn", f"{LEFT}{INSERT * 2}{RIGHT}\t5.5\n" * 3 + ROW),
    "too long for bhi": ("bhi_deepgxp", f"{LEFT}{INSERT * 2}{RIGHT}\t5.5\n" * 3 + ROW),
    "a bad letter": ("dream_cnn", ROW * 2 + f"{LEFT}{INSERT}X\t5.5\n"),
    "a bad number": ("dream_cnn", ROW * 2 + f"{LEFT}{INSERT}\thigh\n"),
    "too short": ("dream_cnn", ROW * 2 + f"{LEFT}\t5.5\n"),
    "a header": ("dream_cnn", "oligo,activity\n" + ROW.replace("\t", ",") * 3),
    "two columns of numbers": ("dream_cnn", "seq,a,b\n" + ROW.strip().replace("\t", ",") + ",7\n"),
    "without names": (
        "any_dream_cnn",
        f"seq,mean_value\n{INSERT * 2},1.5\n{INSERT},2\n",
    ),
}
"""Config and table of mistakes that another option mends."""
VALUES = {
    "LEFT,RIGHT": f"{LEFT},{RIGHT}",
    "--sequence-column": "oligo",
    "--target-columns": "activity",
}
"""What a user would write for what a message leaves open."""


def advised(message, table):
    """Return the arguments that a message advises, each alone or with those it goes with."""
    found = re.findall(r"(--set [a-z_.]+=[\w,.]+|--on-bad-row \w+)", message)
    options = [
        shlex.split(each.rstrip(".,").replace("LEFT,RIGHT", VALUES["LEFT,RIGHT"])) for each in found
    ]
    named = re.findall(r"--(?:sequence|target|id)-columns?", message)
    if named:
        names = {**VALUES, "--id-column": "seq"}
        if "seq,a,b" in table:
            names["--target-columns"] = "a,b"
        options.append([part for name in dict.fromkeys(named) for part in (name, names[name])])
    return options


@pytest.mark.parametrize("case", TABLES)
def test_every_option_that_a_message_advises_mends_the_table(case, tmp_path):
    config, text = TABLES[case]
    (tmp_path / "table").write_text(text)

    def run(name, *arguments):
        files = [str(tmp_path / "table"), "--out", str(tmp_path / name), "--shards", "1"]
        prepare.main([*files, "--config", config, *arguments])

    flag = "model.processor={name: plain, reverse: flag, reverse_mark: _rc}"
    fixed = ["--set", flag] if config.startswith("any") else []
    with pytest.raises(UserError) as refused:
        run("refused", *fixed)
    options = advised(str(refused.value), text)
    assert options, refused.value
    for number, arguments in enumerate(options):
        run(f"out{number}", *fixed, *arguments)
        assert (tmp_path / f"out{number}" / "manifest.json").exists(), arguments
