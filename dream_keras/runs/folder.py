"""The run folder: the files of a run, and how other commands open it.

config.yaml            the resolved experiment
data/                  rows that were given in memory
environment.json       versions, seed, devices, numbers of rows
best.weights.h5        weights of the best epoch
last.weights.h5        weights of the last epoch
bias.keras             the frozen bias model that the network was trained beside, if any
state.npz              everything a resume needs
history.csv            one row per epoch
tensorboard/           events; of simulated data in simulated_data/
metrics.json  report.md  plots/  predictions.tsv    the suite's score, when there is one
MODEL.md               the model card
skipped_rows.tsv       rows left out with --on-bad-row skip
plugins/               copies of the user's files that are on the menu
"""

import contextlib
import dataclasses
import io
import json
import logging
import os
import platform
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dream_keras._version import __version__
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED, replacing, write_text
from dream_keras.common.locks import claimed
from dream_keras.common.remote import Mirror, is_remote
from dream_keras.config.experiment import Experiment
from dream_keras.data.memory import MEMORY
from dream_keras.menu.plugins import copy_plugins
from dream_keras.runtime.machine import KERNELS, packages, version

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from dream_keras.model.network import Network

log = logging.getLogger(__name__)

SIMULATED_RUN = "simulated_data"
"""Folder of the events about simulated data, and so the end of their run's name in TensorBoard."""


