"""The command export: files of every format, opened by the programs they are for."""

import functools
import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import dream_keras
from benchmarks.exporting import OPEN, random_run, random_tokens
from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import decode_rows
from dream_keras.runs import artefacts
from dream_keras.runs.artefacts import FORMATS

RUNTIMES = {"onnx": "onnxruntime", "litert": "ai_edge_litert"}
"""Packages that predict with a file, other than those that write it."""
CNN = ("model.first.out_channels=4", "model.core.widths=[]", "model.core.out_channels=4")
RNN = ("model.first.out_channels=4", "model.core.units=4", "model.core.out_channels=4")
ATTN = ("model.first.out_channels=8", "model.core.layers=1")
SLIM = {"dream_cnn": CNN, "dream_rnn": RNN, "dream_attn": ATTN}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A slim run of each DREAM network, and the ensemble of a CNN and an RNN."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, (name, slim) in enumerate(SLIM.items()):
        settings = ["model.processor.length=20", *slim, "data.train=gone.txt"]
        random_run(name, folder / name, settings, seed)
    both = [folder / name for name in ("dream_cnn", "dream_rnn")]
    dream_keras.ensemble(both, folder / "both", progress=False)
    return folder


@pytest.fixture(scope="module")
def export(runs, tmp_path_factory):
    """Export a run in a format, once; return the file."""

    @functools.cache
    def write(run, name):
        for package in (*FORMATS[name].packages, RUNTIMES.get(name, "keras")):
            pytest.importorskip(package, reason=f"format {name} needs {package}")
        out = tmp_path_factory.mktemp(name) / f"model{FORMATS[name].suffix}"
        modules = dream_keras.export(runs / run, name, out)
        assert bool(modules) == (run == "dream_attn")
        assert {path.stem for path in out.parent.iterdir()} == {"model"}
        return out

    return write


def predicted(runs, name, rows=5):
    """Return random sequences as tokens, and what a run predicts of them."""
    run = dream_keras.load_run(runs / name)
    tokens = random_tokens(run, rows)
    return tokens, run.predict(decode_rows(tokens))


QUICK = {("onnx", "dream_cnn"), ("litert", "dream_cnn")}
CASES = [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
    for case in itertools.product(OPEN, ("dream_cnn", "dream_attn", "both"))
]


@pytest.mark.parametrize(("name", "run"), CASES)
def test_a_file_predicts_what_the_run_does(runs, export, name, run):
    predict = OPEN[name](export(run, name))
    tokens, values = predicted(runs, run)
    for rows in (slice(5), slice(1)):  # any batch size
        np.testing.assert_allclose(predict(tokens[rows])[:, 0], values[rows], rtol=1e-5)


FRESH = """
import json, sys
import keras
import numpy as np
import tensorflow as tf
tokens, ours, saved, attn = json.loads(sys.argv[1])
tokens, saved = np.array(tokens, np.uint8), tf.saved_model.load(saved)
found = [keras.saving.load_model(ours)(tokens), saved.serve(tokens)]
assert not any(name.startswith("dream_keras") for name in sys.modules)
import dream_keras
found.append(keras.saving.load_model(attn)(tokens))
print(json.dumps(np.array(found).squeeze(-1).tolist()))
"""


def test_files_open_in_a_fresh_process(runs, export):
    files = [("dream_cnn", "keras"), ("dream_cnn", "saved_model"), ("dream_attn", "keras")]
    tokens, cnn = predicted(runs, "dream_cnn")
    given = json.dumps([tokens.tolist(), *(str(export(*file)) for file in files)])
    done = subprocess.run([sys.executable, "-c", FRESH, given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found, [cnn, cnn, predicted(runs, "dream_attn")[1]], rtol=1e-5)


def test_the_command_says_what_a_keras_file_needs(tmp_path, monkeypatch, capsys):
    command = sys.modules["dream_keras.export"]
    monkeypatch.setattr(
        command, "export", lambda *args, **kwargs: ["mine.layers", "dream_keras.nn"]
    )
    command.main(["run", "--format", "keras", "--out", "model.keras"])
    assert "needs: import dream_keras, mine" in capsys.readouterr().out


def test_pytorch_weights_come_back_to_the_last_bit(runs, tmp_path):
    name = "dream_rnn"
    pytest.importorskip("torch", reason="format torch needs torch")
    dream_keras.export(runs / name, "torch", tmp_path / "weights.pth")
    config = runs / name / "config.yaml"
    back = dream_keras.convert(tmp_path / "weights.pth", config, tmp_path / "back")
    ours, theirs = (dream_keras.load_run(path).network for path in (runs / name, back))
    for own, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)


def test_what_cannot_be_written_is_refused_in_one_line(runs, tmp_path, monkeypatch):
    run = runs / "dream_cnn"
    with pytest.raises(UserError, match=r'unknown format "kera". Did you mean "keras"'):
        dream_keras.export(run, "kera", tmp_path / "model.keras")
    monkeypatch.setattr(artefacts, "find_spec", lambda name: name)
    with pytest.raises(UserError, match=r"the name of a file in format onnx ends in \.onnx"):
        dream_keras.export(run, "onnx", tmp_path / "model.keras")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="full exists already"):
        dream_keras.export(run, "saved_model", tmp_path / "full")
    monkeypatch.setattr(artefacts, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs tensorflow, onnx, tf2onnx: pip install tensorflow"):
        dream_keras.export(run, "onnx", tmp_path / "model.onnx")


def test_an_ensemble_has_no_pytorch_weights(runs, tmp_path):
    pytest.importorskip("torch", reason="format torch needs torch")
    with pytest.raises(UserError, match="ensemble of 2 runs, and this needs a single network"):
        dream_keras.export(runs / "both", "torch", tmp_path / "weights.pth")


def test_an_error_of_a_converter_is_one_line(runs, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no rule for LoopOp\nand a long trace")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(UserError, match=r"in format saved_model: no rule for LoopOp$"):
        dream_keras.export(runs / "dream_cnn", "saved_model", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
