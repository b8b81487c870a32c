"""The training loop: epochs of compiled steps, validation, checkpoints, events, progress."""

import logging
import signal
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from dream_keras.common.cli import EXIT_RESUME
from dream_keras.common.errors import UserError
from dream_keras.common.progress import hide_bar, logging_redirect_tqdm
from dream_keras.data.region_rows import RegionRows
from dream_keras.data.stream import Batch, Stream, fingerprint
from dream_keras.data.table import Rows
from dream_keras.runs.folder import RunFolder, State
from dream_keras.runs.plots import prediction_figure
from dream_keras.runs.prediction import predict_profiles, predict_views
from dream_keras.runs.tensorboard import EventWriter
from dream_keras.runtime.steps import Steps
from dream_keras.scoring.metrics import pearson, spearman
from dream_keras.scoring.profiles import score_regions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineSettings:
    """Length of a run, and how often it is saved.

    Attributes:
        epochs: Epochs in the whole run.
        steps_per_epoch: Steps in each.
        best: Which epoch is kept, as ``Trainer.best``.
        patience: When to end, as ``Trainer.patience``.
        steps_per_call: Steps in one call of the compiled function.
        checkpoint_minutes: Time between two checkpoints inside an epoch.
        progress: Whether to show a progress bar; None shows one on a terminal or in a
            notebook.
    """

    epochs: int
    steps_per_epoch: int
    best: Literal["pearson", "mse", "loss"] = "pearson"
    patience: int | None = None
    steps_per_call: int = 1
    checkpoint_minutes: float = 10.0
    progress: bool | None = None


