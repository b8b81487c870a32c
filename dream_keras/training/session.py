"""A training run from its experiment to its score: what ``dream_keras.train`` does."""

import dataclasses
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np
import pandas as pd

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.locks import new_folder
from dream_keras.config.completion import taken_options, with_length, with_options
from dream_keras.config.experiment import (
    DEFAULT_CONFIG,
    Config,
    Experiment,
    change,
    load_experiment,
)
from dream_keras.config.smoke import shrink
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.alphabet import Tokens
from dream_keras.data.augment import Augmentation
from dream_keras.data.duplicates import Keys, strand_keys
from dream_keras.data.memory import MEMORY, MemoryTable
from dream_keras.data.parse import BadRow
from dream_keras.data.processor import Lengths
from dream_keras.data.region_rows import RegionRows
from dream_keras.data.regions import Regions
from dream_keras.data.shards import ShardedRows
from dream_keras.data.stream import Stream, StreamSettings
from dream_keras.data.table import Rows
from dream_keras.hub.paths import local_copy
from dream_keras.menu.plugins import load_plugins
from dream_keras.menu.trainer import Trainer
from dream_keras.model.network import Network
from dream_keras.model.targets import check_tasks, choose_target_type
from dream_keras.runs.folder import RunFolder, open_folder
from dream_keras.runs.region_scores import Peaks, find_test_peaks, seen_regions
from dream_keras.runs.report import write_report
from dream_keras.runs.rows import load_data
from dream_keras.runs.run import Run, load_run
from dream_keras.runs.test_part import (
    TableSuite,
    read_test_part,
    warn_of_rows_seen,
    warn_of_shared,
)
from dream_keras.runtime.cluster import WorkerProcess, find_worker_process
from dream_keras.runtime.steps import Steps
from dream_keras.runtime.strategy import make_strategy
from dream_keras.scoring.card import ScoreCard
from dream_keras.scoring.region_card import RegionCard
from dream_keras.scoring.suite import Suite, load_suite
from dream_keras.training.bias import check_regions, keep_bias, make_bias, start_counts
from dream_keras.training.data import (
    check_labels,
    check_validation,
    make_stream,
)
from dream_keras.training.distillation import (
    check_teacher,
    keep_labels,
    label_rows,
    open_teacher,
    split_changes,
)
from dream_keras.training.engine import Engine, EngineSettings, steps_in
from dream_keras.training.fine_tuning import restrict_training, slow_down, take_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a training run gives.

    Attributes:
        network: The network with the weights of its best epoch.
        history: One row per epoch; ``val_pearson`` among the columns.
        score: The suite's score, or that of the test regions; None without either.
        folder: The run folder; of one in a bucket its copy here, until the process ends.
        is_chief: Whether this process wrote it; one of several workers does.
    """

    network: Network
    history: pd.DataFrame
    score: ScoreCard | RegionCard | None
    folder: Path
    is_chief: bool = True

    @property
    def metrics(self) -> dict[str, object] | None:
        """The suite's score as in ``metrics.json``."""
        return self.score.to_dict() if self.score else None


def run_training(
    config: Config | Experiment | None,
    settings: Mapping[str, object],
    overrides: Iterable[str] = (),
    plugins: Collection[str | Path] = (),
    tables: Mapping[str, MemoryTable] = MappingProxyType({}),
    *,
    out: str | Path | None = None,
    smoke: bool = False,
    resume: bool = False,
    progress: bool | None = None,
) -> Result:
    """Start or resume a run, as the chief or as one of several workers.

    ``dream_keras.train`` documents the arguments; ``settings`` are changes of the config,
    ``{"section.key": value}``, and ``tables`` rows given in memory, by their file in the run.
    """
    overrides = list(overrides)
    asked = {*settings, *(override.partition("=")[0] for override in overrides)}
    load_plugins(plugins)
    if resume and out is None:
        raise UserError("--resume needs --out RUN: the folder of the run to continue")
    if resume:
        folder = open_folder(str(out))
        opened = run = load_run(folder)
        if config or overrides or settings or smoke:
            given = _experiment(config or folder.config, overrides, settings)
            run = _moved(run, given, asked)
            _check_same(run, shrink(given, asked) if smoke else given)
        process = find_worker_process(run.experiment.runtime.strategy)
    else:
        experiment = _experiment(config or DEFAULT_CONFIG, overrides, settings, plugins)
        experiment = shrink(experiment, asked) if smoke else experiment
        process = find_worker_process(experiment.runtime.strategy)
        if process.addresses and out is None:
            raise UserError("several workers need --out RUN, the same folder for all of them")
        folder = open_folder(out or _new_folder(config))
        opened = run = Run(folder, experiment)
    if process.addresses:
        log.info("worker %d of %d: waiting for the others", process.worker + 1, process.workers)
    if not process.is_chief:
        with _copy(run, resume) as copy, _kept(tables, copy.folder):
            result = _train(copy, progress=False)
        return dataclasses.replace(result, folder=folder.path, is_chief=False)
    with folder.claimed():
        if not resume:
            folder.check_new()
        elif run.experiment != opened.experiment:
            folder.write_config(run.experiment)
        with _kept(tables, folder):
            return _train(run, progress)


