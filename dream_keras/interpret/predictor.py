"""The function that everything in this folder stands on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.adapters import ADD, ProcessorAdapters
from dream_keras.runs.run import load_run

Floats = npt.NDArray[np.float64]
Predict = Callable[[Sequence[str]], npt.ArrayLike]
"""Sequences to predictions, (rows,) or (rows, tasks)."""


@dataclass(frozen=True)
class Predictor:
    """Something that predicts sequences.

    Attributes:
        function: Predicts.
        tasks: Names of the tasks.
        name: What it is called in outputs.
        longest: The longest sequence that it takes in bp, adapters that it puts on not counted;
            None if there is no limit.
        ends: What sequences begin and end with in this assay; shuffles leave it in place.
    """

    function: Predict
    tasks: tuple[str, ...] = ("expression",)
    name: str = "model"
    longest: int | None = None
    ends: tuple[str, str] = ("", "")

    def __call__(self, sequences: Sequence[str]) -> Floats:
        """Predict sequences, (rows, tasks)."""
        if not len(sequences):
            return np.zeros((0, len(self.tasks)))
        values = np.asarray(self.function(sequences), np.float64)
        return values.reshape(len(sequences), len(self.tasks))


def run_predictor(folder: str | Path, adapters: str | None = None, bare: bool = False) -> Predictor:
    """Return what predicts with a run.

    Args:
        folder: The run folder.
        adapters: Whether the sequences have adapters, as ``data.adapters``; None as in training.
        bare: Whether the sequences are cut from a genome: then the adapters that the processor
            expects are put on, unless ``adapters`` says otherwise.

    Raises:
        UserError: If it is no run.
    """
    from dream_keras.runs.prediction import encode_sequences, predict_rows

    run = load_run(folder)
    settings = run.experiment.data.reading()
    if adapters is None and bare and settings.adapters is None and len(run.processor.left_adapter):
        adapters = ADD
    settings = replace(settings, adapters=adapters or settings.adapters)
    ends = ProcessorAdapters(run.processor, settings.adapters, flag="").ends

    def predict(sequences: Sequence[str]) -> Floats:
        return predict_rows(run.steps, encode_sequences(run.processor, sequences, settings))

    longest = run.processor.max_length - sum(map(len, ends))
    kept = ("", "")
    if not any(map(len, ends)):
        processor = run.processor
        kept = alphabet.decode(processor.left_adapter), alphabet.decode(processor.right_adapter)
    return Predictor(predict, run.task_names, str(folder), longest, kept)


def distinct(sequences: Iterable[str]) -> list[str]:
    """Return sequences without repetitions, in the order of their first occurrence."""
    return list(dict.fromkeys(sequences))
