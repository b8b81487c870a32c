"""Eight steps of the published training loop, number by number."""

from pathlib import Path

import keras
import numpy as np
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.config.experiment import load_experiment
from dream_keras.data.stream import Batch
from dream_keras.model.torch_weights import load_torch_weights, torch_weights
from dream_keras.nn.losses import BinDivergence
from dream_keras.runtime.steps import Steps

GOLDEN = Path(__file__).parents[1] / "golden"
STILL_BHI = {"name": "bhi", "out_channels": 16, "dropout": 0.0}
ORDERS = {
    "trace_cnn": (STILL_BHI, {"name": "autosome", "widths": (12, 8), "out_channels": 8}),
    "trace_rnn": (STILL_BHI, {**STILL_BHI, "units": 8, "branch_dropout": 0.0}),
    "trace_attn": (
        {"name": "autosome", "out_channels": 16},
        {"name": "unlockdna", "layers": 2, "dropout": 0.0},
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "trace_attn" else [])
        for name in ORDERS
    ],
)
def test_training_follows_the_published_trace(golden, name):
    arrays, weights = golden(name)
    first, core = ORDERS[name]
    network = dream_keras.build_network(
        {"processor": "autosome", "first": first, "core": core, "final": "autosome"}, 40, 6
    )
    load_torch_weights(network, weights)
    optimizer = menu.get("trainer", "autosome").build().optimizer(total_steps=8)
    # Plain compile and fit train the networks as well as our own engine does.
    network.compile(optimizer=optimizer, loss=BinDivergence())
    for step in range(8):
        assert float(optimizer.learning_rate) == pytest.approx(arrays["lr"][step], rel=1e-6)
        assert float(optimizer.current_beta_1()) == pytest.approx(arrays["beta1"][step], rel=1e-6)
        channels = arrays["x"][step].transpose(0, 2, 1)
        loss = network.train_on_batch(channels, arrays["y_probs"][step])
        network.reset_metrics()
        assert loss == pytest.approx(arrays["loss"][step], rel=2e-6)
    predicted = dream_keras.expression(network, arrays["x_eval"].transpose(0, 2, 1))
    assert predicted == pytest.approx(arrays["pred_eval"], abs=5e-6)


def tokens_of(x):
    """Turn one-hot rows, (rows, 4, length), into tokens; N, all zeros, is 4."""
    return np.where(x.any(axis=1), x.argmax(axis=1), 4).astype(np.uint8)


ATAC = [
    "model.first.out_channels=16",
    "model.first.dropout=0.0",
    "model.core.widths=[12, 8]",
    "model.core.out_channels=8",
    "model.core.momentum=0.1",
    "model.core.unbiased=false",
    "model.processor={name: profile, jitter: 0, counts_weight: 8.7}",
    "trainer.schedule_steps=8",
]
"""The published settings, also where ours are others by default, at the golden files' size."""


def test_training_beside_a_bias_model_follows_the_published_trace():
    arrays = dict(np.load(GOLDEN / "trace_atac_cnn.npz"))
    # The weights at the start, and the statistics at the end under the same names.
    first = {k.removeprefix("w0:"): v for k, v in arrays.items() if k.startswith("w0:")}
    statistics = {k.removeprefix("w8:"): v for k, v in arrays.items() if k.startswith("w8:")}
    start = {k: v for k, v in first.items() if not k.startswith("bias.")}
    bias_start = {k.removeprefix("bias."): v for k, v in first.items() if k.startswith("bias.")}
    experiment = load_experiment("atac_dream_cnn", ATAC)
    main = dream_keras.build_network(experiment.model)
    bias = dream_keras.build_network(
        load_experiment("bpnet_bias", ["model.first.out_channels=8"]).model
    )
    load_torch_weights(main, start)
    load_torch_weights(bias, bias_start)
    before = [keras.ops.convert_to_numpy(weight) for weight in bias.weights]
    trainer = experiment.make_trainer()
    steps = Steps(main, experiment.make_processor(), trainer.optimizer(total_steps=99), bias)
    for step in range(8):
        counts = arrays["true_counts"][step][:, None].astype(np.uint16)
        rows = len(counts)
        zeros = np.zeros(rows, np.uint8)
        tokens = tokens_of(arrays["x"][step])
        batch = Batch(tokens, zeros, zeros.astype(np.uint16), counts, np.ones(rows, np.float32))
        loss, rate = steps.train([batch])[0]
        assert rate == pytest.approx(arrays["lr"][step], rel=1e-6)
        assert loss == pytest.approx(arrays["loss"][step], rel=5e-6)
    for joint, which in ((False, ""), (True, "joint_")):
        logits, counts = steps.predict_profiles(tokens_of(arrays["x_eval"]), joint)
        want = arrays[f"{which}profile_eval"]
        assert np.abs(logits[:, 0] - want).max() < 1e-3 * np.abs(want).max()
        np.testing.assert_allclose(counts, arrays[f"{which}counts_eval"], rtol=0, atol=1e-5)
    for weight, value in zip(bias.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    # With the variance over n - 1 they would be off by 1.2e-4.
    found = torch_weights(main)
    for name, want in statistics.items():
        assert np.abs(found[name] - want).max() < 1e-5 * np.abs(want).max(), name
