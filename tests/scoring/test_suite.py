"""Which rows belong to which part, and what a suite's folder may not be."""

import json
import shutil

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.scoring.suite import load_suite

NAMES = ["all", "high", "low", "yeast", "random", "challenging"]
NAMES += ["SNVs", "motif_perturbation", "motif_tiling"]
# Known from the design in conftest.py. 88 rows are named somewhere in the public lists (17 of
# them only in lists of motif pairs), two of these are random rows.
SIZES = {
    "private": (212, 14, 14, 14, 68, 22, 20, 19, 24),
    "public": (71, 6, 6, 6, 30, 8, 7, 5, 6),
    "all": (300, 20, 20, 20, 100, 30, 27, 24, 30),
}


def refused(folder):
    with pytest.raises(UserError) as caught:
        load_suite(folder)
    return str(caught.value)


def entries(suite, name, part):
    positions = suite.subsets[name].positions[part]
    return [tuple(p) if suite.subsets[name].is_pairs else p for p in positions.tolist()]


def change_csv(path, change):
    """Rewrite a csv file by its lines; ``change`` takes the list and alters it."""
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("part", SIZES)
def test_sizes(suite_files, part):
    suite = load_suite(suite_files.folder)
    assert tuple(suite.subsets) == tuple(NAMES)
    assert suite.parts == ("private", "public", "all")
    assert tuple(len(entries(suite, name, part)) for name in NAMES) == SIZES[part]


def test_rows_and_values(suite_files):
    suite = load_suite(suite_files.folder)
    assert list(suite.sequences) == suite_files.sequences
    np.testing.assert_array_equal(suite.measured[:, 0], suite_files.measured)
    assert suite.measured.dtype == np.float64


@pytest.mark.parametrize("name", ["high", "low", "yeast", "random", "challenging"])
def test_private_singles_drop_every_public_position(suite_files, name):
    suite = load_suite(suite_files.folder)
    named = set()
    for listed in suite_files.public.values():
        for entry in listed:
            named |= {*entry} if isinstance(entry, tuple) else {entry}
    members = suite_files.singles[name]
    assert entries(suite, name, "all") == sorted(members)
    assert entries(suite, name, "public") == sorted(suite_files.public[name])
    assert entries(suite, name, "private") == sorted(row for row in members if row not in named)
    assert not named & set(entries(suite, "all", "private"))
    assert entries(suite, "all", "private") == [row for row in range(300) if row not in named]


@pytest.mark.parametrize("name", ["SNVs", "motif_perturbation", "motif_tiling"])
def test_private_pairs_drop_exactly_public_pairs(suite_files, name):
    suite = load_suite(suite_files.folder)
    pairs, public = suite_files.pairs[name], suite_files.public[name]
    assert entries(suite, name, "all") == sorted(pairs)
    assert entries(suite, name, "public") == sorted(public)
    assert entries(suite, name, "private") == sorted(pair for pair in pairs if pair not in public)


@pytest.mark.parametrize("part", ["private", "public", "all"])
def test_rows_are_those_that_some_subset_needs(suite_files, part):
    suite = load_suite(suite_files.folder)
    needed = set()
    for name in NAMES:
        for entry in entries(suite, name, part):
            needed |= {*entry} if isinstance(entry, tuple) else {entry}
    assert suite.rows(part).tolist() == sorted(needed)


def test_pick(suite_files):
    suite = load_suite(suite_files.folder)
    values = np.arange(300.0) ** 2
    alternative, reference = np.array(entries(suite, "SNVs", "public")).T
    picked = suite.subsets["SNVs"].pick(values, "public")
    np.testing.assert_array_equal(picked, alternative**2.0 - reference**2.0)
    picked = suite.subsets["high"].pick(values, "public")
    np.testing.assert_array_equal(picked, np.array(entries(suite, "high", "public")) ** 2.0)


@pytest.mark.parametrize("name", ["high", "motif_tiling"])
def test_repeated_rows_count_once(suite_files, name):
    before = entries(load_suite(suite_files.folder), name, "private")
    assert len(before) == len(set(before))
    change_csv(suite_files.csv_file(name), lambda lines: lines.extend(lines[1:]))
    assert entries(load_suite(suite_files.folder), name, "private") == before


def test_both_names_of_the_motif_perturbation_file(suite_files):
    before = entries(load_suite(suite_files.folder), "motif_perturbation", "private")
    official = suite_files.csv_file("motif_perturbation")
    short = official.with_name("motif_perturbation.csv")
    official.rename(short)
    assert entries(load_suite(suite_files.folder), "motif_perturbation", "private") == before
    shutil.copy(short, official)
    message = refused(suite_files.folder)
    assert "keep one of motif_perturbation_seqs.csv or motif_perturbation.csv" in message


