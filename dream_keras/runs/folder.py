"""The run folder: what a run leaves, and how other commands open it again.

config.yaml            the resolved experiment
environment.json       versions, seed, devices
best.weights.h5        weights of the best epoch
last.weights.h5        weights of the last epoch
state.npz              everything a resume needs
history.csv            one row per epoch
tensorboard/           events
metrics.json  report.md  plots/  predictions.tsv    the suite's score, when there is one
skipped_rows.tsv       rows left out with --on-bad-row skip
plugins/               copies of the user's files that are on the menu
"""

import dataclasses
import json
import logging
import platform
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dream_keras import menu
from dream_keras._version import __version__
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED, replacing, write_text
from dream_keras.common.options import yaml_values
from dream_keras.common.remote import Mirror, cache, is_remote, local_copy
from dream_keras.config.experiment import Experiment, load_experiment
from dream_keras.data.processor import LABEL_STATISTICS, Processor
from dream_keras.menu.plugins import copy_plugins
from dream_keras.menu.registry import NotOnMenuError
from dream_keras.runtime.machine import PACKAGES, version

if TYPE_CHECKING:
    from dream_keras.menu.trainer import Trainer
    from dream_keras.model.network import Network
    from dream_keras.scoring.suite import Suite

log = logging.getLogger(__name__)


