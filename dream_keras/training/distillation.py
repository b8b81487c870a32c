"""Distillation: a network is trained on what another run, or an ensemble, predicts of its rows.

Besides the training rows these are randomly changed copies of them and further sequences, given or
drawn at random. Sources: Hinton et al., arXiv:1503.02531; for copies and the spread between
members DEGU, Zhou et al., bioRxiv 2024.11.13.623485.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing, sha256
from dream_keras.common.remote import cache
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.alphabet import N, Tokens
from dream_keras.data.augment import OPERATIONS, Augmentation, AugmentSettings
from dream_keras.data.columns import SEQUENCES
from dream_keras.data.processor import FROM_LABELS, Flags
from dream_keras.data.sequences import read_fitting
from dream_keras.data.shards import ShardedRows
from dream_keras.data.table import Rows
from dream_keras.hub.paths import local_copy
from dream_keras.model.network import Network
from dream_keras.model.targets import choose_target_type
from dream_keras.runs.prediction import Distribution, predict_distribution, progress_bar
from dream_keras.runs.rows import split_seed
from dream_keras.runs.run import Run, load_run

KEPT = "teacher.npy"
"""File of a run that holds the labels it is trained on, (rows, tasks)."""
CHUNK = 8_192
"""Rows that are predicted, and kept in the cache, at a time."""
IN_EACH_STEP = "shift"
"""The change that is made anew in each step: it leaves the construct, and its label, as it is."""
_COPIES, _DRAWN, _LABELS = 7, 8, 9
"""Number the random draws of a seed apart."""

log = logging.getLogger(__name__)


def split_changes(settings: AugmentSettings) -> tuple[AugmentSettings, AugmentSettings]:
    """Split random changes into those of the copies and those that are made in each step.

    Examples:
        >>> copies, steps = split_changes(AugmentSettings(mutation=0.1, shift=4))
        >>> copies.operations, steps.operations
        (('mutation',), ('shift',))
    """
    others: dict[str, Any] = dict.fromkeys(name for name in OPERATIONS if name != IN_EACH_STEP)
    return dataclasses.replace(settings, shift=None), dataclasses.replace(settings, **others)


def open_teacher(run: Run) -> Run | None:
    """Open the teacher of a run; None where there is none, or its labels are in the run already.

    Raises:
        UserError: If it is no run.
    """
    teacher = run.experiment.distillation.teacher
    if teacher is None or (run.folder.path / KEPT).exists():
        return None
    return load_run(teacher)


def check_teacher(run: Run, teacher: Run) -> None:
    """Refuse a teacher of another kind of run, or one that knows the rows that validate.

    Raises:
        UserError: Names what differs.
    """
    for member in teacher.members:
        _check_alike(run, member)
        _check_held_out(run, member)


def label_rows(
    run: Run,
    rows: Rows | ShardedRows,
    teacher: Run | None,
    network: Network,
    progress: bool | None = None,
) -> Rows:
    """Return the rows that a run with a teacher is trained on.

    Args:
        run: The run.
        rows: Its training rows, with their measured labels.
        teacher: Labels them; None takes the labels that the run folder keeps.
        network: Is trained on the mean of the members; one that predicts mean and variance on
            the prediction of one member, drawn for each row: so it learns their spread.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The rows, their changed copies, and the unlabelled rows.

    Raises:
        UserError: If the file of unlabelled rows cannot be read.
    """
    settings = run.experiment.distillation
    measured = rows.load() if isinstance(rows, ShardedRows) else rows
    parts = [measured, *_copies(run, measured), *_unlabelled(run, measured)]
    counts = [len(measured), sum(map(len, parts[1:]))]
    tokens = np.concatenate([part.tokens for part in parts])
    flags = np.concatenate([run.processor.validation_flags(part.flags) for part in parts])
    if teacher is None:
        labels = np.load(run.folder.path / KEPT)
    else:
        log.info("%s labels %s rows and %s others", teacher.folder, *(f"{n:,}" for n in counts))
        said = predict_cached(teacher, tokens, flags, progress)
        target_type = choose_target_type(network, run.processor)
        values = said.mean
        if network.head.spread is not None and target_type != "bins":
            random = np.random.default_rng([run.seed, _LABELS])
            member = random.integers(len(said.values), size=len(tokens))
            values = said.values[member, np.arange(len(tokens))]
        labels = values.astype(np.float32)
        own = np.isfinite(measured.labels) * settings.measured
        labels[: len(measured)] += own * (np.nan_to_num(measured.labels) - labels[: len(measured)])
        lowest, highest = run.processor.label_ranges.get(target_type, (-np.inf, np.inf))
        labels = labels.clip(lowest, highest)
    if len(labels) != len(tokens):
        raise UserError(
            f"{run.folder.path / KEPT} has {len(labels):,} labels, but there are {len(tokens):,} "
            "rows now: the tables are others than the run was started with"
        )
    weights = np.concatenate([part.weights for part in parts])
    flags = flags | run.processor.row_flags(labels.astype(np.float64))
    return Rows(tokens, labels, flags, weights, measured.skipped)


def keep_labels(run: Run, rows: Rows) -> None:
    """Keep the labels in the run folder: it is resumed without its teacher."""
    path = run.folder.path / KEPT
    if not path.exists():
        with replacing(path) as temporary:
            np.save(temporary, rows.labels)


def predict_cached(
    teacher: Run, tokens: Tokens, flags: Flags, progress: bool | None = None
) -> Distribution:
    """Predict encoded rows; what was predicted before of the same rows is taken from the cache.

    Args:
        teacher: A run or an ensemble.
        tokens: (rows, length), as the processor of each member encodes them.
        flags: (rows,), as the processor defines them.
        progress: Whether to show a progress bar; None shows one on a terminal.
    """
    members = []
    with progress_bar(progress, len(tokens) * len(teacher.members)) as bar:
        for member in teacher.members:
            folder = cache() / f"teacher-{_key(member)}"
            folder.mkdir(parents=True, exist_ok=True)
            chunks = [
                _predict_chunk(
                    member, folder, tokens[start : start + CHUNK], flags[start : start + CHUNK]
                )
                for start in _counted(range(0, len(tokens), CHUNK), len(tokens), bar.update)
            ]
            members.append(Distribution.of_rows(chunks))
    return Distribution.of_members(members)


def _counted(starts: range, rows: int, done: Callable[[float | None], object]) -> Iterator[int]:
    for start in starts:
        yield start
        done(min(starts.step, rows - start))


def _key(member: Run) -> str:
    """Return a checksum of all that a member's predictions depend on beside the rows."""
    experiment = member.experiment.plain()
    parts = [experiment["model"], experiment["runtime"]["precision"]]
    return hashlib.sha256(f"{parts} {sha256(member.folder.best_weights)}".encode()).hexdigest()[:16]


