"""Gradients through every processor, against a linear network whose weights are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.data.table import tokenize
from dream_keras.interpret.gradients import Gradients, one_hot

ADAPTERS = ("TGCATTTTTTTCACATC", "GGTTACGGCTGTT")
OPTIONS = {
    "plain": {"length": 120, "n_value": 0.25, "label_std": (2.0,), "label_mean": (1.0,)},
    "bhi": {"normal_cdf": True, "label_mean": (11.0,), "label_std": (2.0,)},
    "unlockdna": {"label_mean": (11.0,), "label_std": (2.0,)},
}
"""Options of processors, by name, with which more can go wrong than with their defaults."""
VARIANTS = [
    *((name, OPTIONS.get(name, {})) for name in menu.names("processor")),
    ("plain", {"length": 110, "fixed_left": 17, "fixed_right": 13, "channel_order": "ACGT"}),
    ("plain", {"length": 115, "left": "AC", "trim_right": 3, "pad": "left", "reverse": "random"}),
    ("plain", {"length": 110, "reverse": "flag", "reverse_mark": "_rev"}),
]


class LinearSteps:
    """Stands in for compiled steps: a linear network of two tasks."""

    def __init__(self, processor, scale=0.01):
        self.processor = processor
        self.target_type = "value" if "value" in processor.targets else processor.targets[0]
        shape = (2, processor.length, processor.channels)
        self.weights = np.random.default_rng(1).normal(0, scale, shape)

    def gradient(self, channels, task):
        values = np.einsum("rpc,tpc->rt", channels, self.weights)
        return values, np.broadcast_to(self.weights[task], channels.shape).astype(np.float32)


def make(processor):
    def encode(sequences):
        tokens, lengths = tokenize(sequences, max(map(len, sequences)))
        return processor.encode(tokens, lengths)

    return Gradients(LinearSteps(processor), encode), encode


def predict(steps, encode, sequences, turned):
    """What the engine does: all windows and strands, one by one."""
    processor, rows = steps.processor, len(sequences)
    views = []
    for view in processor.prediction_views(encode(sequences)):
        for strand in range(processor.predicted_strands):
            flags = np.full(rows, turned and bool(processor.reverse_mark), np.uint8)
            channels = processor.make_channels(view, np.full(rows, strand, np.uint8), flags)
            views.append(np.einsum("rpc,tpc->rt", np.array(channels), steps.weights))
    return processor.to_expression(np.stack(views, axis=1), steps.target_type)


@pytest.mark.parametrize("length", [66, 80])
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_gradients_of_a_linear_network_are_the_effects_of_mutations(name, options, length, random):
    """For every base at every position, N among them; the padding is of any kind."""
    processor = menu.get("processor", name).build(**options)
    gradients, encode = make(processor)
    insert = "".join(random.choice(list("ACGTACGTN"), length))
    sequence = ADAPTERS[0] + insert + ADAPTERS[1]
    weights = np.array([1.0, -0.5])
    for turned in (False, True):
        values, found = gradients(one_hot([sequence]), weights, turned)
        reference = predict(gradients.steps, encode, [sequence], turned) @ weights
        np.testing.assert_allclose(values, reference, atol=1e-6)
        places = range(len(ADAPTERS[0]), len(ADAPTERS[0]) + length, 7)
        mutants = [sequence[:i] + base + sequence[i + 1 :] for i in places for base in "ACGT"]
        effects = predict(gradients.steps, encode, mutants, turned) @ weights - reference
        own = found[0][list(places)]
        standing = (own * one_hot([sequence])[0][list(places)]).sum(axis=1)
        expected = (own - standing[:, None]).ravel()
        # A nonlinear function of the network's output is followed by its slope alone.
        tolerance = 0.05 if options.get("normal_cdf") else 1e-5
        np.testing.assert_allclose(effects, expected, atol=tolerance * np.abs(expected).max())
        assert np.abs(expected).max() > 1e-4


def test_mixtures_of_bases_are_predicted_between_them(random):
    gradients, _ = make(menu.get("processor", "autosome").build())
    pair = one_hot(["".join(random.choice(list("ACGT"), 110)) for _ in range(2)])
    weights = np.array([0.0, 1.0])
    (first, second), _ = gradients(pair, weights)
    (mixed,), _ = gradients(0.25 * pair[:1] + 0.75 * pair[1:], weights)
    assert mixed == pytest.approx(0.25 * first + 0.75 * second)


def test_more_rows_than_a_batch(random):
    gradients, _ = make(menu.get("processor", "autosome").build())
    bases = one_hot(["".join(random.choice(list("ACGTN"), 110)) for _ in range(70)])
    weights = np.ones(2)
    values, found = gradients(bases, weights)
    for row in (0, 63, 64, 69):
        value, one = gradients(bases[row : row + 1], weights)
        assert values[row] == pytest.approx(value[0])
        np.testing.assert_allclose(found[row], one[0])
    assert gradients(bases[:0], weights)[0].shape == (0,)


def test_a_processor_that_mixes_positions_is_refused():
    processor = menu.get("processor", "autosome").build()
    plain = processor.make_channels

    def mixing(tokens, strand, flags):
        channels = np.array(plain(tokens, strand, flags))
        return channels * np.roll(channels, 1, axis=1)

    processor.make_channels = mixing
    gradients, _ = make(processor)
    with pytest.raises(UserError, match=r"from several bases.*--method ism"):
        gradients(one_hot(["A" * 110]), np.ones(2))


def test_predictors_without_gradients_say_so():
    from dream_keras.interpret.attribution import Attributor

    predictor = SimpleNamespace(gradients=None, name="a function", tasks=("one",))
    with pytest.raises(UserError, match="a function has no gradients: use the method ism"):
        Attributor(predictor, np.ones(1), "gradient")