@dataclass
class State:
    """Where a run stands.

    Attributes:
        epoch: Epochs done.
        best_epoch: The epoch, counted from 1, with the best validation score; 0 before the first.
        best_score: Its validation Pearson r.
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
        mirror: What copies them to the run's address, if it is in a bucket.
    """

    path: Path
    mirror: Mirror | None = None

    def __str__(self) -> str:
        """Return what the user calls it."""
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
    def state(self) -> Path:
        """Everything a resume needs."""
        return self.path / "state.npz"

    def check_new(self) -> None:
        """Refuse a folder that holds something already.

        Raises:
            UserError: If it does. What a kill left of a file being written does not count.
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
        self, experiment: Experiment, computed_on: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Make the folder and write down the experiment, its plugins and its environment.

        Args:
            experiment: What is run.
            computed_on: Backend, devices and what else ``Strategy.describe`` says.

        Raises:
            UserError: If the folder holds something already.
        """
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)
        copies = copy_plugins(experiment.plugins, self.path / "plugins")
        plugins = tuple(copy.relative_to(self.path).as_posix() for copy in copies)
        write_text(self.config, dataclasses.replace(experiment, plugins=plugins).to_yaml())
        self.write_json("environment.json", {**environment(experiment), **computed_on})
        self.publish()

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file whole or not at all."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")

    def write_table(self, name: str, table: pd.DataFrame, **options: Any) -> None:
        """Write a table whole or not at all."""
        with replacing(self.path / name) as temporary:
            table.to_csv(temporary, index=False, **options)

    def save_weights(self, network: "Network", path: Path) -> None:
        """Write a network's weights whole or not at all."""
        with replacing(path) as temporary:
            network.save_weights(temporary)

    def save_state(self, state: State, variables: list[Any]) -> None:
        """Write where the run stands and all variables, weights and optimiser's alike."""
        arrays = {f"variable_{i}": np.asarray(v) for i, v in enumerate(variables)}
        with replacing(self.state) as temporary, temporary.open("wb") as file:
            np.savez(file, state=np.array(json.dumps(vars(state))), **arrays)  # type: ignore[arg-type]
        if self.mirror:
            self.mirror.send(last=self.state.name)

    def load_state(self, variables: list[Any]) -> State:
        """Read where the run stands, and set all variables.

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


@dataclass(frozen=True)
class Run:
    """A finished, converted or still unfinished run, opened to be used.

    Attributes:
        folder: Its files.
        experiment: What it was trained with.
    """

    folder: RunFolder
    experiment: Experiment

    @cached_property
    def processor(self) -> Processor:
        """Its data processor."""
        return make_processor(self.experiment)

    @cached_property
    def network(self) -> "Network":
        """The network, with the weights of the best epoch."""
        weights = self.folder.best_weights
        if not weights.exists():
            remedy = (
                "it is gone. last.weights.h5 holds the last epoch's: copy it there to use them"
                if self.folder.last_weights.exists()
                else "its training has not finished an epoch. Continue it with --resume"
            )
            raise UserError(f"{self.folder} has no {weights.name}: {remedy}.")
        network = self.untrained_network()
        try:
            network.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{weights} cannot be read: {self._reason(error)}") from None
        return network

    def _reason(self, error: Exception) -> str:
        """Return why weights do not load; a block that has changed since is named."""
        layer = re.search(r"name=(first|core|final)_", str(error))
        if layer is None:
            return str(error).splitlines()[0]
        name = getattr(self.experiment.model, layer[1]).name
        return (
            f'{layer[1]} "{name}" has other weights than when the run was trained. Open the run '
            "with that version of it."
        )

    def untrained_network(self) -> "Network":
        """Build the network with fresh weights."""
        from dream_keras.model.network import assemble

        return assemble(
            self.experiment.model,
            self.processor.length,
            self.processor.planes,
            self.experiment.runtime.precision,
        )

    @property
    def suite_folder(self) -> Path | None:
        """The suite it is scored on, if any: its own, or that of its simulation."""
        if self.experiment.scoring.suite:
            return local_copy(self.experiment.scoring.suite)
        return self.simulated_folder if self.experiment.data.train is None else None

    @cached_property
    def simulated_folder(self) -> Path:
        """Simulate the run's data, once; return the folder in the cache that holds them."""
        from dream_keras.simulate import simulate

        rows, test_rows = (
            self.experiment.data.simulated_rows,
            self.experiment.data.simulated_test_rows,
        )
        return simulate(cache() / f"simulated-{rows}-{test_rows}", rows, test_rows, seed=0)

    def find_predictions(
        self, suite: "Suite", part: str = "all", progress: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """Take the run's predictions from its folder if they are recent and enough, or predict.

        Arguments, result and errors are those of ``predict_suite``.
        """
        path, weights = self.folder.path / "predictions.tsv", self.folder.best_weights
        if path.exists() and weights.exists() and path.stat().st_mtime >= weights.stat().st_mtime:
            predictions = _read_predictions(path, suite)
            if not np.isnan(predictions[suite.rows(part)]).any():
                log.info("taking the predictions of %s", path)
                return predictions
            log.info("predicting anew: %s does not hold the %s part of this suite", path, part)
        return self.predict_suite(suite, part, progress)

    def predict_suite(
        self, suite: "Suite", part: str = "all", progress: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """Predict what a part of a suite needs, strands averaged.

        Returns:
            (rows,) for all rows of the suite; NaN for the private and public parts' rows where
            only the other one needs them.

        Raises:
            UserError: If the suite has several targets, or not this part.
        """
        suite.check_one_target()
        from dream_keras.runs.prediction import predict_sequences

        rows = suite.rows(part)
        predictions = np.full(len(suite.sequences), np.nan)
        sequences = [suite.sequences[row] for row in rows]
        predictions[rows] = predict_sequences(self.network, self.processor, sequences, progress)
        return predictions


def _read_predictions(path: Path, suite: "Suite") -> npt.NDArray[np.float64]:
    """Return what a run's file says of a suite's rows, (rows,); NaN where it says nothing."""
    try:
        table = pd.read_csv(path, sep="\t", header=None, dtype={0: str, 1: float})
        return table.groupby(0)[1].first().reindex(list(suite.sequences)).to_numpy(np.float64)
    except (ValueError, KeyError):
        return np.full(len(suite.sequences), np.nan)


def open_folder(path: str | Path) -> RunFolder:
    """Return the folder of a path or address; what an address holds is copied here."""
    if not is_remote(path):
        return RunFolder(Path(path))
    mirror = Mirror(str(path))
    return RunFolder(mirror.folder, mirror)


def load_run(path: str | Path | RunFolder) -> Run:
    """Open a run folder; a path, an address, or a folder that is open already.

    Raises:
        UserError: If it is none.
    """
    folder = path if isinstance(path, RunFolder) else open_folder(path)
    if not folder.config.is_file():
        raise UserError(f"{folder} is not a run folder: it has no config.yaml")
    try:
        return Run(folder, load_experiment(folder.config))
    except NotOnMenuError as error:
        raise UserError(
            f"{path} cannot be opened, because its {error.what} is not on the menu. The run was "
            "trained with one that was registered in a notebook or script (or by another version "
            "of dream_keras), not by a plugin file: register it before you open the run, or write "
            f"its code to a file and give that with --plugin FILE. ({error})"
        ) from None


def make_processor(experiment: Experiment) -> Processor:
    """Build the processor that an experiment names."""
    choice = experiment.model.processor
    return menu.get("processor", choice.name).build(**choice.options)


def processor_settings(experiment: Experiment) -> dict[str, Any]:
    """Return name and options of an experiment's processor, as far as encoding may depend on them.

    What is taken from the labels only scales the target.
    """
    choice = experiment.model.processor
    options = {**menu.get("processor", choice.name).options, **choice.options}
    kept = {key: value for key, value in options.items() if key not in LABEL_STATISTICS}
    return {"name": choice.name, **yaml_values(kept)}


def make_trainer(experiment: Experiment) -> "Trainer":
    """Build the trainer that an experiment names."""
    choice = experiment.trainer
    return menu.get("trainer", choice.name).build(**choice.options)


def environment(experiment: Experiment) -> dict[str, Any]:
    """Return versions, platform and seed, to be kept with a run."""
    versions = {"dream_keras": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        if (found := version(package)) is not None:
            versions[package] = found
    return {
        "versions": versions,
        "platform": platform.platform(),
        "seed": make_trainer(experiment).seed,
    }
