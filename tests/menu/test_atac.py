"""Networks, heads and loss of the ATAC benchmark, number by number."""

import keras
import numpy as np
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.menu.atac import counts_weight
from dream_keras.model.targets import choose_target_type
from dream_keras.model.torch_weights import load_torch_weights
from dream_keras.nn.losses import ProfileLoss, joint_outputs

# The golden files' networks are narrower than the published ones.
NARROW = {
    "atac_dream_cnn": ["first.out_channels=16", "core.widths=[12, 8]", "core.out_channels=8"],
    "atac_dream_rnn": ["first.out_channels=16", "core.units=8", "core.out_channels=16"],
    "chrombpnet": ["first.out_channels=12"],
    "bpnet_bias": ["first.out_channels=8"],
}
GOLDEN = {
    "atac_cnn": ("atac_dream_cnn", ""),
    "atac_rnn": ("atac_dream_rnn", ""),
    "baseline_chrombpnet": ("chrombpnet", "main."),
}


def narrow(config, weights, prefix=""):
    """Build a benchmark's network, as narrow as in the golden files, with their weights."""
    experiment = load_experiment(config, [f"model.{option}" for option in NARROW[config]])
    network = dream_keras.build_network(experiment.model)
    if prefix:
        weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    else:
        weights = {k: v for k, v in weights.items() if not k.startswith("bias.")}
    load_torch_weights(network, one_bias(weights) if config.endswith("rnn") else weights)
    return network


def one_bias(weights):
    """Return weights in which the two biases of an LSTM are one, as in Keras."""
    sums = {
        name.replace("_ih_", "_"): value + weights[name.replace("_ih_", "_hh_")]
        for name, value in weights.items()
        if ".bias_ih_" in name
    }
    return {
        k: v for k, v in weights.items() if ".bias_ih_" not in k and ".bias_hh_" not in k
    } | sums


