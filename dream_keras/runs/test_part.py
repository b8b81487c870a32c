"""The test rows of a run's own table, kept in its folder as a scoring suite."""

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from dream_keras.common.errors import UserError, short_list
from dream_keras.common.files import write_text
from dream_keras.data import alphabet
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.duplicates import Keys, pair_strands, strand_keys
from dream_keras.data.parse import Chunk
from dream_keras.data.processor import Processor
from dream_keras.data.sequences import read_fitting
from dream_keras.data.split import NoRowsError, Part
from dream_keras.data.table import ReadSettings
from dream_keras.hub.paths import local_copy
from dream_keras.runs.run import TEST_PART, Run, load_run

SHOWN = 3
"""Rows that a warning names."""
SUITE = "suite.yaml"
ROWS = "rows.tsv"


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableSuite:
    """Rows to test on.

    Attributes:
        suite: Text of the suite's YAML file.
        table: Text of its table.
        keys: Which sequences they are, (rows,); see ``strand_keys``.
        names: The rows' names, or their sequences.
    """

    suite: str
    table: str
    keys: Keys = field(repr=False)
    names: list[str] = field(repr=False)

    def write(self, folder: Path) -> None:
        """Write the suite into a run folder, unless it is there."""
        suite = folder / TEST_PART
        if not (suite / SUITE).exists():
            suite.mkdir(exist_ok=True)
            write_text(suite / ROWS, self.table)
            write_text(suite / SUITE, self.suite)

    def shared(self, keys: Keys) -> list[str]:
        """Return the names of the test rows whose sequence is among ``keys``, on either strand."""
        found = np.flatnonzero(np.isin(self.keys, keys))
        return [self.names[row] for row in found]


def read_test_part(run: Run) -> TableSuite | None:
    """Read the rows that a run is to be tested on, if its config or its table names some.

    Raises:
        UserError: If they cannot be read, or there is only one.
    """
    data = run.experiment.data
    if data.test is None and data.split_column is None:
        return None
    table = data.train if data.split_column else data.test
    tasks = run.task_names
    text, keys, names, inserts = io.StringIO(), [], [], []
    text.write("\t".join(["name", "sequence", *(f"value {task}" for task in tasks)]) + "\n")
    settings = data.reading("test")
    # Whoever predicts the suite puts the adapters on again.
    left, right = map(len, ProcessorAdapters(run.processor, settings.adapters).ends)
    for chunk in _test_rows(local_copy(str(table)), run.processor, settings):
        keys.append(strand_keys(chunk.tokens, chunk.lengths))
        sequences = [
            alphabet.decode(row[left : length - right])
            for row, length in zip(chunk.tokens, chunk.lengths, strict=True)
        ]
        names += chunk.names or sequences
        inserts += sequences
        for name, sequence, values in zip(
            chunk.names or sequences, sequences, chunk.values, strict=True
        ):
            cells = ["NA" if np.isnan(value) else repr(float(value)) for value in values]
            text.write("\t".join([name.replace("\t", " "), sequence, *cells]) + "\n")
    if not names:
        log.info("%s names no test rows: the run is not scored", table)
        return None
    if len(names) < 2:
        raise UserError(f"{table}: {len(names)} test rows are too few to score")
    first, second = pair_strands(inserts).T
    declared = _declare(run, Path(str(table)).name, bool((first != second).any()))
    return TableSuite(declared, text.getvalue(), np.concatenate(keys), names)


def _test_rows(table: Path, processor: Processor, settings: ReadSettings) -> Iterator[Chunk]:
    """Yield the test rows of a table; there may be none if its column names none."""
    try:
        yield from read_fitting(table, processor, settings)
    except NoRowsError as error:
        if error.named:
            raise


def warn_of_shared(test: TableSuite, keys: Keys, where: str) -> None:
    """Warn of test rows that are among other rows, on either strand.

    Args:
        test: The test rows.
        keys: Of the other rows; see ``strand_keys``.
        where: What these are.
    """
    shared = test.shared(keys)
    if shared:
        log.warning(
            "%s of %s test rows stand among %s too, on the same strand or the other (%s): their "
            "score is better than that of new sequences",
            f"{len(shared):,}",
            f"{len(test.names):,}",
            where,
            short_list(shared[:SHOWN]),
        )


def warn_of_rows_seen(test: TableSuite, source: Run) -> None:
    """Warn of test rows that a run was trained or validated on, whose weights training starts from.

    The runs that this one started from count too.
    """
    origin = source.experiment.init_from
    if origin is not None:
        warn_of_rows_seen(test, load_run(origin))
    try:
        keys = [
            strand_keys(chunk.tokens, chunk.lengths)
            for table, part in _tables_seen(source)
            for chunk in read_fitting(table, source.processor, source.experiment.data.reading(part))
        ]
    except UserError as error:
        log.warning("whether %s was trained on test rows is not known: %s", source.folder, error)
    else:
        warn_of_shared(test, np.concatenate(keys), f"the rows that {source.folder} was trained on")


def _tables_seen(run: Run) -> Iterator[tuple[Path, Part]]:
    """Yield the tables that a run was trained and validated on, or the one with both parts."""
    train, validation = run.tables()
    if run.experiment.data.split_column is not None:
        validation = train
    named: list[tuple[str | None, Part]] = [(train, "train"), (validation, "validation")]
    for table, part in named:
        if table is None:
            continue
        path = local_copy(table)
        if path.is_dir():
            raise UserError(f"{path} is a prepared folder, which has no sequences as they were")
        yield path, part


def _declare(run: Run, table: str, both_strands: bool) -> str:
    """Return the suite's declaration: one subset for each task, equal weights.

    Args:
        run: The run.
        table: Name of the table.
        both_strands: Whether some sequences stand there on both strands: a subset in which they
            count once is shown too.
    """
    tasks = run.task_names
    subsets: dict[str, object] = {task: {"weight": 1, "target": task} for task in tasks}
    if both_strands:
        subsets |= {
            f"{task} by region": {"weight": 0, "target": task, "mean_of_strands": True}
            for task in tasks
        }
    declared = {
        "name": f"test rows of {table}",
        "table": ROWS,
        "columns": {"sequence": "sequence", "targets": {task: f"value {task}" for task in tasks}},
        "scores": {"pearson": "weighted_mean_r", "spearman": "weighted_mean_rho"},
        "subsets": subsets,
    }
    if run.processor.reverse_mark:
        declared["reverse"] = {"column": "name", "contains": run.processor.reverse_mark}
    return yaml.safe_dump(declared, sort_keys=False)
