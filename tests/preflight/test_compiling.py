"""Compiling for a TPU: the report, the errors, and, where libtpu is installed, the compiler."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.model.summary import Survey
from dream_keras.preflight.chips import CHIPS, GIB, Topology
from dream_keras.preflight.compiling import ENVIRONMENT, check_shapes, describe, prepare_environment
from dream_keras.preflight.findings import Findings
from dream_keras.preflight.report import report

V5E = Topology.parse("v5e:2x2")
needs_libtpu = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")),
    reason="needs libtpu: pip install '.[preflight]'",
)


def findings(**changes):
    figures = {
        "backend": "jax",
        "topology": V5E,
        "batch": 1024,
        "weights": 4_000_000,
        "state_bytes": 1 * GIB,
        "temporary_bytes": 2 * GIB,
        "program_bytes": 0,
        "flops": 197e9,
        "moved_bytes": 819e7,
        "loops": (150, 150),
        "lower_bound": False,
        "compile_seconds": 90.0,
    }
    return Findings(**{**figures, **changes})


def test_figures_that_follow_from_the_compilers():
    found = findings()
    assert found.memory_bytes == 3 * GIB
    assert found.roofline.arithmetic_seconds == pytest.approx(1e-3)
    assert found.roofline.memory_seconds == pytest.approx(1e-2)
    assert found.rows_per_second == pytest.approx(102_400)
    assert found.hours(80_000) == pytest.approx(800 / 3600)
    assert found.largest_batch == int(1024 * 14.75 / 2) // 32 * 32
    assert json.loads(json.dumps(found.plain()))["bound"] == "memory"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["3.00 GiB of 15.75: fits", "150, 150 trips, all counted", "memory binds"]),
        ({"flops": 197e11}, ["arithmetic binds", "100.00 ms"]),
        ({"temporary_bytes": 15 * GIB}, ["DOES NOT FIT"]),
        ({"loops": (), "lower_bound": False}, ["none"]),
        ({"backend": "tensorflow"}, ["of 4 TensorFlow replicas one, without their exchange"]),
        (
            {"loops": (None, 7), "lower_bound": True},
            ["at least 197 GFLOP", "1 of unknown trip count"],
        ),
    ],
)
def test_report(changes, said):
    text = report(findings(**changes), 80_000)
    for words in said:
        assert words in text
    assert ("at least 197 GFLOP" in text) == findings(**changes).lower_bound


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (31.50G) exceeds available HBM (15.75G).",
            "needs 31.5 GiB on each chip of v5e:2x2, which has 15.75.*about 512 would fit",
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 63.00G of 15.75G hbm",
            "about 256 would fit",
        ),
        ("UNIMPLEMENTED: no such\n thing", "refuses the step for v5e:2x2: UNIMPL.* no such thing"),
    ],
)
def test_the_compilers_reason_is_given(message, said):
    with pytest.raises(UserError, match=said):
        raise UserError(describe(message, V5E, 1024))


def test_sides_that_are_not_known_are_refused():
    inputs = keras.Input((None, 4))
    outputs = keras.layers.Conv1D(8, 3, name="core_conv")(inputs)
    with pytest.raises(UserError, match="static shapes only"):
        check_shapes(keras.Model(inputs, outputs))
    inputs = keras.Input((20, 4))
    check_shapes(keras.Model(inputs, keras.layers.Conv1D(8, 3)(inputs)))


def unknown(tokens, strand, flags, labels, weights):
    return tf.strings.as_string(labels)


def wrong(tokens, strand, flags, labels, weights):
    return tokens + tf.zeros((3, 3, 3), tf.uint8)


def knows_stablehlo():
    trivial = tf.function(lambda: tf.constant(1.0), jit_compile=True)
    try:
        return bool(trivial.experimental_get_compiler_ir()("stablehlo_serialized"))
    except ValueError:
        return False


def too_old(tokens, strand, flags, labels, weights):
    raise ValueError("Invalid stage selected: 'stablehlo_serialized'. Valid values are: 'hlo'")


TOO_OLD = rf"{re.escape(tf.__version__)} cannot give .* --backend jax"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (unknown, "cannot compile the step: .*AsString"),
        (wrong, "cannot compile the step: .*Dimensions must be"),
        (too_old, TOO_OLD),
    ],
)
def test_what_tensorflow_cannot_compile_is_refused_with_the_reason(step, said):
    pytest.importorskip("jax")
    from dream_keras.preflight.tensorflow_step import compile_replica

    if step is unknown and not knows_stablehlo():
        said = TOO_OLD
    steps = SimpleNamespace(
        processor=SimpleNamespace(length=10),
        network=SimpleNamespace(tasks=1),
        _train_replica=step,
    )
    with pytest.raises(UserError, match=rf"TensorFlow {said}"):
        compile_replica(steps, None, 4)


def preflight(*arguments, before=""):
    code = (
        f"{before}\nfrom dream_keras.common.cli import run\n"
        "from dream_keras.preflight.__main__ import main\n"
        f"run(lambda: main({list(arguments)!r}))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_another_backend_is_refused():
    with pytest.raises(UserError, match="expected jax or tensorflow, got 'torch'"):
        prepare_environment("torch")


@pytest.mark.parametrize("package", ["jax", "libtpu"])
def test_a_missing_package_is_one_error_that_names_the_extra(package):
    done = preflight(
        "--config", "quickstart", before=f"import sys; sys.modules[{package!r}] = None"
    )
    assert done.returncode == 2
    assert package in done.stderr
    assert "pip install 'dream-keras[preflight]'" in done.stderr
    assert "Traceback" not in done.stderr


@needs_libtpu
def test_keras_in_use_is_refused():
    before = "import os, keras; os.environ.pop('JAX_PLATFORMS', None)"
    done = preflight("--config", "quickstart", before=before)
    assert done.returncode == 2
    assert "in a new process" in done.stderr


@needs_libtpu
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--topology", "v5e:3x5"], "topology v5e:3x5: .*Try v5e:2x2"),
        (["--batch", "1022"], "does not divide by the 4 devices"),
    ],
)
def test_what_cannot_be_compiled_is_refused_at_once(arguments, said):
    done = preflight("--config", "quickstart", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(said, done.stderr)


LOOP = """
import json
import numpy as np, jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from dream_keras.preflight.chips import Topology
from dream_keras.preflight.compiling import find_devices
from dream_keras.preflight.loops import Program
count = {kind: len(find_devices(Topology.parse(f"{kind}:{grid}"))) for kind, grid in
         (("v4", "2x2x1"), ("v5e", "1x1"), ("v5p", "2x2x1"), ("v6e", "2x2"))}
