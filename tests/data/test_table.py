import gzip
import io
import logging
import sys

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.data import table
from dream_keras.data.alphabet import decode
from dream_keras.data.columns import OFFICIAL, Columns
from dream_keras.data.table import ReadSettings, load_rows, read_chunks, tokenize
from dream_keras.menu.autosome import AutosomeProcessor

ADAPTER = "TGCATTTTTTTCACATC"
GOOD = f"{ADAPTER}ACGT\t1.5\n"


def write(tmp_path, content, name="table.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def sequences(chunk):
    return [decode(t[:n]) for t, n in zip(chunk.tokens, chunk.lengths, strict=True)]


def read(path, columns=OFFICIAL):
    chunks = list(read_chunks(path, columns))
    return (
        [s for c in chunks for s in sequences(c)],
        np.concatenate([c.values for c in chunks]),
        [b for c in chunks for b in c.bad],
    )


@pytest.mark.parametrize(
    "content",
    [
        "ACGT\t1.5\nNNAC\t-2e1\n",
        "acgt\t1.5\nnnAC\t-20\n",
        "ACGT\t1.5\r\nNNAC\t-20.0\r\n",
        "\ufeffACGT\t1.5\nNNAC\t-20",
        "ACGT\t+1.5\nNNAC\t-20\n\n\n",
        gzip.compress(b"ACGT\t1.5\nNNAC\t-20\n"),
    ],
    ids=["plain", "lower case", "windows", "byte-order mark, no last newline", "blank end", "gzip"],
)
def test_accepted_forms_give_the_same_rows(tmp_path, content):
    got, values, bad = read(write(tmp_path, content))
    assert got == ["ACGT", "NNAC"]
    assert values.tolist() == [[1.5], [-20.0]]
    assert not bad


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 20])
def test_block_size_changes_nothing(tmp_path, monkeypatch, random, block):
    rows = [
        ("".join(random.choice(list("ACGTN"), random.integers(1, 30))), random.normal())
        for _ in range(50)
    ]
    path = write(tmp_path, "".join(f"{s}\t{v!r}\n" for s, v in rows).replace("np.float64", ""))
    text = "".join(f"{s}\t{float(v)!r}\n" for s, v in rows)
    path.write_text(text)
    monkeypatch.setattr(table, "BLOCK", block)
    got, values, _ = read(path)
    assert got == [s for s, _ in rows]
    assert values[:, 0].tolist() == [float(v) for _, v in rows]


@pytest.mark.parametrize(
    ("line", "reason", "said"),
    [
        ("ACGT", "columns", "expected 2 tab-separated columns, found 1"),
        ("ACGT\t1\t2", "columns", "found 3"),
        ("", "columns", "found 0"),
        ("ACGU\t1", "letter", "letter 'U' at position 4"),
        ("AC GT\t1", "letter", "letter ' ' at position 3"),
        ("\t1", "empty", "the sequence is empty"),
        ("ACGT\t", "number", "'' is not a finite number"),
        ("ACGT\tabc", "number", "'abc' is not a finite number"),
        ("ACGT\tnan", "number", "'nan'"),
        ("ACGT\tinf", "number", "'inf'"),
        ("ACGT\t1_5", "number", "'1_5' is not a finite number"),
        ("ACGT\t1,5", "number", "'1,5' has a decimal comma; numbers have a point"),
        ("ACGT\t1e39", "number", "'1e39'"),
        ("ACGTACGTACGTACGTA\t1", "short", "17 bp; the processor takes 18 or more"),
        ("ACGT\t" + "1" * 70, "number", "is not a finite number"),
        ("A" * 5000 + "\t1", "length", "5000 letters"),
    ],
)
def test_bad_rows_are_named_skipped_and_counted(tmp_path, caplog, line, reason, said):
    path = write(tmp_path, f"{GOOD}{line}\n{GOOD}")
    with pytest.raises(UserError) as error:
        load_rows(path, AutosomeProcessor())
    assert f"{path}:2: " in str(error.value)
    assert said in str(error.value)
    assert "--on-bad-row skip" in str(error.value)
    with caplog.at_level(logging.WARNING):
        rows = load_rows(path, AutosomeProcessor(), ReadSettings(on_bad_row="skip"))
    assert len(rows) == 2
    text = line.split("\t")[0] if reason == "short" else line
    assert [(b.line, b.reason, b.text) for b in rows.skipped] == [(2, reason, text)]
    assert f"1 bad rows (1 {reason})" in caplog.text


def test_line_numbers_count_from_the_start_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BLOCK", 32)
    path = write(tmp_path, GOOD * 20 + "ACGX\t1\n" + GOOD)
    with pytest.raises(UserError, match=r"table\.txt:21: "):
        load_rows(path, AutosomeProcessor())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "missing.txt", "no file"),
        (lambda p: p, "is a folder"),
        (lambda p: write(p, b""), "is empty"),
        (lambda p: write(p, b"\x00\x01\x02\n"), "not a text file"),
        (lambda p: write(p, b"A\tb\n".decode().encode("utf-16")), "not a text file"),
        (lambda p: write(p, b"\n\n"), "no usable row"),
        (lambda p: write(p, gzip.compress(GOOD.encode() * 99)[:-9]), "damaged gzip"),
    ],
    ids=["missing", "folder", "empty", "binary", "utf-16", "only blank lines", "cut gzip"],
)
def test_files_that_are_no_table(tmp_path, make, said):
    with pytest.raises(UserError, match=said):
        load_rows(make(tmp_path), AutosomeProcessor())