@dataclass
class Engine:
    """Trains one network in one run folder.

    Attributes:
        steps: The compiled functions, with an optimiser.
        stream: The training rows.
        validation: The validation rows.
        folder: The run folder.
        events_folder: Where TensorBoard events are written.
        tasks: Names of the tasks.
        settings: How long and how often.
    """

    steps: Steps
    stream: Stream
    validation: Rows
    folder: RunFolder
    events_folder: Path
    tasks: Sequence[str]
    settings: EngineSettings

    def __post_init__(self) -> None:
        self._saved = time.monotonic()
        self._saving = 0.0

    def run(self) -> State:
        """Train from the state in the folder to the last epoch; the result is in the folder.

        On SIGTERM, which preempted machines send, everything is saved and the process ends with
        the status ``EXIT_RESUME``.

        Raises:
            UserError: If the loss is no longer a finite number. The weights of the last epoch and
                of the best one are kept.
        """
        state = self._start()
        if state.history:
            self._write_history(state)
        if self._is_finished(state):
            log.info("%s is finished: %s", self.folder, self._ending(state))
            return state
        done = state.epoch * self.settings.steps_per_epoch + len(state.losses)
        began = time.monotonic()
        events = EventWriter(self.events_folder, resumed_at=done)
        events.graph(self.steps.network)
        events.text("config", f"```yaml\n{self.folder.config.read_text()}```", done)
        rows = self.stream.batch_size
        bar = tqdm(
            total=self.settings.epochs * self.settings.steps_per_epoch * rows,
            initial=done * rows,
            unit="row",
            unit_scale=True,
            disable=hide_bar(self.settings.progress),
            smoothing=0.05,
        )
        try:
            with logging_redirect_tqdm(), bar, told_to_stop() as stop:
                while not self._is_finished(state):
                    self._epoch(state.epoch + 1, state, events, bar, stop)
            if state.epoch < self.settings.epochs:
                log.info("ended early: %s", self._ending(state))
        finally:
            events.close()
        share = self._saving / (time.monotonic() - began)
        log.info("checkpoints took %.1f s, %.2g %% of the time", self._saving, 100 * share)
        return state

    def _is_finished(self, state: State) -> bool:
        """Whether all epochs are done, or none of late was better."""
        epochs, patience = self.settings.epochs, self.settings.patience
        waited = state.epoch - state.best_epoch
        return state.epoch == epochs or (patience is not None and waited >= patience)

    def _ending(self, state: State) -> str:
        """Return why a run is finished."""
        if state.epoch == self.settings.epochs:
            return f"all of its {state.epoch} epochs are done"
        waited = self.settings.patience
        return f"epoch {state.epoch} was the last of {waited} without a better one"

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self.steps.network.variables, *self.steps.optimizer.variables]

    def _start(self) -> State:
        """Load the folder's state, or write the untrained one."""
        data = f"{self.stream.fingerprint} {fingerprint(self.validation)}"
        if self.folder.state.exists():
            state = self.folder.load_state(self._variables)
            if state.data != data:
                raise UserError(
                    f"the rows to train or validate on have changed since {self.folder} was "
                    "started: restore the files, or start a new run"
                )
        else:
            state = State(data=data)
            self._save(state)
        self._check_workers(state)
        return state

    def _check_workers(self, state: State) -> None:
        """Refuse workers that would not compute the same."""
        position = f"{state.data} {state.epoch} {len(state.losses)}"
        content = f"{position} {self.folder.config.read_text()}"
        if len(set(self.steps.of_all_workers(zlib.crc32(content.encode())))) > 1:
            raise UserError(
                "the workers have different settings or rows, or stand at different steps (this "
                f"one: rows {state.data}, {state.epoch} epochs, {len(state.losses)} steps). Give "
                "all of them the same command, files and run folder."
            )

    def _epoch(
        self, epoch: int, state: State, events: EventWriter, bar: tqdm, stop: threading.Event
    ) -> None:
        bar.set_description(f"epoch {epoch}/{self.settings.epochs}")
        began = time.perf_counter() - state.seconds
        first = (epoch - 1) * self.settings.steps_per_epoch
        last = first + self.settings.steps_per_epoch
        losses = list(state.losses)
        rate = 0.0
        batches = self.stream.batches(
            first + len(losses), self.settings.steps_per_epoch - len(losses)
        )
        while call := list(islice(batches, self.settings.steps_per_call)):
            call_losses, rate = self._call(call, first + len(losses), events, bar)
            losses += call_losses
            due = time.monotonic() - self._saved >= 60 * self.settings.checkpoint_minutes
            leaving = any(self.steps.of_all_workers(stop.is_set()))
            # The end of an epoch writes everything in any case.
            if len(losses) < self.settings.steps_per_epoch and (due or leaving):
                state.losses, state.seconds = list(losses), time.perf_counter() - began
                events.flush()
                self._save(state)
                self._leave_if(leaving)
        seconds = time.perf_counter() - began
        row = {
            "epoch": epoch,
            "step": last,
            "loss": float(np.mean(losses)),
            "learning_rate": rate,
            **self._validate(last, rate, events),
            "rows_per_second": len(losses) * self.stream.batch_size / seconds,
            "seconds": time.perf_counter() - began,
        }
        # Events first: those of an epoch that the state does not know are written once more by a
        # resume, and TensorBoard drops the older ones; missing ones would stay missing.
        columns = {k: v for k, v in row.items() if k not in ("epoch", "step")}
        events.scalars({f"epoch/{k}": v for k, v in columns.items()}, last)
        events.flush()
        self._keep(row, state)
        best = " (best)" if state.best_epoch == epoch else ""
        log.info(
            "epoch %d/%d: loss %.4f, %svalidation Pearson r %.4f%s, %.0f rows/s",
            epoch,
            self.settings.epochs,
            row["loss"],
            f"validation loss {row['val_loss']:.4f}, " if "val_loss" in row else "",
            row["val_pearson"],
            best,
            row["rows_per_second"],
        )
        self._leave_if(any(self.steps.of_all_workers(stop.is_set())))

    def _save(self, state: State) -> None:
        began = time.monotonic()
        self.folder.save_state(state, self._variables)
        self._saved = time.monotonic()
        self._saving += self._saved - began

    def _leave_if(self, leaving: bool) -> None:
        if leaving:
            log.warning(
                "stopped by a signal: %s is saved. Continue with --out %s --resume",
                self.folder,
                self.folder,
            )
            raise SystemExit(EXIT_RESUME)

    def _call(
        self, call: list[Batch], step: int, events: EventWriter, bar: tqdm
    ) -> tuple[list[float], float]:
        """Train on some batches, ``step`` steps being done before.

        Returns:
            The losses, and the last learning rate.
        """
        losses, rates = self.steps.train(call).T
        for number, (loss, rate) in enumerate(zip(losses, rates, strict=True), step + 1):
            if not np.isfinite(loss):
                raise self._diverged(f"the loss is {loss}", number, rate)
            events.scalars({"step/loss": loss, "step/learning_rate": rate}, number)
        bar.update(len(call) * self.stream.batch_size)
        bar.set_postfix(loss=f"{losses[-1]:.3f}", rate=f"{rates[-1]:.2g}", refresh=False)
        return losses.tolist(), float(rates[-1])

    def _diverged(self, what: str, step: int, rate: float) -> UserError:
        return UserError(
            f"{what} at step {step}, learning rate {rate:.3g}. {self.folder} keeps the "
            "weights of the last good epoch. Start again with a smaller trainer.learning_rate, "
            "and look for extreme values among the labels."
        )

    def _validate(self, step: int, rate: float, events: EventWriter) -> dict[str, float]:
        regions: dict[str, float] = {}
        with self.steps.averaged_weights():
            if isinstance(self.validation, RegionRows):
                measured, predicted, regions = validate_regions(self.steps, self.validation)
            else:
                measured, predicted = validate(self.steps, self.validation)
        if not np.isfinite(predicted).all():
            raise self._diverged("predictions are not finite", step, rate)
        figure = prediction_figure(predicted, measured, self.tasks)
        events.picture("validation", figure, step)
        return validation_scores(predicted, measured, self.tasks) | regions

    def _keep(self, row: dict[str, float], state: State) -> None:
        """Save an epoch: weights first, then the state that refers to them."""
        network = self.steps.network
        state.epoch = int(row["epoch"])
        state.losses, state.seconds = [], 0.0
        state.history.append(row)
        # Constant predictions have no correlation (NaN), which is never better than another.
        r = np.nan_to_num(row["val_pearson"], nan=-2.0)
        best = self.settings.best
        score = float(r if best == "pearson" else -row[f"val_{best}"])
        with self.steps.averaged_weights():
            if not state.best_epoch or score > state.best_score:
                state.best_epoch, state.best_score = state.epoch, score
                self.folder.save_weights(network, self.folder.best_weights)
            self.folder.save_weights(network, self.folder.last_weights)
        self._save(state)
        self._write_history(state)

    def _write_history(self, state: State) -> None:
        self.folder.write_table("history.csv", pd.DataFrame(state.history))


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """Return an event that SIGTERM sets; outside the main thread the signal is left alone."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def validate(steps: Steps, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Predict validation rows as the processor's settings say.

    Returns:
        Labels and predicted values, (n, tasks): one entry per row, or one per strand of each row
        where the strands are not averaged.
    """
    processor = steps.processor
    views = predict_views(steps, rows.tokens, processor.validation_flags(rows.flags))
    measured = rows.labels.astype(np.float64)
    if not processor.average_validation_strands:
        measured = np.tile(measured, (views.shape[1], 1))
        views = views.swapaxes(0, 1).reshape(-1, 1, views.shape[2])
    return measured, processor.to_expression(views, steps.target_type)


