"""Runs, opened to be served."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.config.settings import GameSettings
from dream_keras.data import alphabet, yeast
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.interpret.predictor import View, construct_ends
from dream_keras.interpret.random_inserts import random_inserts
from dream_keras.runs.calibration import FILE, calibrate
from dream_keras.runs.prediction import BATCH, Bounds, Distribution, Floats
from dream_keras.runs.run import Run, load_run

COVERAGE = 0.9
"""Share of measurements that intervals are made to cover."""
RANDOM = BATCH
"""Random promoters that predictions are compared with."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Model:
    """A run that is served.

    Attributes:
        name: Its folder's name, or the path where two runs have the same.
        function: Predicts whole sequences, in capitals, of which each may be marked as a reverse
            complement.
        tasks: Names of the tasks.
        shortest: The shortest whole sequence in bp.
        longest: The longest one.
        game: What it predicts in the words of the GAME protocol.
        ends: Adapters that are put on sequences that lack them, left and right.
        kept: How many bp at both ends of a whole sequence belong to the construct.
        random_length: Length of random promoters in bp, without adapters.
        reverse_mark: Text in the names of sequences that are reverse complements; empty for none.
        bounds: Returns the intervals of predictions; None without a calibration.
        written: When its weights were written, in seconds since 1970.
    """

    name: str
    function: Callable[[Sequence[View]], Distribution]
    tasks: tuple[str, ...] = ("expression",)
    shortest: int = 1
    longest: int = 200
    game: GameSettings = field(default_factory=GameSettings)
    ends: tuple[str, str] = ("", "")
    kept: tuple[int, int] = (0, 0)
    random_length: int = 200
    reverse_mark: str = ""
    bounds: Bounds | None = None
    written: float = 0.0

    def predict(self, views: Sequence[View]) -> Distribution:
        """Predict whole sequences.

        Batches are filled up to a power of 2, so that few sizes are compiled.
        """
        size = 1 << (len(views) - 1).bit_length()
        filled = [*views, *[views[0]] * (size - len(views))]
        return self.function(filled).take(slice(len(views)))

    @property
    def shortest_insert(self) -> int:
        """The shortest sequence in bp without the adapters that are put on."""
        return max(self.shortest - sum(map(len, self.ends)), 1)

    @property
    def longest_insert(self) -> int:
        """The longest sequence in bp without the adapters that are put on."""
        return self.longest - sum(map(len, self.ends))

    def is_whole(self, sequence: str) -> bool:
        """Whether a sequence in capitals has its adapters, as far as there are any."""
        left, right = self.ends
        return sequence.startswith(left) if left else sequence.endswith(right)

    def whole(self, sequence: str) -> str:
        """Return a sequence in capitals with its adapters."""
        left, right = self.ends
        return sequence if self.is_whole(sequence) else f"{left}{sequence}{right}"

    def random_promoters(self) -> list[str]:
        """Draw random promoters, without adapters; always the same ones."""
        return alphabet.decode_rows(random_inserts(RANDOM, self.random_length))


def open_models(folders: Sequence[str | Path]) -> list[Model]:
    """Open runs to be served.

    Raises:
        UserError: If one cannot be opened, or its settings of GAME do not fit its tasks.
    """
    names = [Path(folder).resolve().name for folder in folders]
    return [
        _open(load_run(folder), name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def _open(run: Run, name: str) -> Model:
    processor, game, tasks = run.processor, run.experiment.game, run.task_names
    if len(game.cell_types) not in (0, 1, len(tasks)):
        raise UserError(
            f"{run.folder.config}: game.cell_types names {len(game.cell_types)} cell types, and "
            f"the run has the tasks {', '.join(tasks)}: give one of each, or one for all"
        )
    if game.species is None:
        log.warning(
            "%s says nothing of its species and cell types, so that GAME requests for them are "
            "refused: write them into the section game of %s",
            name,
            run.folder.config,
        )
    own = ProcessorAdapters(processor, run.experiment.data.adapters, flag="").ends
    put_on = sum(map(len, own))
    ends, kept = ("", ""), (0, 0)
    if not put_on:
        left, right = processor.left_adapter, processor.right_adapter
        ends = (alphabet.decode(left), alphabet.decode(right))
        if game.adapters is not None:
            first, last = game.adapters.upper().split(",")
            ends = (first, last)
        fixed = construct_ends(processor)
        kept = (max(len(ends[0]), fixed[0]), max(len(ends[1]), fixed[1]))
    longest = min(member.processor.max_length for member in run.members) - put_on
    length = longest - sum(kept)
    if alphabet.decode(processor.left_adapter) == yeast.LEFT_ADAPTER:
        length = min(length, yeast.INSERT_LENGTH)
    return Model(
        name,
        lambda views: _predict(run, views),
        tasks,
        max(processor.min_length - put_on, 1),
        longest,
        game,
        ends,
        kept,
        length,
        processor.reverse_mark,
        _bounds(run, name),
        max(member.folder.best_weights.stat().st_mtime for member in run.members),
    )


def _predict(run: Run, views: Sequence[View]) -> Distribution:
    flags = np.array([turned for _, turned in views], np.uint8)
    marked = bool(run.processor.reverse_mark)
    return run.predict_distribution([text for text, _ in views], False, flags if marked else None)


def _bounds(run: Run, name: str) -> Bounds | None:
    """Return what gives a run's intervals, if it was calibrated on enough rows."""
    if not (run.folder.path / FILE).exists():
        log.info("%s has no calibration, so no intervals: predict --interval makes one", name)
        return None
    try:
        calibration = calibrate(run)
        nothing = np.zeros((1, 1, len(run.task_names)))
        calibration.bounds(Distribution(nothing, None), COVERAGE)
    except UserError as error:
        log.warning("%s: no intervals: %s", name, error)
        return None

    def bounds(predicted: Distribution) -> tuple[Floats, Floats]:
        return calibration.bounds(predicted, COVERAGE)

    return bounds
