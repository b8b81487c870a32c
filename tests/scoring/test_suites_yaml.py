"""Suites that a YAML file declares: the built-in ones, and those of a user's own."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.evaluate import evaluate, main
from dream_keras.scoring.bootstrap import bootstrap
from dream_keras.scoring.metrics import score
from dream_keras.scoring.report import markdown_table, scatter_figure, table
from dream_keras.scoring.submission import read_submission
from dream_keras.scoring.suite import load_suite
from dream_keras.scoring.suite_yaml import BUILT_IN, read_declaration

DOCS = (Path(__file__).parents[2] / "docs" / "suites.md").read_text()
ROWS = 24
OWN = """\
name: my assay
table: measured.tsv
columns:
  id: name
  sequence: seq
  targets: {liver: a, brain: b}
reverse: {column: name, contains: _rev}
rows: {fold: [8, 9]}
scores:
  pearson: weighted_mean_r2
  spearman: weighted_mean_rho
subsets:
  liver:
    weight: 1
    target: liver
  brain native:
    weight: 0.5
    target: brain
    rows: {kind: native}
  listed:
    weight: 0.25
    target: brain
    file: lists/high.csv
    positions: pos
  variants:
    weight: 2
    target: liver
    file: [lists/variants.tsv, lists/variants.csv]
    pairs: [alt, ref]
"""


@pytest.fixture
def dna(random):
    """Make distinct sequences."""
    return lambda count, length=30: [
        "".join(s) for s in random.choice(list("ACGT"), (count, length))
    ]


@pytest.fixture
def own(tmp_path, random, dna):
    """A folder with a suite of a user's own; gives the rows that belong to it.

    Every third row of the table is of fold 7 and does not.
    """
    rows = pd.DataFrame(
        {
            "name": [f"e{row}{'_rev' if row % 2 else '_fwd'}" for row in range(ROWS * 3 // 2)],
            "seq": dna(ROWS * 3 // 2),
            "kind": ["native" if row % 4 else "designed" for row in range(ROWS * 3 // 2)],
            "a": random.normal(size=ROWS * 3 // 2).round(3),
            "b": random.normal(size=ROWS * 3 // 2).round(3),
            "fold": [(7, 8, 9)[row % 3] for row in range(ROWS * 3 // 2)],
        }
    )
    rows.to_csv(tmp_path / "measured.tsv", sep="\t", index=False)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "high.csv").write_text("tag,pos\nx,3\ny,1\nz,3\n,20\n")
    (tmp_path / "lists" / "variants.tsv").write_text("alt\tref\n0\t1\n5\t4\n7\t20\n0\t1\n")
    (tmp_path / "suite.yaml").write_text(OWN)
    return rows[rows["fold"] > 7].reset_index(drop=True)


def change(folder, old, new, name="suite.yaml"):
    text = (folder / name).read_text()
    assert text.count(old) >= 1
    (folder / name).write_text(text.replace(old, new, 1))


def refused(path):
    with pytest.raises(UserError) as caught:
        load_suite(path)
    return str(caught.value)


def test_a_suite_of_ones_own(own, tmp_path):
    suite = load_suite(tmp_path)
    assert suite.name == "my assay"
    assert suite.targets == ("liver", "brain")
    assert suite.parts == ("all",)
    assert suite.default_part == "all"
    assert list(suite.sequences) == own["seq"].tolist()
    np.testing.assert_array_equal(suite.measured, own[["a", "b"]].to_numpy())
    assert suite.measured.dtype == np.float64
    assert suite.reverse.tolist() == own["name"].str.endswith("_rev").tolist()
    positions = {name: subset.positions["all"].tolist() for name, subset in suite.subsets.items()}
    assert positions == {
        "liver": list(range(ROWS)),
        "brain native": np.flatnonzero(own["kind"] == "native").tolist(),
        "listed": [1, 3, 20],
        "variants": [[0, 1], [5, 4], [7, 20]],
    }
    assert [s.weight for s in suite.subsets.values()] == [1, 0.5, 0.25, 2]
    assert [s.is_pairs for s in suite.subsets.values()] == [False, False, False, True]


def correlations(own, predictions):
    """r and rho of each subset of OWN by pandas and scipy, from the table's columns."""
    a, b = own["a"].to_numpy(), own["b"].to_numpy()
    native = (own["kind"] == "native").to_numpy()
    alt, ref = [0, 5, 7], [1, 4, 20]
    pairs = [
        (predictions[:, 0], a),
        (predictions[native, 1], b[native]),
        (predictions[[1, 3, 20], 1], b[[1, 3, 20]]),
        (predictions[alt, 0] - predictions[ref, 0], a[alt] - a[ref]),
    ]
    r = [scipy.stats.pearsonr(*pair).statistic for pair in pairs]
    return np.array(r), np.array([scipy.stats.spearmanr(*pair).statistic for pair in pairs])


