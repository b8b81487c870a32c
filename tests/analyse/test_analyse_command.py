"""The whole command on a small simulated run: what the page holds, warnings, refusals."""

import logging
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

import dream_keras
from dream_keras.analyse import sections
from dream_keras.analyse.__main__ import main
from dream_keras.common.errors import UserError
from dream_keras.common.tables import markdown
from dream_keras.data.kmers import K
from dream_keras.runs.run import Run
from dream_keras.scoring.metrics import pearson
from dream_keras.scoring.suite import load_suite

SECTIONS = [
    "Residuals",
    "Motifs",
    "Calibration of the sorting bins",
    "Intervals",
    "Agreement of the strands",
    "Similarity to the training rows",
    "The 50 largest residuals",
]
PICTURES = ["residuals", "motifs", "calibration", "strands", "similarity"]
PAIR = str.maketrans("ACGTN", "TGCAN")
SLIM = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "model.core.expansion=1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "trained"
    dream_keras.train(out=out, smoke=True, overrides=SLIM, progress=False, seed=1)
    return out


@pytest.fixture(scope="module")
def suite(trained):
    return load_suite(dream_keras.load_run(trained).suite_folder)


@pytest.fixture(scope="module")
def page(trained):
    return dream_keras.analyse(trained, progress=False)


@pytest.fixture
def copy(trained, suite, tmp_path):
    """The run with other settings, without its former analysis; its times stay."""

    def make(**data):
        folder = tmp_path / "copy"
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("analysis"))
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["data"].update(data)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return folder

    return make


@pytest.fixture
def without_network(monkeypatch):
    """Leave out what needs the network, to be quick."""
    for name in ("bin_section", "strand_section"):
        monkeypatch.setattr(sections, name, lambda analysis: [])


# The page.


def test_the_page_has_every_section(page):
    assert page.name == "analysis.md"
    assert re.findall(r"^## (.*)", page.read_text(), re.MULTILINE) == SECTIONS


def test_every_picture_is_there(page):
    shown = re.findall(r"!\[\w+\]\((\w+)\.png\)", page.read_text())
    assert shown == PICTURES
    for name in shown:
        data = (page.parent / f"{name}.png").read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 5_000
    assert not list(page.parent.glob(".writing-*"))


def test_tables_are_whole(page):
    for block in page.read_text().split("\n\n"):
        if block.startswith("| "):
            assert len({len(re.findall(r"\|", line)) for line in block.splitlines()}) == 1


def test_every_subset_and_motif_is_listed(page, suite):
    text = page.read_text()
    for name, subset in suite.subsets.items():
        shown = f"{name} (differences)" if subset.is_pairs else name
        assert f"| {shown} |" in text
    assert "| Reb1 |" in text


def test_worst_rows_are_the_worst(page, trained, suite):
    table = pd.read_csv(page.parent / "worst.tsv", sep="\t")
    size = table["residual"].abs()
    assert len(table) == 50
    assert (size.diff().dropna() <= 1e-9).all()
    np.testing.assert_allclose(table["calibrated"] - table["measured"], table["residual"], 2e-5)
    run = dream_keras.load_run(trained)
    predictions = run.find_predictions(suite, "private", False)[:, 0]
    rows = suite.rows("private")
    slope, intercept = np.polyfit(predictions[rows], suite.measured[rows, 0], 1)
    residuals = slope * predictions[rows] + intercept - suite.measured[rows, 0]
    wanted = np.sort(np.abs(residuals))[::-1][:50]
    np.testing.assert_allclose(size, wanted, rtol=1e-3)
    for row in table.itertuples():
        assert row.insert == suite.sequences[row.position][17:-13]
        assert row.measured == pytest.approx(suite.measured[row.position, 0], rel=1e-5)
        assert row.gc == pytest.approx(sum(map(row.insert.count, "GC")) / len(row.insert))
        for name in row.subsets.split():
            assert row.position in suite.subsets[name].positions["private"]


def test_figures_of_the_strands(page, trained, suite):
    said = re.search(r"complements: r = (-?[\d.]+) between the two", page.read_text())
    run = dream_keras.load_run(trained)
    rows = suite.rows("private")
    from dream_keras.analyse.inference import predict_strands

    strands = predict_strands(run, [suite.sequences[row] for row in rows], progress=False)
    assert float(said[1]) == pytest.approx(pearson(*strands[:, :, 0].T), abs=1e-3)


# Predictions.


def test_predictions_of_the_run_are_taken(trained, suite, monkeypatch):
    """The smoke run has those of the public part."""
    monkeypatch.setattr(Run, "network", None)
    found = dream_keras.load_run(trained).find_predictions(suite, "public")
    table = pd.read_csv(trained / "predictions.tsv", sep="\t", header=None)
    rows = suite.rows("public")
    assert [suite.sequences[row] for row in rows] == table[0].tolist()
    np.testing.assert_array_equal(found[rows, 0], table[1])


