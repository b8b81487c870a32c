"""Prediction over many rows: batches of one size, both strands, order kept."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Processor
from dream_keras.data.table import tokenize
from dream_keras.model import Network
from dream_keras.training.steps import Steps

BATCH = 256
"""Rows predicted at a time (both strands of each); every batch is filled up to this size."""


def predict_strands(
    steps: Steps,
    tokens: Tokens,
    values: npt.NDArray[np.float32] | None = None,
    progress: bool | None = False,
) -> npt.NDArray[np.float64]:
    """Predict both strands of encoded rows.

    Args:
        steps: The compiled functions.
        tokens: (rows, length).
        values: Measured values, when is_singleton is to be read off them.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        (rows, 2): the sequence as it is, and its reverse complement.
    """
    rows = len(tokens)
    batch = min(BATCH, max(rows, 1))
    parts = []
    hidden = None if progress is None else not progress
    with tqdm(total=rows, desc="predict", unit="seq", unit_scale=True, disable=hidden) as bar:
        for start in range(0, rows, batch):
            part = tokens[start : start + batch]
            filled = np.resize(part, (batch, *part.shape[1:]))
            known = None if values is None else np.resize(values[start : start + batch], batch)
            parts.append(steps.predict(filled, known)[: len(part)])
            bar.update(len(part))
    return np.concatenate(parts) if parts else np.empty((0, 2))


def predict_sequences(
    network: Network,
    processor: Processor,
    sequences: Sequence[str],
    progress: bool | None = False,
) -> npt.NDArray[np.float64]:
    """Predict the expression of sequences, (rows,), strands averaged.

    Raises:
        UserError: If a sequence is too long for the processor or holds another letter.
    """
    tokens, lengths = tokenize(sequences, processor.longest)
    encoded = processor.encode(tokens, lengths)
    return predict_strands(Steps(network, processor), encoded, progress=progress).mean(axis=1)
