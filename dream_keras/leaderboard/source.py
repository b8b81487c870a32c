"""Where predictions come from: a file, or the model of a run folder."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.hub.catalogue import find

if TYPE_CHECKING:
    from dream_keras.runs.run import Run
    from dream_keras.scoring.suite import Suite

Floats = npt.NDArray[np.float64]

_CONFIG = "config.yaml"


def predictions_of(
    path: str | Path, suite: "Suite", part: str = "all", progress: bool | None = None
) -> Floats:
    """Read a file of predictions, or take those of a run folder.

    Args:
        path: The file or folder.
        suite: What is predicted.
        part: What a run has to predict; the rest is NaN.
        progress: False shows no progress, see ``dream_keras.common.progress``.

    Returns:
        One prediction per row of the suite, shape (rows,), or (rows, targets) for several targets.

    Raises:
        UserError: It is neither, or unusable.
    """
    from dream_keras.scoring.submission import read_submission

    if is_run(path):
        return open_run(path).find_predictions(suite, part, progress)
    return read_submission(path, suite)


def is_run(path: str | Path) -> bool:
    """Whether this is a folder, or the name of published weights, and not a file of predictions."""
    return Path(path).is_dir() or find(path) is not None


def is_run_folder(path: str | Path) -> bool:
    """Whether this is the folder of a run, and not of a suite."""
    return (Path(path) / _CONFIG).is_file()


def suite_of(path: str | Path) -> Path | None:
    """Return the suite that a run folder records; None when it records none or is a file."""
    return open_run(path).suite_folder if is_run(path) else None


def config_of(run: str | Path) -> str:
    """Return the resolved config of a run folder, as YAML."""
    if find(run) is not None:
        from dream_keras.runs.run import run_folder

        run = run_folder(run).path
    file = Path(run) / _CONFIG
    if not file.is_file():
        raise UserError(f"{run} is not a run folder: it has no {_CONFIG}")
    return file.read_text(encoding="utf-8")


def checksum(predictions: Floats) -> str:
    """Return the SHA-256 of the numbers, whatever file format they came in."""
    # Adding zero turns -0.0 into 0.0, which is the same number with other bytes.
    return hashlib.sha256((predictions + 0.0).astype("<f8").tobytes()).hexdigest()


def open_run(path: str | Path) -> "Run":
    """Open a run folder.

    Raises:
        UserError: If it is none.
    """
    config_of(path)  # says what is wrong before the backend is loaded, which takes seconds
    load_backend()
    from dream_keras.runs.run import load_run

    return load_run(path)
