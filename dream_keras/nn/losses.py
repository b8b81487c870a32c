"""Losses, one value per row, and how a final block's outputs become values of its tasks.

All are computed in float32 whatever the precision policy. They return one value per row (not a
batch mean), so the gradient does not depend on the number of replicas. Labels are (batch, tasks);
a label that is NaN is missing and adds nothing to loss and gradient.
"""

import math
from collections.abc import Mapping

import keras
from keras import ops

from dream_keras.nn import Tensor

register = keras.saving.register_keras_serializable(package="dream_keras")

SMALLEST_PROBABILITY = 1e-37
"""Below this the logarithm of a float32 probability would overflow; no gradient flows there."""

EXACT_FACTORIALS = 16
"""Counts below this have their logarithmic factorial in a table, others by Stirling's series."""

UNKNOWN = -1e9
"""Stands in a softmax for what is not part of it; with -inf, a row without any would be NaN."""


def expected_bin(probabilities: Tensor) -> Tensor:
    """Return the mean bin, sum over i of i * p_i: (batch, bins) to (batch, 1).

    Examples:
        >>> float(expected_bin(ops.convert_to_tensor([[0.25, 0.25, 0.5]]))[0, 0])
        1.25
    """
    bins = ops.arange(probabilities.shape[-1], dtype=probabilities.dtype)
    return ops.sum(probabilities * bins, axis=-1, keepdims=True)


def bin_spread(probabilities: Tensor) -> Tensor:
    """Return the standard deviation of the bin: (batch, bins) to (batch, 1).

    Examples:
        >>> float(bin_spread(ops.convert_to_tensor([[0.5, 0.0, 0.5]]))[0, 0])
        1.0
    """
    bins = ops.arange(probabilities.shape[-1], dtype=probabilities.dtype)
    squares = ops.square(bins - expected_bin(probabilities))
    return ops.sqrt(ops.sum(probabilities * squares, axis=-1, keepdims=True))


def task_values(values: Tensor) -> Tensor:
    """Return the values of the tasks, (batch, tasks), of a block whose outputs they are."""
    return values


