"""Prediction over many rows: batches of one size, all strands and views, order kept."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp
from tqdm import tqdm

from dream_keras.common.errors import UserError
from dream_keras.common.progress import hide_bar
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.alphabet import Tokens
from dream_keras.data.parse import MAX_SEQUENCE_LENGTH, BadRow
from dream_keras.data.processor import Flags, Lengths, Processor
from dream_keras.data.sequences import read_fitting
from dream_keras.data.table import DEFAULTS, ReadSettings, tokenize
from dream_keras.runtime.steps import Steps

BATCH = 256
"""Rows predicted at a time (all strands of each); every batch is filled up to this size."""
BATCH_BP = 512 * BATCH
"""Positions predicted at a time: of long inputs fewer rows make a batch."""
WRITTEN_AT_A_TIME = 16 * BATCH

Floats = npt.NDArray[np.float64]


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
    return _values_and_spreads(steps, tokens, flags, done)[0]


def _values_and_spreads(
    steps: Steps, tokens: Tokens, flags: Flags | None, done: Callable[[int], object]
) -> tuple[Floats, Floats | None]:
    """Return what ``predict_views`` returns, and the standard deviations that the head predicts."""
    rows = len(tokens)
    batch = batch_of(steps, rows)
    empty = np.empty((0, steps.processor.predicted_strands, steps.network.tasks))
    values, spreads = [empty], [empty]
    for start in range(0, rows, batch):
        part = tokens[start : start + batch]
        filled = np.resize(part, (batch, *part.shape[1:]))
        known = None if flags is None else np.resize(flags[start : start + batch], batch)
        found = [
            steps.predict_with_spread(view, known)
            for view in steps.processor.prediction_views(filled)
        ]
        values.append(np.concatenate([value for value, _ in found], axis=1)[: len(part)])
        known_spreads = [spread for _, spread in found if spread is not None]
        if known_spreads:
            spreads.append(np.concatenate(known_spreads, axis=1)[: len(part)])
        done(len(part))
    both = [np.concatenate(parts[1:] or parts) for parts in (values, spreads)]
    return both[0], None if steps.network.head.spread is None else both[1]


def batch_of(steps: Steps, rows: int) -> int:
    """Return how many of some rows are predicted at a time."""
    most = max(BATCH_BP // max(steps.processor.length, 1), 1)
    batch = min(BATCH, most, max(rows, 1))
    return batch + -batch % steps.replicas


def predict_profiles(
    steps: Steps | Sequence[Steps],
    tokens: Tokens,
    joint: bool = False,
    done: Callable[[int], object] = lambda rows: None,
) -> tuple[npt.NDArray[np.float32], Floats]:
    """Predict the counts of encoded rows at each position.

    Args:
        steps: The compiled functions of a network that predicts profiles, or of several that are
            averaged: they take windows of one size.
        tokens: (rows, length).
        joint: Join the outputs of each network's bias model, if there is one.
        done: Called with the number of rows after each batch.

    Returns:
        Logits, (rows, tasks, positions), and logarithms of the total counts, (rows, tasks). Of
        several networks the logits are logarithms of their mean probabilities, and the log counts
        are means.
    """
    logits, counts = predict_profile_distribution(steps, tokens, joint, done)
    return logits, counts.mean


def predict_profile_distribution(
    steps: Steps | Sequence[Steps],
    tokens: Tokens,
    joint: bool = False,
    done: Callable[[int], object] = lambda rows: None,
) -> "tuple[npt.NDArray[np.float32], Distribution]":
    """Return what ``predict_profiles`` does, and the log counts of each network."""
    members = [steps] if isinstance(steps, Steps) else list(steps)
    rows, batch = len(tokens), batch_of(members[0], len(tokens))
    shape = (0, *members[0].network.output["profile"].shape[1:])
    logits = [np.empty(shape, np.float32)]
    counts = [np.empty((len(members), 0, members[0].network.tasks))]
    for start in range(0, rows, batch):
        part = tokens[start : start + batch]
        filled = np.resize(part, (batch, *part.shape[1:]))
        found = [member.predict_profiles(filled, joint) for member in members]
        said = _mean_profile([each[: len(part)] for each, _ in found])
        logits.append(said.astype(np.float32))
        counts.append(np.stack([each[: len(part)] for _, each in found]))
        done(len(part))
    return np.concatenate(logits), Distribution(np.concatenate(counts, axis=1), None)


def _mean_profile(logits: Sequence[Floats]) -> Floats:
    """Return the logarithms of the mean of profiles given as logits; a single one stays as it is.

    Examples:
        >>> one, other = np.log([[0.5, 0.5]]), np.log([[0.1, 0.9]])
        >>> np.exp(_mean_profile([one, other])).round(3).tolist()
        [[0.3, 0.7]]
    """
    if len(logits) == 1:
        return logits[0]
    return logsumexp(log_softmax(np.stack(logits), axis=-1), axis=0) - np.log(len(logits))


class Distribution(NamedTuple):
    """Predictions of one network, or of several that are averaged, in the units of the labels.

    Attributes:
        values: (members, rows, tasks).
        variances: What the networks say of the variance of a measurement around them, (members,
            rows, tasks): those of the head and of the views; None where the head predicts none.
    """

    values: Floats
    variances: Floats | None

    @classmethod
    def of_members(cls, parts: "Sequence[Distribution]") -> "Distribution":
        """Join the predictions of several networks; without one's variances there are none."""
        variances = [part.variances for part in parts if part.variances is not None]
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate(variances) if len(variances) == len(parts) else None,
        )

    @classmethod
    def of_rows(cls, parts: "Sequence[Distribution]") -> "Distribution":
        """Join predictions of the same networks for some rows and for those behind them."""
        variances = [part.variances for part in parts if part.variances is not None]
        return cls(
            np.concatenate([part.values for part in parts], axis=1),
            np.concatenate(variances, axis=1) if variances else None,
        )

    def take(self, rows: slice) -> "Distribution":
        """Return the predictions of some rows."""
        variances = None if self.variances is None else self.variances[:, rows]
        return Distribution(self.values[:, rows], variances)

    def of_tasks(self, columns: Sequence[int]) -> "Distribution":
        """Return the predictions of some tasks, in the order asked for."""
        variances = None if self.variances is None else self.variances[..., columns]
        return Distribution(self.values[..., columns], variances)

    @property
    def mean(self) -> Floats:
        """The prediction, (rows, tasks)."""
        return self.values.mean(axis=0)

    @property
    def between(self) -> Floats:
        """The standard deviation between members (over n - 1), (rows, tasks); 0 of a single one."""
        if len(self.values) == 1:
            return np.zeros(self.values.shape[1:])
        return self.values.std(axis=0, ddof=1)

    @property
    def variance(self) -> Floats:
        """The variance of a measurement as far as it is predicted, (rows, tasks).

        The mean of the members' variances plus the variance between them: that of their mixture
        (Lakshminarayanan et al., NeurIPS 2017).
        """
        own = 0.0 if self.variances is None else self.variances.mean(axis=0)
        return np.square(self.between) + own


