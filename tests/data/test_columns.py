"""Delimiters, quotes, headers: the same rows whatever form a table has."""

import csv
import io
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.data import table
from dream_keras.data.alphabet import decode
from dream_keras.data.columns import Columns
from dream_keras.data.table import ReadSettings, load_rows, read_chunks
from dream_keras.menu.autosome import AutosomeProcessor
from dream_keras.menu.bhi import BHIProcessor

ADAPTER = "TGCATTTTTTTCACATC"
ROWS = [(f"p{n}", f"{ADAPTER}{bases}", n + 0.5) for n, bases in enumerate(["ACGT", "GGGG", "TTAA"])]


def write(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path, columns=Columns()):  # noqa: B008
    """Return names, sequences, values and bad rows of a table."""
    chunks = list(read_chunks(path, columns))
    sequences = [decode(t[:n]) for c in chunks for t, n in zip(c.tokens, c.lengths, strict=True)]
    values = np.concatenate([c.values for c in chunks])
    names = [name for c in chunks for name in c.names or []]
    return names, sequences, values, [bad for c in chunks for bad in c.bad]


def refused(path, settings=ReadSettings(), processor=None):  # noqa: B008
    with pytest.raises(UserError) as caught:
        load_rows(path, processor or AutosomeProcessor(), settings)
    assert len(str(caught.value)) < 900
    return str(caught.value)


def form(rows, header, delimiter, quoting=csv.QUOTE_MINIMAL, end="\n"):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([header, *rows] if header else rows)
    return text.getvalue()


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["plain", "quoted"])
@pytest.mark.parametrize("delimiter", "\t,;")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_form_gives_the_same_rows(tmp_path, delimiter, quoting, end):
    _, sequences, values = zip(*ROWS, strict=True)
    for header in (["id", "Sequence", "y"], None):
        rows = ROWS if header else [row[1:] for row in ROWS]
        path = write(tmp_path, form(rows, header, delimiter, quoting, end))
        _, got, found, bad = read(path)
        assert (tuple(got), tuple(found[:, 0]), bad) == (sequences, values, [])


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0\x1f"))


@given(
    rows=st.lists(
        st.tuples(
            st.text("ACGTNacgtn", min_size=1, max_size=30),
            st.floats(-1e30, 1e30).map(repr),
            CELLS.map(lambda cell: cell.replace("\n", " ").strip()),
            CELLS,
        ),
        min_size=1,
        max_size=12,
    ),
    order=st.permutations(["seq", "y", "id", "note"]),
    delimiter=st.sampled_from("\t,;"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    block=st.sampled_from([1, 64, 1 << 20]),
)
@example([("ACGT", "1.5", "", 'a "b",\n;c')], ["note", "seq", "id", "y"], ",", csv.QUOTE_MINIMAL, 1)
def test_tables_are_read_as_by_the_csv_module_and_pandas(
    tmp_path_factory, rows, order, delimiter, quoting, block
):
    cells = [dict(zip(["seq", "y", "id", "note"], row, strict=True)) for row in rows]
    text = form([[row[name] for name in order] for row in cells], order, delimiter, quoting)
    path = write(tmp_path_factory.mktemp("random"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "BLOCK", block)
        patch.setattr(table, "RECORDS", 5)
        names, sequences, values, bad = read(path, Columns("seq", ("y",), "id"))
    assert not bad
    wanted = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    assert sequences == [row["seq"].upper() for row in wanted]
    assert names == [row["id"] for row in wanted]
    frame = pd.read_csv(path, sep=delimiter, keep_default_na=False, dtype=str)
    assert sequences == frame["seq"].str.upper().tolist()
    assert values[:, 0].tolist() == frame["y"].map(float).tolist()


def test_line_numbers_behind_quoted_line_breaks(tmp_path):
    text = f'seq,y,note\n{ADAPTER}AC,1,"two\nlines"\n{ADAPTER}AX,2,\n'
    message = refused(write(tmp_path, text), ReadSettings(Columns("seq", ("y",))))
    assert "table.csv:4: letter 'X' at position 19" in message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f'{ADAPTER}AC,"1', ":3: malformed quotes: a double quote is opened and not closed"),
        (f'{ADAPTER}AC,"1" x', ":3: malformed quotes: ',' expected after '\"'"),
    ],
)
def test_malformed_quotes_are_named(tmp_path, row, said):
    path = write(tmp_path, f"seq,y\n{ADAPTER}AC,1\n{row}\n{ADAPTER}AC,1\n")
    assert said in refused(path)


def test_a_quote_within_a_field_is_a_letter(tmp_path):
    path = write(tmp_path, 'id,seq,y\n5"-end,ACGT,1\n"a ""b""",ACGT,2\n')
    names, _, values, bad = read(path, Columns("seq", ("y",), "id"))
    assert names == ['5"-end', 'a "b"']
    assert values[:, 0].tolist() == [1, 2]
    assert not bad


