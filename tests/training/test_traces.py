"""Eight steps of the published training loop, number by number."""

import pytest

import dream_keras
from dream_keras import menu
from dream_keras.model.torch_weights import load_torch_weights
from dream_keras.nn.losses import BinDivergence

STILL_BHI = {"name": "bhi", "out_channels": 16, "dropout": 0.0}
ORDERS = {
    "trace_cnn": (STILL_BHI, {"name": "autosome", "widths": (12, 8), "out_channels": 8}),
    "trace_rnn": (STILL_BHI, {**STILL_BHI, "units": 8, "branch_dropout": 0.0}),
    "trace_attn": (
        {"name": "autosome", "out_channels": 16},
        {"name": "unlockdna", "layers": 2, "dropout": 0.0},
    ),
}


@pytest.mark.parametrize("name", ORDERS)
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
