"""The public checks find each kind of fault, say which it is, and find nothing else."""

import dataclasses
import textwrap

import keras
import numpy as np
import pytest
from keras import layers, ops

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.processor import Processor, one_hot, strand_of
from dream_keras.menu import plugins, registry
from dream_keras.menu.trainer import Trainer
from dream_keras.nn.losses import TaskError, task_values
from dream_keras.testing import (
    BlockProblems,
    blocks,
    check_block,
    check_processor,
    check_trainer,
)


@pytest.fixture(autouse=True)
def _own_menu(monkeypatch):
    """What a test registers is gone afterwards."""
    menu.entries()
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture
def without_training(monkeypatch):
    """Most faults show without it, and it takes most of the time."""
    kept = {doing: check for doing, check in blocks.CHECKS.items() if doing != "training"}
    monkeypatch.setattr(blocks, "CHECKS", kept)


def conv(x, name="core_conv", **options):
    return layers.Conv1D(8, 3, padding="same", name=name, **options)(x)


def problems(slot, block, **settings):
    with pytest.raises(BlockProblems) as found:
        check_block(slot, block, **settings)
    return found.value.problems


def only_problem(slot, block, **settings):
    (problem,) = problems(slot, block, **settings)
    return problem


# Faults that show when the block is built.


def raises(x):
    raise KeyError("no such thing")


def gives_nothing(x):
    conv(x)


def gives_numpy(x):
    return np.zeros((2, 24, 8))


def loses_the_positions(x):
    return layers.GlobalAveragePooling1D(name="core_mean")(conv(x))


def gives_two(x):
    return conv(x), conv(x, "core_other")


def has_an_open_length(x):
    return layers.Lambda(lambda t: t, output_shape=(None, 8), name="core_open")(conv(x))


def fixes_the_batch(x):
    return ops.reshape(conv(x), (1, 24, 8))


def uses_a_name_twice(x):
    return conv(conv(x))


def has_an_input_of_its_own(x):
    return conv(keras.Input((24, 8)))


def does_not_fit_its_neighbour(x):
    return layers.Lambda(lambda t: t[:, :0], output_shape=(0, 8), name="core_none")(conv(x))


def names_nothing(x):
    return layers.Dense(8)(layers.Conv1D(8, 3, padding="same")(x))


def has_an_open_length_inside(x):
    x = layers.Lambda(lambda t: t, output_shape=(None, 8), name="core_open")(conv(x))
    return layers.Reshape((24, 8), name="core_closed")(x)


_seen = []


def depends_on_what_was_before(x):
    _seen.append(x)
    return layers.Conv1D(len(_seen), 3, padding="same", name="core_conv")(x)


SHARED = layers.Conv1D(8, 3, padding="same", name="core_shared")


