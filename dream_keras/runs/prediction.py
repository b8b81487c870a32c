"""Prediction over many rows: batches of one size, all strands and views, order kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dream_keras.common.errors import UserError
from dream_keras.common.progress import hide_bar
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Flags, Processor
from dream_keras.data.sequences import read_sequences
from dream_keras.data.table import tokenize, warn_of_missing_adapter
from dream_keras.model.network import Network
from dream_keras.runtime.steps import Steps

BATCH = 256
"""Rows predicted at a time (all strands of each); every batch is filled up to this size."""
WRITTEN_AT_A_TIME = 16 * BATCH


def predict_views(
    steps: Steps,
    tokens: Tokens,
    flags: Flags | None = None,
    done: Callable[[int], object] = lambda rows: None,
) -> npt.NDArray[np.float64]:
    """Predict encoded rows in every way that the processor looks at them.

    Args:
        steps: The compiled functions.
        tokens: (rows, length).
        flags: (rows,), as the processor defines them; 0 by default.
        done: Called with the number of rows after each batch.

    Returns:
        What the network says, (rows, views, tasks): for each of the processor's views the sequence
        as it is, and its reverse complement unless both are one input.
    """
    rows = len(tokens)
    batch = min(BATCH, max(rows, 1))
    batch += -batch % steps.replicas
    parts = []
    for start in range(0, rows, batch):
        part = tokens[start : start + batch]
        filled = np.resize(part, (batch, *part.shape[1:]))
        known = None if flags is None else np.resize(flags[start : start + batch], batch)
        views = [steps.predict(v, known) for v in steps.processor.prediction_views(filled)]
        parts.append(np.concatenate(views, axis=1)[: len(part)])
        done(len(part))
    return (
        np.concatenate(parts)
        if parts
        else np.empty((0, steps.processor.predicted_strands, steps.network.tasks))
    )


def predict_rows(
    steps: Steps, tokens: Tokens, done: Callable[[int], object] = lambda rows: None
) -> npt.NDArray[np.float64]:
    """Predict encoded rows, (rows, tasks), the mean over all views of each.

    Args:
        steps: The compiled functions.
        tokens: (rows, length).
        done: Called with the number of rows after each batch.
    """
    views = predict_views(steps, tokens, done=done)
    return steps.processor.to_expression(views, steps.target_type)


def predict_sequences(
    network: Network,
    processor: Processor,
    sequences: Sequence[str],
    progress: bool | None = False,
) -> npt.NDArray[np.float64]:
    """Predict sequences, (rows, tasks), strands and other views averaged.

    Args:
        network: The network.
        processor: The processor it was trained with.
        sequences: With their adapters, as in the tables.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: If a sequence is too long for the processor or holds another letter.

    Examples:
        >>> from dream_keras import build_network, load_experiment
        >>> from dream_keras.config.smoke import shrink
        >>> experiment = shrink(load_experiment("dream_cnn"))
        >>> network, processor = build_network(experiment.model), experiment.make_processor()
        >>> predict_sequences(network, processor, ["TGCATTTTTTTCACATC" + "ACGT" * 20]).shape
        (1, 1)
    """
    encoded = processor.encode(*tokenize(sequences, processor.max_length))
    with progress_bar(progress, len(sequences)) as bar:
        return predict_rows(Steps(network, processor), encoded, bar.update)


def predict_file(
    steps: Steps,
    source: str | Path,
    target: IO[str],
    column: str | None,
    progress: bool | None = None,
) -> int:
    """Predict the sequences of a file and write ``name<TAB>prediction`` lines, order kept.

    There is one column of predictions for each task. Memory does not grow with the file.

    Args:
        steps: The compiled functions to predict with.
        source: FASTA, text or table; ``-`` reads standard input.
        target: Where to write.
        column: Header name of the sequences in a table with a header.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The number of sequences.

    Raises:
        UserError: If a line is no sequence, or too long for the processor.
    """
    processor = steps.processor
    rows = 0
    with progress_bar(progress) as bar:
        for block in read_sequences(source, column):
            shortest, longest = processor.min_length, processor.max_length
            unfit = (block.lengths > longest) | (block.lengths < shortest)
            if unfit.any():
                row = int(unfit.argmax())
                raise UserError(
                    f"{source}: sequence {rows + row + 1} has {block.lengths[row]} bp; the "
                    f"processor takes {shortest} to {longest}, adapters included."
                )
            if not rows:
                warn_of_missing_adapter(source, block.tokens, processor)
            encoded = processor.encode(block.tokens, block.lengths)
            for start in range(0, len(encoded), WRITTEN_AT_A_TIME):
                part = slice(start, start + WRITTEN_AT_A_TIME)
                values = predict_rows(steps, encoded[part], bar.update)
                for name, row in zip(block.names[part], values, strict=True):
                    target.write("\t".join([name, *(f"{value:.6f}" for value in row)]) + "\n")
            rows += len(encoded)
    return rows


def progress_bar(progress: bool | None, total: int | None = None) -> tqdm:
    """Make a bar that counts sequences; None shows it on a terminal or in a notebook."""
    hidden = hide_bar(progress)
    return tqdm(total=total, desc="predict", unit="seq", unit_scale=True, disable=hidden)