@pytest.mark.parametrize("formula", ["weighted_mean_r2", "weighted_mean_r"])
def test_scores_of_several_targets(own, tmp_path, random, formula):
    change(tmp_path, "weighted_mean_r2", formula)
    suite = load_suite(tmp_path)
    predictions = random.normal(size=(ROWS, 2))
    card = score(suite, predictions)
    r, rho = correlations(own, predictions)
    assert card.part == "all"
    assert [s.pearson for s in card.subsets.values()] == pytest.approx(r, abs=1e-12)
    assert [s.spearman for s in card.subsets.values()] == pytest.approx(rho, abs=1e-12)
    weights = [1, 0.5, 0.25, 2]
    value, shown = (r**2, "r^2") if formula == "weighted_mean_r2" else (r, "r")
    assert card.pearson_score == pytest.approx(np.average(value, weights=weights), abs=1e-12)
    assert card.spearman_score == pytest.approx(np.average(rho, weights=weights), abs=1e-12)
    for text in (table(card), markdown_table(card)):
        assert f"Pearson Score  {card.pearson_score:.6f}  = sum of weight * {shown} / 3.75" in text
    assert len(scatter_figure(suite, predictions, "all").axes) == 6 + 1


@given(weights=st.lists(st.floats(0, 100), min_size=2, max_size=5).filter(any))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_any_weights(own, tmp_path, weights):
    content = yaml.safe_load(OWN)
    content["subsets"] = {
        f"s{i}": {"weight": weight, "target": ("liver", "brain")[i % 2]}
        for i, weight in enumerate(weights)
    }
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    predictions = np.sin(np.arange(2 * ROWS)).reshape(ROWS, 2)
    card = score(load_suite(path), predictions)
    r = [np.corrcoef(predictions[:, t], own[column])[0, 1] for t, column in enumerate("ab")]
    expected = sum(weight * r[i % 2] ** 2 for i, weight in enumerate(weights)) / sum(weights)
    assert card.pearson_score == pytest.approx(expected, abs=1e-12)


def test_order_of_targets_does_not_matter(own, tmp_path, random):
    predictions = random.normal(size=(ROWS, 2))
    before = score(load_suite(tmp_path), predictions)
    change(tmp_path, "{liver: a, brain: b}", "{brain: b, liver: a}")
    suite = load_suite(tmp_path)
    assert suite.targets == ("brain", "liver")
    assert score(suite, predictions[:, ::-1]) == before


def test_the_yaml_file_itself_and_the_forms_of_a_table(own, tmp_path):
    before = load_suite(tmp_path).measured
    elsewhere = tmp_path / "suites"
    elsewhere.mkdir()
    text = OWN.replace("measured.tsv", "../measured.tsv").replace("lists/", "../lists/")
    (elsewhere / "mine.yml").write_text(text)
    np.testing.assert_array_equal(load_suite(elsewhere / "mine.yml").measured, before)
    content = (tmp_path / "measured.tsv").read_text()
    (tmp_path / "measured.tsv").unlink()
    (tmp_path / "measured.tsv.gz").write_bytes(gzip.compress(content.encode()))
    np.testing.assert_array_equal(load_suite(tmp_path).measured, before)
    (tmp_path / "measured.csv").write_text(
        "\ufeff" + content.replace("\t", ",").replace("\n", "\r\n")
    )
    change(tmp_path, "measured.tsv", "measured.csv")
    np.testing.assert_array_equal(load_suite(tmp_path).measured, before)


def test_table_without_a_header(tmp_path):
    (tmp_path / "suite.yaml").write_text(
        "name: plain\ntable: plain.txt\ncolumns: {id: 0, sequence: 2, targets: {x: 1}}\n"
        "rows: {3: [2, '03']}\nscores: {pearson: weighted_mean_r, spearman: weighted_mean_rho}\n"
        "subsets: {all: {weight: 5e-1}}\n"
    )
    (tmp_path / "plain.txt").write_text("a\t1.5\tACGT\t2\nb\t-2\tGT\t3\nc\t4e1\tgTn\t03\n")
    suite = load_suite(tmp_path)
    assert suite.sequences == ("ACGT", "gTn")
    assert suite.measured.tolist() == [[1.5], [40]]
    assert suite.reverse is None
    assert suite.subsets["all"].weight == 0.5
    (tmp_path / "plain.txt").write_text("a\t1.5\tACGT\n")
    assert refused(tmp_path) == (
        f"{tmp_path / 'plain.txt'}: lines that are not four columns with a tab between them: "
        'line 1 ("a").'
    )


