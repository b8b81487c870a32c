"""A run, opened to be used: its processor, its network and its predictions."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED, sha256
from dream_keras.common.remote import cache
from dream_keras.common.text import reason
from dream_keras.config.experiment import Experiment, load_experiment
from dream_keras.data.alphabet import Tokens
from dream_keras.data.memory import TRAIN, VALIDATION, listed
from dream_keras.data.processor import Processor
from dream_keras.hub.huggingface import HUB, pull
from dream_keras.hub.paths import is_elsewhere, local_copy, table_of
from dream_keras.menu.registry import NotOnMenuError
from dream_keras.runs.checkpoint import published_run
from dream_keras.runs.folder import RunFolder, events_folder, open_folder
from dream_keras.simulate.truth import is_simulated

if TYPE_CHECKING:
    from dream_keras.data.processor import Flags
    from dream_keras.model.network import Network
    from dream_keras.runs.prediction import Distribution
    from dream_keras.runtime.steps import Steps
    from dream_keras.scoring.suite import Suite

TEST_PART = "test"
"""Folder in a run's that holds the test rows of its table, as a suite."""

log = logging.getLogger(__name__)


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
    def members(self) -> tuple["Run", ...]:
        """The runs whose predictions it averages: those of an ensemble, otherwise itself."""
        names = self.experiment.members
        return tuple(load_run(self.folder.path / name) for name in names) if names else (self,)

    @cached_property
    def processor(self) -> Processor:
        """Its data processor; of an ensemble the one that takes the fewest bp."""
        return self.experiment.make_processor()

    @cached_property
    def network(self) -> "Network":
        """The network, with the weights of the best epoch.

        Raises:
            UserError: If there are no weights, or it is an ensemble, which has several networks.
        """
        if self.experiment.members:
            raise UserError(
                f"{self.folder} is an ensemble of {len(self.members)} runs, and this needs a "
                f"single network: give one of them, such as {self.members[0].folder}"
            )
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
            return reason(error)
        name = getattr(self.experiment.model, layer[1]).name
        return (
            f'{layer[1]} "{name}" has other weights than when the run was trained. Open the run '
            "with that version of it."
        )

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self.experiment.make_trainer().seed

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of its tasks: those of the table's columns, or "expression" for the only one.

        Imported weights of several tasks come without names; these are numbered.
        """
        named = self.experiment.data.target_columns
        if named is not None:
            return named
        tasks = self.members[0].network.tasks if self.experiment.weights_from else 1
        return ("expression",) if tasks == 1 else tuple(f"task{n + 1}" for n in range(tasks))

    def untrained_network(self, precision: str | None = None) -> "Network":
        """Build the network with fresh weights, with the run's precision by default."""
        from dream_keras.model.build import build_network

        return build_network(
            self.experiment.model,
            self.processor.length,
            self.processor.channels,
            precision or self.experiment.runtime.precision,
        )

    @property
    def suite_folder(self) -> Path | None:
        """The suite it is scored on, if any: its own, its test rows, or that of its data."""
        data = self.experiment.data
        if self.experiment.scoring.suite:
            return local_copy(self.experiment.scoring.suite, "suite")
        if (self.folder.path / TEST_PART).is_dir():
            return self.folder.path / TEST_PART
        if data.train is not None and data.test is None and table_of(data.train, "suite"):
            return local_copy(data.train, "suite")
        if self.experiment.members:
            return self.members[0].suite_folder
        if self.is_of_regions:
            return None
        return self.simulated_folder if self.is_simulated else None

    @property
    def is_of_regions(self) -> bool:
        """Whether it is trained on regions of a genome, to predict counts at each position."""
        return self.experiment.is_of_regions

    @property
    def is_simulated(self) -> bool:
        """Whether it names no table, so that its rows are simulated."""
        return self.experiment.data.train is None and self.experiment.weights_from is None

    @property
    def has_simulated_rows(self) -> bool:
        """Whether the rows it is trained on come from the simulator, its own or the command's."""
        train = self.experiment.data.train
        return self.is_simulated or (train is not None and is_simulated(train))

    @property
    def events_folder(self) -> Path:
        """Where its TensorBoard events are written."""
        return events_folder(self.folder.path / "tensorboard", self.has_simulated_rows)

    def tables(self) -> tuple[str, str | None]:
        """Return its training and validation table; both are simulated where it names none.

        Raises:
            UserError: If its weights were imported, so that the table is unknown.
        """
        data = self.experiment.data
        if self.experiment.members:
            return self.members[0].tables()
        if data.train is not None:
            train = table_of(data.train, "train") or self._own(data.train)
            validation = data.validation and self._own(data.validation)
            if validation is None and data.split_column is None and data.split == "random":
                validation = table_of(data.train, "validation")
            return train, validation
        if not self.is_simulated:
            raise UserError(
                f"the rows that {self.experiment.weights_from} was trained on are not known"
            )
        folder = self.simulated_folder
        if self.is_of_regions:
            return str(folder / "regions.yaml"), None
        return str(folder / "train.txt"), str(folder / "val.txt")

    def _own(self, table: str) -> str:
        """Return where a table is: one that the run keeps is named from its folder on."""
        if table in (TRAIN, VALIDATION):
            for name in (table, f"{UNFINISHED}{table}"):
                if (self.folder.path / name).is_file():
                    return str(self.folder.path / name)
        return table

    @cached_property
    def simulated_folder(self) -> Path:
        """Simulate the run's data, once; return the folder in the cache that holds them."""
        from dream_keras.simulate import GENOME_BP, simulate, simulate_genome

        if self.is_of_regions:
            return simulate_genome(cache() / f"simulated-genome-{GENOME_BP}", GENOME_BP, seed=0)
        rows, test_rows = (
            self.experiment.data.simulated_rows,
            self.experiment.data.simulated_test_rows,
        )
        return simulate(cache() / f"simulated-{rows}-{test_rows}", rows, test_rows, seed=0)

    @cached_property
    def bias(self) -> "Network | None":
        """The bias model that it was trained with, if any."""
        from dream_keras.model.build import load_model

        return load_model(self.folder.bias) if self.folder.bias.exists() else None

    @cached_property
    def steps(self) -> "Steps":
        """The compiled functions of its network."""
        from dream_keras.runtime.steps import Steps

        return Steps(self.network, self.processor, bias=self.bias)

    def predict(
        self, sequences: Sequence[str], progress: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """Predict sequences, strands and other views averaged.

        Args:
            sequences: A list of sequences, as in the training table.
            progress: Whether to show a progress bar; None shows one on a terminal.

        Returns:
            (rows,), or (rows, tasks) for a run with several tasks.

        Raises:
            UserError: If there is none, or one is too short or too long for the processor, or
                holds another letter.
        """
        values = self.predict_distribution(sequences, progress).mean
        return values[:, 0] if values.shape[1] == 1 else values

    def predict_distribution(
        self,
        sequences: Sequence[str],
        progress: bool | None = None,
        flags: "Flags | None" = None,
    ) -> "Distribution":
        """Predict sequences with each member of an ensemble; other runs are their own member.

        Args:
            sequences: As for ``predict``.
            progress: Likewise.
            flags: (rows,), as the processor defines them; 0 by default.

        Returns:
            Each member's predictions, and the variances that the networks predict, if they do.

        Raises:
            UserError: As for ``predict``.
        """
        from dream_keras.runs.prediction import Distribution, predict_distribution, progress_bar

        encoded = [member._encoded(sequences) for member in self.members]
        with progress_bar(progress, sum(map(len, encoded))) as bar:
            parts = [
                predict_distribution(member.steps, tokens, bar.update, flags)
                for member, tokens in zip(self.members, encoded, strict=True)
            ]
        return Distribution.of_members(parts)

    def push(self, address: str, license: str) -> str:
        """Push the run to the Hugging Face hub: ``dream_keras.push``, which says more."""
        import dream_keras

        return dream_keras.push(self, address, license)

    def encode(self, sequences: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return what the network is given for sequences, as they are written.

        Args:
            sequences: A list of sequences, as for ``predict``.

        Returns:
            Channels, (rows, length, channels). Of a processor that predicts several windows of a
            sequence it is the one in the middle.

        Raises:
            UserError: As for ``predict``.
        """
        import keras

        views = self.processor.prediction_views(self._encoded(sequences))
        view = views[len(views) // 2]
        zeros = np.zeros(len(view), np.uint8)
        channels = self.processor.make_channels(view, zeros, zeros)
        return keras.ops.convert_to_numpy(channels).astype(np.float32)

    def _encoded(self, sequences: Sequence[str]) -> Tokens:
        """Check sequences and encode them, (rows, length)."""
        from dream_keras.runs.prediction import encode_sequences

        settings = self.experiment.data.reading()
        return encode_sequences(self.processor, listed(sequences), settings)

    def find_predictions(
        self, suite: "Suite", part: str = "all", progress: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """Take the run's predictions from its folder if these weights made them, or predict.

        Arguments, result and errors are those of ``predict_suite``.
        """
        if self.experiment.members:
            return self.predict_suite(suite, part, progress)
        path = self.folder.path / "predictions.tsv"
        checksum, weights = path.with_suffix(".sha256"), self.folder.best_weights
        if not path.exists() or not weights.exists():
            return self.predict_suite(suite, part, progress)
        if not checksum.exists():
            problem = f"there is no {checksum.name} to say which weights made it"
        elif checksum.read_text(errors="replace").split()[:1] != [sha256(weights)]:
            problem = f"{checksum.name} says that other weights made it than {weights.name}"
        else:
            predictions = _read_predictions(path, suite)
            if not np.isnan(predictions[suite.rows(part)]).any():
                log.info("taking the predictions of %s", path)
                return predictions
            problem = f"it does not hold the {part} part of this suite"
        log.info("predicting anew instead of taking %s: %s", path, problem)
        return self.predict_suite(suite, part, progress)

    def predict_suite(
        self, suite: "Suite", part: str = "all", progress: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """Predict what a part of a suite needs, strands averaged.

        Members of an ensemble take theirs from their folders where these hold them.

        Returns:
            (rows, targets) for all rows of the suite; NaN for the private and public parts' rows
            where only the other one needs them.

        Raises:
            UserError: If the suite has other targets than the run has tasks, or not this part.
        """
        if self.experiment.members:
            parts = [member.find_predictions(suite, part, progress) for member in self.members]
            return np.mean(parts, axis=0)
        rows = suite.rows(part)
        predictions = np.full(suite.measured.shape, np.nan)
        predictions[rows] = self.predict_suite_rows(suite, rows, progress).mean
        return predictions

    def predict_suite_rows(
        self, suite: "Suite", rows: npt.NDArray[np.int64], progress: bool | None = None
    ) -> "Distribution":
        """Predict rows of a suite anew; its targets are the tasks of the result.

        Raises:
            UserError: If the suite has other targets than the run has tasks.
        """
        columns = suite.columns_of(self.task_names)
        flags = None
        if self.processor.reverse_mark and suite.reverse is not None:
            flags = suite.reverse[rows].astype(np.uint8)
        sequences = [suite.sequences[row] for row in rows]
        return self.predict_distribution(sequences, progress, flags).of_tasks(columns)


def _read_predictions(path: Path, suite: "Suite") -> npt.NDArray[np.float64]:
    """Return what a run's file says of a suite's rows, (rows, targets); NaN where nothing."""
    import pandas as pd

    try:
        # Only predictions of several targets have a header.
        with path.open("rb") as file:
            header = 0 if file.read(9) == b"sequence\t" else None
        table = pd.read_csv(path, sep="\t", header=header)
        table = table.groupby(table.columns[0]).first()
        values = table.reindex(list(suite.sequences)).to_numpy(np.float64)
        return values.reshape(suite.measured.shape)
    except (ValueError, KeyError):
        return np.full(suite.measured.shape, np.nan)


FORMER_DEFAULTS = {("0.1.0", "unlockdna"): {"trainer.clip_each_weight": True}}
"""Options that a version's trainers did not have, with the values that do what they did."""


def _former_defaults(folder: RunFolder) -> dict[str, Any]:
    """Return settings with which a run of an earlier version continues unchanged."""
    try:
        written = json.loads((folder.path / "environment.json").read_text())["versions"]
        config = yaml.safe_load(folder.config.read_text())
        known = FORMER_DEFAULTS.get((written["dream_keras"], config["trainer"]["name"]), {})
        return {k: v for k, v in known.items() if k.split(".")[1] not in config["trainer"]}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return {}


def check_run(path: str | Path | RunFolder) -> None:
    """Refuse what is no run folder; an address or a name of the catalogue is not looked up.

    Raises:
        UserError: Names it.
    """
    if isinstance(path, RunFolder) or not is_elsewhere(path):
        folder = path if isinstance(path, RunFolder) else RunFolder(Path(path))
        if not folder.config.is_file():
            raise UserError(f"{folder} is not a run folder: it has no config.yaml")


def run_folder(path: str | Path) -> RunFolder:
    """Return the folder of a run: at a path or address, on the hub, or of published weights.

    Raises:
        UserError: If an address or published weights cannot be reached.
    """
    if str(path).startswith(HUB):
        return RunFolder(pull(str(path)))
    return published_run(path) or open_folder(path)


def load_run(path: str | Path | RunFolder) -> Run:
    """Open a run: a folder, an address, published weights by name, or a model on the hub.

    ``from_preset`` is the same function, by the name that Keras users know.

    Args:
        path: A run folder, its address (``gs://...``), a name of the catalogue
            (``dream_rnn/prixfixe``), or ``hf://user/name[@revision]``; the last two are fetched at
            first use.

    Raises:
        UserError: If it is none, or cannot be fetched.
    """
    folder = path if isinstance(path, RunFolder) else run_folder(path)
    check_run(folder)
    load_backend()
    try:
        experiment = load_experiment(folder.config, settings=_former_defaults(folder))
        return Run(folder, experiment)
    except NotOnMenuError as error:
        raise UserError(
            f"{path} cannot be opened, because its {error.what} is not on the menu. The run was "
            "trained with one that was registered in a notebook or script (or by another version "
            "of dream_keras), not by a plugin file: register it before you open the run, or write "
            f"its code to a file and give that with --plugin FILE. ({error})"
        ) from None


from_preset = load_run
"""``load_run``, by the name that Keras users know."""
