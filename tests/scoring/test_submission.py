"""Submissions: both formats are read, everything else is refused with the offenders named."""

import gzip
import json

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.scoring.submission import read_submission
from dream_keras.scoring.suite import load_suite


@pytest.fixture
def submit(suite_files, tmp_path):
    """Write text or bytes to a file and read it as a submission."""

    def read(content, name="submission"):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return read_submission(tmp_path / name, load_suite(suite_files.folder))[:, 0]

    return read


@pytest.fixture
def refused(submit, tmp_path):
    """Read a bad submission; give the message without the file's path in front."""

    def read(content):
        with pytest.raises(UserError) as caught:
            submit(content)
        path, message = str(tmp_path / "submission"), str(caught.value)
        assert message.startswith(path)
        return message.removeprefix(path).lstrip(": ")

    return read


@pytest.fixture
def items(suite_files):
    return {str(row): value for row, value in enumerate(suite_files.predictions.tolist())}


@pytest.fixture
def lines(suite_files):
    return suite_files.tsv_lines()


def json_text(suite_files):
    return suite_files.json_text()


def indented_json_text(suite_files):
    return "\n " + json.dumps(json.loads(suite_files.json_text()), indent=2) + "\n\n"


def tsv_text(suite_files):
    return "\n".join(suite_files.tsv_lines()) + "\n"


def tsv_text_with_header(suite_files):
    return "sequence\tprediction\n" + tsv_text(suite_files)


def windows_tsv_text(suite_files):
    return "\r\n".join(suite_files.tsv_lines()) + "\r\n\r\n"


FORMS = [json_text, indented_json_text, tsv_text, tsv_text_with_header, windows_tsv_text]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encode", [str.encode, lambda text: b"\xef\xbb\xbf" + text.encode()])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["submission.json", "submission.txt.gz"])
def test_accepted_whatever_the_name_says(submit, suite_files, form, encode, compress, name):
    predictions = submit(compress(encode(form(suite_files))), name)
    np.testing.assert_array_equal(predictions, suite_files.predictions)
    assert predictions.dtype == np.float64


def test_all_digits_are_kept(submit, suite_files, random):
    values = random.normal(size=300) * 10.0 ** random.integers(-300, 300, 300)
    np.testing.assert_array_equal(submit(suite_files.json_text(values)), values)
    rows = zip(suite_files.sequences, values.tolist(), strict=True)
    np.testing.assert_array_equal(submit("\n".join(f"{s}\t{v!r}" for s, v in rows)), values)


def test_whole_numbers_are_numbers(submit, items):
    assert submit(json.dumps(items | {"7": 3, "8": 10**30}))[[7, 8]].tolist() == [3, 1e30]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"0": 1.5,\n "1": }', "malformed JSON at line 2, column 7"),
        ('{"0": 1.5', "malformed JSON at line 1, column 10"),
        ('{"0": 1.5} {"1": 2}', "malformed JSON at line 1, column 12: Extra data"),
        ("{'0': 1.5}", "malformed JSON at line 1, column 2"),
        ('{"0": ' + "[" * 200_000, "malformed JSON: nested too deeply"),
    ],
)
def test_malformed_json(refused, text, said):
    assert refused(text).startswith(said)


def test_duplicate_positions(refused, suite_files):
    twice = ", ".join(f'"{row}": 1.5' for row in (9, 2, 2, 4, 250))
    message = refused(suite_files.json_text()[:-1] + ", " + twice + "}")
    named = message.removeprefix("named more than once: ").removesuffix(" and 1 more.")
    assert {*named.split(", ")} < {'"9"', '"2"', '"4"', '"250"'}
    assert len(named.split(", ")) == 3


@pytest.mark.parametrize("key", ["300", "-1", "01", "1.0", " 1", "", "x", "²"])
def test_unknown_position(refused, items, key):
    message = refused(json.dumps(items | {key: 1.5}))
    assert message == (
        f'unknown positions: "{key}". A submission has one prediction for each position '
        "0 to 299 of the suite."
    )


def test_missing_positions(refused, items):
    for row in (17, 3, 299, 250, 4):
        del items[str(row)]
    message = refused(json.dumps(items))
    assert message.startswith("missing positions: 3, 4, 17 and 2 more. A submission has one")