@dataclass
class State:
    """Progress of a run.

    Attributes:
        epoch: Epochs done.
        best_epoch: The epoch, counted from 1, with the best validation score; 0 before the first.
        best_score: Its validation Pearson r, or its negative squared error or loss where that
            decides.
        history: One row per epoch.
        losses: Losses of the steps done in the epoch that has begun.
        seconds: Time spent on them.
        data: Checksums of the rows it trains and validates on.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -np.inf
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    data: str = ""


@dataclass(frozen=True)
class RunFolder:
    """The files of a run, by name.

    Attributes:
        path: Where they are on this machine.
        mirror: Copies them to the run's address, if it is in a bucket.
    """

    path: Path
    mirror: Mirror | None = None

    def __str__(self) -> str:
        """Return the path or address as the user gave it."""
        return self.mirror.address if self.mirror else str(self.path)

    def publish(self) -> None:
        """Copy all files to the run's address, if it has one.

        Raises:
            UserError: If one could not be copied.
        """
        if self.mirror:
            self.mirror.send_all()

    @property
    def config(self) -> Path:
        """The resolved experiment."""
        return self.path / "config.yaml"

    @property
    def best_weights(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "best.weights.h5"

    @property
    def last_weights(self) -> Path:
        """Weights of the last epoch."""
        return self.path / "last.weights.h5"

    @property
    def bias(self) -> Path:
        """The frozen bias model that the network was trained beside, if any."""
        return self.path / "bias.keras"

    @property
    def state(self) -> Path:
        """Everything a resume needs."""
        return self.path / "state.npz"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes out of the folder, and of its address if it has one.

        Raises:
            UserError: Another process is at work there.
        """
        with claimed(self.path), self.mirror.claimed() if self.mirror else contextlib.nullcontext():
            yield

    def check_new(self) -> None:
        """Refuse a folder that holds something already.

        Raises:
            UserError: If it does; unfinished files of a killed process do not count.
        """
        if self.path.is_dir():
            taken = any(not f.name.startswith(UNFINISHED) for f in self.path.iterdir())
        else:
            taken = self.path.exists()
        if taken:
            raise UserError(
                f"{self} exists already. Continue that run with --resume, or choose another "
                "folder with --out."
            )

    def create(
        self, experiment: Experiment, computed_on: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        """Make the folder and write the experiment, its plugins and its environment.

        Args:
            experiment: What is run.
            computed_on: Backend, devices and what else ``Strategy.describe`` says.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self.path / f"{UNFINISHED}{MEMORY}"
        if unfinished.is_dir():
            unfinished.rename(self.path / MEMORY)
        copies = copy_plugins(experiment.plugins, self.path / "plugins")
        self.write_config(dataclasses.replace(experiment, plugins=tuple(map(str, copies))))
        self.write_json("environment.json", {**environment(experiment), **computed_on})
        self.publish()

    def write_config(self, experiment: Experiment) -> None:
        """Write the resolved experiment; its plugins are named from the folder on."""
        here = self.path.resolve()
        plugins = tuple(
            Path(plugin).resolve().relative_to(here).as_posix() for plugin in experiment.plugins
        )
        write_text(self.config, dataclasses.replace(experiment, plugins=plugins).to_yaml())

    def read_json(self, name: str) -> dict[str, Any]:
        """Read what ``write_json`` has written; empty if the file is not there."""
        path = self.path / name
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file atomically."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")

    def write_table(self, name: str, table: "pd.DataFrame", **options: Any) -> None:
        """Write a table atomically."""
        with replacing(self.path / name) as temporary:
            table.to_csv(temporary, index=False, **options)

    def save_weights(self, network: "Network", path: Path) -> None:
        """Write a network's weights atomically."""
        with replacing(path) as temporary:
            network.save_weights(temporary)

    def save_state(self, state: State, variables: "list[keras.Variable]") -> None:
        """Write the run's progress and all variables of network and optimiser."""
        arrays = {f"variable_{i}": np.asarray(v) for i, v in enumerate(variables)}
        # In memory first: numpy leaves an archive that it cannot write to the garbage collector,
        # which prints a traceback where the disk is full.
        archive = io.BytesIO()
        np.savez(archive, state=np.array(json.dumps(vars(state))), **arrays)  # type: ignore[arg-type]
        with replacing(self.state) as temporary, temporary.open("wb") as file:
            file.write(archive.getbuffer())
        if self.mirror:
            self.mirror.send(last=self.state.name)

    def load_state(self, variables: "list[keras.Variable]") -> State:
        """Read the run's progress, and set all variables.

        Raises:
            UserError: If the file is damaged or belongs to another network.
        """
        try:
            with np.load(self.state) as saved:
                values = [saved[f"variable_{i}"] for i in range(len(saved.files) - 1)]
                state = State(**json.loads(str(saved["state"])))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{self.state} cannot be read ({error}): start a new run") from None
        if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
            raise UserError(
                f"{self.state} does not fit this network: was it made by another version?"
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return state


def events_folder(folder: Path, simulated: bool) -> Path:
    """Return where events are written, so that TensorBoard's name of the run says "simulated".

    A folder that has events already, from an earlier version, keeps its name.

    Args:
        folder: The folder for events.
        simulated: Whether they are about simulated data.

    Examples:
        >>> events_folder(Path("runs/first/tensorboard"), simulated=True).as_posix()
        'runs/first/tensorboard/simulated_data'
    """
    return folder / SIMULATED_RUN if simulated and not has_events(folder) else folder


def has_events(folder: Path) -> bool:
    """Return whether a folder has events of its own.

    Examples:
        >>> has_events(Path("runs"))
        False
    """
    return any(folder.glob("events.out.tfevents*"))


def open_folder(path: str | Path) -> RunFolder:
    """Return the folder of a path or address; what an address holds is copied here."""
    if not is_remote(path):
        return RunFolder(Path(path))
    mirror = Mirror(str(path))
    return RunFolder(mirror.folder, mirror)


def environment(experiment: Experiment) -> dict[str, object]:
    """Return versions, platform, variables that choose kernels, and seed, kept with a run."""
    versions = {"dream_keras": __version__, "python": platform.python_version()}
    for package in packages():
        if (found := version(package)) is not None:
            versions[package] = found
    return {
        "versions": versions,
        "platform": platform.platform(),
        "variables": {name: os.environ[name] for name in KERNELS if name in os.environ},
        "seed": experiment.make_trainer().seed,
    }