def validate_regions(
    steps: Steps, rows: RegionRows
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Predict the regions to validate on, with the bias model's predictions joined.

    Returns:
        Measured and predicted log counts, (rows, 1), and ``val_loss`` and ``val_jsd``, the median
        Jensen-Shannon distance of the profiles.
    """
    logits, log_counts = predict_profiles(steps, rows.tokens, joint=True)
    if not np.isfinite(logits).all():
        return rows.labels.astype(np.float64), np.full(log_counts.shape, np.nan), {}
    found = score_regions(rows.profiles[:, 0], logits[:, 0], log_counts[:, 0])
    weight = getattr(steps.processor, "counts_weight", None) or 1.0
    scores = {"val_loss": found.loss(weight), "val_jsd": found.summary()["jsd"]}
    return rows.labels.astype(np.float64), log_counts, scores


def validation_scores(
    predicted: np.ndarray, measured: np.ndarray, tasks: Sequence[str]
) -> dict[str, float]:
    """Score predictions of validation rows; missing labels are left out.

    Args:
        predicted: (n, tasks).
        measured: (n, tasks), NaN where a label is missing.
        tasks: Names of the tasks.

    Returns:
        ``val_pearson``, ``val_spearman`` and ``val_mse``, the means over the tasks; of several
        tasks also those of each, as ``val_pearson_<task>``.

    Examples:
        >>> measured = np.array([[1.0], [2.0], [np.nan]])
        >>> scores = validation_scores(np.array([[1.0], [3.0], [5.0]]), measured, ["expression"])
        >>> {name: round(value, 4) for name, value in scores.items()}
        {'val_pearson': 1.0, 'val_spearman': 1.0, 'val_mse': 0.5}
    """
    scores: dict[str, list[float]] = {"val_pearson": [], "val_spearman": [], "val_mse": []}
    for task in range(len(tasks)):
        known = np.isfinite(measured[:, task])
        x, y = predicted[known, task], measured[known, task]
        scores["val_pearson"].append(pearson(x, y))
        scores["val_spearman"].append(spearman(x, y))
        scores["val_mse"].append(float(np.mean((x - y) ** 2)))
    found = {name: float(np.mean(values)) for name, values in scores.items()}
    if len(tasks) > 1:
        for name, values in scores.items():
            found |= {f"{name}_{task}": v for task, v in zip(tasks, values, strict=True)}
    return found


def steps_in(rows: int, batch_size: int) -> int:
    """Return the steps that one pass over ``rows`` rows fills; at least 1.

    Examples:
        >>> steps_in(rows=1_000, batch_size=128)
        7
    """
    return max(rows // batch_size, 1)
