"""The training loop: epochs of compiled steps, validation, checkpoints, events, progress."""

import logging
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from dream_keras.data.processor import Processor
from dream_keras.data.stream import Batch, TrainingStream
from dream_keras.data.table import Rows
from dream_keras.errors import UserError
from dream_keras.scoring.metrics import pearson, spearman
from dream_keras.training.plots import prediction_figure
from dream_keras.training.prediction import predict_strands
from dream_keras.training.run_folder import RunFolder, State
from dream_keras.training.steps import Steps
from dream_keras.training.tensorboard import EventWriter

log = logging.getLogger(__name__)


@dataclass
class Engine:
    """Trains one network in one run folder.

    Attributes:
        steps: The compiled functions, with an optimiser.
        stream: The training rows.
        validation: The validation rows.
        folder: The run folder.
        epochs: Epochs in the whole run.
        steps_per_epoch: Steps in each.
        steps_per_call: Steps in one call of the compiled function.
        progress: Whether to show a progress bar; None shows one on a terminal.
    """

    steps: Steps
    stream: TrainingStream
    validation: Rows
    folder: RunFolder
    epochs: int
    steps_per_epoch: int
    steps_per_call: int = 1
    progress: bool | None = None

    def run(self) -> State:
        """Train from where the folder stands to the last epoch; the folder holds the result.

        Raises:
            UserError: If the loss is no longer a finite number. The weights of the last epoch and
                of the best one are kept.
        """
        state = self._start()
        if state.epoch == self.epochs:
            return state
        done = state.epoch * self.steps_per_epoch
        events = EventWriter(self.folder.path / "tensorboard", resumed_at=done)
        events.graph(self.steps.network)
        events.text("config", f"```yaml\n{self.folder.config.read_text()}```", done)
        rows = self.stream.batch_size
        bar = tqdm(
            total=self.epochs * self.steps_per_epoch * rows,
            initial=done * rows,
            unit="row",
            unit_scale=True,
            disable=None if self.progress is None else not self.progress,
            smoothing=0.05,
        )
        try:
            with logging_redirect_tqdm(), bar:
                for epoch in range(state.epoch + 1, self.epochs + 1):
                    self._epoch(epoch, state, events, bar)
        finally:
            events.close()
        return state

    @property
    def _variables(self) -> list[Any]:
        return [*self.steps.network.variables, *self.steps.optimizer.variables]

    def _start(self) -> State:
        """Take up the folder's state, or write down the untrained one."""
        if self.folder.state.exists():
            return self.folder.load_state(self._variables)
        state = State()
        self.folder.save_state(state, self._variables)
        return state

    def _epoch(self, epoch: int, state: State, events: EventWriter, bar: tqdm) -> None:
        bar.set_description(f"epoch {epoch}/{self.epochs}")
        began = time.perf_counter()
        first = (epoch - 1) * self.steps_per_epoch
        losses: list[float] = []
        batches = self.stream.batches(first, self.steps_per_epoch)
        while call := list(islice(batches, self.steps_per_call)):
            losses += self._call(call, first + len(losses), events, bar)
        seconds = time.perf_counter() - began
        row = {
            "epoch": epoch,
            "step": first + len(losses),
            "loss": float(np.mean(losses)),
            "learning_rate": self.steps.learning_rate(),
            **self._validate(first + len(losses), events),
            "rows_per_second": len(losses) * self.stream.batch_size / seconds,
            "seconds": time.perf_counter() - began,
        }
        self._keep(row, state)
        columns = {k: v for k, v in row.items() if k not in ("epoch", "step")}
        events.scalars({f"epoch/{k}": v for k, v in columns.items()}, first + len(losses))
        best = " (best)" if state.best_epoch == epoch else ""
        log.info(
            "epoch %d/%d: loss %.4f, validation Pearson r %.4f%s, %.0f rows/s",
            epoch,
            self.epochs,
            row["loss"],
            row["val_pearson"],
            best,
            row["rows_per_second"],
        )

    def _call(self, call: list[Batch], step: int, events: EventWriter, bar: tqdm) -> list[float]:
        """Train on some batches; ``step`` is the number of steps done before."""
        rate = self.steps.learning_rate()
        losses = self.steps.train(call)
        broken = np.flatnonzero(~np.isfinite(losses))
        if broken.size:
            raise UserError(
                f"the loss is {losses[broken[0]]} at step {step + broken[0] + 1}, learning rate "
                f"{rate:.3g}. {self.folder.path} keeps the weights of the last whole epoch. Start "
                "again with a smaller trainer.learning_rate, and look for extreme values among "
                "the labels."
            )
        for number, loss in enumerate(losses):
            events.scalars({"step/loss": loss, "step/learning_rate": rate}, step + number + 1)
        bar.update(len(call) * self.stream.batch_size)
        bar.set_postfix(loss=f"{losses[-1]:.3f}", rate=f"{rate:.2g}", refresh=False)
        return losses.tolist()

    def _validate(self, step: int, events: EventWriter) -> dict[str, float]:
        measured, predicted = validate(self.steps, self.steps.processor, self.validation)
        error = predicted - measured
        # A constant prediction has no correlation (NaN); as a score it is worth nothing.
        scores = {
            "val_pearson": float(np.nan_to_num(pearson(predicted, measured))),
            "val_spearman": float(np.nan_to_num(spearman(predicted, measured))),
        }
        events.picture("validation", prediction_figure(predicted, measured), step)
        return {**scores, "val_mse": float(np.mean(error**2))}

    def _keep(self, row: dict[str, float], state: State) -> None:
        """Write down an epoch: weights first, then the state that refers to them."""
        network = self.steps.network
        state.epoch = int(row["epoch"])
        state.history.append(row)
        if row["val_pearson"] > state.best_score:
            state.best_epoch, state.best_score = state.epoch, row["val_pearson"]
            self.folder.save_weights(network, self.folder.best_weights)
        self.folder.save_weights(network, self.folder.last_weights)
        self.folder.save_state(state, self._variables)
        self.folder.write_table("history.csv", pd.DataFrame(state.history))


def validate(steps: Steps, processor: Processor, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Predict validation rows as the processor's settings say.

    Returns:
        Measured and predicted values, equally long: one entry per row, or one per strand of each
        row where the strands are not averaged.
    """
    known = rows.values if processor.singleton_in_validation else None
    strands = predict_strands(steps, rows.tokens, known)
    measured = rows.values.astype(np.float64)
    if processor.average_validation_strands:
        return measured, strands.mean(axis=1)
    return np.concatenate([measured, measured]), strands.T.ravel()


def steps_in(rows: int, batch_size: int) -> int:
    """Return the steps that one pass over ``rows`` rows fills; at least 1."""
    return max(rows // batch_size, 1)
