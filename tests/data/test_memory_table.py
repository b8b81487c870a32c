"""Rows given in memory: what is refused, and that a kept table holds the same rows."""

import numpy as np
import pandas as pd
import pytest

from dream_keras.common.errors import UserError
from dream_keras.data.columns import Columns
from dream_keras.data.memory import TRAIN, VALIDATION, MemoryTable, in_memory, listed
from dream_keras.data.table import read_chunks

SEQUENCES = ["ACGTACGTACGTACGTACGTA", "GGGGGGGGGGCCCCCCCCCCN"]


@pytest.mark.parametrize(
    ("sequences", "targets", "said"),
    [
        ("ACGT", [1], "sequences: expected a list of sequences, got str"),
        (5, [1], "sequences: expected a list of sequences, got int"),
        ([], [], "sequences: there is no sequence in it"),
        (["ACGT", None], [1, 2], r"sequences\[1\]: expected text, got NoneType"),
        (["ACGT", 7.5], [1, 2], r"sequences\[1\]: expected text, got float"),
        (["ACGT", ""], [1, 2], r"sequences\[1\]: expected one sequence, got \'\'"),
        (["AC\tGT"], [1], r"sequences\[0\]: expected one sequence, got \'AC"),
        (["AC\n" + "GT" * 5000], [1], r"got .{40,60}\.\.\.$"),
        (SEQUENCES, [1], "2 sequences and 1 targets"),
        (SEQUENCES, [[[1]], [[2]]], r"\(rows, tasks\), got one of shape \(2, 1, 1\)"),
        (SEQUENCES, 5, r"got one of shape \(\)"),
        (SEQUENCES, ["a", "b"], "targets: expected numbers"),
        (SEQUENCES, [1, np.nan], r"targets: row 1 is NaN \(1 such rows\)"),
        (SEQUENCES, [np.inf, 1], "targets: row 0 is infinite"),
        (SEQUENCES, [[1, 2], [np.nan, np.nan]], "targets: row 1 is NaN"),
    ],
)
def test_what_is_refused(sequences, targets, said):
    with pytest.raises(UserError, match=said) as refused:
        MemoryTable.of(sequences, targets)
    assert len(str(refused.value)) < 300


FRAME = pd.DataFrame({"seq": SEQUENCES, "liver": [1.0, 2.0], "brain": [5.0, 3.0], "lung": "x"})


@pytest.mark.parametrize(
    ("files", "rows", "columns", "said"),
    [
        ([["ACGT"], None], [], {}, "train: expected a path or a pandas DataFrame, got list"),
        ([FRAME, None], [], {}, "DataFrame train: which column .* seq, liver, brain"),
        ([FRAME, None], [], {"seq": ["livr"]}, 'train "livr". Did you mean "liver"'),
        ([FRAME, None], [], {"seq": ["lung"]}, "train: column lung holds no numbers"),
        (["file", None], [SEQUENCES, [1, 2]], {}, "give either train or sequences and targets"),
        ([None, None], [SEQUENCES], {}, "sequences and targets go together"),
        (["file", FRAME], [], {}, "DataFrame validation: which column"),
        (["file", None], [None, None, SEQUENCES, [1, 2]], {}, "need the names of the file"),
        ([None, None], [None, None, SEQUENCES, [1, 2]], {}, "need training rows"),
        (
            [None, None],
            [SEQUENCES, [1, 2], SEQUENCES, [[1, 2], [3, 4]]],
            {},
            "training and validation rows have",
        ),
        ([None, None], [SEQUENCES, [1, 2]], {"seq": ["a", "b"]}, "target_columns names 2: a, b"),
    ],
)
def test_what_does_not_go_together(files, rows, columns, said):
    rows = [*rows, *[None] * (4 - len(rows))]
    sequence, targets = next(iter(columns.items()), (None, ()))
    with pytest.raises(UserError, match=said):
        in_memory(
            {"train": files[0], "validation": files[1]},
            {"train": (rows[0], rows[1]), "validation": (rows[2], rows[3])},
            sequence,
            targets,
        )


def test_a_kept_table_is_read_back_bit_by_bit(tmp_path, random):
    values = random.normal(0, 1e3, (2, 3))
    values[1, 2] = np.nan
    table = MemoryTable.of(np.array(SEQUENCES), values)
    table.keep(tmp_path / "train.tsv")
    columns = Columns(table.sequence_column, table.target_columns)
    (chunk,) = read_chunks(tmp_path / "train.tsv", columns)
    assert not chunk.bad
    np.testing.assert_array_equal(chunk.values, values)
    table.keep(tmp_path / "train.tsv")  # the same rows again
    other = MemoryTable.of(SEQUENCES, values + 1)
    with pytest.raises(UserError, match=r"row 0 is not that of .*train\.tsv"):
        other.keep(tmp_path / "train.tsv")
    with pytest.raises(UserError, match="more rows"):
        MemoryTable.of(SEQUENCES[:1], values[:1]).keep(tmp_path / "train.tsv")


def test_a_data_frame_is_the_same_as_its_columns():
    frame = FRAME.assign(brain=pd.array([None, 3], dtype="Int64"))
    tables = in_memory(
        {"train": frame, "validation": frame},
        {"train": (None, None), "validation": (None, None)},
        "seq",
        ["liver", "brain"],
    )
    assert set(tables) == {TRAIN, VALIDATION}
    assert tables[TRAIN].sequences == SEQUENCES
    np.testing.assert_array_equal(tables[TRAIN].targets, [[1, np.nan], [2, 3]])


def test_series_and_arrays_of_texts_are_lists():
    assert listed(pd.Series(SEQUENCES)) == listed(np.array(SEQUENCES)) == SEQUENCES


def test_usual_columns_of_a_frame_need_no_names():
    frame = pd.DataFrame({"id": ["a", "b"], "Sequence": SEQUENCES, "activity": [1.5, np.nan]})
    table = in_memory({"train": frame[:1], "validation": None}, NO_ROWS, None, ())[TRAIN]
    assert (table.sequence_column, table.target_columns) == ("Sequence", ("activity",))
    assert table.targets.tolist() == [[1.5]]


NO_ROWS = {"train": (None, None), "validation": (None, None)}
