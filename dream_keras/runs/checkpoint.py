"""Run folders made of PyTorch checkpoints, also of published ones that are named."""

import dataclasses
import logging
import shutil
from pathlib import Path

from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.common.locks import claimed
from dream_keras.config.experiment import load_experiment
from dream_keras.hub.catalogue import find
from dream_keras.hub.paths import home, local_copy
from dream_keras.runs.folder import RunFolder

log = logging.getLogger(__name__)


def convert_checkpoint(checkpoint: Path, preset: str | Path, folder: RunFolder) -> None:
    """Make a run folder of a checkpoint; ``dream_keras.convert`` documents the arguments.

    Raises:
        UserError: If PyTorch is not installed, the file is not a checkpoint or does not fit.
    """
    load_backend()
    from dream_keras.model.build import build_network
    from dream_keras.model.torch_weights import load_torch_weights, read_checkpoint

    experiment = load_experiment(preset)
    network = build_network(experiment.model)
    load_torch_weights(network, read_checkpoint(checkpoint))
    source = str(checkpoint.resolve())
    with folder.claimed():
        folder.check_new()
        folder.create(dataclasses.replace(experiment, weights_from=source))
        folder.save_weights(network, folder.best_weights)
        folder.save_weights(network, folder.last_weights)


def published_run(name: str | Path) -> RunFolder | None:
    """Return the run folder of published weights, converted at first use.

    Args:
        name: A name of the catalogue.

    Returns:
        The folder, beside the weights; None where it is no name.

    Raises:
        UserError: If the name stands for something else than weights, or they cannot be fetched.
    """
    found = find(name)
    if found is None:
        return None
    entry, place = found
    if place or entry.preset is None:
        raise UserError(f"{name} is not a run: the catalogue has it as data ({entry.title})")
    folder = RunFolder(home() / entry.name / "run")
    if not folder.last_weights.exists():  # the file that is written last
        checkpoint = local_copy(name)
        with claimed(checkpoint.parent, "wait for it"):
            shutil.rmtree(folder.path, ignore_errors=True)
            log.info("converting %s", name)
            convert_checkpoint(checkpoint, entry.preset, folder)
    return folder