@contextmanager
def _kept(tables: Mapping[str, MemoryTable], folder: RunFolder) -> Iterator[None]:
    """Write rows that were given in memory into a run; an aborted new run keeps none of them.

    Raises:
        UserError: If a resumed run was started with others.
    """
    if folder.config.exists():
        for name, table in tables.items():
            table.keep(folder.path / name)
        yield
        return
    # Until the folder is made they are among its unfinished files, which a kill may leave.
    unfinished = folder.path / f"{UNFINISHED}{MEMORY}"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for name, table in tables.items():
            table.keep(folder.path / f"{UNFINISHED}{name}")
        yield
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _experiment(
    config: Config | Experiment,
    overrides: Iterable[str],
    settings: Mapping[str, object],
    plugins: Collection[str | Path] = (),
) -> Experiment:
    if isinstance(config, Experiment):
        return change(config, overrides, settings, plugins)
    return load_experiment(config, overrides, settings, plugins)


def _new_folder(config: Config | Experiment | None) -> Path:
    config = config or DEFAULT_CONFIG
    name = Path(config).stem if isinstance(config, str | Path) else "experiment"
    return new_folder(Path("runs"), f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")


@contextmanager
def _copy(run: Run, resume: bool) -> Iterator[Run]:
    """Give a worker that is not the chief a temporary run folder: the chief's is the run.

    Workers compute the same weights, so each reads and writes checkpoints of its own, and only
    the chief logs.
    """
    package = logging.getLogger("dream_keras")
    before = package.level
    with tempfile.TemporaryDirectory(prefix="dream_keras-worker-") as name:
        if resume:
            left_out = shutil.ignore_patterns(f"{UNFINISHED}*", "tensorboard")
            shutil.copytree(run.folder.path, name, ignore=left_out, dirs_exist_ok=True)
        package.setLevel(logging.ERROR)
        try:
            yield dataclasses.replace(run, folder=RunFolder(Path(name)))
        finally:
            package.setLevel(before)


def _moved(run: Run, given: Experiment, asked: Collection[str]) -> Run:
    """Return a run whose files have moved; the checksums of its rows detect other rows."""
    data = {
        name: getattr(given.data, name)
        for name in ("train", "validation")
        if f"data.{name}" in asked
    }
    experiment = dataclasses.replace(
        run.experiment, data=dataclasses.replace(run.experiment.data, **data)
    )
    if "scoring.suite" in asked:
        scoring = dataclasses.replace(experiment.scoring, suite=given.scoring.suite)
        experiment = dataclasses.replace(experiment, scoring=scoring)
    return Run(run.folder, experiment)


def _check_same(run: Run, given: Experiment) -> None:
    """Refuse settings that are not those the run was started with."""
    if given.model.processor.name == run.experiment.model.processor.name:
        given = with_options(given, taken_options(run.experiment))
    ours, theirs = run.experiment.plain(), given.plain()
    ours.pop("plugins")  # a run has its own copies; the menu refuses files that differ from them
    ours.pop("weights_from", None)
    ours.pop("init_from", None)
    ours.pop("game")  # said to others, not trained with
    for section, settings in ours.items():
        for key in {**settings, **theirs[section]}:
            if settings.get(key) != theirs[section].get(key):
                raise UserError(
                    f"{run.folder} was trained with {section}.{key}={settings.get(key)}, not "
                    f"{theirs[section].get(key)}. Resume with --out {run.folder} --resume "
                    "alone, or start a new run."
                )


def _with_length(run: Run, source: Run | None) -> Experiment:
    """Return the run's experiment, its input as long as its table and its source need."""
    least = 0
    if source is not None:
        names = {each.experiment.model.processor.name for each in (run, source)}
        least = source.processor.length if len(names) == 1 else 0
    return with_length(run.experiment, lambda: local_copy(run.tables()[0]), least)


def _train(run: Run, progress: bool | None) -> Result:
    """Train the remaining epochs of a run, then score it.

    All inputs are read and checked before the folder is made.
    """
    suite, source, teacher = _load_suite(run), _source(run), open_teacher(run)
    run = Run(run.folder, _with_length(run, source or teacher))
    if teacher is not None:
        check_teacher(run, teacher)
    trainer, runtime = run.experiment.make_trainer(), run.experiment.runtime
    check_regions(run, trainer)
    if runtime.deterministic:
        _only_deterministic_kernels()
    strategy = make_strategy(runtime.strategy, runtime.tpu)
    strategy.check_batch_size(trainer.batch_size)
    computed_on = strategy.describe(trainer.batch_size, runtime.precision)
    log.info("%s", ", ".join(f"{name} {value}" for name, value in computed_on.items()))
    keras.utils.set_random_seed(trainer.seed)
    with strategy.scope():
        # Before any data are read: an order that cannot be built is refused at once.
        network = _make_network(run, trainer, source)
    if suite is not None:
        suite.columns_of(run.task_names)
    test = read_test_part(run)
    run, rows, validation = _read_rows(run, test, source)
    peaks = find_test_peaks(run)
    if peaks is not None:
        _warn_of_regions_seen(run, source, peaks)
    check_tasks(network, rows.labels.shape[1], ", ".join(run.task_names))  # of a prepared folder
    computed_on["rows"] = _count(rows, validation)
    if run.experiment.distillation.teacher is not None:
        rows = label_rows(run, rows, teacher, network, progress)
    stream, steps_per_epoch = _make_stream(run, rows, trainer, strategy.process)
    with strategy.scope():
        optimizer = trainer.optimizer(trainer.epochs * steps_per_epoch)
        slow_down(optimizer, network, trainer, steps_per_epoch)
        if trainer.ema is not None:
            optimizer.use_ema, optimizer.ema_momentum = True, trainer.ema
        bias = make_bias(
            run, *(part for part in (rows, validation) if isinstance(part, RegionRows))
        )
        if source is None:
            start_counts(network, run.processor)
        steps = Steps(network, run.processor, optimizer, bias)
    check_labels(rows, run.processor, steps.target_type)
    check_validation(validation)
    _make_folder(run, computed_on, [*rows.skipped, *validation.skipped])
    keep_bias(run, bias)
    if isinstance(rows, Rows) and run.experiment.distillation.teacher is not None:
        keep_labels(run, rows)
    if test is not None:
        test.write(run.folder.path)
        suite = suite or _load_suite(run)
    log.info(
        "%s rows to train on, %s to validate on; %s weights; %d epochs of %d steps of %d rows",
        f"{len(rows):,}",
        f"{len(validation):,}",
        f"{sum(int(np.prod(w.shape)) for w in network.trainable_weights):,}",
        trainer.epochs,
        steps_per_epoch,
        trainer.batch_size,
    )
    settings = EngineSettings(
        trainer.epochs,
        steps_per_epoch,
        trainer.best,
        trainer.patience,
        runtime.steps_per_call,
        runtime.checkpoint_minutes,
        progress,
    )
    engine = Engine(
        steps, stream, validation, run.folder, run.events_folder, run.task_names, settings
    )
    with strategy.watching():
        state = engine.run()
        with strategy.scope():
            card = write_report(run, state, suite, progress, peaks)
    run.folder.publish()
    return Result(run.network, pd.DataFrame(state.history), card, run.folder.path)


def _source(run: Run) -> Run | None:
    """Open the run that a new run takes its weights from; a resumed one has its own."""
    origin = run.experiment.init_from
    return None if origin is None or run.folder.state.exists() else load_run(origin)


def _make_network(run: Run, trainer: Trainer, source: Run | None) -> Network:
    """Build the network that is trained, with the weights that it starts from."""
    network = run.untrained_network()
    choose_target_type(network, run.processor)
    check_tasks(network, len(run.task_names), ", ".join(run.task_names))
    if source is not None:
        take_weights(network, source)
    restrict_training(network, trainer)
    return network


def _read_rows(
    run: Run, test: TableSuite | None, source: Run | None
) -> tuple[Run, Rows | ShardedRows, Rows]:
    """Read the rows to train and to validate on.

    Returns:
        The run, with what its processor takes from the labels, and the rows.
    """
    keys: list[Keys] = []

    def visit(tokens: Tokens, lengths: Lengths) -> None:
        if test is not None:
            keys.append(strand_keys(tokens, lengths))

    rows, validation = load_data(run, visit)
    if test is not None:
        if keys:
            warn_of_shared(test, np.concatenate(keys), "the training rows")
        if source is not None:
            warn_of_rows_seen(test, source)
    statistics = run.processor.label_statistics(rows.statistics_labels)
    return Run(run.folder, with_options(run.experiment, statistics)), rows, validation


def _warn_of_regions_seen(run: Run, source: Run | None, peaks: Peaks) -> None:
    """Say if the runs that a new run builds upon have seen its test peaks."""
    bias = run.experiment.regions.bias
    others = [] if source is None else [source]
    if bias is not None and not run.folder.bias.exists():
        others.append(load_run(bias))
    for other in others:
        if other.is_of_regions and (said := seen_regions(other, peaks.rows)) is not None:
            log.warning("%s: this run's test scores will be too good", said)


def _count(rows: Rows | ShardedRows, validation: Rows) -> dict[str, object]:
    """Return the numbers of rows, the range of each task's training labels, and chromosomes."""
    low, high = np.nanmin(rows.labels, axis=0), np.nanmax(rows.labels, axis=0)
    ranges = {"lowest": low.tolist(), "highest": high.tolist()}
    counted = {"training": len(rows), "validation": len(validation), **ranges}
    if isinstance(rows, RegionRows) and isinstance(validation, RegionRows):
        used = Regions.joined([rows.regions, validation.regions])
        counted["chroms"] = sorted(set(used.chroms.tolist()))
    return counted


def _make_stream(
    run: Run, rows: Rows | ShardedRows, trainer: Trainer, process: WorkerProcess
) -> tuple[Stream, int]:
    """Return a run's batches, and the steps in an epoch."""
    processor, augment = run.processor, run.experiment.augment
    if run.experiment.distillation.teacher is not None:
        _, augment = split_changes(augment)
    settings = StreamSettings(
        trainer.batch_size,
        trainer.seed,
        both_strands=processor.strands == "rows",
        random_strand=processor.strands == "random",
        view=processor.training_view,
        host=process.worker,
        hosts=process.workers,
    )
    stream = make_stream(rows, settings, run.experiment.regions)
    steps_per_epoch = trainer.steps_per_epoch or steps_in(stream.rows_per_pass, trainer.batch_size)
    if augment.operations:
        left, right = ProcessorAdapters(processor, run.experiment.data.adapters).expected
        epochs = max(trainer.epochs - augment.clean_epochs, 0)
        settings = dataclasses.replace(
            settings,
            augment=Augmentation(augment, processor, (len(left), len(right))),
            augmented_steps=epochs * steps_per_epoch,
        )
        stream = dataclasses.replace(stream, settings=settings)
        log.log(
            logging.INFO if epochs else logging.WARNING,
            "%d of the %d epochs are augmented: %s",
            epochs,
            trainer.epochs,
            ", ".join(augment.operations),
        )
    return stream, steps_per_epoch


def _load_suite(run: Run) -> Suite | None:
    """Read the suite that the run will be scored on, if any."""
    if run.suite_folder is None:
        return None
    suite = load_suite(run.suite_folder)
    suite.choose_part(run.experiment.scoring.part)
    return suite


def _make_folder(run: Run, computed_on: dict[str, object], skipped: list[BadRow]) -> None:
    """Make a new run's folder, or check that a resumed one can be resumed."""
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


def _only_deterministic_kernels() -> None:
    if keras.backend.backend() == "jax":
        # XLA reads this when it starts; on CPUs and TPUs it is deterministic anyway.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
        return
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
