"""A user's own files and notebook cells on the menu: loaded, kept with a run, refused in words."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.data.processor import Processor
from dream_keras.evaluate import main as evaluate_command
from dream_keras.menu import plugins, registry
from dream_keras.menu.plugins import copy_plugins, load_plugins
from dream_keras.menu.trainer import Trainer
from dream_keras.nn.losses import TaskError
from dream_keras.predict import main as predict_command
from dream_keras.runs.folder import RunFolder
from dream_keras.testing import check_block, check_processor, check_trainer

ROOT = Path(__file__).parents[2]

BLOCK = '''\
"""A block of one's own."""

import keras

from dream_keras import menu


@menu.register("core", "mine", source="a test")
def mine(x, width: int = 8):
    """One convolution."""
    return keras.layers.Conv1D(width, 3, padding="same", name="core_conv")(x)
'''
CONFIG = """\
plugins: [blocks/own.py]
model: {processor: autosome, first: {name: autosome, out_channels: 8}, core: mine, final: autosome}
trainer: {name: autosome, batch_size: 16, epochs: 1, steps_per_epoch: 2}
"""
SEQUENCE = "TGCATTTTTTTCACATC" + "ACGT" * 20 + "GGTTACGGCTGTT\n"
CELL = """\
@menu.register("core", "{name}", source="a cell")
def in_a_cell(x, width: int = {width}):
    return keras.layers.Conv1D(width, 3, padding="same", name="core_conv")(x)
"""


@pytest.fixture(autouse=True)
def _own_menu(monkeypatch):
    """What a test loads is gone afterwards."""
    menu.entries()
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for known in ("_modules", "_texts"):
        monkeypatch.setattr(plugins, known, {})
    yield
    forget_plugins()


def forget_plugins():
    """Bring the menu to where it stands in a new process."""
    for module in [name for name in sys.modules if name.startswith(registry.PLUGIN_MODULE)]:
        registry.forget(module)
        del sys.modules[module]


@pytest.fixture
def plugin(tmp_path):
    return write(tmp_path / "own.py", BLOCK)


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def run_cell(**changes):
    """Run a notebook cell that registers a block: the kernel's module has no file."""
    import keras

    text = CELL.format(**{"name": "cell", "width": 8, **changes})
    exec(compile(text, "cell", "exec"), {"__name__": "__main__", "menu": menu, "keras": keras})


# Loading.


def test_a_plugin_is_on_the_menu(plugin):
    load_plugins([plugin])
    item = menu.get("core", "mine")
    assert dict(item.options) == {"width": 8}
    assert item.place == f"{plugin}:8"
    network = dream_keras.build_network(
        {"processor": "autosome", "first": "bhi", "core": "mine", "final": "bhi"}
    )
    assert network.get_layer("core_conv").filters == 8


def test_the_same_file_or_a_copy_is_loaded_once(plugin, tmp_path):
    load_plugins([plugin, str(plugin)])
    build = menu.get("core", "mine").build
    load_plugins([plugin, write(tmp_path / "sub" / "copy.py", BLOCK)])
    assert menu.get("core", "mine").build is build


def test_an_edited_file_takes_its_former_place(plugin):
    load_plugins([plugin])
    write(plugin, BLOCK.replace("int = 8", "int = 16").replace('"mine"', '"ours"'))
    load_plugins([plugin])
    assert menu.get("core", "ours").options["width"] == 16
    assert "mine" not in menu.names("core")


def test_another_file_with_the_same_name_is_refused(plugin, tmp_path):
    load_plugins([plugin])
    other = write(tmp_path / "other.py", BLOCK.replace("int = 8", "int = 16"))
    with pytest.raises(UserError) as error:
        load_plugins([other])
    assert f"registered by {plugin}:8; {other}:8 registers another" in str(error.value)
    assert menu.get("core", "mine").options["width"] == 8


def test_a_copy_of_a_former_version_is_refused(plugin, tmp_path):
    copy = write(tmp_path / "run" / "own.py", BLOCK)
    load_plugins([plugin, copy])
    write(plugin, BLOCK.replace("int = 8", "int = 16"))
    load_plugins([plugin])
    with pytest.raises(UserError, match=r"restart Python"):
        load_plugins([copy])


def test_what_ships_with_the_package_keeps_its_name(tmp_path):
    path = write(tmp_path / "own.py", BLOCK.replace('"mine"', '"bhi"'))
    with pytest.raises(
        UserError, match=r"own\.py:8: .*\"bhi\" is on the menu already.*bhi\.py:\d+"
    ):
        load_plugins([path])


def test_one_file_cannot_use_a_name_twice(tmp_path):
    text = BLOCK + BLOCK[BLOCK.index("@menu") :]
    with pytest.raises(UserError, match=r'own\.py:12: core "mine" is on the menu already'):
        load_plugins([write(tmp_path / "own.py", text)])
    assert "mine" not in menu.names("core")


def test_a_file_that_fails_leaves_the_menu_as_it_was(tmp_path):
    path = write(tmp_path / "own.py", BLOCK + "1 / 0\n")
    with pytest.raises(UserError, match=r"own\.py:12: ZeroDivisionError: division by zero"):
        load_plugins([path])
    assert "mine" not in menu.names("core")
    load_plugins([write(path, BLOCK)])
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_plugins([write(path, BLOCK + "1 / 0\n")])
    assert "mine" in menu.names("core")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n    pass\n", ":1: SyntaxError: invalid syntax"),
        ("x = 1\n  y = 2\n", ":2: IndentationError: unexpected indent"),
        ("import no_such_package\n", ":1: ModuleNotFoundError: No module named 'no_such_package'"),
        ("\ndef f():\n    raise KeyError(3)\nf()\n", ":3: KeyError: 3"),
        ("import sys\nsys.exit(1)\n", ":2: SystemExit: 1"),
        ("x = 1\n", " registers nothing: put @menu.register"),
        ("", " registers nothing: put @menu.register"),
        ("from helper import x\n", ":1: imports helper.py, which stands beside it"),
        ("def f():\n    import helper.part\n", ":2: imports helper.py, which stands beside it"),
        ("import dream_keras\ndream_keras.load_experiment('quickstart')\n", ":2: "),
        (BLOCK.replace("width: int = 8", "width=8"), ':8: core "mine": option width has no type'),
        (BLOCK.replace('source="a test"', ""), ":8: TypeError: register() missing 1 required"),
    ],
)
def test_mistakes_in_a_plugin_are_named_with_their_line(tmp_path, text, said):
    write(tmp_path / "helper.py", "x = 1\n")
    path = write(tmp_path / "own.py", text)
    with pytest.raises(UserError) as error:
        load_plugins([path])
    assert f"{path}{said}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plugin_that_starts_a_run_is_told_how_not_to(tmp_path):
    path = write(tmp_path / "own.py", BLOCK + "import dream_keras\ndream_keras.train()\n")
    with pytest.raises(UserError, match=r'own\.py:13: .*if __name__ == "__main__"'):
        load_plugins([path])


def test_files_that_are_no_plugins(tmp_path, plugin):
    with pytest.raises(UserError, match=rf'no such file\. Did you mean "{plugin}"'):
        load_plugins([tmp_path / "owm.py"])
    with pytest.raises(UserError, match=r"expected a Python file.*%%writefile"):
        load_plugins([tmp_path / "own.ipynb"])
    with pytest.raises(UserError, match=r"expected a list of files, such as \['own\.py'\]"):
        dream_keras.train(plugins="own.py")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file in UTF-8"):
        load_plugins([tmp_path / "bytes.py"])


# Notebook cells.


def test_a_cell_that_is_run_again_replaces_its_block():
    run_cell()
    run_cell(width=9)
    assert menu.get("core", "cell").options["width"] == 9
    assert menu.get("core", "cell").place == "a notebook cell"


def test_a_cell_cannot_take_the_name_of_a_plugin_or_ours(plugin):
    load_plugins([plugin])
    with pytest.raises(UserError, match=rf"registered by {plugin}:8; a notebook cell registers"):
        run_cell(name="mine")
    with pytest.raises(UserError, match="is on the menu already"):
        run_cell(name="bhi")


def test_a_cell_that_became_a_file_makes_way_for_it(plugin):
    run_cell(name="mine", width=5)
    load_plugins([plugin])
    assert menu.get("core", "mine").place == f"{plugin}:8"


def test_our_names_cannot_be_taken_before_ours_are_loaded():
    script = (
        "from dream_keras import menu\n"
        "try:\n"
        "    menu.register('core', 'bhi', source='here')(lambda x: x)\n"
        "except menu.registry.UserError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 'core "bhi" is on the menu already' in done.stdout


# What cannot be registered.


def no_parameters():
    return 1


def tensor_with_default(x=None):
    return x


def only_keywords(*, width: int = 8):
    return width


def any_options(x, **options):
    return x


def option_called_name(x, name: str = "a"):
    return x


def without_default(x, width: int):
    return x


def without_type(x, width=8):
    return x


def of_a_list(x, sizes: list[int] = [9, 15]):  # noqa: B006
    return x


def of_two_types(x, width: int | str = 8):
    return x


def of_a_fixed_tuple(x, sizes: tuple[int, int] = (9, 15)):
    return x


def of_nested_lists(x, sizes: tuple[tuple[int, ...], ...] = ((9,),)):
    return x


def with_an_unfit_default(x, width: int = None):  # noqa: RUF013
    return x


def with_an_unknown_type(x, width: "Nowhere" = 8):  # noqa: F821
    return x


class Layer:
    """Looks like a layer."""


class NoProcessor:
    """Is none."""


class HalfAProcessor(Processor):
    """Has no graph part."""

    def encode(self, tokens, lengths):
        return tokens


class NotADataclass(Trainer):
    """Forgets its decorator."""

    learning_rate: float = 0.1

    def optimizer(self, total_steps):
        return None


@pytest.mark.parametrize(
    ("slot", "build", "said"),
    [
        ("core", 5, "a block is a function of a tensor, got 5"),
        ("core", Layer, "a block is a function of a tensor, got <class"),
        ("core", Layer(), "a block is a function of a tensor, got <"),
        ("core", no_parameters, "first parameter must be the tensor"),
        ("core", tensor_with_default, "first parameter must be the tensor"),
        ("core", only_keywords, "first parameter must be the tensor"),
        ("core", any_options, "option options is not a single keyword"),
        ("core", option_called_name, "option name needs another name"),
        ("core", without_default, "option width has no default: write width: int = 8"),
        ("core", without_type, "option width has no type: write width: int = 8"),
        ("core", of_a_list, r"option sizes is a list\[int\], which configs cannot hold.*tuple"),
        ("core", of_two_types, "option width is a int | str, which configs cannot hold"),
        ("core", of_a_fixed_tuple, "which configs cannot hold"),
        ("core", of_nested_lists, "which configs cannot hold"),
        ("core", with_an_unfit_default, "default does not fit its type.*a whole number, got None"),
        ("core", with_an_unknown_type, "annotations cannot be read: name 'Nowhere'"),
        ("processor", no_parameters, "expected a class made from .*Processor"),
        ("processor", NoProcessor, "expected a class made from .*Processor"),
        ("processor", HalfAProcessor, "must define make_channels, make_target"),
        ("trainer", HalfAProcessor, "expected a class made from .*Trainer"),
        ("trainer", NotADataclass, r"put @dataclasses\.dataclass\(frozen=True, kw_only=True\)"),
    ],
)
def test_what_cannot_be_registered(slot, build, said):
    with pytest.raises(UserError, match=f'^{slot} "mine": .*{said}'):
        menu.register(slot, "mine", source="here")(build)


@pytest.mark.parametrize("name", ["", "two words", "3", "true", "null", "a-b", None, 7])
def test_names_that_configs_cannot_hold(name):
    with pytest.raises(UserError, match="cannot be called"):
        menu.register("core", name, source="here")(lambda x: x)


class OwnReduction(TaskError):
    """Takes no arguments."""

    def __init__(self):
        super().__init__()


@pytest.mark.parametrize(
    ("losses", "expression", "said"),
    [
        ({}, len, "head.losses must map target types"),
        (TaskError, len, "head.losses must map target types"),
        ({"value": "mse"}, len, "must be a class made from keras.losses.Loss"),
        ({"value": TaskError()}, len, r"without brackets\), got <"),
        ({"value": OwnReduction}, len, "must take the keyword reduction"),
        ({"value": TaskError}, 3, "head.expression must be a function"),
    ],
)
def test_heads_that_cannot_be_used(losses, expression, said):
    with pytest.raises(UserError, match=said):
        menu.register(
            "final", "mine", source="here", head=menu.Head(losses=losses, expression=expression)
        )


# In configs and runs.


def test_a_configs_plugins_are_found_from_where_it_stands(tmp_path, monkeypatch):
    write(tmp_path / "blocks" / "own.py", BLOCK)
    config = write(tmp_path / "mine.yaml", CONFIG)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    experiment = load_experiment(config)
    assert experiment.plugins == (str(tmp_path / "blocks" / "own.py"),)
    again = write(tmp_path / "again.yaml", experiment.to_yaml())
    assert load_experiment(again).plain() == experiment.plain()
    # On the command line they are found from the working directory.
    write(tmp_path / "elsewhere" / "too.py", BLOCK.replace("mine", "too"))
    both = load_experiment(config, plugins=["too.py", "../blocks/own.py"])
    assert [Path(path).name for path in both.plugins] == ["own.py", "too.py"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("plugins: own.py", "own.py: no such file"),
        ("plugins: [3]", "plugins: expected a list of text, got"),
        ("plugins: [nowhere.py]", "nowhere.py: no such file"),
    ],
)
def test_plugin_mistakes_in_a_config_name_its_line(tmp_path, line, said):
    config = write(tmp_path / "mine.yaml", CONFIG.replace("plugins: [blocks/own.py]", line))
    with pytest.raises(UserError) as error:
        load_experiment(config)
    assert str(error.value).startswith(f"{config}:1: ")
    assert said in str(error.value)


def test_a_forgotten_plugin_is_hinted_at(tmp_path):
    config = write(tmp_path / "mine.yaml", CONFIG.partition("\n")[2])
    with pytest.raises(UserError, match=r'unknown core on the menu "mine".*--plugin FILE'):
        load_experiment(config)


def test_copies_are_of_what_was_loaded_and_have_names_of_their_own(tmp_path):
    first = write(tmp_path / "a" / "own.py", BLOCK)
    second = write(tmp_path / "b" / "own.py", BLOCK.replace("mine", "ours"))
    twin = write(tmp_path / "c" / "own.py", BLOCK)
    load_plugins([first, second, twin])
    first.write_text("edited since")
    copies = copy_plugins([first, second, twin], tmp_path / "kept")
    assert [copy.name for copy in copies] == ["own.py", "own2.py"]
    assert copies[0].read_text() == BLOCK


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, training_table):
    """A folder in which a run was trained with a plugin that is gone since."""
    folder = tmp_path_factory.mktemp("workplace")
    write(folder / "blocks" / "own.py", BLOCK)
    write(folder / "mine.yaml", CONFIG)
    done = command("train --config mine.yaml --out run --train", str(training_table), cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "blocks" / "own.py").unlink()
    write(folder / "seq.txt", SEQUENCE)
    return folder


def command(words, *more, cwd):
    name, *arguments = words.split()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", f"dream_keras.{name}", *arguments, *more],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_run_keeps_its_plugins(workplace, tmp_path):
    config = yaml.safe_load((workplace / "run" / "config.yaml").read_text())
    assert config["plugins"] == ["plugins/own.py"]
    assert (workplace / "run" / "plugins" / "own.py").read_text() == BLOCK
    # Moved, and opened without the original.
    moved = (workplace / "run").rename(tmp_path / "moved")
    try:
        run = dream_keras.load_run(moved)
        assert run.network.get_layer("core_conv").filters == 8
    finally:
        moved.rename(workplace / "run")


def test_another_process_opens_a_run_with_plugins(workplace):
    done = command("predict run seq.txt", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("TGCATTTTTTTCACATC")


def test_a_resumed_run_takes_no_other_version(workplace):
    write(workplace / "same.py", BLOCK)
    write(workplace / "other.py", BLOCK.replace("int = 8", "int = 9"))
    same = {"out": workplace / "run", "resume": True, "progress": False}
    dream_keras.train(plugins=[workplace / "same.py"], **same)
    forget_plugins()
    with pytest.raises(UserError, match=r"registered by .*other\.py:8; .*run/plugins/own\.py:8"):
        dream_keras.train(plugins=[workplace / "other.py"], **same)


def test_a_run_of_a_notebooks_block_says_what_it_needs(tmp_path, training_table, capsys):
    run_cell()
    write(tmp_path / "mine.yaml", CONFIG.partition("\n")[2].replace("mine", "cell"))
    run = dream_keras.train(
        tmp_path / "mine.yaml", train=training_table, out=tmp_path / "run", progress=False
    ).folder
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["core"] == "cell"
    assert dream_keras.load_run(run).network.count_params()
    registry.remove("core", "cell")
    with pytest.raises(UserError) as error:
        dream_keras.load_run(run)
    assert str(error.value).startswith(f'{run} cannot be opened, because its core "cell" is not on')
    assert "registered in a notebook" in str(error.value)
    assert "--plugin FILE" in str(error.value)
    file = write(tmp_path / "own.py", BLOCK.replace('"mine"', '"cell"'))
    sequences = write(tmp_path / "seq.txt", SEQUENCE)
    predict_command([str(run), str(sequences), "--plugin", str(file)])
    assert capsys.readouterr().out.startswith("TGCATTTTTTTCACATC")
    with pytest.raises(UserError, match=r"nowhere\.py: no such file"):
        evaluate_command([str(run), "--suite", str(tmp_path), "--plugin", "nowhere.py"])


def test_a_block_that_has_changed_since_is_named(tmp_path, training_table):
    run_cell()
    write(tmp_path / "mine.yaml", CONFIG.partition("\n")[2].replace("mine", "{name: cell}"))
    folder = dream_keras.train(
        tmp_path / "mine.yaml",
        train=training_table,
        out=tmp_path / "run",
        overrides=["model.core.width=6"],
        progress=False,
    ).folder
    config = RunFolder(folder).config
    config.write_text(config.read_text().replace("width: 6", "width: 7"))
    with pytest.raises(UserError, match='core "cell" has other weights than when'):
        _ = dream_keras.load_run(folder).network
    config.write_text(config.read_text().replace("width: 7", "depth: 7"))
    with pytest.raises(UserError, match='unknown option of core cell "depth"'):
        dream_keras.load_run(folder)


# The page that explains it.


def test_what_the_page_shows_is_sound_and_trains(tmp_path, training_table):
    page = (ROOT / "docs" / "your_own_block.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    load_plugins([write(tmp_path / "my_block.py", code)])
    check_block("core", "plain_cnn", options={"out_channels": 8, "layers": 2})
    check_block("final", "mean_value")
    check_processor("insert_only")
    check_trainer("plain_adam")
    (config,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    result = dream_keras.train(
        write(tmp_path / "mine.yaml", config.replace("trainer: autosome", "trainer: plain_adam")),
        train=training_table,
        out=tmp_path / "run",
        overrides=["model.processor=insert_only", "model.final=mean_value"],
        smoke=True,
        progress=False,
    )
    assert len(result.history) == 2
