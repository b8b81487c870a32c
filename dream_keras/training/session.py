"""A training run from its settings to its score: what ``dream_keras.train`` does."""

import dataclasses
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dream_keras import menu
from dream_keras.data.processor import Processor
from dream_keras.data.stream import TrainingStream, hold_out
from dream_keras.data.table import BadRow, Rows, load_rows, named_columns
from dream_keras.errors import UserError
from dream_keras.order import (
    DEFAULT_CONFIG,
    Choice,
    DataSettings,
    Experiment,
    Order,
    load_experiment,
)
from dream_keras.training.run_folder import Run, RunFolder, load_run

if TYPE_CHECKING:
    from dream_keras.model import Network
    from dream_keras.scoring.metrics import ScoreCard
    from dream_keras.training.trainer import Trainer

VALIDATION_SHARE = 0.1
"""Share of the training rows held out when there is no validation table."""

SMALL = {
    "out_channels": 16,
    "units": 8,
    "hidden": 8,
    "features": 16,
    "layers": 1,
    "widths": (16, 8),
}
"""Options that set a network's size, and their values in miniature."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a training run gives.

    Attributes:
        network: The network with the weights of its best epoch.
        history: One row per epoch; ``val_pearson`` among the columns.
        score: The suite's score, or None without a suite.
        folder: The run folder.
    """

    network: "Network"
    history: pd.DataFrame
    score: "ScoreCard | None"
    folder: Path

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The suite's score as in ``metrics.json``."""
        return self.score.to_dict() if self.score else None


def train(
    config: str | Path | None = None,
    *,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    suite: str | Path | None = None,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    smoke: bool = False,
    resume: bool = False,
    deterministic: bool = False,
    on_bad_row: str | None = None,
    progress: bool | None = None,
) -> Result:
    """Train a model, score it, and leave a run folder.

    Args:
        config: A YAML file or the name of a built-in config; ``quickstart`` by default.
        train: Training table; simulated when neither this nor the config names one.
        validation: Validation table; a seeded tenth of the training rows by default.
        suite: Folder of the gold-standard suite to score on.
        out: Run folder; ``runs/<config>-<time>`` by default.
        overrides: Settings as ``"section.key=value"``, applied to the config in order.
        seed: Seed of everything random.
        smoke: Shrink the experiment to well under a minute, to see that it runs.
        resume: Continue the run in ``out``.
        deterministic: Use only deterministic kernels.
        on_bad_row: ``"fail"`` or ``"skip"``.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: For anything wrong with the settings, the files or the folder.
    """
    changes = {
        "data.train": train and Path(train).resolve(),
        "data.validation": validation and Path(validation).resolve(),
        "scoring.suite": suite and Path(suite).resolve(),
        "trainer.seed": seed,
        "runtime.deterministic": deterministic or None,
        "data.on_bad_row": on_bad_row,
    }
    every = [*overrides, *(f"{key}={value}" for key, value in changes.items() if value is not None)]
    if resume and out is None:
        raise UserError("--resume needs --out RUN: the folder of the run to continue")
    folder = RunFolder(Path(out) if out else _new_folder(config))
    if resume:
        experiment = _resumed(folder, config, every, smoke)
    else:
        experiment = _experiment(config, every, smoke)
        folder.create(experiment)
        log.info("run folder: %s", folder.path)
    return _run(Run(folder, experiment), progress)


def shrink(experiment: Experiment) -> Experiment:
    """Return the experiment in miniature: every part of it runs, within a minute.

    Widths become at most 16, layers at most 2; 2 epochs of 5 steps of 16 rows from at most 2,000
    rows; of the suite only the public part is predicted and scored.
    """
    slots = {
        slot.name: _shrunk_choice(slot.name, getattr(experiment.model, slot.name))
        for slot in dataclasses.fields(Order)
    }
    trainer = Choice(
        experiment.trainer.name,
        {**experiment.trainer.options, "epochs": 2, "steps_per_epoch": 5, "batch_size": 16},
    )
    data = dataclasses.replace(
        experiment.data, simulated_rows=2_000, simulated_test_rows=1_500, max_rows=2_000
    )
    scoring = dataclasses.replace(experiment.scoring, part="public")
    return dataclasses.replace(
        experiment, model=Order(**slots), trainer=trainer, data=data, scoring=scoring
    )


def _shrunk_choice(slot: Any, choice: Choice) -> Choice:
    known = menu.get(slot, choice.name).options
    small = {name: value for name, value in SMALL.items() if name in known}
    return Choice(choice.name, {**choice.options, **small})


