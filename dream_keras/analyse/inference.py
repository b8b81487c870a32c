"""What only the network can tell: predictions of each strand, and of the sorting bins."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dream_keras.data.table import Rows
from dream_keras.model.targets import choose_target_type
from dream_keras.runs.prediction import BATCH, encode_sequences, predict_views, progress_bar
from dream_keras.runs.run import Run

Floats = npt.NDArray[np.float64]

SAMPLE = 5_000
"""Rows predicted anew, at most: enough for three digits of a correlation, and the slowest of the
DREAM models predicts them in a minute on two CPU cores."""


def sample(rows: int, most: int = SAMPLE) -> npt.NDArray[np.int64]:
    """Choose rows at random, always the same; return their numbers, sorted.

    Examples:
        >>> sample(3).tolist(), len(sample(10_000, most=50))
        ([0, 1, 2], 50)
    """
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def has_strands(run: Run) -> bool:
    """Whether the run predicts the two strands of a sequence apart."""
    return all(member.processor.predicted_strands == 2 for member in run.members)


def predict_strands(run: Run, sequences: Sequence[str], progress: bool | None = None) -> Floats:
    """Predict sequences as they are and as their reverse complements, other views averaged.

    Args:
        run: A run with ``has_strands``.
        sequences: As in the tables that it was trained on.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        Values in label units, (rows, 2, tasks): forward, reverse complement; of an ensemble the
        mean over its members.
    """
    found = []
    with progress_bar(progress, len(sequences) * len(run.members)) as bar:
        for member in run.members:
            processor, steps = member.processor, member.steps
            settings = member.experiment.data.reading()
            encoded = encode_sequences(processor, sequences, settings)
            views = predict_views(steps, encoded, done=bar.update)
            # Columns alternate: each view as it is, and its reverse complement.
            found.append(
                [
                    processor.to_expression(views[:, strand::2], steps.target_type)
                    for strand in (0, 1)
                ]
            )
    return np.mean(found, axis=0).transpose(1, 0, 2)


def has_bins(run: Run) -> bool:
    """Whether the run's only network was trained to predict probabilities of the sorting bins."""
    return len(run.members) == 1 and choose_target_type(run.network, run.processor) == "bins"


def predict_bins(run: Run, rows: Rows, progress: bool | None = None) -> tuple[Floats, Floats]:
    """Predict the sorting bins of rows with known labels, strands and other views averaged.

    The flags are those of training.

    Args:
        run: A run with ``has_bins``.
        rows: Encoded rows and their labels.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        Predicted probabilities and training targets, both (rows, bins).
    """
    from keras import ops

    processor, parts = run.processor, []
    strands = (0, 1) if has_strands(run) else (0,)
    with progress_bar(progress, len(rows)) as bar:
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            views = []
            for tokens in processor.prediction_views(rows.tokens[part]):
                for reverse in strands:
                    channels = processor.make_channels(
                        tokens, np.full(len(tokens), reverse), rows.flags[part]
                    )
                    views.append(run.network.predict(channels, batch_size=BATCH, verbose=0))
            parts.append(np.mean(views, axis=0, dtype=np.float64))
            bar.update(len(views[0]))
    targets = ops.convert_to_numpy(processor.make_target(rows.labels, rows.tokens, "bins"))
    return np.concatenate(parts), targets.astype(np.float64)