Bounds = Callable[[Distribution], tuple[Floats, Floats]]
"""Lower and upper bounds of predictions, both (rows, tasks)."""


def predict_distribution(
    steps: Steps,
    tokens: Tokens,
    done: Callable[[int], object] = lambda rows: None,
    flags: Flags | None = None,
) -> Distribution:
    """Predict encoded rows with one network; arguments are those of ``predict_rows``."""
    views, spreads = _values_and_spreads(steps, tokens, flags, done)

    def scaled(outputs: Floats) -> Floats:
        return steps.processor.to_expression(outputs, steps.target_type)

    mean = views.mean(axis=1, keepdims=True)
    values = scaled(views)
    if spreads is None:
        return Distribution(values[None], None)
    # The mixture of what the views say, brought to the labels' scale as a distance is.
    spread = np.sqrt(np.mean(np.square(spreads) + np.square(views - mean), axis=1, keepdims=True))
    distance = scaled(mean + spread) - scaled(mean)
    return Distribution(values[None], np.square(distance)[None])


def predict_rows(
    steps: Steps,
    tokens: Tokens,
    done: Callable[[int], object] = lambda rows: None,
    flags: Flags | None = None,
) -> npt.NDArray[np.float64]:
    """Predict encoded rows, (rows, tasks), the mean over all views of each.

    Args:
        steps: The compiled functions.
        tokens: (rows, length).
        done: Called with the number of rows after each batch.
        flags: (rows,), as the processor defines them; 0 by default.
    """
    views = predict_views(steps, tokens, flags, done)
    return steps.processor.to_expression(views, steps.target_type)


