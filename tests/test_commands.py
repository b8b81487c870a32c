"""What every command promises: quick help, clean errors, exit statuses."""

import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

import dream_keras
from dream_keras.common.cli import python_command

COMMANDS = [
    "train",
    "ensemble",
    "evaluate",
    "predict",
    "variants",
    "attribute",
    "marginalise",
    "design",
    "simulate",
    "fetch",
    "convert",
    "export",
    "search",
    "serve",
    "leaderboard",
    "analyse",
    "doctor",
    "prepare",
    "preflight",
    "regions",
]
NO_FUNCTION = ["menu"]
"""Commands whose module is something else when it is imported."""


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, **options
    )


NO_BACKEND = """
import sys
class NoBackend:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("keras", "tensorflow", "jax", "torch", "keras_tuner"):
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, NoBackend())
"""
"""Begins a script in whose process importing Keras or a backend fails."""


@pytest.mark.parametrize("command", [*COMMANDS, *NO_FUNCTION])
def test_help_loads_nothing_heavy(command):
    script = NO_BACKEND + (
        "import runpy\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('dream_keras.{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'scipy', 'torch', 'jax'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"dream_keras.{command}" in done.stdout
    assert done.stdout.strip().endswith("LOADED []")
    # A short plain description, not the function's docstring.
    description = done.stdout.split("\n\n")[1]
    assert len(description) < 400
    assert not re.search(r">>>|\bArgs:|\bRaises:|\bReturns:|``", done.stdout)


PUBLIC = r"""
import inspect, pydoc, re
import dream_keras
for name in dream_keras.__all__:
    value = getattr(dream_keras, name)
    assert name in dir(dream_keras)
    if name not in ("__version__", "menu"):
        assert inspect.signature(value).parameters or name == "doctor", name
        assert len(value.__doc__) > 80, name
text = pydoc.render_doc(dream_keras, renderer=pydoc.plaintext)
assert re.search(r"build_network\(\s*order", text) and "help(dream_keras.train)" in text
text = pydoc.render_doc(dream_keras.train, renderer=pydoc.plaintext)
assert re.search(r"train\(\s*config", text) and "make_callable" not in text
assert dir(dream_keras.predict) == ["predict"]
assert [*inspect.signature(dream_keras.predict).parameters][:3] == ["run", "source", "out"]
"""


def test_public_names_need_no_backend():
    subprocess.run([sys.executable, "-c", NO_BACKEND + PUBLIC], check=True)


OTHER_NAMES = {"overrides": "set", "plugins": "plugin", "motifs": "motif", "init_from": "from"}
"""Arguments of functions whose option may be given several times, or is no name in Python."""
NOT_OPTIONS = {"progress", "target_column", "targets", "validation_sequences"} | {
    "validation_targets"
}
"""Arguments without an option: former names, rows in memory, and the terminal's progress bar."""


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"leaderboard", "doctor"}))
def test_functions_and_commands_use_the_same_names(command):
    module = importlib.import_module(f"dream_keras.{command}")
    function = module.__wrapped__
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"dream_keras.{command}.__main__")
    options = {action.dest for action in module.parser()._actions}
    arguments = set(inspect.signature(function).parameters) - NOT_OPTIONS
    arguments = {name if name in options else OTHER_NAMES.get(name, name) for name in arguments}
    assert arguments - options <= {"source", "sequences"}  # predict's INPUT, train's rows
    others = {"cross_validate", "members", "variants", "score", "control", "sequences"}
    assert options - arguments <= {"help", "json", "input", *others}


