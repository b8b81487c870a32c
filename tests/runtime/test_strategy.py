"""Two replicas compute what one device does: in a process of its own, with two logical CPUs."""

import contextlib
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.config.settings import RuntimeSettings
from dream_keras.runtime import machine
from dream_keras.runtime.strategy import Strategy, make_strategy

# Batch normalisation, both ways of handling strands, hidden bases; several steps in a call.
SCRIPT = """
import json, sys
import keras, numpy as np
from dream_keras import menu
from dream_keras.data.stream import Batch
from dream_keras.model.network import assemble
from dream_keras.config.order import Order
from dream_keras.runs.prediction import predict_views
from dream_keras.runtime.steps import Steps
from dream_keras.runtime.strategy import make_strategy

ORDERS = [
    {"processor": "autosome", "first": {"name": "autosome", "out_channels": 8},
     "core": {"name": "autosome", "out_channels": 8, "widths": [8]}, "final": "autosome"},
    {"processor": "bhi", "first": {"name": "bhi", "out_channels": 8, "dropout": 0},
     "core": {"name": "bhi", "out_channels": 8, "units": 4, "branch_dropout": 0, "dropout": 0},
     "final": {"name": "bhi", "hidden": 4}},
    {"processor": {"name": "unlockdna", "mask_rate": 0},
     "first": {"name": "unlockdna", "out_channels": 8},
     "core": {"name": "unlockdna", "layers": 1, "dropout": 0},
     "final": {"name": "unlockdna", "dropout": 0}},
]
result = {}
strategies = {name: make_strategy(name) for name in ("mirrored:2", "none")}
for plain in ORDERS:
    order = Order.parse(plain)
    for name, strategy in strategies.items():
        random = np.random.default_rng(0)
        processor = menu.get("processor", order.processor.name).build(**order.processor.options)
        keras.utils.set_random_seed(1)
        with strategy.scope():
            network = assemble(order, processor.length, processor.channels)
            steps = Steps(network, processor, keras.optimizers.SGD(0.01))
        assert steps.replicas == (2 if name == "mirrored:2" else 1)
        batches = [
            Batch(random.integers(0, 4, (8, processor.length)).astype(np.uint8),
                  random.integers(0, 2, 8).astype(np.uint8),
                  random.integers(0, 2, 8).astype(np.uint8),
                  random.uniform(0, 17, (8, 1)).astype(np.float32),
                  random.uniform(0.5, 1.5, 8).astype(np.float32))
            for _ in range(4)
        ]
        losses = [*steps.train(batches[:1]), *steps.train(batches[1:])]
        tokens = random.integers(0, 4, (5, processor.length)).astype(np.uint8)
        weights = np.concatenate([np.ravel(w) for w in network.weights if w.dtype == "float32"])
        result[f"{order.processor.name} {name}"] = [
            np.array(losses)[:, 0].tolist(), weights.tolist(),
            predict_views(steps, tokens).ravel().tolist(),
        ]
json.dump(result, open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module", params=["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def computed(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("strategy") / "result.json"
    environment = {
        **os.environ,
        "KERAS_BACKEND": request.param,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    subprocess.run([sys.executable, "-c", SCRIPT, str(out)], check=True, env=environment)
    return json.loads(out.read_text())


@pytest.mark.parametrize("team", ["autosome", "bhi", "unlockdna"])
def test_two_replicas_equal_one_device(computed, team):
    two, one = computed[f"{team} mirrored:2"], computed[f"{team} none"]
    for name, got, want in zip(("losses", "weights", "predictions"), two, one, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=name)
    assert len(one[0]) == 4
    assert one[0][0] != one[0][1]


def test_a_batch_that_does_not_divide_names_the_nearest_that_do():
    four = Strategy("mirrored", ("a", "b", "c", "d"), contextlib.nullcontext)
    four.check_batch_size(12)
    with pytest.raises(UserError, match="nearest that do: 8 and 12"):
        four.check_batch_size(10)
    with pytest.raises(UserError, match=r"nearest that do: 4$"):
        four.check_batch_size(3)


@pytest.mark.parametrize("name", ["auto", "none", "tpu", "mirrored", "mirrored:2", "multiworker"])
def test_known_strategies(name):
    assert RuntimeSettings(strategy=name).strategy == name


@pytest.mark.parametrize("name", ["mirrored:0", "mirror", "mirrored:x", ""])
def test_unknown_strategies_are_refused(name):
    with pytest.raises(UserError, match="strategy="):
        RuntimeSettings(strategy=name)


def test_a_process_that_has_begun_cannot_cut_its_cpu():
    import tensorflow as tf

    tf.zeros(1)
    with pytest.raises(UserError, match="start a new process"):
        make_strategy("mirrored:64")


class StandInResolver:
    """What TensorFlow's TPU resolver does, without a TPU."""

    calls: ClassVar[list[str]] = []

    def __init__(self, tpu):
        if tpu == "nowhere":
            raise ValueError("Please provide a TPU Name to connect to.\nand more")
        self.calls.append(f"resolve {tpu}")


