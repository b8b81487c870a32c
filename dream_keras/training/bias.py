"""Where counts start, and training beside a frozen bias model."""

import logging

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing
from dream_keras.data.processor import PROFILE, Processor
from dream_keras.data.region_rows import RegionRows
from dream_keras.menu.trainer import Trainer
from dream_keras.model.build import load_model
from dream_keras.model.network import Network
from dream_keras.runs.prediction import predict_profiles
from dream_keras.runs.run import Run, load_run
from dream_keras.runtime.steps import Steps

COUNTS_LAYER = "final_counts"
"""The layer whose bias is the log count that a network predicts of any sequence."""

log = logging.getLogger(__name__)


def check_regions(run: Run, trainer: Trainer) -> None:
    """Refuse settings that belong to regions where there are none, and the other way round.

    Raises:
        UserError: Names the setting.
    """
    experiment = run.experiment
    if run.is_of_regions:
        if experiment.augment.operations:
            raise UserError("augment: regions of a genome are not augmented; processor.jitter is")
        if experiment.distillation.teacher is not None:
            raise UserError("distillation: no teacher labels the regions of a genome")
        return
    if trainer.best == "loss":
        raise UserError(
            "trainer.best=loss is for networks that predict profiles (model.final=profile): set "
            "trainer.best to pearson or mse"
        )
    if experiment.regions.bias is not None:
        raise UserError(
            "regions.bias (--bias): a bias model is joined to networks that predict profiles, such "
            "as those of --config atac_dream_rnn"
        )


def make_bias(run: Run, *rows: RegionRows) -> Network | None:
    """Return the frozen bias model that a run is trained beside, if any.

    The log count that it predicts is shifted, so that on average it is right on the run's regions
    without peaks: it may have been trained on counts of another depth. A resumed run has its own.

    Args:
        run: The run.
        rows: Its regions to train and to validate on.

    Raises:
        UserError: If the bias model's run does not fit this one, or there are no such regions.
    """
    if run.experiment.regions.bias is None:
        return None
    if run.folder.bias.exists():
        bias = load_model(run.folder.bias)
    else:
        bias = _open(run)
        tokens, labels = _nonpeaks(rows)
        _, predicted = predict_profiles(Steps(bias, run.processor), tokens)
        shift = float(np.mean(labels.astype(np.float64) - predicted))
        layer = bias.get_layer(COUNTS_LAYER)
        layer.bias.assign(layer.bias + shift)
        log.info("bias model: log counts shifted by %.4f on %d regions", shift, len(tokens))
    bias.trainable = False
    return bias


def start_counts(network: Network, processor: Processor) -> None:
    """Let a fresh network that predicts profiles start from the mean log count of its regions.

    It is the bias of their layer, which moves by about the learning rate in a step: from 0, where
    published networks start, the first hundreds of steps go into reaching the mean (docs/atac.md).
    """
    start = getattr(processor, "counts_start", None)
    for layer in network.layers:
        if layer.name == COUNTS_LAYER and start is not None:
            layer.bias.assign(np.full(layer.bias.shape, start))


def keep_bias(run: Run, bias: Network | None) -> None:
    """Write the bias model into the run's folder, unless it is there."""
    if bias is not None and not run.folder.bias.exists():
        with replacing(run.folder.bias) as temporary:
            bias.save(temporary)


def _open(run: Run) -> Network:
    """Open the bias model of a run, as it was trained."""
    source = load_run(str(run.experiment.regions.bias))
    ours, theirs = run.processor, source.processor
    if not source.is_of_regions or source.experiment.model.final.name != PROFILE:
        raise UserError(f"{source.folder} predicts no profiles: train one with --config bpnet_bias")
    for name in ("length", "positions"):
        if getattr(ours, name) != getattr(theirs, name):
            raise UserError(
                f"{source.folder} was trained with processor.{name}={getattr(theirs, name)}, this "
                f"run has {getattr(ours, name)}: they must be the same"
            )
    if source.experiment.regions.rows != "nonpeaks":
        log.warning(
            "--bias: %s was trained on peaks, too: what it explains, the network does not learn. "
            "Bias models are trained with --config bpnet_bias",
            source.folder,
        )
    return source.network


def _nonpeaks(parts: tuple[RegionRows, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences, (rows, length), and log counts, (rows, 1), of regions without peaks."""
    chosen = [part.take(np.flatnonzero(~part.regions.is_peak)).without_jitter() for part in parts]
    tokens, labels = (
        np.concatenate([getattr(rows, name) for rows in chosen]) for name in ("tokens", "labels")
    )
    if not len(tokens):
        raise UserError("--bias: there are no regions without peaks to compare the bias model with")
    return tokens, labels