def test_public_lists(own, tmp_path):
    for name in ("liver", "brain native", "listed", "variants"):
        change(tmp_path, f"{name}:\n", f"{name}:\n    public: public/{name}.json\n")
    assert load_suite(tmp_path).parts == ("all",)
    a, b = own["a"], own["b"]
    lists = {
        "liver": {"3": a[3]},
        "brain native": {},
        "listed": {"1": b[1]},
        "variants": {"5,4": [a[5], a[4]]},
    }
    (tmp_path / "public").mkdir()
    for name, content in lists.items():
        (tmp_path / "public" / f"{name}.json").write_text(json.dumps(content))
    suite = load_suite(tmp_path)
    assert suite.parts == ("private", "public", "all")
    assert suite.default_part == "private"
    positions = {name: s.positions["private"].tolist() for name, s in suite.subsets.items()}
    assert positions["liver"] == [row for row in range(ROWS) if row not in (1, 3, 4, 5)]
    assert positions["listed"] == [20]
    assert positions["variants"] == [[0, 1], [7, 20]]
    lists["listed"] = {"1": a[1]}  # The other target's value.
    (tmp_path / "public" / "listed.json").write_text(json.dumps(lists["listed"]))
    assert "measured values differ from those in measured.tsv" in refused(tmp_path)
    (tmp_path / "public" / "listed.json").unlink()
    assert f"no file {tmp_path / 'public' / 'listed.json'}" in refused(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("name: my", "nmae: my", 1, 'unknown key of a suite "nmae". Did you mean "name"?'),
        ("name: my assay", "name: 5", 1, "name: expected text, not 5"),
        ("table: measured.tsv", "table: []", 2, "table: expected text or a list of texts"),
        ("  id: name", "  ids: name", 4, 'unknown key of columns "ids". Did you mean "id"?'),
        ("sequence: seq", "sequence: sequ", 5, 'sequ". Did you mean "seq"? Allowed: a, b, fold'),
        ("sequence: seq", "sequence: 1", 6, "all by numbers from 0"),
        ("sequence: seq", "sequence: -1", 5, "expected a column's name, or its number from 0"),
        ("sequence: seq", "sequence: yes", 5, "expected a column's name, or its number from 0"),
        ("{liver: a, brain: b}", "{liver: A, brain: b}", 6, 'measured.tsv "A"'),
        ("{liver: a, brain: b}", "[a, b]", 6, "expected a mapping of names to columns"),
        ("{liver: a, brain: b}", "{1: a, brain: b}", 6, "expected a name, not 1. Put it in quotes"),
        ("  id: name", "  id: nam", 4, 'Did you mean "name"?'),
        ("{column: name", "{column: nam", 7, 'Did you mean "name"?'),
        ("contains: _rev", "has: _rev", 7, 'unknown key of reverse "has"'),
        ("[8, 9]", "[8, 10]", 8, 'no row of {folder}/measured.tsv has "10" in column fold.'),
        ("[8, 9]", "8.5", 8, "expected a word, a whole number or a list of them, not 8.5"),
        ("{fold: [8, 9]}", "{folds: 8}", 8, 'Did you mean "fold"?'),
        ("{fold: [8, 9]}", "fold", 8, "rows: expected a mapping of columns to words"),
        ("{fold: [8, 9]}", "{fold: 7, name: e1_rev}", 8, "has all of these words"),
        ("weighted_mean_r2", "r2", 10, 'unknown formula "r2".'),
        ("weighted_mean_r2", "weighted_mean_rho", 10, "Allowed: weighted_mean_r, weighted_mean_r2"),
        ("weighted_mean_rho", "mean(rho)", 11, "Allowed: weighted_mean_rho."),
        ("  spearman:", "  kendall:", 11, 'unknown key of scores "kendall"'),
        ("  spearman: weighted_mean_rho\n", "", 9, 'scores lacks the key "spearman"'),
        ("weight: 1", "weights: 1", 14, 'unknown key of a subset "weights". Did you mean "weight"'),
        ("    weight: 1\n", "", 13, 'a subset lacks the key "weight"'),
        ("weight: 1", "weight: much", 14, "weight: expected a number of at least 0, not 'much'"),
        ("weight: 1", "weight: -0.1", 14, "weight: expected a number of at least 0, not -0.1"),
        ("weight: 1", "weight: .nan", 14, "at least 0, not nan"),
        ("weight: 1", "weight: .inf", 14, "at least 0, not inf"),
        ("weight: 1", "weight: true", 14, "at least 0, not True"),
        ("weight: 1", "weight: [1]", 14, "at least 0, not [1]"),
        ("target: liver", "target: lever", 15, 'unknown target "lever". Did you mean "liver"?'),
        ("    target: liver\n", "", 13, 'lacks the key "target". Allowed: liver, brain'),
        ("{kind: native}", "{kind: nativ}", 19, 'Did you mean "native"? It holds designed, native'),
        ("{kind: native}", "{knd: native}", 19, 'Did you mean "kind"?'),
        ("positions: pos", "pairs: pos", 24, "pairs: expected two columns"),
        ("positions: pos", "positions: [a, b]", 24, "positions: expected one column"),
        ("pairs: [alt, ref]", "pairs: [alt, alt]", 29, "pairs: expected two columns"),
        ("    positions: pos\n", "", 20, 'goes with either "positions"'),
        ("    file: lists/high.csv\n", "", 20, 'goes with either "positions"'),
        ("positions: pos", "positions: pos\n    rows: {kind: native}", 20, 'either "rows" or a'),
        ("positions: pos", "equal_pairs: yes\n    positions: pos", 24, "beside pairs"),
        ("weight: 2", "public: p.json\n    weight: 2", 13, 'Give "public" to every subset or to'),
        ("  liver:\n", "  variants:\n", 25, '"variants" stands on line 13 too. Keep one of them'),
        ("  liver:\n", "  no:\n", 12, "expected a name, not False. Put it in quotes"),
    ],
)
def test_mistakes_in_the_yaml_file(own, tmp_path, old, new, line, said):
    change(tmp_path, old, new)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path / 'suite.yaml'}:{line}: ")
    assert said.format(folder=tmp_path) in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a suite: expected a mapping with name, table, columns, scores, subsets"),
        ("[1, 2]", "a suite: expected a mapping"),
        ("name: x\n", 'a suite lacks the key "table". Required: name, table'),
        ("name: [x\n", "not a YAML file"),
        ("name: !!python/name:os.system x\n", "not a YAML file"),
        ("\x00", "not a YAML file"),
        ("name: 2026-99-99\n", "not a YAML file"),
        ("a: &a {b: *a}\n", "not a YAML file"),
    ],
)
def test_other_yaml_files(own, tmp_path, text, said):
    (tmp_path / "suite.yaml").write_text(text)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path / 'suite.yaml'}: ")
    assert said in message