def test_blank_lines_are_nothing_in_csv_and_bad_rows_between_tabs(tmp_path):
    text = f"seq,y\n{ADAPTER}AC,1\n\n{ADAPTER}AC,2\n\n\n"
    for same in (text, text.replace(",2", ',"2"')):
        assert read(write(tmp_path, same))[2][:, 0].tolist() == [1, 2]
        bad = read(write(tmp_path, same.replace(",", "\t")))[3]
        assert [(row.line, row.reason) for row in bad] == [(3, "columns")]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("seq\ty, log2", "\t"), ("seq;y, log2", ";"), ('"seq","y; log2"', ","), ("y,seq\tb", None)],
)
def test_a_header_decides_what_separates_the_columns(tmp_path, header, delimiter):
    rows = [f"{ADAPTER}AC{delimiter}1\n"] * 2
    path = write(tmp_path, f"{header}\n{''.join(rows)}")
    if delimiter is None:
        message = refused(path)
        assert "may be separated by tab (2 columns) or comma (2 columns)" in message
        assert "in double quotes" in message
    else:
        assert len(load_rows(path, AutosomeProcessor())) == 2


def test_what_was_taken_is_logged(tmp_path, caplog):
    path = write(tmp_path, form(ROWS, ["id", "SEQUENCE", "y"], ","))
    with caplog.at_level(logging.INFO):
        assert len(load_rows(path, AutosomeProcessor())) == 3
    assert f"{path}: sequences from column SEQUENCE, values from column y" in caplog.text


def test_the_index_that_pandas_writes_is_no_value(tmp_path):
    frame = pd.DataFrame({"seq": [row[1] for row in ROWS], "y": [1.0, 2, np.nan]})
    frame.to_csv(tmp_path / "own.csv")
    settings = ReadSettings(on_bad_row="skip")
    assert load_rows(tmp_path / "own.csv", AutosomeProcessor(), settings).labels[:, 0].tolist() == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("header", "columns", "said"),
    [
        (
            "id,insert,y",
            Columns(),
            "header (id, insert, y). Name its columns with --sequence-column",
        ),
        ("id,insert,y", Columns(targets=("y",)), "no column is called sequence; its columns: id"),
        ("seq,sequence,y", Columns(), "several columns may hold the sequences"),
        ("n,seq,y", Columns(), "2 columns hold numbers; its columns: n, seq, y. Name one"),
        ("n,sec,y", Columns("seq", ("y",)), 'unknown column .* "seq"'),
        ("y,seq,y", Columns("seq", ("y",)), 'more than one column "y". Rename one'),
        ("seq,seq,y", Columns(), 'more than one column "seq". Rename one'),
    ],
)
def test_headers_that_do_not_say_enough(tmp_path, header, columns, said):
    first = ADAPTER + "ACGT" if header.startswith("seq") else "1"
    path = write(tmp_path, f"{header}\n{first},{ADAPTER}AC,2\n")
    message = refused(path, ReadSettings(columns))
    assert said in message or said.split(" .*")[0] in message
    assert "skip" not in message


def test_names_for_one_of_two_columns_are_enough(tmp_path):
    path = write(tmp_path, form([(n, s, n, y) for n, s, y in ROWS], ["a", "seq", "b", "y"], ";"))
    assert read(path, Columns(targets=("y",)))[2][:, 0].tolist() == [0.5, 1.5, 2.5]
    path = write(tmp_path, form([(s, 7, y) for _, s, y in ROWS], ["insert", "n", "y"], ";"))
    assert read(path, Columns("insert", None, "n"))[2][:, 0].tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seq;y\n{s};1,5\n{s};2,5\n", "'1,5' has a decimal comma; numbers have a point. No row"),
        ("{s};1,5\n{s};2,5\n", "Write the table with decimal points"),
        ("1,{s},2\n2,{s},3\n", "expected 2 comma-separated columns, found 3"),
        ("seq,y\nMKV,1\nMAD,2\n", "Is this the column of the sequences? --sequence-column"),
    ],
)
def test_skipping_is_not_advised_when_every_row_is_bad(tmp_path, text, said):
    path = write(tmp_path, text.format(s=f"{ADAPTER}ACGT"))
    for on_bad_row in ("fail", "skip"):
        message = refused(path, ReadSettings(on_bad_row=on_bad_row))
        assert said in message
        assert "No row among the first 2 can be used" in message
        assert "--on-bad-row" not in message
        assert "-separated columns (" in message


def test_rows_that_are_too_short_may_lack_their_adapters(tmp_path):
    path = write(tmp_path, "seq,y\nACGT,1\nACGT,2\n")
    assert "--set data.adapters=add puts them on" in refused(path, processor=BHIProcessor())
    added = ReadSettings(adapters="add")
    assert len(load_rows(path, BHIProcessor(), added)) == 2


def test_fasta_is_no_table(tmp_path):
    assert "is a FASTA file" in refused(write(tmp_path, f">p1\n{ADAPTER}ACGT\n"))