@pytest.mark.parametrize("command", ["train", "search"])
def test_former_names_of_options_work(command):
    module = importlib.import_module(f"dream_keras.{command}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"dream_keras.{command}.__main__")
    assert module.parser().parse_args(["--val", "x"]).validation == "x"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_functions_too(command):
    module = importlib.import_module(f"dream_keras.{command}")
    assert callable(module)
    assert module is getattr(dream_keras, command)
    assert module.__doc__


# What needs no Keras to be seen: a typo, a file, a folder, a config or a name that is not there.
MISTAKES = [
    (["train", "--confg", "x"], "unrecognized arguments: --confg"),
    (["train", "--config", "dream_ccn"], "no config file dream_ccn"),
    (["train", "--train", "missing.txt", "--out", "new"], "no file"),
    (["train", "--validation", "missing.txt"], "no file"),
    (["train", "--suite", "missing"], "does not exist"),
    (["train", "--plugin", "missing.py"], "plugin missing.py: no such file"),
    (["train", "--cross-validate", "--out", "x"], "--cross-validate needs --train"),
    (["train", "--set", "trainer.epoch=3"], 'Did you mean "epochs"'),
    (["train", "--set", "trainer.epochs=ten"], "expected a whole number"),
    (["train", "--set", "data.trian=x"], 'Did you mean "train"'),
    (["train", "--set", "model.core=bih"], 'unknown core on the menu "bih". Did you mean "bhi"'),
    (["train", "--set", "runtime.strategy=tpus"], "expected auto, none"),
    (["train", "--resume"], "--resume needs --out"),
    (["train", "--resume", "--out", "nowhere"], "nowhere is not a run folder"),
    (["train", "--out", "full"], "full exists already"),
    (["predict", "nowhere", "-"], "nowhere is not a run folder"),
    (["predict", "run", "missing.fa"], "no file missing.fa"),
    (["predict", "run", "-", "-o", "missing/x.tsv"], "the folder missing does not exist"),
    (["convert", "x.pth", "--preset", "dream_cnn", "--out", "y"], "no file x.pth"),
    (["convert", "x.pth", "--preset", "dream_ccn", "--out", "y"], "no config file dream_ccn"),
    (["evaluate", "nowhere", "--suite", "."], "nowhere is not a run folder"),
    (["evaluate", "run", "--suite", "missing"], "the suite missing does not exist"),
    (["evaluate", "--predictions", "missing", "--suite", "."], "no file missing"),
    (["leaderboard", "show", "--board", "nowhere"], "nowhere does not exist. Make one"),
    (["leaderboard", "compare", "nowhere", "run"], '"nowhere" is no run folder'),
    (["design", "nowhere", "--goal", "max", "--out", "new"], "nowhere is not a run folder"),
    (["design", "run", "--goal", "max", "--out", "new"], "--start FILE, or --random N"),
    (["design", "run", "--goal", "max", "--random", "1", "--out", "full"], "exists already"),
    (["design", "run", "--goal", "max", "--random", "1", "--gc", "x", "--out", "new"], "LOW-HIGH"),
    (["analyse", "nowhere"], "nowhere is not a run folder"),
    (["analyse", "run", "--suite", "missing"], "the suite missing does not exist"),
    (["analyse", "run", "--train", "missing"], "no file missing"),
    (["prepare", "missing.txt", "--out", "new"], "no file missing.txt"),
    (["prepare", "-", "--out", "new", "--config", "nothing"], "no config file nothing"),
    (["prepare", "-", "--out", "full"], "full exists already"),
    (["menu", "--final", "bhi"], "--orders"),
    (["menu", "--orders", "--final", "bih"], 'Did you mean "bhi"'),
    (["preflight", "--config", "dream_cnn", "--topology", "v5e"], "expected CHIP:GRID"),
    (["preflight", "--config", "dream_ccn"], "no config file dream_ccn"),
    (["preflight", "--config", "dream_cnn", "--set", "trainer.epoch=3"], '"epochs"'),
    (["search"], "a search needs --space"),
    (["search", "--space", "prix_fix"], "no config file prix_fix"),
    (["search", "--space", "prix_fixe_small", "--set", "search.tunr=grid"], '"tuner"'),
    (["search", "--space", "prix_fixe_small", "--train", "missing"], "no file"),
    (["search", "--resume", "--out", "nowhere"], "nowhere is not the folder of a search"),
    (["serve", "nowhere"], "nowhere is not a run folder"),
    (["serve", "run", "--", "0.0.0.0"], "expected HOST PORT"),
    (["simulate", "new", "--test-rows", "3"], "test_rows = 3 is out of range"),
    (["fetch", "draem"], 'unknown set "draem". Did you mean "dream"?'),
    (["fetch", "dream/trian.txt"], 'unknown file of dream "trian.txt". Did you mean "train.txt"?'),
    (["doctor", "--quik"], "unrecognized arguments"),
]
WITH_KERAS = [
    (["search", "--role", "worker", "--chief", "here"], "expected HOST:PORT"),
    (
        ["train", "--set", "model.core.channels_per_group=3", "--out", "new"],
        "core block autosome cannot be built",
    ),
]

ONE_AFTER_THE_OTHER = """
import importlib, json, os, sys, tempfile
from dream_keras.common.cli import run
ends = []
for command, *arguments in json.loads(sys.argv[1]):
    module = importlib.import_module(f"dream_keras.{command}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"dream_keras.{command}.__main__")
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            run(lambda: module.main(arguments))
        except SystemExit as end:
            ends.append([end.code])
        sys.stderr.flush()
        os.dup2(stderr, 2)
        said.seek(0)
        ends[-1].append(said.read().decode())
print(json.dumps(ends))
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Status and error stream of each mistake; one process makes them all, which is quicker.

    Importing Keras fails there: a mistake that is found after it would say so.
    """
    words = json.dumps([arguments for arguments, _ in MISTAKES])
    desk = tmp_path_factory.mktemp("desk")
    for folder in ("run", "full"):
        (desk / folder).mkdir()
        (desk / folder / "config.yaml").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", NO_BACKEND + ONE_AFTER_THE_OTHER, words],
        capture_output=True,
        text=True,
        cwd=desk,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_one_clear_line(status, stderr, said):
    assert status == 2
    error = [line for line in stderr.splitlines() if "error: " in line]
    assert len(error) == 1
    assert any(part in error[0] for part in said.split("|"))
    assert "Traceback" not in stderr
    assert "I0000" not in stderr


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda n: " ".join(MISTAKES[n][0]))
def test_mistakes_are_one_clear_line_and_status_2(ends, number):
    assert_one_clear_line(*ends[number], MISTAKES[number][1])