def test_weights_that_are_all_zero(own, tmp_path):
    content = yaml.safe_load(OWN)
    for subset in content["subsets"].values():
        subset["weight"] = 0
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    assert "every weight is 0, so there is nothing to score" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("measured.tsv", "\tb\t", "\ta\t", 'suite.yaml:6: {path} has more than one column "a"'),
        (
            "measured.tsv",
            "e4_fwd",
            "e2_fwd",
            "{path}, column name: names that more than one row has: "
            'line 4 ("e2_fwd"), line 6 ("e2_fwd").',
        ),
        (
            "measured.tsv",
            "e4_fwd\t",
            "e4_fwd ",
            "{path}: lines that are not 6 columns with a tab between them: line 6 (",
        ),
        (
            "measured.tsv",
            "e4_fwd\t",
            "e4_fwd\tX",
            '{path}, column seq: cells that are not DNA (letters A, C, G, T, N): line 6 ("X',
        ),
        (
            "lists/high.csv",
            "y,1",
            "y,24",
            '{path}: not a row of the test table, whose rows are 0 to 23: line 3 ("24").',
        ),
        ("lists/high.csv", "y,1", "y,-1", 'whose rows are 0 to 23: line 3 ("-1").'),
        (
            "lists/high.csv",
            "tag,pos",
            "tag,position",
            "{path} has no column pos; its columns: tag, position.",
        ),
        (
            "lists/variants.tsv",
            "5\t4",
            "5\t5",
            '{path}: a row paired with itself: line 3 ("5,5"). A pair is two different rows, ',
        ),
        ("lists/variants.tsv", "5\t4", "5", 'line 3 ("5,").'),
    ],
)
def test_mistakes_in_the_data(own, tmp_path, name, old, new, said):
    change(tmp_path, old, new, name)
    assert said.format(path=tmp_path / name) in refused(tmp_path)


@pytest.mark.parametrize("bad", ["inf", "1_0", "1,5", "low"])
def test_column_that_is_not_numeric(own, tmp_path, bad):
    frame = pd.read_csv(tmp_path / "measured.tsv", sep="\t", dtype=str)
    frame.loc[[4, 6, 7], "b"] = bad  # Row 6 is of fold 7, and not of the suite.
    frame.to_csv(tmp_path / "measured.tsv", sep="\t", index=False)
    assert refused(tmp_path) == (
        f"{tmp_path / 'measured.tsv'}, column b: values that are not finite numbers: "
        f'line 6 ("{bad}"), line 9 ("{bad}").'
    )


