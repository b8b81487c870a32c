"""Checks of a block in training, in prediction and in low precision."""

import math
import warnings
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from dream_keras import menu
from dream_keras.data.alphabet import MASKED
from dream_keras.data.processor import LABEL_STATISTICS
from dream_keras.model.network import Network
from dream_keras.nn import Tensor, Tensors
from dream_keras.testing.case import ROWS, Case, listed, predict_outputs, same

STEPS = 40
LEARNING_RATE = 0.02
LEARNT = 0.8
"""The loss of one batch, trained on again and again, must fall to this share of what it was."""
LABEL_MEAN, LABEL_STD = 11.0, 2.0
"""Of the labels made up for training: about those of the challenge."""
MASKED_SHARE = 0.15


def learning(case: Case) -> Iterator[str]:
    """Yield losses that do not fall, and weights that no gradient reaches."""
    head = case.network.head
    before = case.own_weights()
    for number, (target_type, make_loss) in enumerate(head.losses.items()):
        loss, target = make_loss(reduction="none"), _target(target_type, case, seed=number)
        outputs = case.network(case.inputs, training=False)
        per_row = loss(target, outputs)
        if tuple(per_row.shape) != (ROWS,):
            yield (
                f'head.losses["{target_type}"] gives {tuple(per_row.shape)} for {ROWS} rows, not '
                "one value per row: its call() must not average over the batch"
            )
            continue
        losses = _train(case, loss, target)
        bad = next((n for n, value in enumerate(losses, 1) if not math.isfinite(value)), None)
        if bad is not None:
            yield (
                f'trained on "{target_type}", the loss is {losses[bad - 1]} at step {bad}: look '
                "for a division by 0, a logarithm or a root of 0, or an exponential of large values"
            )
            return
        start, end = np.mean(losses[:3]), np.mean(losses[-3:])
        if end > LEARNT * start:
            yield (
                f'one batch of {ROWS} rows cannot be learnt: trained on "{target_type}", the '
                f"loss goes from {start:.3g} to {end:.3g} in {STEPS} steps of Adam. Look at the "
                "activations (all zero or saturated?), and whether positions and channels are "
                "mixed up."
            )
    after = case.own_weights()
    dead = {path for path, value in before.items() if np.array_equal(value, after[path])}
    if unexpected := sorted(dead - set(case.dead_weights)):
        yield (
            f"no gradient reaches the weights {listed(unexpected)}: is their layer's output used? "
            "Where that is by design, give these names as dead_weights."
        )
    if wrong := sorted(set(case.dead_weights) - dead):
        yield f"dead_weights names {listed(wrong)}, which it does not have or which do learn"


def _train(case: Case, loss: keras.losses.Loss, target: Tensors) -> list[float]:
    """Train the network on one batch; return the loss of each step."""
    learner = _Learner(case.network, loss)
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    optimizer.build(case.network.trainable_variables)  # otherwise the step is traced twice
    learner.compile(optimizer, jit_compile=False)
    with warnings.catch_warnings():
        # Weights without gradients are reported by the check.
        warnings.filterwarnings("ignore", "Gradients do not exist")
        return [float(learner.train_on_batch(case.inputs, target)) for _ in range(STEPS)]


class _Learner(keras.Model):
    """A network trained with a head's loss by Keras's own loop, on any backend."""

    def __init__(self, network: Network, loss: keras.losses.Loss):
        super().__init__(name="learner")
        self.network = network
        self.row_loss = loss

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensors:
        return self.network(inputs, training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensors = None,
        y_pred: Tensors = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        return ops.mean(self.row_loss(y, y_pred))


def _target(target_type: str, case: Case, seed: int) -> Tensors:
    """Make up a target of a type that some processor on the menu makes, for ROWS rows."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=(ROWS, case.network.tasks)).astype(np.float32)
    if target_type == "value":
        return normal  # processors scale it differently, some not at all
    if target_type == "profile":
        shape = (ROWS, *case.network.output["profile"].shape[1:])
        counts = random.poisson(random.uniform(0, 6, shape))
        return {"profile": counts.astype(np.float32), "weight": np.ones((ROWS, 1), np.float32)}
    tokens = random.integers(0, 4, (ROWS, case.length))
    tokens += MASKED * (random.random(tokens.shape) < MASKED_SHARE)
    labels = ops.convert_to_tensor(LABEL_MEAN + LABEL_STD * normal)
    items = [item for item in menu.entries() if item.slot == "processor"]
    # Ours first: a user's may be unfinished.
    for item in sorted(items, key=lambda item: not item.module.startswith("dream_keras.")):
        known = zip(LABEL_STATISTICS, ((LABEL_MEAN,), (LABEL_STD,)), strict=True)
        processor = item.build(**{k: v for k, v in known if k in item.options})
        if target_type in processor.targets:
            target = processor.make_target(labels, tokens.astype(np.uint8), target_type)
            return keras.tree.map_structure(ops.convert_to_numpy, target)
    raise ValueError(
        f'no processor on the menu makes the target "{target_type}" that the head asks for'
    )


def prediction(case: Case) -> Iterator[str]:
    """Yield what is wrong with predictions: not finite, random, constant, or mixed between rows."""
    together = predict_outputs(case.network, case.inputs)
    if any(len(values) != ROWS for values in together.values()):
        found = ", ".join(f"{k} {v.shape}" for k, v in together.items())
        yield f"{ROWS} rows go in and others come out ({found}): leave the batch axis alone"
        return
    if not all(np.isfinite(values).all() for values in together.values()):
        yield "it predicts numbers that are not finite: look for a division by 0 or a logarithm"
        return
    if not same(together, predict_outputs(case.network, case.inputs)):
        yield (
            "its predictions differ between calls: prediction must be deterministic. Use "
            "keras.layers.Dropout and the like, or look at training in your own layer's call()."
        )
        return
    apart = predict_outputs(case.network, case.inputs[:1])
    if not same({name: values[:1] for name, values in together.items()}, apart):
        yield (
            "a row's prediction depends on the other rows of its batch: take no mean, maximum or "
            "normalisation over axis 0 outside of a BatchNormalization layer"
        )
    score = together["expression"]
    if np.ptp(score, axis=0).max() <= 1e-6 * np.abs(score).max():
        yield "every sequence gets the same prediction: does the output depend on x?"
    if score.ndim != 2:
        yield f"head.expression gives {score.shape} for {ROWS} rows: it must be ({ROWS}, tasks)"


def low_precision(case: Case) -> Iterator[str]:
    """Yield outputs of a final block that are not float32, or not finite, in low precision."""
    network = case.assemble("mixed_bfloat16")
    for training in (False, True):
        outputs = keras.tree.flatten(network(case.inputs, training=training))
        if not all(bool(ops.all(ops.isfinite(tensor))) for tensor in outputs):
            yield "under mixed_bfloat16 its outputs are not finite: use smaller constants"
            return
    odd = {keras.backend.standardize_dtype(tensor.dtype) for tensor in outputs} - {"float32"}
    if odd:
        yield (
            f"under mixed_bfloat16 its output is {', '.join(odd)}, too coarse for a score: give "
            'the last layers dtype="float32"'
        )