mesh = Mesh(np.array(find_devices(Topology.parse("v5e:2x2"))), ("rows",))
def loss(weights, rows):
    def turn(state, _):
        state = jnp.tanh(state @ weights)
        return state, state.sum()
    state, sums = jax.lax.scan(turn, rows, None, length=150)
    return (state ** 2).mean() + sums.mean()
def like(shape, *axes):
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)
step = jax.jit(jax.grad(loss)).lower(like((320, 320)), like((1024, 320), "rows")).compile()
program = Program.read(step.as_text())
print(json.dumps({
    "devices": count,
    "loops": [loop.turns for loop in program.loops()],
    "once": sum(loop.flops_per_turn for loop in program.loops()),
    "repeated": program.repeated_flops(),
    "compiler": step.cost_analysis()["flops"],
}))
"""


@needs_libtpu
def test_the_compiler_counts_a_loop_once_and_its_turns_are_found():
    done = subprocess.run(
        [sys.executable, "-c", LOOP],
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["loops"] == [150, 150]
    # A chip has a quarter of the rows: one product of each forward turn, two of each backward one.
    assert found["once"] == 3 * 2 * 256 * 320 * 320
    assert found["repeated"] == 149 * 3 * 2 * 256 * 320 * 320
    # Beside the products, the compiler counts a few operations per element.
    assert found["once"] < found["compiler"] < 1.05 * found["once"]
    assert found["devices"] == {"v4": 8, "v5e": 1, "v5p": 4, "v6e": 4}
    assert set(found["devices"]) == set(CHIPS)


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_whole_step_is_compiled(tmp_path, backend):
    """With one loop over the positions in each direction, forward and backward."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    file = tmp_path / "step.json"
    length, settings = 64, ["model.core.units=128", "model.first.out_channels=64"]
    done = preflight(
        *("--config", "dream_rnn", "--batch", "64", "--json", str(file), "--backend", backend),
        *("--set", f"model.processor.length={length}"),
        *(word for setting in settings for word in ("--set", setting)),
    )
    assert done.returncode == 0, done.stderr
    assert "fits" in done.stdout
    found = json.loads(file.read_text())
    assert found["batch"] == 64
    assert found["loops"] == [length] * 4
    # Each weight meets each position of a chip's 16 rows in three products.
    each = Survey().order(load_experiment("dream_rnn", settings).model, length).multiply_adds
    assert found["flops"] == pytest.approx(3 * 2 * 16 * each, rel=0.1)
    assert found["seconds"] == max(found["arithmetic_seconds"], found["memory_seconds"])
    assert found["hours"] == pytest.approx(found["steps"] * found["seconds"] / 3600)