def encode_sequences(
    processor: Processor,
    sequences: Sequence[str],
    settings: ReadSettings = DEFAULTS,
) -> Tokens:
    """Encode sequences for a processor, (rows, length).

    Args:
        processor: The processor.
        sequences: As in the tables that it was trained on.
        settings: How those were read: whether adapters are put on, and long sequences cropped.

    Raises:
        UserError: If a sequence is too long or too short or holds another letter, or if most lack
            the adapter that is cut off.
    """
    adapters = ProcessorAdapters(processor, settings.adapters, flag="")
    longest = processor.max_length - sum(map(len, adapters.ends))
    crop = settings.long_rows == "crop"
    tokens, lengths = tokenize(sequences, MAX_SEQUENCE_LENGTH if crop else longest)
    adapters.check("the sequences", tokens)
    tokens, lengths = adapters.put_on(tokens, lengths)
    if (lengths < processor.min_length).any():
        row = int(lengths.argmin())
        raise UserError(
            f"sequence {row + 1} has {lengths[row]} bp; the processor takes "
            f"{processor.min_length} or more, adapters included"
        )
    return processor.encode(tokens, lengths)


def predict_file(
    members: Sequence[Steps],
    source: str | Path,
    target: IO[str],
    settings: ReadSettings,
    progress: bool | None = None,
    bounds: Bounds | None = None,
) -> tuple[int, list[BadRow]]:
    """Predict the sequences of a file and write ``name<TAB>prediction`` lines, order kept.

    There is a column of predictions for each task; see ``columns`` for what follows them. Memory
    does not grow with the file.

    Args:
        members: The compiled functions of the networks to average; the first one's processor takes
            the fewest bp.
        source: FASTA, text or table; ``-`` reads standard input.
        target: Where to write.
        settings: Where the sequences stand, and what is done about adapters and about bad and long
            rows.
        progress: Whether to show a progress bar; None shows one on a terminal.
        bounds: Returns lower and upper bounds, both (rows, tasks), which are then written too.

    Returns:
        The number of predictions, and the rows that have none.

    Raises:
        UserError: For a row that cannot be predicted, unless the settings leave it out.
    """
    rows = 0
    left_out: list[BadRow] = []
    groups = 1 + (len(members) > 1) + 2 * (bounds is not None)
    nothing = [np.nan] * (groups * members[0].network.tasks)
    with progress_bar(progress) as bar:
        for chunk in read_fitting(source, members[0].processor, settings):
            left_out += chunk.bad
            missing = deque(chunk.bad if settings.on_bad_row == "nan" else [])
            names, lines = chunk.names or [], chunk.lines
            for start in range(0, len(lines), WRITTEN_AT_A_TIME):
                part = slice(start, start + WRITTEN_AT_A_TIME)
                tokens, lengths = chunk.tokens[part], chunk.lengths[part]
                predicted = _predict_part(members, tokens, lengths, names[part], bar.update)
                values = columns(predicted, bounds)
                for line, name, row in zip(lines[part], names[part], values, strict=True):
                    while missing and missing[0].line < line:
                        _write(target, missing.popleft().name, nothing)
                    _write(target, name, row)
            for bad in missing:
                _write(target, bad.name, nothing)
            rows += len(lines)
    return rows, left_out


def _predict_part(
    members: Sequence[Steps],
    tokens: Tokens,
    lengths: Lengths,
    names: Sequence[str],
    done: Callable[[float], object],
) -> Distribution:
    """Predict sequences that are not encoded yet with each member.

    ``done`` is called after each batch, with the rows it counts for.
    """

    def share_done(rows: int) -> None:
        done(rows / len(members))

    parts = []
    for steps in members:
        processor = steps.processor
        encoded = processor.encode(tokens, lengths)
        flags = processor.name_flags(names)
        parts.append(predict_distribution(steps, encoded, share_done, flags))
    return Distribution.of_members(parts)


def columns(predicted: Distribution, bounds: Bounds | None = None) -> Floats:
    """Return the columns that stand for predictions in a file.

    Args:
        predicted: The predictions.
        bounds: Returns lower and upper bounds, both (rows, tasks).

    Returns:
        (rows, columns): the mean of each task; of several members their standard deviation for
        each task; the lower bounds, and the upper ones.

    Examples:
        >>> columns(Distribution(np.array([[[1.0]], [[3.0]]]), None)).round(3).tolist()
        [[2.0, 1.414]]
    """
    groups = [predicted.mean]
    if len(predicted.values) > 1:
        groups.append(predicted.between)
    if bounds is not None:
        groups += bounds(predicted)
    return np.concatenate(groups, axis=1)


def _write(target: IO[str], name: str, values: Iterable[float]) -> None:
    cells = [name.replace("\t", " "), *(f"{value:.6f}" for value in values)]
    target.write("\t".join(cells) + "\n")


def progress_bar(progress: bool | None, total: int | None = None) -> tqdm:
    """Make a bar that counts sequences; None shows it on a terminal or in a notebook."""
    hidden = hide_bar(progress)
    return tqdm(total=total, desc="predict", unit="seq", unit_scale=True, disable=hidden)