def _predict_chunk(member: Run, folder: Path, tokens: Tokens, flags: Flags) -> Distribution:
    rows = hashlib.sha256(np.ascontiguousarray(tokens).data)
    rows.update(np.ascontiguousarray(flags).data)
    path = folder / f"{rows.hexdigest()[:32]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Distribution(kept["values"], kept.get("variances"))
    said = predict_distribution(member.steps, tokens, flags=flags)
    columns = {k: v for k, v in said._asdict().items() if v is not None}
    with replacing(path) as temporary:
        np.savez(temporary, **columns)
    return said


def _copies(run: Run, rows: Rows) -> Iterator[Rows]:
    """Yield randomly changed copies of rows, as often as the run asks for."""
    changes, _ = split_changes(run.experiment.augment)
    if not changes.operations:
        return
    change = Augmentation(changes, run.processor, _adapters(run))
    for copy in range(run.experiment.distillation.copies):
        random = np.random.default_rng([run.seed, _COPIES, copy])
        yield dataclasses.replace(rows, tokens=change(rows.tokens, random), skipped=())


def _unlabelled(run: Run, rows: Rows) -> Iterator[Rows]:
    """Yield rows without a measured value: drawn at random, or of a file."""
    settings = run.experiment.distillation
    if settings.unlabelled:
        random = np.random.default_rng([run.seed, _DRAWN])
        templates = rows.take(random.integers(len(rows), size=settings.unlabelled))
        yield dataclasses.replace(templates, tokens=_with_random_inserts(run, templates, random))
    if settings.unlabelled_file is not None:
        yield from _rows_of_file(run, local_copy(settings.unlabelled_file), rows.labels.shape[1])


