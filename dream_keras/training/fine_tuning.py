"""Training that starts from the weights of another run: what is taken, frozen and slowed down."""

import logging
from collections.abc import Iterator

import keras
from keras import ops

from dream_keras.common.errors import UserError, short_list
from dream_keras.menu.registry import BLOCKS, Slot
from dream_keras.menu.trainer import Trainer
from dream_keras.model.network import Network
from dream_keras.nn import Tensor
from dream_keras.nn.optimizers import scale_rates
from dream_keras.runs.run import Run

ADAPTED: tuple[Slot, ...] = ("first", "core")
"""Slots that are trained at low rank; the final layers of another table are new."""

_LOW_RANK = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Conv1D)

log = logging.getLogger(__name__)


def take_weights(network: Network, source: Run) -> None:
    """Set a network's weights to those of a run, where block, name and shape are the same.

    What was taken is logged slot by slot, with the weights that start fresh.

    Args:
        network: A network with fresh weights.
        source: The run.

    Raises:
        UserError: If nothing fits.
    """
    theirs = source.network
    report = []
    any_taken = False
    for slot in BLOCKS:
        ours, other = (getattr(order, slot).name for order in (network.order, theirs.order))
        if ours != other:
            report.append(f"{slot} {ours} starts fresh, since the run has {other}")
            continue
        known = {
            weight.path: weight for layer in layers_of(theirs, slot) for weight in layer.weights
        }
        weights = [weight for layer in layers_of(network, slot) for weight in layer.weights]
        fresh = []
        for weight in weights:
            found = known.get(weight.path)
            if found is None or tuple(found.shape) != tuple(weight.shape):
                had = "" if found is None else f", {tuple(found.shape)} there"
                fresh.append(f"{weight.path} {tuple(weight.shape)}{had}")
            else:
                weight.assign(found)
        any_taken |= len(fresh) < len(weights)
        rest = f" (fresh: {short_list(fresh)})" if fresh else ""
        report.append(f"{slot} {len(weights) - len(fresh)} of {len(weights)}{rest}")
    log.info("weights taken from %s: %s", source.folder, "; ".join(report))
    if not any_taken:
        raise UserError(
            f"no weight of {source.folder} fits this network: {'; '.join(report)}. Leave --config "
            "out to take the order of that run."
        )


def layers_of(network: Network, slot: Slot) -> Iterator[keras.layers.Layer]:
    """Yield the layers of one slot."""
    return (layer for layer in network.layers if layer.name.startswith(f"{slot}_"))


def restrict_training(network: Network, trainer: Trainer) -> None:
    """Freeze what the trainer never trains, and add low-rank updates where it asks for them.

    Slots that are unfrozen later stay trainable: ``slow_down`` keeps their weights as they are.

    Raises:
        UserError: If no layer can be updated at low rank.
    """
    frozen: tuple[Slot, ...] = trainer.freeze if trainer.unfreeze_epoch is None else ()
    for slot in frozen:
        for layer in layers_of(network, slot):
            layer.trainable = False
    if trainer.lora_rank is None:
        return
    adapted = 0
    for slot in ADAPTED:
        if slot in frozen:
            continue
        for layer in layers_of(network, slot):
            if isinstance(layer, _LOW_RANK):
                layer.enable_lora(trainer.lora_rank)
                adapted += 1
            else:
                layer.trainable = False
    if not adapted:
        raise UserError(
            "lora_rank: first and core have no dense or convolution layer that is trained"
        )


class _From:
    """A factor of the learning rate that is 0 before a step."""

    def __init__(self, step: int, factor: float):
        self.step = step
        self.factor = factor

    def __call__(self, iterations: Tensor) -> Tensor:
        return ops.cast(iterations >= self.step, "float32") * self.factor


def slow_down(
    optimizer: keras.optimizers.Optimizer,
    network: Network,
    trainer: Trainer,
    steps_per_epoch: int,
) -> None:
    """Multiply the learning rate of each slot's weights as the trainer says.

    Frozen slots have a rate of 0 until the epoch from which they are trained.

    Args:
        optimizer: Of the run; unchanged where all factors are 1.
        network: Its trainable weights, in the optimiser's order.
        trainer: The trainer.
        steps_per_epoch: Steps in an epoch.
    """
    rates: dict[str, float] = {slot: getattr(trainer, f"{slot}_rate") for slot in BLOCKS}
    factors: dict[str, float | _From] = {**rates}
    if trainer.unfreeze_epoch is not None:
        step = (trainer.unfreeze_epoch - 1) * steps_per_epoch
        factors |= {slot: _From(step, rates[slot]) for slot in trainer.freeze}
    if any(factor != 1.0 for factor in factors.values()):
        of_weights = [factors.get(w.path.partition("_")[0], 1.0) for w in network.trainable_weights]
        scale_rates(optimizer, of_weights)