def shares_a_layer(x):
    return SHARED(x)


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize(
    ("block", "said"),
    [
        (raises, "cannot be built on (batch, 24, 8): KeyError: 'no such thing' (line "),
        (gives_nothing, "returns NoneType instead of a Keras tensor"),
        (gives_numpy, "returns ndarray instead of a Keras tensor"),
        (loses_the_positions, "output is (batch, 8), but the block behind it takes (batch, length"),
        (gives_two, "output is (batch, 24, 8) and (batch, 24, 8), but"),
        (has_an_open_length, "output is (batch, None, 8): the first dimension must be the batch"),
        (fixes_the_batch, "output is (1, 24, 8): the first dimension must be the batch"),
        (uses_a_name_twice, "Every layer needs a name of its own"),
        (has_an_input_of_its_own, "the output must come from x"),
        (names_nothing, "names: conv1d"),
        (has_an_open_length_inside, "core_open gives (batch, None, 8)"),
        (shares_a_layer, "share the weights core_shared/kernel, core_shared/bias"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_in_how_a_block_is_built(block, said):
    assert said in only_problem("core", block)


@pytest.mark.usefixtures("without_training")
def test_a_block_that_is_not_built_the_same_twice():
    found = problems("core", depends_on_what_was_before)
    assert "built a second time it has other weights" in found[0]
    assert found[1].startswith("saving and loading fails with ValueError")


# Faults that show when the network is used.


class EndlessDropout(layers.Layer):
    """Forgets to ask whether it is training."""

    def call(self, inputs):
        return keras.random.dropout(inputs, 0.5)


def never_stops_dropping(x):
    return EndlessDropout(name="core_dropout")(conv(x))


def looks_at_the_other_rows(x):
    return x - ops.mean(x, axis=0, keepdims=True)


def ignores_its_input(x):
    return conv(ops.zeros_like(x))


def doubles_the_rows(x):
    return ops.concatenate([x, x], axis=0)


def divides_by_zero(x):
    return conv(x) / ops.zeros_like(x)


class Float32Matrix(layers.Layer):
    """Multiplies as TensorFlow does, which converts no types."""

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 8), autocast=False)

    def call(self, inputs):
        import tensorflow as tf

        return tf.linalg.matmul(inputs, self.kernel)


def mixes_types(x):
    return Float32Matrix(name="core_matrix")(x)


def needs_precision(x):
    return x / ((ops.ones_like(x) + 1e-3) - 1)


def draws_numbers(x):
    return conv(x) * np.random.default_rng().uniform(1, 2)


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize(
    ("block", "said"),
    [
        (never_stops_dropping, "its predictions differ between calls"),
        (looks_at_the_other_rows, "depends on the other rows of its batch"),
        (ignores_its_input, "every sequence gets the same prediction"),
        (doubles_the_rows, "16 rows go in and others come out"),
        (mixes_types, "computing under mixed_bfloat16 fails with"),
        (needs_precision, "under mixed_bfloat16 its outputs are not finite"),
        (draws_numbers, "its predictions change when it is saved and loaded"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_in_what_a_block_computes(block, said):
    assert said in only_problem("core", block)


@pytest.mark.usefixtures("without_training")
def test_numbers_that_are_not_finite():
    found = problems("core", divides_by_zero)
    assert len(found) == 2  # in float32, and in low precision
    assert "it predicts numbers that are not finite" in found[0]


def has_a_useless_layer(x):
    unused = conv(x, "core_unused")
    return conv(x) + 0 * ops.stop_gradient(unused)


def is_saturated(x):
    return ops.stop_gradient(ops.sign(x[:, :1, :1])) + 0 * x


def explodes(x):
    return layers.Activation(lambda t: t / ops.mean(ops.abs(t) * 0), name="core_explode")(conv(x))


def test_weights_without_a_gradient():
    unused = ["core_unused/bias", "core_unused/kernel"]
    found = only_problem("core", has_a_useless_layer)
    assert "no gradient reaches the weights core_unused/bias, core_unused/kernel" in found
    check_block("core", has_a_useless_layer, dead_weights=unused)
    found = only_problem("core", has_a_useless_layer, dead_weights=[*unused, "core_conv/kernel"])
    assert "dead_weights names core_conv/kernel" in found


def test_a_block_that_cannot_be_learnt():
    assert "one batch of 16 rows cannot be learnt" in only_problem("core", is_saturated)


def test_a_loss_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(blocks, "CHECKS", {"training": blocks.CHECKS["training"]})
    assert "the loss is nan at step 1" in only_problem("core", explodes)


# Final blocks.


@keras.saving.register_keras_serializable(package="tests")
class AveragedError(keras.losses.Loss):
    """A loss that forgets the rows."""

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred[:, 0]))


def values(x, dtype: str = "float32"):
    x = layers.GlobalAveragePooling1D(name="final_mean")(x)
    return layers.Dense(1, name="final_value", dtype=dtype)(x)


def register_final(build, losses=None, expression=task_values):
    head = menu.Head(losses=losses or {"value": TaskError}, expression=expression)
    menu.register("final", "mine", source="here", head=head)(build)


@pytest.mark.usefixtures("without_training")
def test_a_score_in_low_precision():
    register_final(lambda x: values(x, dtype="mixed_bfloat16"))
    assert "under mixed_bfloat16 its output is bfloat16" in only_problem("final", "mine")


@pytest.mark.usefixtures("without_training")
def test_an_expression_with_an_axis_too_many():
    register_final(values, expression=lambda outputs: outputs[:, :, None])
    assert "head.expression gives (16, 1, 1)" in only_problem("final", "mine")


@pytest.mark.usefixtures("without_training")
def test_an_expression_that_fails():
    register_final(values, expression=lambda outputs: outputs["value"])
    found = problems("final", "mine")
    assert any(problem.startswith("prediction fails with ") for problem in found)


def test_a_loss_for_the_whole_batch(monkeypatch):
    monkeypatch.setattr(blocks, "CHECKS", {"training": blocks.CHECKS["training"]})
    register_final(values, losses={"value": AveragedError})
    found = problems("final", "mine")
    assert 'head.losses["value"] gives () for 16 rows' in found[0]


def test_a_target_that_nobody_makes(monkeypatch):
    monkeypatch.setattr(blocks, "CHECKS", {"training": blocks.CHECKS["training"]})
    register_final(values, losses={"counts": TaskError})
    assert 'no processor on the menu makes the target "counts"' in only_problem("final", "mine")


# The report, and how the checks are called.


def test_a_sound_block_gets_a_report():
    @menu.register("core", "sound", source="here")
    def sound(x, width: int = 8, dropout: float = 0.1):
        x = layers.Conv1D(width, 3, padding="same", name="core_conv")(x)
        x = layers.BatchNormalization(name="core_norm")(x)
        x = layers.Activation("relu", name="core_relu")(x)
        return layers.Dropout(dropout, name="core_dropout")(x)

    report = check_block("core", "sound", length=20, channels=4, options={"width": 12})
    assert report.facts["parameters"] == 4 * 3 * 12 + 12 + 2 * 12
    assert repr(report) == (
        'core "sound" (width=12) is fine; parameters 180; output (batch, 20, 12)'
    )


@pytest.mark.usefixtures("without_training")
def test_all_problems_are_reported_together():
    def bad(x):
        x = EndlessDropout(name="dropout")(conv(x, "convolution"))
        return x / ((ops.ones_like(x) + 1e-3) - 1)

    with pytest.raises(BlockProblems) as found:
        check_block("core", bad)
    lines = str(found.value).splitlines()
    assert lines[0] == 'core "bad": 3 problems'
    assert "convolution (Conv1D), dropout (EndlessDropout)" in lines[1]
    assert isinstance(found.value, AssertionError)


@pytest.mark.usefixtures("without_training")
def test_functions_need_not_be_registered():
    before = menu.names("first")
    check_block("first", lambda x: layers.Conv1D(8, 3, padding="same", name="first_c")(x))
    check_block("first", menu.get("first", "bhi").build, options={"out_channels": 8})
    assert menu.names("first") == before


def test_wrong_arguments_are_the_users_mistakes():
    with pytest.raises(UserError, match='"processor" is no slot for a block'):
        check_block("processor", "bhi")
    with pytest.raises(UserError, match='Did you mean "bhi"'):
        check_block("core", "bhii")
    with pytest.raises(UserError, match='unknown option of core bhi "unit"'):
        check_block("core", "bhi", options={"unit": 3})
    with pytest.raises(UserError, match="option width has no default"):
        check_block("core", lambda x, width: x)
    with pytest.raises(UserError, match='does not know core "unnamed"'):
        check_block("core", lambda x: x, fresh_process=True)


HASHING = """\
    import keras
    from dream_keras import menu

    @menu.register("core", "{name}", source="a test")
    def block(x):
        x = keras.layers.Conv1D(8, 3, padding="same", name="core_conv")(x)
        return x * ({factor})
"""


@pytest.mark.usefixtures("without_training")
@pytest.mark.parametrize(
    "factor", [pytest.param("2.0", marks=pytest.mark.slow), "1.0 + hash('promoter') % 97"]
)
def test_a_fresh_process_loads_a_plugins_block(tmp_path, factor):
    path = tmp_path / "own.py"
    name = f"own{len(factor)}"
    path.write_text(textwrap.dedent(HASHING.format(name=name, factor=factor)))
    plugins.load_plugins([path])
    if factor == "2.0":
        check_block("core", name, fresh_process=True)
    else:
        assert "in another process the saved network predicts" in only_problem(
            "core", name, fresh_process=True
        )


# Processors.


class Plain(Processor):
    """The first 30 bp of a row, and its label.

    Args:
        length: Positions.
        label_mean: Of the training labels.
    """

    channels = 4
    max_length = 40
    targets = ("value",)
    strands = "rows"
    left_adapter = alphabet.encode("TGCA")

    def __init__(self, length: int = 30, label_mean: float | None = None):
        self.length = length
        self.label_mean = label_mean

    def encode(self, tokens, lengths):
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        return np.where(inside, tokens, alphabet.N)[:, : self.length].astype(np.uint8)

    def make_channels(self, tokens, strand, flags):
        return one_hot(strand_of(tokens, strand), range(4))

    def make_target(self, labels, tokens, target_type):
        return labels - (self.label_mean or 0)

    def label_statistics(self, labels):
        return {"label_mean": float(labels.mean())} if self.label_mean is None else {}

    def to_expression(self, outputs, target_type):
        return outputs.mean(axis=1) + (self.label_mean or 0)


def test_a_sound_processor_gets_a_report():
    report = check_processor(Plain)
    assert repr(report) == 'processor "Plain" is fine; input (batch, 30, 4); targets value'
    assert check_processor(Plain, options={"length": 25}).facts["input"] == "(batch, 25, 4)"


def longer(self, tokens, lengths):
    return Plain.encode(self, tokens, lengths)[:, :20]


def as_integers(self, tokens, lengths):
    return Plain.encode(self, tokens, lengths).astype(int)


def in_place(self, tokens, lengths):
    tokens[:] = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, alphabet.N)
    return tokens[:, : self.length]


def past_the_end(self, tokens, lengths):
    return tokens[:, : self.length].copy()


def together(self, tokens, lengths):
    return np.roll(Plain.encode(self, tokens, lengths), len(tokens), axis=1)


def unseeded(self, tokens, random):
    return np.random.default_rng().permuted(tokens, axis=1)


def hide_in_place(self, tokens, random):
    tokens[:, 0] = alphabet.N
    return tokens


def without_numpy(self, tokens, strand, flags):
    return np.eye(5, 4, dtype=np.float32)[np.asarray(tokens)]


def one_strand(self, tokens, strand, flags):
    return one_hot(ops.cast(tokens, "int32"), range(4))


def doubles(self, tokens, strand, flags):
    return ops.cast(Plain.make_channels(self, tokens, strand, flags), "float16")


def blank(self, tokens, strand, flags):
    channels = Plain.make_channels(self, tokens, strand, flags)
    return ops.zeros_like(channels) + ops.reshape(ops.cast(strand, "float32"), (-1, 1, 1))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"channels": None}, "channels is None: set it to a whole number"),
        ({"targets": "value"}, "targets is 'value': give a tuple"),
        ({"strands": "both"}, "strands is 'both': expected one of rows, step, input"),
        ({"left_adapter": "TGCA"}, "left_adapter is 'TGCA': give tokens"),
        ({"targets": ("counts",)}, "no final block on the menu is trained on counts"),
        ({"encode": longer}, "encode gives uint8 of shape (12, 20) for 12 rows"),
        ({"encode": as_integers}, "encode gives int64 of shape (12, 30)"),
        ({"encode": in_place}, "encode changes the tokens it is given"),
        ({"encode": past_the_end}, "encode looks at what stands behind a sequence's end"),
        ({"encode": together}, "encode gives a row something else when it is encoded together"),
        ({"training_view": unseeded}, "training_view draws something else for the same step"),
        ({"training_view": hide_in_place}, "training_view or prediction_views changes the tokens"),
        ({"prediction_views": lambda self, tokens: ()}, "prediction_views gives no view"),
        (
            {"prediction_views": lambda self, tokens: tokens},
            "prediction_views gives uint8 of shape",
        ),
        ({"channels": 5}, "make_channels gives shape (12, 30, 4), not (12, 30, 5)"),
        ({"make_channels": without_numpy}, "make_channels, inside a compiled function, fails with"),
        ({"make_channels": one_strand}, "make_channels gives the same for both strands"),
        ({"make_channels": doubles}, "make_channels gives float16, not float32"),
        ({"make_channels": blank}, "make_channels gives every sequence the same channels"),
        (
            {"make_target": lambda self, labels, tokens, target_type: ops.mean(labels)},
            'make_target("value") gives () for 12 rows',
        ),
        (
            {"make_target": lambda self, labels, tokens, target_type: ops.log(labels - 5)},
            'make_target("value") gives numbers that are not finite',
        ),
        (
            {"make_target": lambda self, labels, tokens, target_type: -labels},
            "puts a perfect prediction in another order than the labels",
        ),
        (
            {"to_expression": lambda self, outputs, target_type: outputs[:, :, 0]},
            "to_expression gives shape (12, 2) for 12 rows, not (12, 1)",
        ),
        (
            {"label_statistics": lambda self, labels: {"mean": 1.0}},
            "label_statistics gives mean: the processor needs options of these names",
        ),
    ],
)
def test_faults_of_processors(changed, said):
    faulty = type("Faulty", (Plain,), changed)
    with pytest.raises(BlockProblems) as found:
        check_processor(faulty)
    assert any(said in problem for problem in found.value.problems), found.value


