"""Runs pushed to the Hugging Face hub, as model repositories that Keras reads as well."""

import dataclasses
import logging
import shutil
import tempfile
import zipfile
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.common.files import write_text
from dream_keras.config.experiment import Experiment
from dream_keras.hub.huggingface import hub_errors, repository, without_folder
from dream_keras.runs.artefacts import write_artefact
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.model_card import model_card
from dream_keras.runs.run import Run, load_run

PUSHED = (
    "best.weights.h5",
    "environment.json",
    "history.csv",
    "metrics.json",
    "calibration.npz",
    "plugins",
    "plots",
)
"""What is pushed of a run beside its config; rows, predictions and training state stay here."""

log = logging.getLogger(__name__)


def push(run: str | Path | Run, address: str, license: str) -> str:
    """Push a run to the Hugging Face hub, as a model repository.

    It holds what predictions need, plots and the model card as ``README.md``; files are named
    without their folders. ``from_preset`` opens it, and ``keras.saving.load_model`` loads it as
    one model from tokens to expression. Rows, predictions and training state are not pushed. Needs
    the extra hub, and to be logged in (``hf auth login``, or ``HF_TOKEN``).

    Args:
        run: A trained run or an ensemble: its folder, or as ``load_run`` opens it.
        address: ``hf://user/name``; the repository is made if it is not there.
        license: The licence that others get it under, by the hub's name, such as ``mit``.

    Returns:
        The address of the commit.

    Raises:
        UserError: If the address is none, or the hub refuses or cannot be reached.
    """
    name, revision = repository(address)
    if revision is not None:
        raise UserError(f"{address}: a push makes a new revision: give hf://USER/NAME alone")
    if not license.strip():
        raise UserError("license is empty: give the hub's name of one, such as mit or cc-by-4.0")
    opened = run if isinstance(run, Run) else load_run(run)
    with tempfile.TemporaryDirectory() as folder, hub_errors(address):
        from huggingface_hub import HfApi

        api, here = HfApi(), Path(folder)
        api.create_repo(name, exist_ok=True)  # first: whoever is not logged in hears of it at once
        _copy(opened, here)
        _write_keras(opened, here)
        write_text(here / "README.md", model_card(opened, address, license=license.strip()))
        message = "Push a run of dream_keras"
        commit = api.upload_folder(repo_id=name, folder_path=here, commit_message=message)
    return str(commit.commit_url)


def _copy(run: Run, target: Path) -> None:
    """Copy what is pushed of a run, and of the members of an ensemble."""
    target.mkdir(parents=True, exist_ok=True)
    for name in PUSHED:
        source = run.folder.path / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        elif source.exists():
            shutil.copy(source, target)
    plugins = tuple(str(target / "plugins" / Path(p).name) for p in run.experiment.plugins)
    public = dataclasses.replace(_without_paths(run.experiment), plugins=plugins)
    RunFolder(target).write_config(public)
    if run.experiment.members:
        for name, member in zip(run.experiment.members, run.members, strict=True):
            _copy(member, target / name)


def _without_paths(experiment: Experiment) -> Experiment:
    """Return an experiment that names files and runs of this machine without their folders."""
    data, distillation, scoring = experiment.data, experiment.distillation, experiment.scoring
    data = dataclasses.replace(data, train=_name(data.train))
    if data.split_column is None:  # otherwise these are values of that column
        data = dataclasses.replace(data, validation=_name(data.validation), test=_name(data.test))
    return dataclasses.replace(
        experiment,
        data=data,
        distillation=dataclasses.replace(
            distillation,
            teacher=_name(distillation.teacher),
            unlabelled_file=_name(distillation.unlabelled_file),
        ),
        regions=dataclasses.replace(experiment.regions, bias=_name(experiment.regions.bias)),
        scoring=dataclasses.replace(scoring, suite=_name(scoring.suite)),
        weights_from=_name(experiment.weights_from),
        init_from=_name(experiment.init_from),
    )


def _name(path: str | None) -> str | None:
    return None if path is None else without_folder(path)


def _write_keras(run: Run, target: Path) -> None:
    """Write what ``keras.saving.load_model("hf://...")`` reads: an unpacked ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.keras"
        try:
            write_artefact(run, "keras", path)
        except UserError as error:
            log.warning("pushed without the files that Keras alone reads: %s", error)
            return
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
