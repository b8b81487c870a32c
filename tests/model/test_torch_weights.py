import subprocess
import sys

import numpy as np
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.model.torch_weights import (
    load_torch_weights,
    read_checkpoint,
    torch_weights,
    write_checkpoint,
)

SMALL = {
    "processor": "autosome",
    "first": {"name": "bhi", "out_channels": 16},
    "core": {"name": "autosome", "widths": (12, 8), "out_channels": 8},
    "final": "autosome",
}


@pytest.fixture
def network():
    return dream_keras.build_network(SMALL, 40, 6)


@pytest.fixture
def weights(golden):
    return golden("trace_cnn")[1]


def test_weights_are_written_as_they_were_published(network, weights):
    load_torch_weights(network, weights)
    written = torch_weights(network)
    assert set(written) == set(weights)
    for name, array in written.items():
        np.testing.assert_array_equal(array, weights[name])


def test_a_pytorch_file_is_read_back(network, tmp_path):
    pytest.importorskip("torch")
    write_checkpoint(network, tmp_path / "weights.pth")
    read = read_checkpoint(tmp_path / "weights.pth")
    for name, array in torch_weights(network).items():
        np.testing.assert_array_equal(read[name], array)


def test_pytorch_counters_and_unused_tables_are_passed_over(network, weights):
    counter = {"core.seqextractor.resize_blc0.1.num_batches_tracked": np.array(5)}
    unused = {"first.pos_embedding.weight": np.zeros((40, 16))}
    bins = {"final.bins": np.arange(18.0)}
    load_torch_weights(network, {**weights, **counter, **unused, **bins})


def test_wrapped_and_parallel_checkpoints_are_unwrapped(network, weights):
    load_torch_weights(network, weights)
    expected = network.get_weights()
    parallel = {f"module.{name}": value for name, value in weights.items()}
    for content in ({"model_state_dict": weights, "epoch": 3}, parallel, {"model": parallel}):
        fresh = dream_keras.build_network(SMALL, 40, 6)
        load_torch_weights(fresh, content)
        for got, want in zip(fresh.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("final.mapper.0.bias"), "missing: final.mapper.0.bias"),
        (lambda w: w.update({"final.extra": np.zeros(3)}), "unknown: final.extra"),
        (
            lambda w: w.update({"final.mapper.0.bias": np.zeros(17)}),
            r"misshapen: final.mapper.0.bias is \(17,\), .* \(18,\) that is needed",
        ),
        (
            lambda w: w.update({"final.mapper.0.weight": np.zeros(18)}),
            r"misshapen: final.mapper.0.weight is \(18,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(network, weights, change, said):
    before = [np.array(w) for w in network.get_weights()]
    change(weights)
    with pytest.raises(UserError, match=said):
        load_torch_weights(network, weights)
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_weights_of_another_network_are_refused_with_a_short_list(network, golden):
    with pytest.raises(UserError, match=r"and .* more"):
        load_torch_weights(network, golden("trace_rnn")[1])


@pytest.mark.parametrize("slot", ["first", "core", "final"])
def test_every_block_on_the_menu_has_pytorch_names(slot):
    for name in menu.names(slot):
        assert menu.get(slot, name).torch_names, f"{slot} {name}"


@pytest.mark.parametrize(
    "preset",
    ["dream_cnn", *(pytest.param(p, marks=pytest.mark.slow) for p in ("dream_rnn", "dream_attn"))],
)
def test_a_real_pytorch_file_becomes_a_run(tmp_path, preset, random):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_twin import build_twin

    torch.manual_seed(0)
    twin = build_twin(preset)
    for name, buffer in twin.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    twin.eval()
    file = tmp_path / "model_best.pth"
    assert "final.bins" in twin.state_dict()
    torch.save(twin.state_dict(), file)
    run = dream_keras.convert(file, preset, tmp_path / "run")
    channels = random.integers(0, 2, (3, 150, 6)).astype("float32")
    with torch.no_grad():
        want = twin(torch.from_numpy(channels.transpose(0, 2, 1).copy())).numpy()
    network = dream_keras.load_run(run).network
    np.testing.assert_allclose(dream_keras.expression(network, channels), want, rtol=1e-5)
    sequence = "TGCATTTTTTTCACATC" + "ACGTT" * 16 + "GGTTACGGCTGTT"
    (tmp_path / "in.txt").write_text(f"{sequence}\n")
    assert dream_keras.predict(run, tmp_path / "in.txt", tmp_path / "out.tsv") == 1
    name, value = (tmp_path / "out.tsv").read_text().strip().split("\t")
    assert name == sequence
    assert 0 <= float(value) <= 17


def test_checkpoints_are_read_as_weights_only(tmp_path):
    torch = pytest.importorskip("torch")
    for content, said in [
        ({"model": {"a": torch.zeros(2)}}, None),
        ({"a": 3}, "holds no state dict"),
        (Exception, "not a PyTorch file of plain weights"),
    ]:
        torch.save(content, tmp_path / "x.pth")
        if said is None:
            assert list(read_checkpoint(tmp_path / "x.pth")) == ["a"]
        else:
            with pytest.raises(UserError, match=said):
                read_checkpoint(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_text("hello")
    with pytest.raises(UserError, match="not a PyTorch file"):
        read_checkpoint(tmp_path / "x.pth")
    with pytest.raises(UserError, match="no file"):
        read_checkpoint(tmp_path / "y.pth")


def test_without_pytorch_the_command_says_what_to_install(tmp_path):
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from pathlib import Path\n"
        "from dream_keras.model.torch_weights import read_checkpoint\n"
        "read_checkpoint(Path('x.pth'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 'pip install "dream-keras[torch]"' in done.stderr
