"""A training run from its settings to its score: what ``dream_keras.train`` does."""

import dataclasses
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.remote import absolute, local_copy
from dream_keras.config.experiment import (
    DEFAULT_CONFIG,
    Choice,
    Experiment,
    Order,
    load_experiment,
)
from dream_keras.data.alphabet import Tokens
from dream_keras.data.kmers import Sequences
from dream_keras.data.parse import BadRow
from dream_keras.data.processor import LABEL_STATISTICS, Lengths, Processor
from dream_keras.data.sharded_stream import ShardedStream
from dream_keras.data.shards import ShardedRows, open_shards
from dream_keras.data.similarity import hold_out_families
from dream_keras.data.stream import Stream, TrainingStream, hold_out
from dream_keras.data.table import Rows, load_rows, named_columns
from dream_keras.menu.plugins import load_plugins
from dream_keras.runs.folder import (
    Run,
    RunFolder,
    load_run,
    make_trainer,
    open_folder,
    processor_settings,
)
from dream_keras.runtime.cluster import find_place

if TYPE_CHECKING:
    from dream_keras.model.network import Network
    from dream_keras.scoring.metrics import ScoreCard
    from dream_keras.scoring.suite import Suite

VALIDATION_SHARE = 0.1
"""Share of the training rows held out when there is no validation table."""

SMALL = {
    "out_channels": 24,
    "units": 8,
    "hidden": 8,
    "features": 16,
    "layers": 1,
    "head_width": 8,
    "pseudo_tokens": 4,
    "num_projectors": 4,
}
"""Options that set a network's size, and their values in miniature; 24 channels divide by any
usual number of branches or heads."""
SMALL_WIDTHS = (16, 8)
"""Widths of the stages in miniature."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a training run gives.

    Attributes:
        network: The network with the weights of its best epoch.
        history: One row per epoch; ``val_pearson`` among the columns.
        score: The suite's score, or None without a suite.
        folder: The run folder; of one in a bucket its copy here, until the process ends.
        is_chief: Whether this process wrote it; one of several workers does.
    """

    network: "Network"
    history: pd.DataFrame
    score: "ScoreCard | None"
    folder: Path
    is_chief: bool = True

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The suite's score as in ``metrics.json``."""
        return self.score.to_dict() if self.score else None


def train(
    config: str | Path | None = None,
    *,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    split: str | None = None,
    suite: str | Path | None = None,
    out: str | Path | None = None,
    sequence_column: str | None = None,
    target_column: str | None = None,
    overrides: Iterable[str] = (),
    plugins: Collection[str | Path] = (),
    seed: int | None = None,
    smoke: bool = False,
    resume: bool = False,
    deterministic: bool = False,
    strategy: str | None = None,
    tpu: str | None = None,
    on_bad_row: str | None = None,
    progress: bool | None = None,
) -> Result:
    """Train a model, score it, and leave a run folder.

    Args:
        config: A YAML file or the name of a built-in config; ``quickstart`` by default.
        train: Training table, or a folder made by ``dream_keras.prepare``; simulated when neither
            this nor the config names one.
        validation: Validation table; a seeded tenth of the training rows by default.
        split: How the tenth is held out: ``"random"``, or ``"similarity"`` for whole families of
            related rows, see ``dream_keras.data.similarity``.
        suite: Folder of the gold-standard suite to score on.
        out: Run folder; ``runs/<config>-<time>`` by default.
        sequence_column: Header name of the sequences, for tables with a header.
        target_column: Header name of the measured values, likewise.
        overrides: Settings as ``"section.key=value"``, applied to the config in order.
        plugins: Files that put something on the menu; the run folder keeps copies of them.
        seed: Seed of everything random.
        smoke: Shrink the experiment to well under a minute, to see that it runs.
        resume: Continue the run in ``out``.
        deterministic: Use only deterministic kernels, from here on in this process.
        strategy: Devices that share each batch, as ``runtime.strategy``.
        tpu: Where the TPU is, as ``runtime.tpu``.
        on_bad_row: ``"fail"`` or ``"skip"``.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: For anything wrong with the settings, the files or the folder.
    """
    given = {
        "data.train": train and absolute(train),
        "data.validation": validation and absolute(validation),
        "data.split": split,
        "data.sequence_column": sequence_column,
        "data.target_column": target_column,
        "data.on_bad_row": on_bad_row,
        "trainer.seed": seed,
        "runtime.deterministic": deterministic or None,
        "runtime.strategy": strategy,
        "runtime.tpu": tpu,
        "scoring.suite": suite and absolute(suite),
    }
    settings = {key: value for key, value in given.items() if value is not None}
    overrides = list(overrides)
    load_plugins(plugins)
    if resume and out is None:
        raise UserError("--resume needs --out RUN: the folder of the run to continue")
    folder = open_folder(out or _new_folder(config))
    if resume:
        run = load_run(folder)
        if config or overrides or settings or smoke:
            experiment = load_experiment(config or folder.config, overrides, settings)
            _check_same(run, shrink(experiment) if smoke else experiment)
    else:
        experiment = load_experiment(config or DEFAULT_CONFIG, overrides, settings, plugins)
        run = Run(folder, shrink(experiment) if smoke else experiment)
    place = find_place(run.experiment.runtime.strategy)
    if place.addresses and out is None:
        raise UserError("several workers need --out RUN, the same folder for all of them")
    if place.addresses:
        log.info("worker %d of %d: waiting for the others", place.worker + 1, place.workers)
    if not place.is_chief:
        with _copy(run, resume) as copy:
            result = _run(copy, progress=False)
        return dataclasses.replace(result, folder=folder.path, is_chief=False)
    if not resume:
        folder.check_new()
    return _run(run, progress)


