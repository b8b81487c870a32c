"""The PyTorch twins against the golden numbers, so that they may judge the Keras models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

from benchmarks import per_row_loader, torch_twin  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden"
TRACES: dict[str, dict[str, Any]] = {
    "cnn": {"first": 16, "sizes": (12, 8), "outputs": 8},
    "rnn": {"first": 16, "hidden": 8, "outputs": 16},
    "attn": {"first": 16, "layers": 2, "heads": 4},
}


def load(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def set_weights(model: Any, golden: dict[str, Any], prefix: str) -> None:
    weights = {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    buffers = ("num_batches_tracked", "bins")  # which golden files leave out
    assert [name for name in missing if not name.endswith(buffers)] == []


def relative_error(got: Any, expected: Any) -> float:
    """Largest error as a part of the largest expected size."""
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("first_autosome", lambda: torch_twin.AutosomeFirst(6, 16)),
        ("first_bhi", lambda: torch_twin.BhiFirst(6, 16)),
        ("core_autosome", lambda: torch_twin.AutosomeCore(16, (12, 8), 8)),
        ("core_bhi", lambda: torch_twin.BhiCore(16, 8, 16)),
        ("core_unlockdna", lambda: torch_twin.UnlockDnaCore(16, 40, layers=2)),
        ("final_autosome", lambda: torch_twin.AutosomeFinal(8)),
    ],
)
def test_block_equals_golden(name, build):
    golden = load(name)
    block = build().eval()
    set_weights(block, golden, "w:")
    with torch.no_grad():
        got = block(golden["x"])
    assert got.shape == golden["y"].shape
    # Tight: a layer-norm epsilon of 1e-5 in place of 1e-6 moves core_unlockdna by only 9e-6.
    assert relative_error(got, golden["y"]) < 2e-6


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("dream_cnn", 1_933_970), ("dream_rnn", 4_130_578), ("dream_attn", 4_539_410)],
)
def test_preset_has_the_published_number_of_parameters(preset, parameters):
    twin = torch_twin.build_twin(preset)
    assert sum(weight.numel() for weight in twin.parameters()) == parameters


@pytest.mark.parametrize("name", TRACES)
def test_training_follows_the_golden_trace(name):
    golden = load(f"trace_{name}")
    twin = torch_twin.build_twin(f"dream_{name}", length=40, dropout=False, **TRACES[name])
    set_weights(twin, golden, "w0:")
    optimizer, schedule = torch_twin.one_cycle(twin, steps=8)
    losses, rates, betas = [], [], []
    for x, probabilities in zip(golden["x"], golden["y_probs"], strict=True):
        rates.append(optimizer.param_groups[0]["lr"])
        betas.append(optimizer.param_groups[0]["betas"][0])
        losses.append(torch_twin.train_step(twin, optimizer, schedule, x, probabilities))
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-12)
    np.testing.assert_allclose(betas, golden["beta1"], rtol=1e-12)
    np.testing.assert_allclose(losses, golden["loss"], rtol=1e-5)
    with torch.no_grad():
        predicted = twin.eval()(golden["x_eval"])
    np.testing.assert_allclose(predicted, golden["pred_eval"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", TRACES)
def test_score_is_the_expected_bin(name):
    twin = torch_twin.build_twin(f"dream_{name}", length=40, **TRACES[name]).eval()
    x = torch.rand(3, 6, 40)
    with torch.no_grad():
        probabilities = twin.log_probabilities(x).exp()
        score = twin(x)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(score, probabilities.numpy() @ np.arange(18), rtol=1e-5)


@pytest.mark.parametrize(("dropout", "differs"), [(True, True), (False, False)])
@pytest.mark.parametrize("name", TRACES)
def test_dropout_switch(name, dropout, differs):
    twin = torch_twin.build_twin(f"dream_{name}", length=40, dropout=dropout, **TRACES[name])
    x = torch.rand(3, 6, 40)
    with torch.no_grad():
        first, second = twin(x), twin(x)
    assert bool((first != second).any()) == differs


def test_autosome_initialiser():
    torch.manual_seed(0)
    core = torch_twin.AutosomeCore(128, (128,), 64)
    step = core.seqextractor["inv_res_blc0"]
    grouped, dense = step[3], step[6].fc[0]
    assert grouped.weight.shape == (512, 2, 7)
    assert grouped.weight.std().item() == pytest.approx((2 / (7 * 512)) ** 0.5, rel=0.05)
    assert dense.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not dense.bias.any()
    assert not torch_twin.AutosomeFinal(8).mapper[0].bias.any()


def brute_force_bins(label: float) -> list[float]:
    """Integrate Normal(label + 0.5, 0.5) over (-inf, 1], (1, 2], ..., (17, inf)."""
    edges = [-np.inf, *range(1, 18), np.inf]
    cdf = [norm.cdf((edge - label - 0.5) / 0.5) for edge in edges]
    return [cdf[i + 1] - cdf[i] for i in range(18)]


@pytest.mark.parametrize("label", [0.0, 0.3, 5.0, 11.42, 16.9, 17.0])
def test_soft_bins_equal_the_integral(label):
    expected = brute_force_bins(label)
    np.testing.assert_allclose(
        torch_twin.soft_bins(torch.tensor([label], dtype=torch.float64))[0], expected, atol=1e-7
    )
    np.testing.assert_allclose(per_row_loader.soft_bins(label), expected, atol=1e-7)


def test_soft_bins_equal_the_golden_ones():
    golden = load("trace_cnn")
    np.testing.assert_allclose(
        torch_twin.soft_bins(golden["y"].flatten()), golden["y_probs"].flatten(0, 1), atol=1e-7
    )


@pytest.fixture
def training_file(tmp_path):
    inserts = {"A" * 80 + "GGTTACGGCTGTT": "11.0", "C" * 60 + "N": "3.25", "G" * 140: "17"}
    path = tmp_path / "train.txt"
    path.write_text(
        "".join(f"{per_row_loader.LEFT_ADAPTER}{s}\t{label}\n" for s, label in inserts.items())
    )
    return path


def test_rows_hold_both_strands_and_the_flags(training_file):
    rows = list(per_row_loader.rows(training_file))
    assert [channels.shape for channels, _ in rows] == [(6, 150)] * 6
    assert [channels[4].tolist() for channels, _ in rows] == [[0.0] * 150, [1.0] * 150] * 3
    singleton = [channels[5, 0] for channels, _ in rows]
    assert singleton == [1, 1, 0, 0, 1, 1]
    for (forward, bins), (reverse, same) in zip(rows[::2], rows[1::2], strict=True):
        # channels A, G, C, T: the complement swaps the order round
        np.testing.assert_array_equal(reverse[:4], forward[[3, 2, 1, 0], ::-1])
        np.testing.assert_array_equal(bins, same)
    np.testing.assert_array_equal(rows[2][0][:4, -1], 0)


def letters(channels):
    return "".join("AGCT"[i] for i in channels[:4].argmax(axis=0))


def test_rows_put_the_plasmid_in_front(training_file):
    rows = list(per_row_loader.rows(training_file))
    assert (
        letters(rows[0][0])
        == per_row_loader.LEFT_FLANK[-40:]
        + per_row_loader.LEFT_ADAPTER
        + "A" * 80
        + "GGTTACGGCTGTT"
    )
    assert letters(rows[4][0]) == per_row_loader.LEFT_ADAPTER[-10:] + "G" * 140


def test_batches_keep_every_strand(training_file):
    sizes = [(x.shape, y.shape) for x, y in per_row_loader.batches(training_file, 4)]
    assert sizes == [((4, 6, 150), (4, 18)), ((2, 6, 150), (2, 18))]