def test_columns_are_found_by_name(suite_files):
    """In any order; spaces, blank lines, Windows line ends and a byte-order mark do no harm."""
    before = entries(load_suite(suite_files.folder), "SNVs", "all")
    path = suite_files.csv_file("SNVs")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    text = "\r\n\r\n".join(f"{ref},{alt},{number}" for number, alt, ref in rows)
    path.write_bytes(b"\xef\xbb\xbf" + text.replace(",1", ", 1").encode())
    assert entries(load_suite(suite_files.folder), "SNVs", "all") == before


def test_pairs_of_equal_rows(suite_files):
    """The official tiling list has one and counts it; elsewhere it is a mistake."""
    tiling, snvs = suite_files.csv_file("motif_tiling"), suite_files.csv_file("SNVs")
    change_csv(tiling, lambda lines: lines.append("9,9,,,7,7,,"))
    assert (7, 7) in entries(load_suite(suite_files.folder), "motif_tiling", "private")
    change_csv(snvs, lambda lines: lines.insert(3, "9,7,7"))
    assert f'{snvs}: a row paired with itself: line 4 ("7,7").' in refused(suite_files.folder)


@pytest.mark.parametrize("name", ["same.txt.gz", "other.txt", "other.txt.gz"])
def test_other_forms_of_the_table(suite_files, gzipped, name):
    (suite_files.folder / "notes.txt").write_text("About these files.\n")
    (suite_files.folder / "folder.txt").mkdir()
    if name == "same.txt.gz":
        gzipped(suite_files.table, f"{suite_files.table.name}.gz")
    elif name.endswith(".gz"):
        gzipped(suite_files.table, name)
    else:
        suite_files.table.rename(suite_files.folder / name)
    suite = load_suite(suite_files.folder)
    np.testing.assert_array_equal(suite.measured[:, 0], suite_files.measured)


def test_the_official_table_is_preferred(suite_files):
    (suite_files.folder / "another.txt").write_text("ACGT\t1\n")
    assert len(load_suite(suite_files.folder).sequences) == 300


def test_ambiguous_table(suite_files, gzipped):
    official = suite_files.table
    shutil.copy(official, suite_files.folder / "b.txt")
    official.rename(suite_files.folder / "a.txt")
    assert "which is the test table: a.txt, b.txt?" in refused(suite_files.folder)
    shutil.copy(suite_files.folder / "a.txt", official)
    gzipped(suite_files.folder / "b.txt", f"{official.name}.gz")
    assert f"{official.name}, {official.name}.gz?" in refused(suite_files.folder)


def test_no_table(suite_files):
    suite_files.table.unlink()
    message = refused(suite_files.folder)
    assert message == (
        f"{suite_files.folder} has no test table. Expected {suite_files.table.name} or "
        f"{suite_files.table.name}.gz in it."
    )


def test_no_folder(suite_files, tmp_path):
    assert f"{tmp_path / 'nowhere'} does not exist" in refused(tmp_path / "nowhere")
    assert f"{suite_files.table} is not a folder" in refused(suite_files.table)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ACGT", 'not two columns with a tab between them: line 4 ("ACGT")'),
        ("ACGT\t1\t2", 'not two columns with a tab between them: line 4 ("ACGT")'),
        ("ACGT\tnan", 'not finite numbers: line 4 ("nan")'),
        ("ACGT\thigh", 'not finite numbers: line 4 ("high")'),
        ("ACGT\t1_5", 'not finite numbers: line 4 ("1_5")'),
        ("", 'not two columns with a tab between them: line 4 ("")'),
    ],
)
def test_bad_table_line(suite_files, line, said):
    change_csv(suite_files.table, lambda lines: lines.__setitem__(3, line))
    message = refused(suite_files.folder)
    assert str(suite_files.table) in message
    assert said in message


@pytest.mark.parametrize("name", ["high", "random", "SNVs", "motif_tiling"])
def test_missing_csv(suite_files, name):
    path = suite_files.csv_file(name)
    path.unlink()
    message = refused(suite_files.folder)
    assert str(path.parent) in message
    assert f"missing: {path.name}" in message


@pytest.mark.parametrize(
    ("name", "column"), [("yeast", "pos"), ("SNVs", "ref_pos"), ("motif_tiling", "alt_pos")]
)
def test_missing_column(suite_files, name, column):
    path = suite_files.csv_file(name)

    def rename(lines):
        lines[0] = ",".join("x" if cell == column else cell for cell in lines[0].split(","))

    change_csv(path, rename)
    message = refused(suite_files.folder)
    assert f"{path} has no column {column}; its columns:" in message