@contextmanager
def _copy(run: Run, resume: bool) -> Iterator[Run]:
    """Give a worker that is not the chief a run folder that nobody sees: the chief's is the run.

    Workers compute the same weights, so each reads and writes checkpoints of its own, and the
    chief alone speaks.
    """
    package = logging.getLogger("dream_keras")
    before = package.level
    with tempfile.TemporaryDirectory(prefix="dream_keras-worker-") as name:
        if resume:
            left_out = shutil.ignore_patterns(f"{UNFINISHED}*", "tensorboard")
            shutil.copytree(run.folder.path, name, ignore=left_out, dirs_exist_ok=True)
        package.setLevel(logging.ERROR)  # the chief says the same, and where the run is
        try:
            yield dataclasses.replace(run, folder=RunFolder(Path(name)))
        finally:
            package.setLevel(before)


def shrink(experiment: Experiment) -> Experiment:
    """Return the experiment in miniature: every part of it runs, within a minute.

    Sizes become at most those of ``SMALL``; 2 epochs of 5 steps of 16 rows from at most 2,000
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
    options = {**menu.get(slot, choice.name).options, **choice.options}
    small: dict[str, Any] = {
        name: min(size, options[name])
        for name, size in SMALL.items()
        if options.get(name) is not None
    }
    if "widths" in options:
        stages = zip(options["widths"], SMALL_WIDTHS, strict=False)
        small["widths"] = tuple(min(pair) for pair in stages)
    return Choice(choice.name, {**choice.options, **small})


def _check_same(run: Run, given: Experiment) -> None:
    """Refuse settings that are not those the run was started with."""
    started_with = run.experiment.model.processor
    if given.model.processor.name == started_with.name:
        found = {k: v for k, v in started_with.options.items() if k in LABEL_STATISTICS}
        given = _with_statistics(given, found)
    ours, theirs = run.experiment.plain(), given.plain()
    del ours["plugins"]  # a run has its own copies; the menu refuses files that differ from them
    for section, settings in ours.items():
        for key in {**settings, **theirs[section]}:
            if settings.get(key) != theirs[section].get(key):
                raise UserError(
                    f"{run.folder} was trained with {section}.{key}={settings.get(key)}, not "
                    f"{theirs[section].get(key)}. Resume with --out {run.folder} --resume "
                    "alone, or start a new run."
                )


def _with_statistics(experiment: Experiment, statistics: dict[str, float]) -> Experiment:
    """Write into a processor's options what it found in the labels, where they say nothing."""
    processor = experiment.model.processor
    options = {k: v for k, v in processor.options.items() if v is not None}
    choice = Choice(processor.name, {**statistics, **options})
    model = dataclasses.replace(experiment.model, processor=choice)
    return dataclasses.replace(experiment, model=model)