@pytest.mark.parametrize(("arguments", "said"), WITH_KERAS)
def test_a_mistake_in_a_process_of_its_own(tmp_path, arguments, said):
    done = run(f"dream_keras.{arguments[0]}", *arguments[1:], cwd=tmp_path)
    assert_one_clear_line(done.returncode, done.stderr, said)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("sys.modules['tensorflow'] = sys.modules['jax'] = None", "pip install tensorflow"),
        ("sys.modules['jax'] = None; os.environ['KERAS_BACKEND'] = 'jax'", "pip install jax"),
        ("os.environ['KERAS_BACKEND'] = 'torch'", "KERAS_BACKEND=torch"),
    ],
)
def test_a_missing_backend_is_named(before, said):
    script = (
        f"import os, sys; {before}\n"
        "from dream_keras.common.cli import run\n"
        "from dream_keras.train import main\n"
        "run(lambda: main(['--smoke', '--out', 'nowhere']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("dream_keras.train", "--out", str(tmp_path / "file" / "run"), "--smoke")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr


def test_a_full_disk_is_named(tmp_path):
    """Files are limited to 20 kB, which no weights fit into."""
    sequence = "TGCATTTTTTTCACATC" + "ACGT" * 20 + "GGTTACGGCTGTT"
    (tmp_path / "train.txt").write_text(f"{sequence}\t1\n{sequence}\t2\n" * 20)
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from dream_keras.common.cli import run\n"
        "from dream_keras.train import main\n"
        "run(lambda: main(['--train', 'train.txt', '--out', 'run', '--smoke']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "state.npz").exists()


# The list of commands, and the console script.
SCRIPT = ["-c", "from dream_keras.__main__ import script; script()"]
"""What the console script ``dream-keras`` runs."""


def test_all_commands_are_listed_with_their_descriptions():
    script = (
        "import runpy, sys\n"
        "sys.argv = ['dream_keras']\n"
        "runpy.run_module('dream_keras', run_name='__main__')\n"
        "print('LOADED', *{'tensorflow', 'keras', 'pandas', 'numpy', 'yaml'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = dict(re.findall(r"^  (\w+)  +(.+)$", done.stdout, re.MULTILINE))
    assert set(listed) == {*COMMANDS, *NO_FUNCTION}
    assert all(line.endswith((".", "?")) for line in listed.values())
    assert listed["predict"] == "Predict the expression of sequences with a trained run."
    assert done.stdout.endswith("LOADED\n")


def test_the_console_script_runs_a_command_with_its_arguments():
    done = subprocess.run(
        [sys.executable, *SCRIPT, "simulate", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--train-rows" in done.stdout


@pytest.mark.parametrize("start", [["-m", "dream_keras"], SCRIPT])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], 'unknown command "trian". Did you mean "train"?'),
        (["leaderboard", "show", "--board", "nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes_reach_the_console_script(start, arguments, said):
    done = subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True)
    assert_one_clear_line(done.returncode, done.stderr, said)


def test_the_version():
    done = run("dream_keras", "--version")
    assert done.stdout == f"{dream_keras.__version__}\n"


# The commands that a command prints.
def test_python_is_written_from_where_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside, outside = tmp_path / ".venv" / "bin" / "python", "/opt/my python/bin/python"
    monkeypatch.setattr(sys, "executable", str(inside))
    assert (
        python_command("a.b", "--logdir", "my run") == ".venv/bin/python -m a.b --logdir 'my run'"
    )
    monkeypatch.setattr(sys, "executable", outside)
    assert python_command("a.b") == "'/opt/my python/bin/python' -m a.b"
    # Without a slash the shell would look for another one.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert python_command("a.b") == f"{tmp_path}/python -m a.b"


@pytest.mark.slow
def test_the_next_steps_that_train_prints_work_as_they_are(tmp_path):
    sequence = "TGCATTTTTTTCACATC" + "ACGT" * 20 + "GGTTACGGCTGTT"
    rows = (f"{sequence}\t{label}\n" for label in range(18))
    (tmp_path / "train.txt").write_text("".join(rows) * 3)
    words = ("--train", "train.txt", "--out", "my run", "--smoke")
    done = run("dream_keras.train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my run" / "report.md").exists()
    assert "start with my run/report.md" in done.stdout
    tensorboard, predict = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert tensorboard.endswith("-m tensorboard.main --logdir 'my run'")
    assert sys.executable in tensorboard
    predicted = subprocess.run(
        predict, shell=True, cwd=tmp_path, input=f"{sequence}\n", capture_output=True, text=True
    )
    assert predicted.stdout.startswith(f"{sequence}\t"), predicted.stderr