def _experiment(config: str | Path | None, overrides: list[str], smoke: bool) -> Experiment:
    experiment = load_experiment(config or DEFAULT_CONFIG, overrides)
    return shrink(experiment) if smoke else experiment


def _resumed(
    folder: RunFolder, config: str | Path | None, overrides: list[str], smoke: bool
) -> Experiment:
    """Return the folder's own experiment; settings given again must be the same."""
    experiment = load_run(folder.path).experiment
    if config is None and not overrides and not smoke:
        return experiment
    given = _experiment(config or folder.config, overrides, smoke).plain()
    own = experiment.plain()
    for section, settings in own.items():
        for key in {*settings, *given[section]}:
            if settings.get(key) != given[section].get(key):
                raise UserError(
                    f"{folder.path} was trained with {section}.{key}={settings.get(key)}, not "
                    f"{given[section].get(key)}. Resume with --out {folder.path} --resume alone, "
                    "or start a new run."
                )
    return experiment


def _new_folder(config: str | Path | None) -> Path:
    name = Path(config or DEFAULT_CONFIG).stem
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _run(run: Run, progress: bool | None) -> Result:
    """Train what is left to train of a run, then score it."""
    import keras

    from dream_keras.model import assemble
    from dream_keras.training.engine import Engine, steps_in
    from dream_keras.training.report import write_report
    from dream_keras.training.steps import Steps

    experiment, processor = run.experiment, run.processor
    trainer: Trainer = menu.get("trainer", experiment.trainer.name).build(
        **experiment.trainer.options
    )
    rows, validation = _load_data(run, processor, trainer.seed)
    stream = TrainingStream(rows, trainer.batch_size, trainer.seed, processor.both_strands)
    steps_per_epoch = trainer.steps_per_epoch or steps_in(stream.rows_per_pass, stream.batch_size)
    keras.utils.set_random_seed(trainer.seed)
    if experiment.runtime.deterministic:
        _only_deterministic_kernels()
    keras.config.set_dtype_policy(experiment.runtime.precision)
    network = assemble(experiment.model, processor.length, processor.planes)
    log.info(
        "%s rows to train on, %s to validate on; %s weights; %d epochs of %d steps of %d rows",
        f"{len(rows):,}",
        f"{len(validation):,}",
        f"{sum(int(np.prod(w.shape)) for w in network.trainable_weights):,}",
        trainer.epochs,
        steps_per_epoch,
        trainer.batch_size,
    )
    optimizer = trainer.optimizer(trainer.epochs * steps_per_epoch)
    engine = Engine(
        Steps(network, processor, optimizer),
        stream,
        validation,
        run.folder,
        trainer.epochs,
        steps_per_epoch,
        experiment.runtime.steps_per_call,
        progress,
    )
    state = engine.run()
    card = write_report(run, state, progress)
    return Result(run.network, pd.DataFrame(state.history), card, run.folder.path)


def _load_data(run: Run, processor: Processor, seed: int) -> tuple[Rows, Rows]:
    """Read, or simulate and read, the rows to train and to validate on."""
    settings = run.experiment.data
    train, validation = settings.train, settings.validation
    if train is None:
        folder = run.simulated_folder()
        train, validation = str(folder / "train.txt"), str(folder / "val.txt")
    rows = _load(train, processor, settings, settings.max_rows)
    if validation is not None:
        held_out = _load(validation, processor, settings, settings.max_rows)
    elif len(rows) < 2:
        raise UserError(f"{train}: one row cannot be split; give a validation table with --val")
    else:
        skipped = rows.skipped
        rows, held_out = hold_out(rows, VALIDATION_SHARE, seed)
        rows = dataclasses.replace(rows, skipped=skipped)
    _write_skipped(run.folder, [*rows.skipped, *held_out.skipped])
    return rows, held_out


def _load(path: str, processor: Processor, settings: DataSettings, max_rows: int | None) -> Rows:
    columns = named_columns(settings.sequence_column, settings.target_column)
    rows = load_rows(path, processor, columns, settings.on_bad_row, settings.long_rows, max_rows)
    log.info("%s: %s rows", path, f"{len(rows):,}")
    return rows


def _write_skipped(folder: RunFolder, skipped: list[BadRow]) -> None:
    if skipped:
        table = pd.DataFrame([vars(row) for row in skipped])
        folder.write_table("skipped_rows.tsv", table, sep="\t")


def _only_deterministic_kernels() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