def _new_folder(config: str | Path | None) -> Path:
    name = Path(config or DEFAULT_CONFIG).stem
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _run(run: Run, progress: bool | None) -> Result:
    """Train what is left to train of a run, then score it.

    Everything the user gave is read and checked before the folder is made.
    """
    import keras

    from dream_keras.runs.report import write_report
    from dream_keras.runtime.steps import Steps, target_kind
    from dream_keras.runtime.strategy import make_strategy
    from dream_keras.training.engine import Engine, steps_in

    experiment, trainer = run.experiment, make_trainer(run.experiment)
    suite = _load_suite(run)
    if experiment.runtime.deterministic:
        _only_deterministic_kernels()
    runtime = experiment.runtime
    strategy = make_strategy(runtime.strategy, runtime.tpu)
    strategy.check_batch_size(trainer.batch_size)
    computed_on = strategy.describe(trainer.batch_size, runtime.precision)
    log.info("%s", ", ".join(f"{name} {value}" for name, value in computed_on.items()))
    keras.utils.set_random_seed(trainer.seed)
    with strategy.scope():
        # Before any data are read: an order that cannot be built is refused at once.
        network = run.untrained_network()
    target_kind(network, run.processor)
    rows, validation = load_data(run, run.processor, trainer.seed)
    statistics = run.processor.label_statistics(rows.values)
    run = Run(run.folder, _with_statistics(experiment, statistics))
    processor = run.processor
    stream = make_stream(
        rows,
        trainer.batch_size,
        trainer.seed,
        processor.strands == "rows",
        processor.training_view,
        strategy.place.worker,
        strategy.place.workers,
    )
    steps_per_epoch = trainer.steps_per_epoch or steps_in(stream.rows_per_pass, stream.batch_size)
    with strategy.scope():
        steps = Steps(network, processor, trainer.optimizer(trainer.epochs * steps_per_epoch))
    _check_labels(rows, processor, steps.kind)
    _check_validation(validation)
    _make_folder(run, computed_on, [*rows.skipped, *validation.skipped])
    log.info(
        "%s rows to train on, %s to validate on; %s weights; %d epochs of %d steps of %d rows",
        f"{len(rows):,}",
        f"{len(validation):,}",
        f"{sum(int(np.prod(w.shape)) for w in network.trainable_weights):,}",
        trainer.epochs,
        steps_per_epoch,
        trainer.batch_size,
    )
    engine = Engine(
        steps,
        stream,
        validation,
        run.folder,
        trainer.epochs,
        steps_per_epoch,
        runtime.steps_per_call,
        runtime.checkpoint_minutes,
        progress,
    )
    with strategy.watching():
        state = engine.run()
        with strategy.scope():
            card = write_report(run, state, suite, progress)
    run.folder.publish()
    return Result(run.network, pd.DataFrame(state.history), card, run.folder.path)


def _load_suite(run: Run) -> "Suite | None":
    """Read the suite that the run will be scored on, if any."""
    from dream_keras.scoring.suite import load_suite

    if run.suite_folder is None:
        return None
    suite = load_suite(run.suite_folder)
    suite.check_one_target()
    suite.choose_part(run.experiment.scoring.part)
    return suite


def _make_folder(run: Run, computed_on: dict[str, Any], skipped: list[BadRow]) -> None:
    """Make a new run's folder, or see that a resumed one holds something to resume."""
    if not run.folder.config.exists():
        run.folder.create(run.experiment, computed_on)
        log.info("run folder: %s", run.folder)
        if skipped:
            table = pd.DataFrame([vars(row) for row in skipped])
            run.folder.write_table("skipped_rows.tsv", table, sep="\t")
    elif run.folder.best_weights.exists() and not run.folder.state.exists():
        raise UserError(
            f"{run.folder} holds weights but no state.npz: it was converted or has lost its "
            "state, and cannot be resumed"
        )