# Trainers.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steady(Trainer):
    """Plain gradient descent."""

    learning_rate: float = 0.1
    batch_size: int = 8
    epochs: int = 2
    steps_per_epoch: int | None = None

    def optimizer(self, total_steps):
        return keras.optimizers.SGD(self.learning_rate)


def test_a_sound_trainer_gets_a_report():
    report = check_trainer(Steady, options={"learning_rate": 0.2})
    assert repr(report) == 'trainer "Steady" (learning_rate=0.2) is fine; rate 0.2 to 0.2'


ONE = keras.optimizers.SGD(0.1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"optimizer": lambda self, total_steps: "adam"}, "optimizer() gives 'adam'"),
        ({"optimizer": lambda self, total_steps: ONE}, "gives the same object twice"),
        (
            {"optimizer": lambda self, total_steps: keras.optimizers.SGD(0.0)},
            "20 steps change no weight",
        ),
        (
            {"optimizer": lambda self, total_steps: keras.optimizers.SGD(1.0)},
            "its rate reaches 1, more than learning_rate=0.1",
        ),
        (
            {"optimizer": lambda self, total_steps: keras.optimizers.SGD(float("nan"))},
            "no rate may be negative or infinite",
        ),
        ({"__post_init__": lambda self: None}, "it accepts batch_size=0"),
    ],
)
def test_faults_of_trainers(changed, said):
    faulty = dataclasses.dataclass(frozen=True, kw_only=True)(type("Faulty", (Steady,), changed))
    with pytest.raises(BlockProblems) as found:
        check_trainer(faulty)
    assert any(said in problem for problem in found.value.problems), found.value


@pytest.mark.parametrize("name", menu.names("processor"))
def test_shipped_processors_are_sound(name):
    taken_from_table = menu.get("processor", name).build().length == 0
    check_processor(name, options={"length": 60} if taken_from_table else None)


@pytest.mark.parametrize("name", menu.names("trainer"))
def test_shipped_trainers_are_sound(name):
    check_trainer(name)