@pytest.mark.parametrize("text", ["tag,pos\n", "tag,pos\n\n\n", ""])
def test_empty_subset(own, tmp_path, text):
    path = tmp_path / "lists" / "high.csv"
    path.write_text(text)
    assert refused(tmp_path) == f"{path} {'has a header but no rows' if text else 'is empty'}."


def test_missing_and_ambiguous_files(own, tmp_path):
    lists = tmp_path / "lists"
    (lists / "variants.csv").write_text("alt,ref\n0,1\n")
    assert refused(tmp_path) == f"{lists}: keep one of variants.tsv or variants.csv."
    (lists / "variants.csv").unlink()
    (lists / "variants.tsv").unlink()
    assert refused(tmp_path) == f"{lists}: missing: variants.tsv or variants.csv."
    (tmp_path / "measured.tsv").unlink()
    assert refused(tmp_path) == (
        f"{tmp_path} has no test table. Expected measured.tsv or measured.tsv.gz in it."
    )


def test_equal_pairs_may_be_allowed(own, tmp_path):
    change(tmp_path, "5\t4", "5\t5", "lists/variants.tsv")
    change(tmp_path, "    pairs:", "    equal_pairs: true\n    pairs:")
    assert [5, 5] in load_suite(tmp_path).subsets["variants"].positions["all"].tolist()


@pytest.fixture
def submit(own, tmp_path):
    """Write text to a file and read it as a submission to the suite of one's own."""

    def read(text, name="submission"):
        (tmp_path / name).write_text(text)
        return read_submission(tmp_path / name, load_suite(tmp_path))

    return read


@pytest.fixture
def predictions(random):
    return random.normal(size=(ROWS, 2))


def lines(own, predictions, header=()):
    rows = zip(own["seq"], predictions.tolist(), strict=True)
    return "\n".join([*header, *(f"{s}\t{a!r}\t{b!r}" for s, (a, b) in rows), ""])


def test_submissions_for_several_targets(submit, own, predictions):
    swapped = predictions[:, ::-1]
    for text in (
        json.dumps({str(row): values for row, values in enumerate(predictions.tolist())}),
        lines(own, predictions),
        lines(own, predictions, ["sequence\tliver\tbrain"]),
        lines(own, swapped, ["sequence\tbrain\tliver"]),
    ):
        for name in ("submission", "submission.csv"):
            np.testing.assert_array_equal(submit(text, name), predictions)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sequence\tfirst\tsecond\n{body}", "its header names first, second; the targets of "),
        ("sequence\tliver\tliver\n{body}", "liver, brain. Name these, in any order, or leave"),
        ("sequence\tliver\n{body}", "its header names liver; the targets of "),
        ("ACGT\t1\n", 'not three columns with a tab between them: line 1 ("ACGT")'),
        ("ACGT\t1\t2\n", "has 1 rows; the suite"),
        ("ACGT\t1\tx\n", 'not finite numbers: line 1 ("x")'),
        ('{{"0": 1.5}}', "missing positions: 1, 2, 3 and 20 more"),
    ],
)
def test_bad_submissions_for_several_targets(submit, own, predictions, text, said):
    with pytest.raises(UserError) as caught:
        submit(text.format(body=lines(own, predictions)))
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [1.5, [1.5], [1.5, 2.5, 3.5], [1.5, None], "x", {"a": 1.0}])
def test_json_values_for_several_targets(submit, predictions, value):
    items = dict(enumerate(predictions.tolist())) | {7: value}
    with pytest.raises(UserError, match=r"not finite numbers, one for each of liver, brain: \"7\""):
        submit(json.dumps(items))


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1), (ROWS, 3), (2, ROWS), (ROWS - 1, 2)])
def test_wrong_shapes(own, tmp_path, shape):
    with pytest.raises(UserError, match=r"one value for each row and target: \(24, 2\)"):
        score(load_suite(tmp_path), np.zeros(shape))


def test_bad_predictions_are_named(own, tmp_path, predictions):
    predictions[5, 1] = np.nan
    with pytest.raises(UserError, match=r"not finite numbers: position 5 \(-?[\d.]+, nan\)\.$"):
        score(load_suite(tmp_path), predictions)


@pytest.fixture
def human(tmp_path, random, dna):
    """A table of the human lentiMPRA's format, in a folder of its own."""
    folder = tmp_path / "human"
    folder.mkdir()
    marks = ["_F", "_Reversed:"] * 10
    frame = pd.DataFrame(
        {
            "seq_id": [f"seq{row}{mark}" for row, mark in enumerate(marks)],
            "seq": dna(20, 230),
            "mean_value": random.normal(size=20).round(3),
            "fold": random.integers(0, 10, 20),
        }
    )
    frame.to_csv(folder / "sample_test.txt", sep="\t", index=False)
    frame.to_csv(folder / "sample_train.txt", sep="\t", index=False)
    return folder, frame


