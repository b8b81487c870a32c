"""Sequences to predict: which are left out, which stop the command, and what is said."""

import dataclasses

import pytest

from dream_keras.common.errors import UserError
from dream_keras.data import sequences
from dream_keras.data.alphabet import decode
from dream_keras.data.columns import SEQUENCES, Columns
from dream_keras.data.sequences import read_fitting
from dream_keras.data.table import ReadSettings
from dream_keras.menu.autosome import AutosomeProcessor

LEFT = "TGCATTTTTTTCACATC"
GOOD, OTHER = f"{LEFT}ACGT", f"{LEFT}GGGG"
LONG, SHORT, BAD = f"{LEFT}{'A' * 151}", "TGCA", f"{LEFT}ACXT"
ROWS = {"g": GOOD, "long": LONG, "short": SHORT, "bad": BAD, "none": "", "o": OTHER}


def settings(on_bad_row="fail", long_rows="fail", columns=SEQUENCES, **more):
    return ReadSettings(columns, on_bad_row, long_rows, **more)


def write(tmp_path, text):
    (tmp_path / "in").write_text(text)
    return tmp_path / "in"


def fasta(rows):
    return "".join(f">{name} described\n{sequence}\n" for name, sequence in rows.items())


def read(path, given):
    """Return names and sequences, and names, lines and reasons of what is left out."""
    chunks = list(read_fitting(path, AutosomeProcessor(), given))
    kept = [
        (name, decode(tokens[:length]))
        for chunk in chunks
        for name, tokens, length in zip(chunk.names, chunk.tokens, chunk.lengths, strict=True)
    ]
    return kept, [(row.name, row.line, row.reason) for chunk in chunks for row in chunk.bad]


@pytest.mark.parametrize("records", [1, 2, 50])
@pytest.mark.parametrize("on_bad_row", ["skip", "nan"])
def test_what_cannot_be_predicted_is_left_out_of_fasta(tmp_path, monkeypatch, on_bad_row, records):
    monkeypatch.setattr(sequences, "RECORDS", records)
    path = write(tmp_path, "; a comment\n" + fasta(ROWS))
    kept, left_out = read(path, settings(on_bad_row, "drop"))
    assert kept == [("g", GOOD), ("o", OTHER)]
    expected = [("long", 4), ("short", 6), ("bad", 8), ("none", 10)]
    reasons = ["long", "short", "letter", "empty"]
    assert left_out == [(*at, why) for at, why in zip(expected, reasons, strict=True)]
    kept, left_out = read(path, settings(on_bad_row, "crop"))
    assert kept == [("g", GOOD), ("long", LONG), ("o", OTHER)]
    assert len(left_out) == 3


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_and_of_tables_with_ids(tmp_path, delimiter):
    rows = {name: sequence for name, sequence in ROWS.items() if name != "none"}
    lines = [delimiter.join(["id", "seq"]), *(delimiter.join(row) for row in rows.items())]
    path = write(tmp_path, "\n".join(lines))
    kept, left_out = read(path, settings("skip", "drop", Columns(targets=(), id="id")))
    assert kept == [("g", GOOD), ("o", OTHER)]
    assert left_out == [("long", 3, "long"), ("short", 4, "short"), ("bad", 5, "letter")]
    # Without ids a sequence is called by itself, in capitals if it is one.
    kept, left_out = read(path, settings("skip", "drop"))
    assert kept == [(GOOD, GOOD), (OTHER, OTHER)]
    assert [name for name, _, _ in left_out] == [LONG, SHORT, BAD]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("short", "in:3: record 'short': the sequence has 4 bp; the processor takes 18 or more"),
        ("bad", "in:3: record 'bad': letter 'X' at position 20"),
        ("none", "in:3: record 'none': the sequence is empty"),
        ("long", "in:3: sequence 'long' has 168 bp; the processor takes at most 167"),
    ],
)
def test_by_default_the_first_one_stops_with_remedies_that_work(tmp_path, wrong, said):
    path = write(tmp_path, fasta({"g": GOOD, wrong: ROWS[wrong], "o": OTHER}))
    with pytest.raises(UserError) as caught:
        read(path, settings())
    assert said in str(caught.value)
    option, values = (
        ("long_rows", ("drop", "crop"))
        if wrong == "long"
        else (
            "on_bad_row",
            ("skip", "nan"),
        )
    )
    for value in values:
        assert f"--{option.replace('_', '-')} {value}" in str(caught.value)
        kept, _ = read(path, dataclasses.replace(settings(), **{option: value}))
        assert [name for name, _ in kept if name != "long"] == ["g", "o"]


@pytest.mark.parametrize("text", [f"{BAD}\n{BAD}\n", fasta({"a": BAD, "b": ""})])
def test_skipping_is_not_advised_when_all_are_bad(tmp_path, text):
    path = write(tmp_path, text)
    for on_bad_row in ("fail", "skip"):
        with pytest.raises(UserError, match="among the first 2 can be used") as caught:
            read(path, settings(on_bad_row))
        assert "--on-bad-row" not in str(caught.value)
    assert read(path, settings("nan"))[0] == []


def test_nothing_left_is_said(tmp_path):
    path = write(tmp_path, f"{LONG}\n")
    with pytest.raises(UserError, match="all of its sequences are left out"):
        read(path, settings(long_rows="drop"))


def test_inserts_need_their_adapters(tmp_path):
    path = write(tmp_path, f"{'ACGT' * 20}\n{'GGCC' * 20}\n")
    with pytest.raises(UserError, match=r"--adapters add .*--adapters LEFT,RIGHT"):
        read(path, settings())
    names, found = zip(*read(path, settings(adapters="add"))[0], strict=True)
    assert names == ("ACGT" * 20, "GGCC" * 20)
    assert found == tuple(f"{LEFT}{name}GGTTACGGCTGTT" for name in names)


def test_a_semicolon_begins_a_comment_or_a_table(tmp_path):
    text = f";seq;y\n0;{GOOD};1\n1;{OTHER};2\n"
    assert [name for name, _ in read(write(tmp_path, text), settings())[0]] == [GOOD, OTHER]
    for comment in ("; made by hand; checked\n", ";one\n;two\n"):
        assert read(write(tmp_path, comment + fasta({"g": GOOD})), settings())[0] == [("g", GOOD)]
    assert read(write(tmp_path, f"; by hand\n{GOOD}\n"), settings())[0] == [(GOOD, GOOD)]


def test_a_header_without_the_usual_name_is_called_one(tmp_path):
    path = write(tmp_path, f"insert,y\n{GOOD},1\n")
    with pytest.raises(UserError, match=r"header \(insert, y\)\. Name .*--sequence-column\.$"):
        read(path, settings())
    assert read(path, settings(columns=Columns("insert", ())))[0] == [(GOOD, GOOD)]