@pytest.mark.parametrize("position", ["300", "-1", "1.0", "", "x", "01", "1_0", "²"])
def test_csv_position_that_is_no_row(suite_files, position):
    path = suite_files.csv_file("SNVs")
    change_csv(path, lambda lines: lines.insert(3, f"9,{position},5"))
    message = refused(suite_files.folder)
    assert message.startswith(f"{path}: not a row of the test table, whose rows are 0 to 299:")
    assert f'line 4 ("{position},5")' in message


def test_short_csv_line(suite_files):
    path = suite_files.csv_file("SNVs")
    change_csv(path, lambda lines: lines.insert(3, "9,5"))
    assert 'line 4 ("5,")' in refused(suite_files.folder)


def test_first_bad_csv_lines_are_named(suite_files):
    path = suite_files.csv_file("SNVs")
    change_csv(path, lambda lines: lines.extend([f"9,{row},5" for row in range(300, 305)]))
    last = len(path.read_text().splitlines())
    message = refused(suite_files.folder)
    assert f'line {last - 4} ("300,5"), line {last - 3} ("301,5"), line {last - 2}' in message
    assert "and 2 more" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (",alt_pos,ref_pos\n", "has a header but no rows"),
        ("\0", "is not a text file"),
        (
            f',alt_pos,ref_pos\n1,"{"5" * 200_000}",2\n',
            ":2: malformed quotes: a double quote is opened and not closed",
        ),
    ],
)
def test_unusable_csv(suite_files, text, said):
    path = suite_files.csv_file("SNVs")
    path.write_text(text)
    message = refused(suite_files.folder)
    assert str(path) in message
    assert said in message


def test_without_public_lists_there_is_only_all(suite_files):
    shutil.rmtree(suite_files.folder / "public_leaderboard_ids")
    suite = load_suite(suite_files.folder)
    assert suite.parts == ("all",)
    assert tuple(len(entries(suite, name, "all")) for name in NAMES) == SIZES["all"]
    for part in ("private", "public"):
        with pytest.raises(UserError, match="has no public lists") as caught:
            suite.rows(part)
        assert str(suite_files.folder) in str(caught.value)
        assert 'Score the part "all"' in str(caught.value)


def test_missing_public_list(suite_files):
    path = suite_files.public_file("yeast")
    path.unlink()
    assert f"no file {path}" in refused(suite_files.folder)


def test_an_empty_public_list_is_fine(suite_files):
    suite_files.public_file("SNVs").write_text("{}")
    suite = load_suite(suite_files.folder)
    assert suite.subsets["SNVs"].positions["public"].shape == (0, 2)
    assert suite.subsets["SNVs"].positions["private"].shape == (27, 2)


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        (
            "all",
            {"300": 0.5},
            'not a row of the test table, whose rows are 0 to 299: "300" ("300")',
        ),
        ("SNVs", {"-1,5": [0.1, 0.2]}, '"-1,5"'),
        ("high", {"x": 0.5}, 'not a row of the test table, whose rows are 0 to 299: "x"'),
        ("high", {"1": None}, 'not one position and one value: "1"'),
        ("high", {"1": float("nan")}, 'one value: "1"'),
        ("high", {"1,2": [0.1, 0.2]}, 'not one position and one value: "1,2"'),
        ("SNVs", {"1": 0.5}, 'not two positions and two values: "1"'),
        ("SNVs", {"1,2": [0.5]}, 'not two positions and two values: "1,2"'),
        ("SNVs", {"1,2": {"a": 1, "b": 2}}, 'not two positions and two values: "1,2"'),
        ("SNVs", {"1,2": [0.1, "0.2"]}, 'not two positions and two values: "1,2"'),
    ],
)
def test_bad_public_entry(suite_files, name, entry, said):
    path = suite_files.public_file(name)
    path.write_text(json.dumps(entry))
    message = refused(suite_files.folder)
    assert message.startswith(f"{path}: ")
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"1": 0.5', "malformed JSON at line 1, column 10"),
        ("[1, 2]", "must hold one JSON object"),
        ('{"1": 0.5, "1": 0.5}', 'named more than once: "1"'),
    ],
)
def test_malformed_public_list(suite_files, text, said):
    path = suite_files.public_file("high")
    path.write_text(text)
    message = refused(suite_files.folder)
    assert message.startswith(f"{path}: ")
    assert said in message


@pytest.mark.parametrize("name", ["all", "high", "motif_tiling"])
def test_public_lists_of_another_table(suite_files, name):
    path = suite_files.public_file(name)
    content = json.loads(path.read_text())
    key = list(content)[2]
    if isinstance(content[key], list):
        content[key][1] += 0.01
    else:
        content[key] += 0.01
    path.write_text(json.dumps(content))
    message = refused(suite_files.folder)
    assert f'{path}: measured values differ from those in {suite_files.table.name}: "{key}".' in (
        message
    )