HEADER = "id\tseq\tdev\thk\n1\tACGT\t1.5\t-1\n2\tGGGG\t2.5\t-2\n"


def test_named_columns_and_several_targets(tmp_path):
    columns = Columns("seq", ("hk", "dev"))
    got, values, bad = read(write(tmp_path, HEADER), columns)
    assert got == ["ACGT", "GGGG"]
    assert values.tolist() == [[-1, 1.5], [-2, 2.5]]
    assert not bad


def test_missing_values_of_several_targets(tmp_path):
    text = "seq\tdev\thk\nACGT\tNA\t1\nGGGG\t2.5\t\nCCCC\tnan\tNaN\nTTTT\tx\t1\n"
    got, values, bad = read(write(tmp_path, text), Columns("seq", ("dev", "hk")))
    assert got == ["ACGT", "GGGG"]
    np.testing.assert_array_equal(values, [[np.nan, 1], [2.5, np.nan]])
    assert [(row.line, row.reason) for row in bad] == [(4, "number"), (5, "number")]
    assert bad[0].detail == "all of its values are missing"
    # Of one target there is nothing to train on without it.
    assert len(read(write(tmp_path, text), Columns("seq", ("dev",)))[2]) == 3


def test_wrong_column_name_offers_the_nearest(tmp_path):
    path = write(tmp_path, HEADER)
    with pytest.raises(UserError, match=r'unknown column .* "sec".*Did you mean "seq"'):
        read(path, Columns("sec", ("dev",)))


@pytest.mark.parametrize("value", ["1e39", "17-Sep", "", "-", "NA"])
def test_a_bad_first_value_is_no_header(tmp_path, value):
    path = write(tmp_path, f"{GOOD.split()[0]}\t{value}\n{GOOD}")
    with pytest.raises(UserError, match=r":1: .* is not a finite number. Correct the row"):
        load_rows(path, AutosomeProcessor())


def test_a_column_name_that_stands_twice_is_refused(tmp_path):
    path = write(tmp_path, f"seq\ty\ty\n{GOOD.strip()}\t2\n")
    with pytest.raises(UserError, match=r'has more than one column "y". Rename one'):
        load_rows(path, AutosomeProcessor(), ReadSettings(Columns("seq", ("y",))))


def test_long_headers_are_cut_short_in_messages(tmp_path):
    names = [f"column{number}" for number in range(2_000)]
    path = write(tmp_path, "\t".join(names) + "\n")
    with pytest.raises(UserError, match=r"and others, 2000 in all\.") as error:
        load_rows(path, AutosomeProcessor(), ReadSettings(Columns("seq", ("y",))))
    assert len(str(error.value)) < 600


def test_old_line_ends_comments_and_blank_lines(tmp_path):
    plain = read(write(tmp_path, GOOD * 3))
    for text in ((GOOD * 3).replace("\n", "\r"), f"# made by hand\n\n# so\n{GOOD * 3}"):
        got, values, bad = read(write(tmp_path, text))
        assert got == plain[0]
        np.testing.assert_array_equal(values, plain[1])
        assert not bad
    path = write(tmp_path, f"# one\n\n{GOOD}ACGX\t1\n")
    with pytest.raises(UserError, match=r"table\.txt:4: letter 'X'"):
        load_rows(path, AutosomeProcessor())


def test_long_rows_fail_with_their_count_or_are_dropped_or_cropped(tmp_path):
    long = f"{ADAPTER}{'A' * 151}\t1\n"
    path = write(tmp_path, GOOD + long * 3)
    said = r"3 sequences .* 167 bp .* 168.*model\.processor\.length=168\. .*drop.*crop"
    with pytest.raises(UserError, match=said):
        load_rows(path, AutosomeProcessor())
    assert len(load_rows(path, AutosomeProcessor(length=168))) == 4
    assert len(load_rows(path, AutosomeProcessor(), ReadSettings(long_rows="drop"))) == 1
    cropped = load_rows(path, AutosomeProcessor(), ReadSettings(long_rows="crop"))
    assert len(cropped) == 4
    assert (cropped.tokens[1] == 0).all()


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert len(load_rows("-", AutosomeProcessor())) == 1


def test_max_rows_stops_early(tmp_path):
    path = write(tmp_path, GOOD * 9)
    assert len(load_rows(path, AutosomeProcessor(), ReadSettings(max_rows=4))) == 4


def test_tokenize_refuses_by_number():
    with pytest.raises(UserError, match="sequence 2: letter 'X'"):
        tokenize(["ACGT", "AXGT"], 150)
    with pytest.raises(UserError, match="sequence 1 has 4 bp; the processor takes 3"):
        tokenize(["ACGT", "AC"], 3)


@pytest.mark.data
def test_every_real_table_is_read(real_data):
    rows = load_rows(real_data / "dream/train_sample.txt", AutosomeProcessor())
    lines = (real_data / "dream/train_sample.txt").read_text().splitlines()
    assert len(rows) == len(lines) == 6370
    np.testing.assert_array_equal(
        rows.labels[:, 0], np.array([float(line.split("\t")[1]) for line in lines], np.float32)
    )
    human = Columns("seq", ("mean_value",))
    assert len(read(real_data / "human_mpra/sample_train.txt", human)[0]) == 1000
    fly = Columns("Sequence", ("Dev_log2_enrichment", "Hk_log2_enrichment"))
    assert read(real_data / "drosophila/sample_train.txt", fly)[1].shape == (1000, 2)