@pytest.fixture
def fly(tmp_path, random, dna):
    """A table of the fly STARR-seq's format, in a folder of its own."""
    folder = tmp_path / "fly"
    folder.mkdir()
    start = np.arange(1000, 21_000, 1000)
    frame = pd.DataFrame(
        {
            "seqnames": "chrX",
            "start": start,
            "end": start + 248,
            "ID": [f"chrX_{s}_{s + 248}_{'+-'[s // 1000 % 2]}_negative" for s in start],
            "set": ["Train", "Test"] * 10,
            "Sequence": dna(20, 249),
            "Dev_log2_enrichment": random.normal(size=20),
            "Hk_log2_enrichment": random.normal(size=20),
        }
    )
    frame.to_csv(folder / "sample_test.txt", sep="\t", index=False)
    return folder, frame


def test_human_suite(human, random):
    folder, frame = human
    suite = load_suite(folder)
    assert suite.name == "human lentiMPRA"
    assert suite.measured.shape == (20, 1)
    assert suite.reverse.tolist() == [False, True] * 10
    predictions = random.normal(size=20)
    card = score(suite, predictions)
    r = scipy.stats.pearsonr(predictions, frame["mean_value"]).statistic
    rho = scipy.stats.spearmanr(predictions, frame["mean_value"]).statistic
    assert (card.pearson_score, card.spearman_score) == pytest.approx((r, rho), abs=1e-12)


def test_fly_suite(fly, random, tmp_path, capsys):
    folder, frame = fly
    suite = load_suite(folder)
    assert suite.name == "fly STARR-seq"
    assert suite.targets == ("developmental", "housekeeping")
    assert suite.reverse.tolist() == [True, False] * 10
    predictions = random.normal(size=(20, 2))
    submission = tmp_path / "fly.tsv"
    rows = pd.DataFrame(predictions, columns=["housekeeping", "developmental"])
    rows.insert(0, "sequence", frame["Sequence"])
    rows.to_csv(submission, sep="\t", index=False)
    card = evaluate(predictions=submission, suite=folder)
    assert card.part == "all"
    measured = frame[["Hk_log2_enrichment", "Dev_log2_enrichment"]].to_numpy()
    expected = [scipy.stats.pearsonr(predictions[:, t], measured[:, t]).statistic for t in (0, 1)]
    found = [card.subsets[name].pearson for name in ("housekeeping", "developmental")]
    assert found == pytest.approx(expected, abs=1e-12)
    assert card.pearson_score == pytest.approx(np.mean(expected), abs=1e-12)
    main(["--predictions", str(submission), "--suite", str(folder)])
    shown = capsys.readouterr().out
    assert re.search(rf"^developmental +1\.00 +20 +{expected[1]:.6f}", shown, re.MULTILINE)
    assert f"Pearson Score  {card.pearson_score:.6f}  = sum of weight * r / 2" in shown
    with pytest.raises(UserError, match='Score the part "all"'):
        evaluate(predictions=submission, suite=folder, part="private")


def test_test_rows_by_a_column_of_a_whole_table(fly):
    folder, frame = fly
    text = (BUILT_IN / "fly_starr_seq.yaml").read_text()
    (folder / "sample_test.txt").rename(folder / "whole.tsv")
    text = text.replace("table: [sample_test.txt, test.txt]", "table: whole.tsv\nrows: {set: Test}")
    (folder / "suite.yaml").write_text(text)
    suite = load_suite(folder)
    assert list(suite.sequences) == frame.loc[frame["set"] == "Test", "Sequence"].tolist()
    assert not suite.reverse.any()
    (folder / "whole.tsv").write_text((folder / "whole.tsv").read_text().replace("Test", "Train"))
    message = refused(folder)
    assert 'has "Test" in column set. It holds Train.' in message


def test_a_name_may_stand_twice_in_the_table_but_not_in_the_suite(human):
    folder, frame = human
    frame.loc[1, "seq_id"] = frame.loc[0, "seq_id"]
    frame["fold"] = [0] + [9] * 19
    frame.to_csv(folder / "sample_test.txt", sep="\t", index=False)
    assert "names that more than one row has: line 2" in refused(folder)
    text = (BUILT_IN / "human_mpra.yaml").read_text() + "rows: {fold: 9}\n"
    (folder / "suite.yaml").write_text(text)
    assert len(load_suite(folder).sequences) == 19


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_suites_are_well_formed(path):
    declaration = read_declaration(path)
    assert declaration.name
    assert "doi" in path.read_text()