def test_weights_are_known_by_their_bytes(copy, suite, monkeypatch):
    """A copy that is newer than the predictions holds the same weights."""
    monkeypatch.setattr(Run, "network", None)
    folder = copy()
    (folder / "best.weights.h5").touch()
    assert np.isfinite(
        dream_keras.load_run(folder).find_predictions(suite, "public")[suite.rows("public")]
    ).all()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("part", "it does not hold the private part of this suite"),
        ("other weights", "predictions.sha256 says that other weights made it than best.weights"),
        ("no checksum", "there is no predictions.sha256 to say which weights made it"),
        ("no words", "says that other weights made it"),
        ("damaged", "it does not hold the public part of this suite"),
        ("gone", ""),
    ],
)
def test_predictions_that_do_not_do_are_made_anew(copy, suite, monkeypatch, caplog, harm, said):
    asked = []

    def predict(run, suite, part, progress):
        asked.append(part)
        return np.zeros(suite.measured.shape)

    monkeypatch.setattr(Run, "predict_suite", predict)
    folder, part = copy(), "public"
    path = folder / "predictions.tsv"
    if harm == "part":
        part = "private"
    elif harm == "other weights":
        (folder / "best.weights.h5").write_bytes(b"other weights")
        os.utime(folder / "best.weights.h5", (1, 1))  # older than the predictions
    elif harm == "no checksum":
        (folder / "predictions.sha256").unlink()
    elif harm == "no words":
        (folder / "predictions.sha256").write_bytes(b"\xff\n")
    elif harm == "damaged":
        path.write_text("ACGT\tmuch\n")
    else:
        path.unlink()
    with caplog.at_level("INFO"):
        assert not dream_keras.load_run(folder).find_predictions(suite, part).any()
    assert asked == [part]
    assert said in caplog.text
    assert ("predicting anew instead of taking" in caplog.text) == bool(said)


# Similarity.


def plant(path, suite, chosen):
    """Write a training table that holds test rows as they are, and turned round."""
    random = np.random.default_rng(0)
    lines = ["TGCATTTTTTTCACATC" + "".join(random.choice(list("ACGT"), 80)) + "GGTTACGGCTGTT"] * 40
    for number, row in enumerate(chosen):
        sequence = suite.sequences[row]
        lines[3 + number] = sequence.translate(PAIR)[::-1] if number % 2 else sequence
    path.write_text("".join(f"{line}\t9\n" for line in lines))
    return path


@pytest.mark.usefixtures("without_network")
def test_test_rows_that_were_trained_on_are_warned_of(copy, suite, tmp_path, caplog):
    chosen = suite.rows("public")[[2, 5, 60, 61, 62, 90, 100]]
    table = plant(tmp_path / "leaky.txt", suite, chosen)
    with caplog.at_level(logging.WARNING):
        page = dream_keras.analyse(copy(), part="public", train=table, progress=False)
    warning = f"7 of {len(suite.rows('public'))} test rows are in the training table {table}"
    for text in (page.read_text(), caplog.text):
        assert warning in text
        assert f"position {chosen[0]} is line 4, position {chosen[1]} is line 5" in text
        assert "and 2 more" in text
    assert "| same insert | 7 |" in page.read_text()


@pytest.mark.usefixtures("without_network")
def test_no_warning_without_reason(copy, caplog):
    with caplog.at_level(logging.WARNING):
        page = dream_keras.analyse(copy(), part="public", progress=False)
    assert "No row is in the training table" in page.read_text()
    assert f"share at least one {K}-mer" in page.read_text()
    assert not caplog.text


def test_a_training_table_that_is_gone_is_only_remarked(copy, suite, capsys):
    folder = copy(train="/gone/train.txt")
    main([str(folder), "--suite", suite.source, "--part", "public"])
    assert f"The analysis is in {folder / 'analysis' / 'analysis.md'}" in capsys.readouterr().out
    text = (folder / "analysis" / "analysis.md").read_text()
    assert "for want of the training rows: no file /gone/train.txt" in text
    assert "for want of the validation rows: no file /gone/train.txt" in text
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == SECTIONS
    assert len(pd.read_csv(folder / "analysis" / "worst.tsv", sep="\t")) == 50


# Refusals.


def test_what_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a run folder"):
        dream_keras.analyse(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"suite": "nowhere"}, "the suite nowhere does not exist"),
        ({"part": "privat"}, 'unknown part "privat". Did you mean "private"'),
        ({"part": "public", "train": "nowhere.txt"}, "no file nowhere.txt"),
    ],
)
def test_mistakes_are_named(trained, given, said):
    with pytest.raises(UserError) as error:
        dream_keras.analyse(trained, progress=False, **given)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_without_a_suite_asks_for_one(copy):
    with pytest.raises(UserError, match=r"records none. Name one with --suite PATH"):
        dream_keras.analyse(copy(train="train.txt"))


def test_predictions_that_do_not_differ_are_refused(copy, suite):
    folder = copy()
    lines = [f"{suite.sequences[row]}\t9.5\n" for row in suite.rows("public")]
    (folder / "predictions.tsv").write_text("".join(lines))
    with pytest.raises(UserError, match="nothing to analyse"):
        dream_keras.analyse(folder, part="public", progress=False)
    assert not (folder / "analysis").exists()


def test_a_suite_with_other_targets_is_refused(trained, tmp_path):
    (tmp_path / "table.tsv").write_text("seq\ta\tb\nACGT\t1\t2\nACGA\t2\t1\n")
    (tmp_path / "suite.yaml").write_text(
        "name: two\ntable: table.tsv\n"
        "columns: {sequence: seq, targets: {a: a, b: b}}\n"
        "scores: {pearson: weighted_mean_r2, spearman: weighted_mean_rho}\n"
        "subsets: {a: {weight: 1, target: a}, b: {weight: 1, target: b}}\n"
    )
    with pytest.raises(UserError, match=r"has the targets a, b, the run the tasks expression"):
        dream_keras.analyse(trained, suite=tmp_path)


# Tables.


def test_numbers_are_rounded_for_people():
    table = pd.DataFrame(
        {"name": ["a", "b"], "n": [71103, 2], "value": [-1.5e-16, 0.123456], "gap": [np.nan, -2.0]}
    )
    assert markdown(table).splitlines() == [
        "| name | n | value | gap |",
        "|---|---|---|---|",
        "| a | 71,103 | 0 |  |",
        "| b | 2 | 0.1235 | -2 |",
    ]