def _rows_of_file(run: Run, path: Path, tasks: int) -> Iterator[Rows]:
    reading = dataclasses.replace(run.experiment.data.reading(), columns=SEQUENCES, max_rows=None)
    for chunk in read_fitting(path, run.processor, reading):
        count = len(chunk.lengths)
        yield Rows(
            run.processor.encode(chunk.tokens, chunk.lengths),
            np.full((count, tasks), np.nan, np.float32),
            run.processor.name_flags(chunk.names or []),
            np.ones(count, np.float32),
        )


def _adapters(run: Run) -> tuple[int, int]:
    left, right = ProcessorAdapters(run.processor, run.experiment.data.adapters).expected
    return len(left), len(right)


def _with_random_inserts(run: Run, rows: Rows, random: np.random.Generator) -> Tokens:
    """Return rows with random inserts, which have the rows' shares of A, C, G and T.

    Adapters, flanks, padding and N stay as they are.
    """

    def redraw(tokens: Tokens) -> Tokens:
        inside = np.flatnonzero(_inside(run, tokens))
        counts = np.bincount(tokens.ravel()[inside], minlength=N)
        changed = tokens.copy()
        changed.ravel()[inside] = random.choice(N, len(inside), p=counts / max(counts.sum(), 1))
        return changed

    return run.processor.edit(rows.tokens, redraw)


def _inside(run: Run, tokens: Tokens) -> npt.NDArray[np.bool_]:
    """Return where the known bases of the inserts are, (rows, positions)."""
    start, stop = run.processor.insert_bounds(tokens, *_adapters(run))
    at = np.arange(tokens.shape[1])
    return (at >= start[:, None]) & (at < stop[:, None]) & (tokens < N)


def _check_alike(run: Run, member: Run) -> None:
    """Refuse a teacher that is given other inputs than its student, or predicts other tasks."""
    for what, ours, theirs in (
        ("model.processor", _processor(run), _processor(member)),
        ("data.adapters", run.experiment.data.adapters, member.experiment.data.adapters),
        ("tasks", ", ".join(run.task_names), ", ".join(member.task_names)),
    ):
        if ours != theirs:
            raise UserError(
                f"{member.folder} has another {what} than the run that it is to teach ({theirs}; "
                f"{ours}): they must be the same. Across processors, predict sequences with it and "
                "train on the table of its predictions."
            )


def _processor(run: Run) -> dict[str, object]:
    """Return a run's processor and all its options but those that come from the labels."""
    choice = run.experiment.model.processor
    options = {**menu.get("processor", choice.name).options, **choice.options}
    found = {k: v for k, v in options.items() if k not in FROM_LABELS}
    return {"name": choice.name, **found}


def _check_held_out(run: Run, member: Run) -> None:
    """Refuse a teacher that was trained on rows which its student holds out of the same table."""
    ours, theirs = run.experiment.data, member.experiment.data
    if member.experiment.weights_from is not None or ours.split_column is not None:
        return
    if run.tables() != member.tables() or run.tables()[1] is not None:
        return
    for what, mine, other in (
        ("split", ours.split, theirs.split),
        ("split_seed", split_seed(run), split_seed(member)),
        ("max_rows", ours.max_rows, theirs.max_rows),
    ):
        if mine != other:
            raise UserError(
                f"{member.folder} was trained with data.{what}={other}, this run has {mine}: it "
                "would validate on rows that its teacher was trained on. Give "
                f"--set data.{what}={other}, or a validation table to both."
            )