def test_no_positions(refused):
    assert refused("{}").startswith("missing positions: 0, 1, 2 and 297 more.")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("1e999", "Infinity"),
        ("1" + "0" * 400, "Infinity"),
        ('"1.5"', "1.5"),
        ("null", "null"),
        ("true", "true"),
        ("[1.5]", "[1.5]"),
        ('{"a": 1.5}', '[["a", 1.5]]'),
        ('"' + "long" * 20 + '"', "long" * 9 + "l..."),
    ],
)
def test_json_value_that_is_no_finite_number(refused, items, value, shown):
    text = json.dumps(items | {"123": 0.0}).replace('"123": 0.0', f'"123": {value}')
    assert refused(text) == f'predictions that are not finite numbers: "123" ({shown}).'


def test_first_bad_json_values_are_named(refused, items):
    message = refused(json.dumps(items | dict.fromkeys(["5", "6", "7", "8"])))
    assert message.endswith('numbers: "5" (null), "6" (null), "7" (null) and 1 more.')


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "high", "", "1,5", "1_5", "0x1"])
@pytest.mark.parametrize("header", [0, 1])
def test_table_value_that_is_no_finite_number(refused, lines, value, header):
    lines[41] = lines[41].split("\t")[0] + "\t" + value
    message = refused("\n".join(["sequence\tvalue"] * header + lines))
    assert message == f'values that are not finite numbers: line {42 + header} ("{value}").'


def test_first_bad_table_values_are_named(refused, lines):
    text = "\n".join(line.split("\t")[0] + "\tlow" for line in lines)
    message = refused(text)
    assert message.endswith('line 1 ("low"), line 2 ("low"), line 3 ("low") and 297 more.')


@pytest.mark.parametrize("bad", ["ACGT", "ACGT\t1\t2", "ACGT 1.5", "ACGT,1.5", "", "ACGT\t"])
@pytest.mark.parametrize("row", [0, 41, 299])
def test_line_that_is_not_two_columns(refused, lines, bad, row):
    lines[row] = bad
    message = refused("\n".join([*lines, ""]))
    if bad == "" and row != 41:  # Empty lines at either end do no harm, but a row is missing.
        assert message.startswith("has 299 rows")
    elif bad == "ACGT,1.5" and row == 0:  # which decides what separates the columns
        assert message.startswith("lines that are not two columns with a comma between")
    elif bad == "ACGT\t" and row != 299:
        assert message.startswith(f'values that are not finite numbers: line {row + 1} ("")')
    else:
        assert message.startswith("lines that are not two columns with a tab between them: line")
        assert f'line {row + 1} ("{bad.split()[0] if chr(9) in bad else bad}")' in message


def test_missing_row(refused, lines, suite_files):
    del lines[41]
    message = refused("\n".join(lines))
    assert message == (
        f"has 299 rows; the suite {suite_files.folder} has 300, and a submission has all of them "
        f'in order. The first row that differs: line 42 ("{suite_files.sequences[42][:40]}").'
    )


def test_extra_row(refused, lines):
    message = refused("\n".join([*lines, lines[0]]))
    assert message.startswith("has 301 rows; the suite ")
    assert "differs" not in message


def test_header_only(refused):
    assert refused("sequence\tprediction\n").startswith("has 0 rows; the suite ")


def test_rows_in_another_order(refused, lines, suite_files):
    lines[41], lines[200] = lines[200], lines[41]
    message = refused("\n".join(["sequence\tprediction", *lines]))
    first, second = suite_files.sequences[200][:40], suite_files.sequences[41][:40]
    assert message == (
        f'sequences other than the suite\'s at that row: line 43 ("{first}"), line 202 '
        f'("{second}"). A submission has the sequences of {suite_files.folder} in order.'
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\x89PNG\r\n\x1a\n", "is not a text file (see byte 0)"),
        (b"ACGT\t\0\0\0", "is not a text file (it holds zero bytes)"),
        (gzip.compress(b"ACGT\xff", mtime=0), "is not a text file (see byte 4)"),
        (gzip.compress(b"ACGT\t1\n" * 99, mtime=0)[:-9], "is a damaged gzip file"),
        (b"\x1f\x8bxxxxxxxxxxxxxxxxxxxx", "is a damaged gzip file"),
        (b"[1, 2, 3]", "lines that are not two columns"),
    ],
)
def test_other_files(refused, content, said):
    assert refused(content).startswith(said)


def test_no_file(suite_files, tmp_path):
    suite = load_suite(suite_files.folder)
    with pytest.raises(UserError, match=r"no file .*nowhere\.json"):
        read_submission(tmp_path / "nowhere.json", suite)
    with pytest.raises(UserError, match=r"is a folder, not a file"):
        read_submission(tmp_path, suite)