def _check_labels(rows: Rows | ShardedRows, processor: Processor, kind: str) -> None:
    """Refuse labels that the target cannot express."""
    lowest, highest = processor.label_ranges.get(kind, (-np.inf, np.inf))
    smallest, largest = float(rows.values.min()), float(rows.values.max())
    if smallest < lowest or largest > highest:
        raise UserError(
            f"the labels run from {smallest:g} to {largest:g}, but this order is trained on "
            f"sorting bins {lowest:g} to {highest:g}. For other measurements choose a final block "
            "for values: --set model.final=autosome_regression"
        )


def _check_validation(validation: Rows) -> None:
    """Refuse rows that no correlation can be computed on."""
    if len(validation) < 2 or validation.values.min() == validation.values.max():
        raise UserError(
            f"{len(validation)} validation rows with labels that do not differ have no "
            "correlation, so no epoch could be called the best. Give more rows with --val or "
            "--train."
        )


def make_stream(rows: Rows | ShardedRows, *settings: Any) -> Stream:
    """Stream rows from memory or from the disk; settings as ``TrainingStream``'s."""
    if isinstance(rows, ShardedRows):
        return ShardedStream(rows, *settings)
    return TrainingStream(rows, *settings)


def load_data(run: Run, processor: Processor, seed: int) -> tuple[Rows | ShardedRows, Rows]:
    """Read, or simulate and read, the rows to train and to validate on.

    The rows of a prepared folder to train on stay on the disk, unless only the first
    ``data.max_rows`` are wanted.

    Raises:
        UserError: If a table cannot be used, or not be split as asked.
    """
    settings = run.experiment.data
    train, validation = settings.train, settings.validation
    if train is None:
        folder = run.simulated_folder
        train, validation = str(folder / "train.txt"), str(folder / "val.txt")
    train, validation = str(local_copy(train)), validation and str(local_copy(validation))
    prepared = Path(train).is_dir()
    on_disk = _open_prepared(run, train) if prepared and settings.max_rows is None else None
    if validation is not None:
        if settings.split != "random":
            raise UserError(
                f"data.split={settings.split} says how rows are held out for validation, but there "
                f"is a validation table, {validation}. Give a training table alone (--train), or "
                "leave --split out."
            )
        return on_disk or _load(run, train, processor), _load(run, validation, processor)
    if prepared and settings.split != "random":
        raise UserError(
            f"data.split={settings.split} needs the sequences themselves; {train} is a prepared "
            "folder. Split the table first and give a validation table with --val, or leave "
            "--split out."
        )
    if on_disk is not None:
        of_disk, held_out = on_disk.hold_out(VALIDATION_SHARE, seed)
        return of_disk, held_out.load()
    sequences: list[Sequences] = []

    def visit(tokens: Tokens, lengths: Lengths) -> None:
        if settings.split == "similarity":
            sequences.append(Sequences.of(tokens, lengths))

    rows = _load(run, train, processor, visit)
    if len(rows) < 2:
        raise UserError(f"{train}: one row cannot be split; give a validation table with --val")
    if settings.split == "similarity":
        chosen = hold_out_families(sequences, VALIDATION_SHARE, seed)
        kept, held_out_rows = (rows.take(np.flatnonzero(side)) for side in (~chosen, chosen))
    else:
        kept, held_out_rows = hold_out(rows, VALIDATION_SHARE, seed)
    return dataclasses.replace(kept, skipped=rows.skipped), held_out_rows


def _open_prepared(run: Run, folder: str) -> ShardedRows:
    rows = open_shards(Path(folder), processor_settings(run.experiment))
    log.info("%s: %s rows, prepared", folder, f"{len(rows):,}")
    return rows


def _load(
    run: Run,
    path: str,
    processor: Processor,
    visit: Callable[[Tokens, Lengths], None] = lambda tokens, lengths: None,
) -> Rows:
    settings = run.experiment.data
    if Path(path).is_dir():
        return _open_prepared(run, path).load(settings.max_rows)
    columns = named_columns(settings.sequence_column, settings.target_column)
    rows = load_rows(
        path,
        processor,
        columns,
        settings.on_bad_row,
        settings.long_rows,
        settings.max_rows,
        settings.longest,
        visit,
    )
    log.info("%s: %s rows", path, f"{len(rows):,}")
    return rows


def _only_deterministic_kernels() -> None:
    import keras

    if keras.backend.backend() == "jax":
        # XLA reads this when it starts; on CPUs and TPUs it is deterministic anyway.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
        return
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