def test_the_page_about_suites(own, tmp_path):
    """Its example can be read, and its errors are those that are given."""
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    assert len(read_declaration(tmp_path / "example.yaml").subsets) == 4
    for message in (
        mistake(tmp_path, "sequence: seq", "sequence: sequ"),
        mistake(tmp_path, "[8, 9]", "[8, 10]"),
        mistake(tmp_path, "weighted_mean_r2", "r2"),
        mistake(tmp_path, "weight: 1", "weight: -0.1"),
        mistake(tmp_path, "y,1", "y,24", "lists/high.csv"),
        mistake(tmp_path, "5\t4", "5\t5", "lists/variants.tsv"),
    ):
        assert message.replace(f"{tmp_path}/", "") in DOCS.splitlines()


def mistake(folder, old, new, name="suite.yaml"):
    before = (folder / name).read_text()
    change(folder, old, new, name)
    message = refused(folder)
    (folder / name).write_text(before)
    return message


def test_the_challenge_is_data(suite_files):
    """The built-in file copied beside the data is the same suite; a changed one is obeyed."""
    before = load_suite(suite_files.folder)
    text = (BUILT_IN / "dream.yaml").read_text()
    own = suite_files.folder / "suite.yaml"
    own.write_text(text)
    after = load_suite(suite_files.folder)
    assert list(after.subsets) == list(before.subsets)
    for name, subset in after.subsets.items():
        assert subset.weight == before.subsets[name].weight
        assert list(subset.positions) == ["private", "public", "all"]
        for part, positions in subset.positions.items():
            np.testing.assert_array_equal(positions, before.subsets[name].positions[part])
    own.write_text(text.replace("weight: 1.25", "weight: 7").replace("mean_r2", "mean_r"))
    card = score(load_suite(own), suite_files.predictions)
    assert card.total_weight == pytest.approx(4.65 - 1.25 + 7)
    total = sum(s.weight * s.pearson for s in card.subsets.values())
    assert card.pearson_score == pytest.approx(total / (4.65 - 1.25 + 7))


def test_scoring_needs_neither_keras_nor_tensorflow(suite_files):
    code = (
        "import sys; from dream_keras.scoring import metrics, report, submission, suite; "
        f"suite.load_suite({str(suite_files.folder)!r}); "
        "assert not {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "columns", "mark", "reversed_rows"),
    [
        ("human_mpra", ["mean_value"], ("seq_id", "_Reversed:"), 518),
        ("drosophila", ["Dev_log2_enrichment", "Hk_log2_enrichment"], ("ID", "-_"), 488),
    ],
)
def test_real_samples(real_data, random, folder, columns, mark, reversed_rows):
    suite = load_suite(real_data / folder)
    frame = pd.read_csv(real_data / folder / "sample_test.txt", sep="\t")
    measured = frame[columns].to_numpy()
    np.testing.assert_array_equal(suite.measured.reshape(1000, -1), measured)
    assert suite.reverse.sum() == reversed_rows
    column, text = mark
    np.testing.assert_array_equal(suite.reverse, frame[column].str.contains(text, regex=False))
    predictions = measured + random.normal(size=measured.shape)
    card = score(suite, predictions.reshape(suite.measured.shape))
    for target, subset in enumerate(list(card.subsets.values())[: len(columns)]):
        pair = predictions[:, target], measured[:, target]
        assert subset.n == 1000
        assert subset.pearson == pytest.approx(scipy.stats.pearsonr(*pair).statistic, abs=1e-12)
        assert subset.spearman == pytest.approx(scipy.stats.spearmanr(*pair).statistic, abs=1e-12)


def test_missing_values_of_several_targets_are_left_out(tmp_path, random):
    table = pd.DataFrame(random.normal(size=(40, 2)).round(3), columns=["a", "b"])
    table.insert(0, "seq", ["".join(random.choice(list("ACGT"), 9)) for _ in range(40)])
    table.loc[[3, 8], "a"] = np.nan
    table.loc[[8, 20, 21], "b"] = np.nan
    table.to_csv(tmp_path / "rows.csv", index=False, na_rep="NA")
    (tmp_path / "suite.yaml").write_text(
        "name: holes\ntable: rows.csv\n"
        "columns: {sequence: seq, targets: {a: a, b: b}}\n"
        "scores: {pearson: weighted_mean_r, spearman: weighted_mean_rho}\n"
        "subsets: {a: {weight: 1, target: a}, b: {weight: 1, target: b}}\n"
    )
    suite = load_suite(tmp_path)
    predictions = random.normal(size=(40, 2))
    card = score(suite, predictions)
    for column, target in enumerate("ab"):
        known = table[target].notna()
        assert card.subsets[target].n == known.sum()
        assert card.subsets[target].pearson == pytest.approx(
            np.corrcoef(predictions[known, column], table[target][known])[0, 1]
        )
    table.to_csv(tmp_path / "rows.csv", index=False, na_rep="none")
    with pytest.raises(UserError, match=r"column a: values that are not finite numbers: line 5"):
        load_suite(tmp_path)


