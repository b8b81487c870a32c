"""A run and a suite, and what several parts of an analysis need of them."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dream_keras.analyse import residuals
from dream_keras.common.files import replacing
from dream_keras.data.kmers import Sequences, inserts_of
from dream_keras.data.parse import MAX_SEQUENCE_LENGTH
from dream_keras.data.table import tokenize
from dream_keras.runs.plots import mark_simulated
from dream_keras.runs.run import Run
from dream_keras.scoring.suite import Suite
from dream_keras.simulate.truth import FOLDER, Truth, read_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Analysis:
    """A run, its predictions of a suite, and where what is found goes.

    Attributes:
        run: The run.
        suite: The suite.
        part: The part of it that is looked at.
        suite_predictions: Of all rows of the suite, (rows, targets); NaN where the part needs none.
        target: Number of the target that is looked at, from 0.
        training: The training table; None takes the run's own.
        progress: Whether to show progress bars; None shows them on a terminal.
    """

    run: Run
    suite: Suite
    part: str
    suite_predictions: Floats
    target: int = 0
    training: str | Path | None = None
    progress: bool | None = None

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        folder = self.run.folder.path / "analysis"
        return folder / self.suite.targets[self.target] if len(self.suite.targets) > 1 else folder

    @property
    def task(self) -> int:
        """Number of the run's task that predicts the target."""
        return self.suite.columns_of(self.run.task_names)[self.target]

    @cached_property
    def predictions(self) -> Floats:
        """Predictions of all rows of the suite, (rows,); NaN where the part needs none."""
        return self.suite_predictions[:, self.target]

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Positions of the rows that the part needs and whose target was measured, (n,)."""
        rows = self.suite.rows(self.part)
        return rows[np.isfinite(self.suite.measured[rows, self.target])]

    @cached_property
    def measured(self) -> Floats:
        """Measured values of these rows, (n,)."""
        return self.suite.measured[self.rows, self.target]

    @cached_property
    def calibration(self) -> residuals.Calibration:
        """The line fitted to these rows."""
        return residuals.Calibration.fit(self.predictions[self.rows], self.measured)

    @cached_property
    def calibrated(self) -> Floats:
        """Calibrated predictions of all rows of the suite, (rows,)."""
        return self.calibration.apply(self.predictions)

    @cached_property
    def residuals(self) -> Floats:
        """Calibrated prediction minus measured, (n,)."""
        return self.calibrated[self.rows] - self.measured

    @cached_property
    def sequences(self) -> Sequences:
        """All sequences of the suite."""
        return Sequences.of(*tokenize(self.suite.sequences, MAX_SEQUENCE_LENGTH))

    @cached_property
    def inserts(self) -> Sequences:
        """The same without their adapters."""
        return next(inserts_of([self.sequences]))

    @cached_property
    def gc(self) -> Floats:
        """Share of G and C of the inserts of the part's rows, (n,)."""
        return residuals.gc_content(self.inserts)[self.rows]

    @cached_property
    def truth(self) -> Truth | None:
        """What the simulator knows of the suite's rows; None for real data."""
        folder = Path(self.suite.source)
        folder = folder if folder.is_dir() else folder.parent
        if not (folder / FOLDER).is_dir():
            return None
        truth = read_truth(folder)
        return truth if len(truth.expression) == len(self.suite.sequences) else None

    def picture(self, name: str, figure: "Figure") -> str:
        """Write a picture; return the line that shows it."""
        return write_picture(self.folder, name, figure, self.truth is not None)


def write_picture(folder: Path, name: str, figure: "Figure", simulated: bool) -> str:
    """Write a picture, marked if its data are simulated; return the line that shows it."""
    if simulated:
        mark_simulated(figure)
    with replacing(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return f"![{name}]({name}.png)"
