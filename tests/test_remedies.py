"""What messages advise is tried: the advised command is run, and then the first one works."""

import argparse
import ast
import dataclasses
import errno
import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from dream_keras import COMMANDS, load_run, menu, prepare, train
from dream_keras.common import cli
from dream_keras.common.errors import UserError
from dream_keras.config.settings import DataSettings, RuntimeSettings, ScoringSettings
from dream_keras.data import yeast
from dream_keras.simulate import writer
from dream_keras.training.engine import Engine


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


PACKAGE = Path(cli.__file__).parents[1]
FOREIGN = {"--xla_gpu_deterministic_ops", "--logdir", "--version"}
"""Flags of other programs, and of ``python -m dream_keras`` itself."""


def messages():
    """Yield every text of the package that is no docstring, with its file."""
    for file in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (part for part in node.values if isinstance(part, ast.Constant))
                yield file, "{}".join(part.value for part in parts)
            elif isinstance(node, ast.Constant) and node not in docstrings:
                yield file, str(node.value)


def options_of(parser):
    """Return all options of a parser and of the commands below it."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*map(options_of, action.choices.values()))
    return found


def test_every_option_that_a_message_names_exists():
    known = set()
    for command in COMMANDS:
        module = importlib.import_module(f"dream_keras.{command}")
        if hasattr(module, "__path__"):
            module = importlib.import_module(f"dream_keras.{command}.__main__")
        known |= options_of(module.parser())
    named = {
        (option, file.name)
        for file, text in messages()
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", text)
    }
    assert len(named) > 60
    assert {(o, f) for o, f in named if o not in known | FOREIGN} == set()


SETTING = r"--set '?((?:data|model|trainer|runtime|scoring)\.[a-z_.]*[a-z_])"


def test_every_setting_that_a_message_names_exists():
    sections = {"data": DataSettings, "runtime": RuntimeSettings, "scoring": ScoringSettings}
    known = {f"{s}.{field.name}" for s, k in sections.items() for field in dataclasses.fields(k)}
    for item in menu.entries():
        section = "trainer" if item.slot == "trainer" else f"model.{item.slot}"
        known |= {section, *(f"{section}.{option}" for option in item.options)}
    named = {
        (key, file.name)
        for file, text in messages()
        for key in re.findall(
            r"--set '?((?:data|model|trainer|runtime|scoring)\.[a-z_.]*[a-z_])", text
        )
    }
    assert len(named) >= 8
    assert {(key, file) for key, file in named if key not in known} == set()


SHORT = "".join(f"{LEFT}{'A' * k}{INSERT[k:]}{RIGHT}\t{k % 9}.5\n" for k in range(40))
WIDE = "seq,a,b\n" + re.sub(r"\t(.*)", r",\1,\1", SHORT)
MISTAKES = {
    # The table, what is given, and what the advice leaves open.
    "labels that are no bins": (SHORT.replace("\t", "\t9"), {}, {}),
    "validation rows that do not differ": (SHORT, {"validation": "same"}, {"--val": "validation"}),
    "a final block with one value": (WIDE, {"target_columns": ["a", "b"]}, {}),
    "families and a validation table": (
        SHORT,
        {"validation": "table", "split": "similarity"},
        {"leave --split out": None},
    ),
    "frozen layers without a run": (SHORT, {"freeze": "core"}, {"--from RUN": "init_from"}),
}
SMALL = [
    "model.first.out_channels=8",
    "model.core={name: autosome, widths: [8], out_channels: 8}",
    "trainer.batch_size=4",
]


class Reached(Exception):
    """The input was accepted: training would begin."""


@pytest.mark.parametrize("case", MISTAKES)
def test_advice_about_training_is_followed(case, tmp_path, monkeypatch):
    text, given, openly = MISTAKES[case]
    (tmp_path / "table").write_text(text)
    (tmp_path / "same").write_text(ROW * 3)
    (tmp_path / "validation").write_text(SHORT)

    def reached(self):
        raise Reached

    monkeypatch.setattr(Engine, "run", reached)
    given = {k: tmp_path / v if k == "validation" else v for k, v in given.items()}

    def run(name, **changes):
        overrides = [*SMALL, *changes.pop("overrides", [])]
        settings = {**given, **changes, "overrides": overrides, "progress": False}
        train("dream_cnn", train=tmp_path / "table", out=tmp_path / name, **settings)

    with pytest.raises(UserError) as refused:
        run("refused")
    message = str(refused.value)
    overrides = re.findall(r"(?:--set |[ (])(model\.[\w.]+=\w+)", message)
    changes = {"overrides": overrides} if overrides else {}
    for words, argument in openly.items():
        assert words in message
        if argument is None:
            changes["split"] = None
        elif argument == "init_from":
            with pytest.raises(Reached):
                run("source", freeze=None)
            network = load_run(tmp_path / "source").untrained_network()
            network.save_weights(tmp_path / "source" / "best.weights.h5")
            changes["init_from"] = tmp_path / "source"
        else:
            changes[argument] = tmp_path / "validation"
    assert changes, message
    with pytest.raises(Reached):
        run("mended", **changes)