def expression_output(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return the expression, (batch, 1), of a block that also predicts nucleotides."""
    return outputs["expression"]


def mean_output(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return the values of the tasks, (batch, tasks), of a block that predicts distributions."""
    return outputs["mean"]


def spread_output(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return their standard deviations, (batch, tasks)."""
    return ops.exp(0.5 * outputs["log_variance"])


def counts_output(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return the logarithms of total counts, (batch, tasks), of a block that predicts profiles."""
    return outputs["counts"]


def joint_outputs(main: Mapping[str, Tensor], bias: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join what a network and a bias model predict: profiles multiply, and counts add.

    Args:
        main: ``"profile"``, logits, (batch, tasks, positions), and ``"counts"``, logarithms,
            (batch, tasks).
        bias: Likewise.

    Examples:
        >>> one = {"profile": ops.zeros((1, 1, 2)), "counts": ops.zeros((1, 1))}
        >>> round(float(joint_outputs(one, one)["counts"][0, 0]), 4)
        0.6931
    """
    return {
        "profile": main["profile"] + bias["profile"],
        "counts": ops.logaddexp(main["counts"], bias["counts"]),
    }


def error_of(labels: Tensor, values: Tensor) -> Tensor:
    """Return label minus value, (batch, tasks), and 0 where the label is missing.

    Examples:
        >>> rows = ([[1.0, float("nan")]], [[3.0, 5.0]])
        >>> labels, values = map(ops.convert_to_tensor, rows)
        >>> ops.convert_to_numpy(error_of(labels, values)).tolist()
        [[-2.0, 0.0]]
    """
    # Not the difference alone is replaced: a NaN in it would reach the gradient.
    known = ops.isfinite(labels)
    return ops.where(known, ops.where(known, labels, 0.0) - values, 0.0)


class RowLoss(keras.losses.Loss):
    """Base of the losses: float32, one value per row."""

    def __init__(
        self, name: str | None = None, reduction: str = "sum_over_batch_size", **_: object
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")


@register
class BinDivergence(RowLoss):
    """Kullback-Leibler divergence of the measured from the predicted bin probabilities.

    Examples:
        >>> measured = ops.convert_to_tensor([[1.0, 0.0]])
        >>> predicted = ops.convert_to_tensor([[0.5, 0.5]])
        >>> round(float(BinDivergence()(measured, predicted)), 4)
        0.6931
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compare two (batch, bins) arrays of probabilities; a measured 0 contributes 0."""
        log_true = ops.log(ops.maximum(y_true, SMALLEST_PROBABILITY))
        log_pred = ops.log(ops.maximum(y_pred, SMALLEST_PROBABILITY))
        return ops.sum(y_true * (log_true - log_pred), axis=-1)


@register
class ExpectedBinError(RowLoss):
    """Squared error of the mean bin, for data that give a value and no probabilities."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compare labels (batch, 1) with probabilities (batch, bins)."""
        return ops.sum(ops.square(error_of(y_true, expected_bin(y_pred))), axis=-1)


@register
class TaskError(RowLoss):
    """Squared error, summed over tasks.

    Examples:
        The second task was not measured:

        >>> labels = ops.convert_to_tensor([[1.0, float("nan")]])
        >>> float(TaskError()(labels, ops.convert_to_tensor([[3.0, 5.0]])))
        4.0
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compare labels and values, both (batch, tasks)."""
        return ops.sum(ops.square(error_of(y_true, y_pred)), axis=-1)


@register
class GaussianError(RowLoss):
    """Negative log-likelihood of a normal distribution, summed over tasks, without its constant.

    Examples:
        The second task was not measured:

        >>> labels = ops.convert_to_tensor([[1.0, float("nan")]])
        >>> mean, log_variance = ops.convert_to_tensor([[3.0, 5.0]]), ops.zeros((1, 2))
        >>> float(GaussianError()(labels, {"mean": mean, "log_variance": log_variance}))
        2.0
    """

    def call(self, y_true: Tensor, y_pred: Mapping[str, Tensor]) -> Tensor:
        """Compare labels with ``"mean"`` and ``"log_variance"``, all (batch, tasks)."""
        log_variance = y_pred["log_variance"]
        squares = ops.square(error_of(y_true, y_pred["mean"])) * ops.exp(-log_variance)
        known = ops.isfinite(y_true)
        return 0.5 * ops.sum(ops.where(known, log_variance + squares, 0.0), axis=-1)


@register
class HuberError(RowLoss):
    """Huber loss with delta 1, as in the BHI team's training.

    Examples:
        >>> labels, values = ops.convert_to_tensor([[0.0]]), ops.convert_to_tensor([[2.0]])
        >>> float(HuberError()(labels, values))
        1.5
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compare labels and values, both (batch, tasks)."""
        error = ops.abs(error_of(y_true, y_pred))
        return ops.sum(ops.where(error < 1, 0.5 * ops.square(error), error - 0.5), axis=-1)


@register
class ActivityShareError(RowLoss):
    """Absolute error and divergence of the tasks' shares of the activity, as Malinois is trained.

    (error + 5 * divergence) / 6, both divided by the number of tasks. A row's shares are the
    softmax over its tasks that were measured; the divergence is Kullback and Leibler's, of the
    measured shares from the predicted ones. Source: boda2, L1KLmixed with beta 5.

    Examples:
        Where one task was measured, its share is 1:

        >>> labels = ops.convert_to_tensor([[1.0, float("nan")]])
        >>> float(ActivityShareError()(labels, ops.convert_to_tensor([[4.0, 5.0]])))
        0.25
    """

    DIVERGENCE = 5.0

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Compare labels and values, both (batch, tasks)."""
        known = ops.isfinite(y_true)
        measured = _log_shares(ops.where(known, y_true, 0.0), known)
        predicted = _log_shares(y_pred, known)
        terms = ops.where(known, ops.exp(measured) * (measured - predicted), 0.0)
        errors = ops.abs(error_of(y_true, y_pred)) + self.DIVERGENCE * terms
        return ops.mean(errors, axis=-1) / (1 + self.DIVERGENCE)


def _log_shares(values: Tensor, known: Tensor) -> Tensor:
    """Return the logarithm of the softmax over the known tasks, (batch, tasks)."""
    return ops.log_softmax(ops.where(known, values, UNKNOWN), axis=-1)


@register
class ProfileLoss(RowLoss):
    """Multinomial likelihood of a profile of counts, plus the squared error of its log total.

    Summed over tasks: -log of the multinomial probability of the counts given their total, and the
    weight times (log(1 + total) - prediction)^2. Source: BPNet, ChromBPNet.

    Examples:
        Two counts at one of two positions that are equally likely; the total is predicted exactly:

        >>> target = {"profile": ops.convert_to_tensor([[[2.0, 0.0]]]), "weight": 5.0}
        >>> counts = ops.log(ops.convert_to_tensor([[3.0]]))
        >>> loss = ProfileLoss()(target, {"profile": ops.zeros((1, 1, 2)), "counts": counts})
        >>> round(float(loss), 4)
        1.3863
    """

    def call(self, y_true: Mapping[str, Tensor], y_pred: Mapping[str, Tensor]) -> Tensor:
        """Compare counts with predictions.

        Args:
            y_true: ``"profile"``, counts, (batch, tasks, positions), and ``"weight"``, a number or
                (batch, 1).
            y_pred: ``"profile"``, logits, of the same shape, and ``"counts"``, logarithms of the
                totals, (batch, tasks).
        """
        counts = y_true["profile"]
        totals = ops.sum(counts, axis=-1)
        errors = ops.log1p(totals) - y_pred["counts"]
        rows = multinomial_loss(counts, y_pred["profile"]) + y_true["weight"] * ops.square(errors)
        return ops.sum(rows, axis=-1)


def multinomial_loss(counts: Tensor, logits: Tensor) -> Tensor:
    """Return -log of the multinomial probability of counts given their total.

    Written as the total times the divergence of the predicted from the measured profile, and a
    rest that is small: the factorials themselves would leave few digits of float32.

    Args:
        counts: Whole numbers, (..., positions), float32.
        logits: Of the same shape.

    Returns:
        (...); 0 where there are no counts.

    Examples:
        >>> counts, logits = ops.convert_to_tensor([1.0, 1.0]), ops.zeros((2,))
        >>> round(float(multinomial_loss(counts, logits)), 4)
        0.6931
    """
    totals = ops.sum(counts, axis=-1, keepdims=True)
    log_shares = ops.log(ops.maximum(counts, 1.0)) - ops.log(ops.maximum(totals, 1.0))
    divergence = ops.sum(counts * (log_shares - ops.log_softmax(logits, axis=-1)), axis=-1)
    return divergence + ops.sum(_factorial_rest(counts), axis=-1) - _factorial_rest(totals[..., 0])


def _factorial_rest(counts: Tensor) -> Tensor:
    """Return log(k!) - (k log k - k), element by element, of whole numbers."""
    exact = [
        math.lgamma(k + 1) - (k * math.log(k) - k if k else 0) for k in range(EXACT_FACTORIALS)
    ]
    k = ops.maximum(counts, 1.0)
    series = 0.5 * ops.log(2 * math.pi * k) + 1 / (12 * k) - 1 / (360 * k * k * k)
    small = ops.cast(ops.minimum(counts, EXACT_FACTORIALS - 1), "int32")
    table = ops.convert_to_tensor(exact, dtype="float32")
    return ops.where(counts < EXACT_FACTORIALS, ops.take(table, small), series)


@register
class ExpressionError(RowLoss):
    """Squared error of the expression of a block that also predicts nucleotides."""

    def call(self, y_true: Tensor, y_pred: Mapping[str, Tensor]) -> Tensor:
        """Compare labels (batch, 1) with the outputs' ``"expression"``."""
        return ops.sum(ops.square(error_of(y_true, expression_output(y_pred))), axis=-1)


@register
class MaskedError(RowLoss):
    """Squared error of the expression, plus cross-entropy of the bases that were masked.

    The cross-entropy is summed over the masked bases of the batch and divided by their number
    plus 1 (Unlock_DNA's training notebook); each row's entry holds its share, so that the mean
    over the batch is that. With several replicas each counts its own rows.
    """

    def call(self, y_true: Mapping[str, Tensor], y_pred: Mapping[str, Tensor]) -> Tensor:
        """Compare a ``"masked"`` target with the outputs.

        Args:
            y_true: ``"value"``, (batch, 1); ``"bases"`` and ``"masked"``, (batch, length).
            y_pred: ``"expression"``, (batch, 1), and the last positions' ``"nucleotides"``,
                (batch, positions, classes).
        """
        logits = y_pred["nucleotides"]
        positions = logits.shape[1]
        bases = ops.cast(y_true["bases"][:, -positions:], "int32")
        masked = y_true["masked"][:, -positions:]
        entropies = ops.sparse_categorical_crossentropy(bases, logits, from_logits=True)
        per_row = ops.sum(masked * entropies, axis=-1)
        rows = ops.cast(ops.shape(masked)[0], per_row.dtype)
        error = error_of(y_true["value"], expression_output(y_pred))
        return ops.sum(ops.square(error), axis=-1) + per_row * (rows / (ops.sum(masked) + 1))