@pytest.fixture
def tpu(monkeypatch):
    """TensorFlow as it is on a machine with a TPU of two cores; what was called."""
    import tensorflow as tf

    calls = StandInResolver.calls = []
    versions = {"tensorflow-tpu": "2.20", "libtpu": "0.0.14"}
    monkeypatch.setattr(machine, "version", versions.get)
    monkeypatch.setattr(machine, "requirements", lambda: {"tpu": {"libtpu": "==0.0.14"}})
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", StandInResolver)
    connect, start = "experimental_connect_to_cluster", "initialize_tpu_system"
    monkeypatch.setattr(tf.config, connect, lambda resolver: calls.append("connect"))
    monkeypatch.setattr(tf.tpu.experimental, start, lambda resolver: calls.append("start"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: tf.distribute.get_strategy())
    cores = [SimpleNamespace(name=f"/device:TPU:{number}") for number in range(2)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: cores)
    for name in machine.TPU_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return calls


def test_a_local_tpu_is_started_without_a_cluster(tpu):
    strategy = make_strategy("tpu", "local")
    assert tpu == ["resolve local", "start"]
    assert (strategy.name, strategy.replicas) == ("tpu", 2)
    assert strategy.describe(64, "float32")["batch_per_replica"] == 32


def test_a_remote_tpu_is_connected_to_first(tpu):
    make_strategy("tpu", "grpc://10.0.0.1:8470")
    assert tpu == ["resolve grpc://10.0.0.1:8470", "connect", "start"]


def test_auto_takes_a_tpu_where_the_machine_has_one(tpu, monkeypatch):
    assert make_strategy("auto").name == "none"
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-1")
    assert make_strategy("auto").name == "tpu"
    assert tpu == ["resolve local", "start"]


def test_a_tpu_that_cannot_be_reached_says_what_to_try(tpu):
    with pytest.raises(UserError, match=r"nowhere \(Please provide a TPU Name.*--tpu local"):
        make_strategy("tpu", "nowhere")


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"tensorflow": "2.21"}, "pip uninstall -y tensorflow, then pip install tensorflow-tpu"),
        ({"tensorflow": "2.21", "tensorflow-tpu": "2.20"}, "overwrite each other's files"),
        ({"tensorflow-tpu": "2.20"}, "without libtpu: pip install libtpu==0.0.14"),
    ],
)
def test_packages_that_find_no_tpu_are_named(tpu, monkeypatch, installed, said):
    monkeypatch.setattr(machine, "version", installed.get)
    with pytest.raises(UserError, match=re.escape(said)):
        make_strategy("tpu", "local")
    assert not tpu


def test_jax_without_libtpu_says_so(monkeypatch):
    monkeypatch.setattr(machine, "version", {}.get)
    with pytest.raises(UserError, match=re.escape("pip install 'jax[tpu]'")):
        machine.check_tpu_packages("jax")