def reverse_complement(sequence):
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def test_both_strands_of_a_sequence_count_once(tmp_path, random):
    """Means of predictions and measurements, against pandas; rows without a partner stay."""
    forward = ["".join(random.choice(list("ACGT"), 12)) for _ in range(30)]
    rows = [*forward, *(reverse_complement(sequence) for sequence in forward[:20])]
    table = pd.DataFrame({"seq": rows, "value": random.normal(size=50).round(3)})
    table = table.sample(frac=1, random_state=1).reset_index(drop=True)
    table.loc[5, "seq"] = table.loc[6, "seq"]  # a third or second row of that sequence
    table.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "suite.yaml").write_text(
        "name: strands\ntable: rows.csv\ncolumns: {sequence: seq, targets: {value: value}}\n"
        "scores: {pearson: weighted_mean_r, spearman: weighted_mean_rho}\n"
        "subsets: {all: {weight: 1}, regions: {weight: 0, mean_of_strands: true}}\n"
    )
    suite = load_suite(tmp_path)
    table["predicted"] = random.normal(size=50)
    table["region"] = [min(s, reverse_complement(s)) for s in table["seq"]]
    # The k-th row of a sequence belongs to the k-th of its other strand.
    table["pair"] = table.groupby("seq").cumcount()
    means = table.groupby(["region", "pair"])[["value", "predicted"]].mean()
    card = score(suite, table["predicted"])
    assert card.subsets["all"].n == 50
    assert card.subsets["regions"].n == len(means) < 35
    assert card.subsets["regions"].pearson == pytest.approx(means.corr().iloc[0, 1], abs=1e-12)
    assert card.pearson_score == card.subsets["all"].pearson
    # A region is drawn as a whole: measured twice, the rows alone would look more certain.
    sampled = bootstrap(suite, table["predicted"], resamples=8, progress=False)
    assert np.isfinite(sampled.subsets["regions"]["pearson"].values).all()
    change(tmp_path, "mean_of_strands: true", "mean_of_strands: 1")
    assert refused(tmp_path) == (
        f"{tmp_path / 'suite.yaml'}:5: mean_of_strands: expected true or false, without pairs."
    )


def test_copies_on_one_strand_are_no_pair_and_a_subset_may_be_empty(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "seq,a,b\nAACG,1,\nAACG,2,NA\ncgtt,3,\nCGTT,5,\nTTTT,4,\nAATT,2,\nAATT,3,\n"
    )
    (tmp_path / "suite.yaml").write_text(
        "name: strands\ntable: rows.csv\ncolumns: {sequence: seq, targets: {a: a, b: b}}\n"
        "scores: {pearson: weighted_mean_r, spearman: weighted_mean_rho}\n"
        "subsets:\n  a: {weight: 1, target: a, mean_of_strands: true}\n"
        "  b: {weight: 1, target: b, mean_of_strands: true}\n"
    )
    suite = load_suite(tmp_path)
    pairs = suite.subsets["a"].positions["all"].tolist()
    assert pairs == [[0, 2], [1, 3], [4, 4], [5, 5], [6, 6]]
    assert suite.subsets["b"].positions["all"].shape == (0, 2)
    assert score(suite, np.ones((7, 2))).subsets["b"].n == 0


def test_a_subset_for_each_word_of_a_column(human):
    folder, frame = human
    predictions = frame["mean_value"] + np.arange(len(frame)) ** 2
    card = score(load_suite(folder), predictions)
    folds = sorted(frame["fold"].unique())
    assert list(card.subsets) == ["all", *(f"all, fold {fold}" for fold in folds)]
    for fold in folds:
        subset, rows = card.subsets[f"all, fold {fold}"], frame["fold"] == fold
        assert (subset.weight, subset.n) == (0, rows.sum())
        if rows.sum() > 2:
            expected = scipy.stats.pearsonr(predictions[rows], frame["mean_value"][rows]).statistic
            assert subset.pearson == pytest.approx(expected, abs=1e-12)
    text = (BUILT_IN / "human_mpra.yaml").read_text()
    clash = f"{text}  all, fold {folds[0]}: {{weight: 1}}\n"
    (folder / "suite.yaml").write_text(clash)
    assert f'there is a subset "all, fold {folds[0]}" already' in refused(folder)
    (folder / "suite.yaml").write_text(text.replace("each: fold", "each: folds"))
    assert 'sample_test.txt "folds". Did you mean "fold"? Allowed: ' in refused(folder)
