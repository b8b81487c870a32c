"""Networks and training of the published fly and human benchmarks, number by number."""

import numpy as np
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.config.experiment import load_experiment
from dream_keras.model.torch_weights import load_torch_weights
from dream_keras.nn.losses import TaskError

# The golden files' networks are narrower than the published ones, and without dropout.
NARROW = {
    "cnn": ["first.out_channels=16", "core.widths=[12, 8]", "core.out_channels=8"],
    "rnn": ["first.out_channels=16", "core.units=8", "core.out_channels=16"],
    "attn": ["first.out_channels=16", "core.layers=2"],
}
STILL = {
    "cnn": ["first.dropout=0.0"],
    "rnn": ["first.dropout=0.0", "core.branch_dropout=0.0", "core.dropout=0.0"],
    "attn": ["core.dropout=0.0"],
}


def narrow(task, kind):
    """The network of a benchmark's config, as narrow as in the golden files."""
    overrides = [f"model.{option}" for option in NARROW[kind] + STILL[kind]]
    experiment = load_experiment(f"{task}_dream_{kind}", overrides)
    processor = experiment.make_processor()
    network = dream_keras.build_network(experiment.model, processor.length, processor.channels)
    return experiment, network


@pytest.mark.parametrize("kind", NARROW)
@pytest.mark.parametrize("task", ["fly", "human"])
def test_networks_equal_the_published_ones(golden, task, kind):
    arrays, weights = golden(f"{task}_{kind}")
    _, network = narrow(task, kind)
    load_torch_weights(network, weights)
    found = dream_keras.expression(network, arrays["x"].transpose(0, 2, 1))
    largest = np.abs(arrays["y"]).max()
    published = arrays["y"].reshape(found.shape)
    np.testing.assert_allclose(found, published, rtol=0, atol=5e-6 * largest)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("fly_cnn", "fly_attn", "human_cnn")]


@pytest.mark.parametrize("name", ["fly_rnn", *SLOW])
def test_training_follows_the_published_trace(golden, name):
    arrays, weights = golden(f"trace_{name}")
    experiment, network = narrow(*name.split("_"))
    load_torch_weights(network, weights)
    trainer = menu.get("trainer", "autosome").build(learning_rate=float(arrays["max_lr"]))
    assert trainer.learning_rate == experiment.make_trainer().learning_rate
    optimizer = trainer.optimizer(total_steps=8)
    network.compile(optimizer=optimizer, loss=TaskError())
    for step in range(8):
        assert float(optimizer.learning_rate) == pytest.approx(arrays["lr"][step], rel=1e-6)
        assert float(optimizer.current_beta_1()) == pytest.approx(arrays["beta1"][step], rel=1e-6)
        channels = arrays["x"][step].transpose(0, 2, 1)
        loss = network.train_on_batch(channels, arrays["y"][step].reshape(len(channels), -1))
        network.reset_metrics()
        assert loss == pytest.approx(arrays["loss"][step], rel=2e-6)
    predicted = dream_keras.expression(network, arrays["x_eval"].transpose(0, 2, 1))
    assert predicted == pytest.approx(arrays["pred_eval"].reshape(predicted.shape), abs=5e-6)