def compare(outputs, arrays, which=""):
    """Compare profile and counts at the tolerances of the reference's own float32."""
    profile, counts = (np.asarray(outputs[name]) for name in ("profile", "counts"))
    want = arrays[f"{which}profile"]
    assert profile.shape == (len(want), 1, 1000)
    assert np.abs(profile[:, 0] - want).max() < 3e-5 * np.abs(want).max()
    np.testing.assert_allclose(counts, arrays[f"{which}counts"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_equal_the_published_ones(golden, name):
    arrays, weights = golden(name)
    config, prefix = GOLDEN[name]
    main = narrow(config, weights, prefix)
    bias = narrow("bpnet_bias", weights, "bias.")
    x = arrays["x"].transpose(0, 2, 1).astype("float32")
    outputs, bias_outputs = (network.predict(x, verbose=0) for network in (main, bias))
    compare(outputs, arrays)
    compare(bias_outputs, arrays, "bias_")
    compare(joint_outputs(outputs, bias_outputs), arrays, "joint_")
    np.testing.assert_array_equal(main.values(outputs), outputs["counts"])


# test_any_assay.py has DREAM-RNN and DREAM-Attn.
COUNTS = {
    "atac_dream_cnn": (1_940_738, 1_929_986),
    "chrombpnet": (6_377_986, 6_377_986),
    "bpnet_bias": (217_730, 217_730),
}


@pytest.mark.parametrize("config", COUNTS)
def test_sizes_are_the_published_ones(config):
    network = dream_keras.build_network(config)
    found = tuple(
        sum(int(np.prod(w.shape)) for w in weights)
        for weights in (network.weights, network.trainable_weights)
    )
    assert found == COUNTS[config]
    assert network.input_shape == (None, 2114, 4)
    assert network.tasks == 1


def losses(arrays, weight):
    target = {"profile": arrays["true_counts"][:, None], "weight": weight}
    outputs = {"profile": arrays["logits"][:, None], "counts": arrays["logcounts_pred"]}
    return np.asarray(ProfileLoss(reduction="none")(target, outputs), np.float64)


def test_loss_equals_the_published_one(golden):
    arrays, _ = golden("loss_atac")
    rows = losses(arrays, 0.0)
    # Closer than the float32 of the published code, which is off by 1.5e-6.
    np.testing.assert_allclose(rows, arrays["nll_rows"], rtol=1e-6, atol=1e-6)
    for weight, total in zip(arrays["counts_weight"], arrays["total"], strict=True):
        assert losses(arrays, weight).mean() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("row", [1, 3])
def test_gradient_of_the_loss_equals_the_published_one(golden, row):
    import tensorflow as tf

    arrays, _ = golden("loss_atac")
    logits = tf.constant(arrays["logits"][:, None])
    target = {"profile": arrays["true_counts"][:, None], "weight": 1.0}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        outputs = {"profile": logits, "counts": arrays["logcounts_pred"]}
        loss = tf.reduce_mean(ProfileLoss(reduction="none")(target, outputs))
    found = tape.gradient(loss, logits).numpy()[row, 0]
    want = arrays[f"grad_logits_row{row}"]
    np.testing.assert_allclose(found, want, rtol=0, atol=5e-6 * np.abs(want).max())


def test_weight_of_the_counts_is_the_published_one(golden):
    arrays, _ = golden("loss_atac")
    totals = arrays["peak_totals"]
    low, high = np.quantile(totals, [0.0001, 0.9999])
    kept = totals[(totals > low) & (totals < high)]
    assert counts_weight(kept) == float(arrays["peak_totals_weight"])
    processor = menu.get("processor", "profile").build()
    found = processor.label_statistics(np.log1p(kept)[:, None].astype("float32"))
    assert found["counts_weight"] == float(arrays["peak_totals_weight"])
    assert found["counts_start"] == pytest.approx(np.log1p(kept).mean(), abs=1e-4)
    assert counts_weight(np.array([3.0])) == 1.0
    set_already = menu.get("processor", "profile").build(counts_weight=2.0, counts_start=0.0)
    assert set_already.label_statistics(kept) == {}


def test_schedule_is_the_published_one(golden):
    arrays, _ = golden("trace_atac_cnn")
    build = menu.get("trainer", "atac").build
    rate = build(schedule_steps=271_600).optimizer(17)._learning_rate
    for step, want in zip(arrays["schedule_steps"], arrays["schedule_lr"], strict=True):
        assert float(rate(int(step))) == pytest.approx(want, rel=1e-6)
    # As it should be, it follows the run.
    rate = build().optimizer(100)._learning_rate
    assert float(rate(30)) == pytest.approx(5e-4)
    assert float(rate(100)) == pytest.approx(2e-9)


def brute_force_window(tokens, counts, start, turned, length, positions):
    window, kept = tokens[start : start + length], counts[start : start + positions]
    return ((3 - window)[::-1], kept[::-1]) if turned else (window, kept)


def test_windows_are_cut_and_turned_together(random):
    processor = menu.get("processor", "profile").build(length=12, positions=6, jitter=5)
    tokens = random.integers(0, 4, (9, processor.wide_length)).astype(np.uint8)
    counts = random.integers(0, 60_000, (9, 1, processor.wide_positions)).astype(np.uint16)
    strand = random.integers(0, 2, 9).astype(np.uint8)
    starts = random.integers(0, 11, 9).astype(np.uint16)
    starts[:2] = 0, 10  # the ends of the range
    found, same, flags, labels = processor.training_window(tokens, strand, starts, counts)
    assert keras.backend.standardize_dtype(labels.dtype) == "float32"
    np.testing.assert_array_equal(same, strand)
    assert not np.asarray(flags).any()
    target = processor.make_target(labels, found, "profile")
    for row in range(9):
        window, kept = brute_force_window(
            tokens[row], counts[row, 0], starts[row], strand[row], 12, 6
        )
        np.testing.assert_array_equal(found[row], window)
        np.testing.assert_array_equal(target["profile"][row, 0], kept)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 10, "positions": 5}, "longer by an even number"),
        ({"length": 10, "positions": 12}, "longer by an even number"),
        ({"jitter": -1}, "jitter=-1"),
    ],
)
def test_windows_that_do_not_fit_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        menu.get("processor", "profile").build(**options)


def test_other_numbers_of_positions_are_refused():
    order = {"processor": "profile", "first": "bpnet", "core": "bpnet", "final": "profile"}
    order["final"] = {"name": "profile", "positions": 998}
    network = dream_keras.build_network(order)
    processor = menu.get("processor", "profile").build()
    with pytest.raises(UserError, match=r"model\.final\.positions to 1000"):
        choose_target_type(network, processor)
    order["final"] = {"name": "profile", "positions": 1001}
    with pytest.raises(UserError, match="at least 1075 positions are needed"):
        dream_keras.build_network(order)
