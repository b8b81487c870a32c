"""The model of a run from sequences to expression, before it is written to a file."""

import numpy as np
import pytest

import dream_keras
from benchmarks.exporting import random_run
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import decode_rows
from dream_keras.menu.plain import PlainProcessor
from dream_keras.runs.exported import exported_model

CNN = ("model.first.out_channels=4", "model.core.widths=[]", "model.core.out_channels=4")
SCALED = "{name: %s, label_mean: [3.0], label_std: [2.0]%s}"
PROCESSORS = {
    "autosome": "{name: autosome, length: 40}",
    "bhi": SCALED % ("bhi", ", length: 40, shifts: 1"),
    "bhi, normal_cdf": SCALED % ("bhi", ", length: 40, normal_cdf: true"),
    "profile": "{name: profile, length: 40, positions: 10, jitter: 2}",
    "plain": SCALED % ("plain", ", length: 40, left: ACG, standardize: true"),
    "unlockdna": SCALED % ("unlockdna", ", insert_length: 20"),
}


def make(folder, processor, *overrides, seed=0):
    finals = {"autosome": "autosome", "profile": "{name: profile, positions: 10, kernel_size: 5}"}
    final = finals.get(processor.partition(",")[0].removeprefix("{name: "), "gaussian")
    settings = [
        *CNN,
        f"model.final={final}",
        f"model.processor={processor}",
        "data.adapters=present",
        *overrides,
    ]
    return random_run("dream_cnn", folder, settings, seed)


def sequences(model, run, random, rows=6):
    """Return random sequences of several lengths, as text and as the model's tokens."""
    shortest, longest = run.processor.min_length, model.input_shape[1]
    lengths = np.linspace(shortest, longest, rows).astype(int)
    tokens = random.integers(0, 5, (rows, longest)).astype(np.uint8)
    text = [row[:n] for row, n in zip(decode_rows(tokens), lengths, strict=True)]
    return text, np.where(np.arange(longest) < lengths[:, None], tokens, 9).astype(np.uint8)


def test_every_processor_has_a_case():
    assert set(menu.names("processor")) == {name.partition(",")[0] for name in PROCESSORS}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_model_predicts_what_the_run_does(tmp_path, random, processor):
    run = make(tmp_path / "run", PROCESSORS[processor])
    model = exported_model(run)
    text, tokens = sequences(model, run, random)
    wanted = run.predict(text)
    assert wanted.std() > 0
    np.testing.assert_allclose(np.asarray(model(tokens))[:, 0], wanted, rtol=1e-5, atol=1e-6)


def test_one_hot_channels_give_what_tokens_do(tmp_path, random):
    run = make(tmp_path / "run", PROCESSORS["plain"], "runtime.precision=mixed_bfloat16")
    model, one_hot = exported_model(run), exported_model(run, "one_hot")
    _, tokens = sequences(model, run, random)
    tokens[tokens == 4] = 1
    tokens[-1, [0, 3]] = 4  # an N at the end would be taken for what is behind it
    channels = np.eye(10, 4, dtype=np.float32)[tokens]
    np.testing.assert_allclose(one_hot(channels), model(tokens), rtol=1e-5)
    assert one_hot.dtype == "float32"


def test_a_sequence_that_is_too_short_gets_nan(tmp_path):
    model = exported_model(make(tmp_path / "run", PROCESSORS["autosome"]))
    tokens = np.full((2, model.input_shape[1]), 6, np.uint8)
    tokens[0, :18] = tokens[1, :17] = 0
    assert np.isnan(model(tokens)).tolist() == [[False], [True]]


def test_an_ensemble_gives_the_mean_of_its_members(tmp_path, random):
    lengths = [30, 40]
    for length in lengths:
        processor = f"{{name: autosome, length: {length}}}"
        make(tmp_path / f"run{length}", processor, "data.train=gone.txt", seed=length)
    runs = [tmp_path / f"run{length}" for length in lengths]
    dream_keras.ensemble(runs, tmp_path / "both", progress=False)
    run = dream_keras.load_run(tmp_path / "both")
    model = exported_model(run)
    text, tokens = sequences(model, run, random)
    np.testing.assert_allclose(np.asarray(model(tokens))[:, 0], run.predict(text), rtol=1e-5)


def test_a_processor_whose_expression_is_another_is_refused(tmp_path, monkeypatch):
    run = make(tmp_path / "run", PROCESSORS["plain"])

    def doubled(self, outputs, target_type):
        return 2 * outputs.mean(axis=1)

    monkeypatch.setattr(PlainProcessor, "to_expression", doubled)
    with pytest.raises(UserError, match=r"plain cannot be exported: .* in_label_units"):
        exported_model(run)
