"""The analysis of a tiny run on regions: its page, its pictures, and the numbers in them."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.analyse import regions as region_analysis
from dream_keras.analyse.regions import RegionAnalysis, write_region_analysis
from dream_keras.common.errors import UserError
from dream_keras.data.genome import Genome
from dream_keras.data.regions import read_regions_file
from dream_keras.runs.region_scores import read_test_peaks
from dream_keras.runs.run import load_run

PICTURES = ["counts", "distances", "dependence", "comparison", "profiles"]
SECTIONS = [
    "Scores",
    "Log counts",
    "Distances of profiles",
    "By total count and GC content",
    "Joint prediction and network",
    "Profiles",
]


@pytest.fixture(scope="module")
def copy(main_run, tmp_path_factory):
    return shutil.copytree(main_run, tmp_path_factory.mktemp("analysed") / "run")


@pytest.fixture(scope="module")
def page(copy):
    return dream_keras.analyse(copy, progress=False)


@pytest.fixture(scope="module")
def analysis(copy, regions):
    run = load_run(copy)
    peaks = read_test_peaks(run, read_regions_file(regions))
    return RegionAnalysis.of(run, peaks, progress=False)


def test_the_page_has_its_sections_and_pictures(page, copy):
    assert page == copy / "analysis/analysis.md"
    text = page.read_text()
    assert text.startswith("# Analysis of run (simulated data)")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert re.findall(r"!\[\w+\]\((\w+)\.png\)", text) == PICTURES
    for name in PICTURES:
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.stem for path in page.parent.glob("*.png")) == sorted(PICTURES)


def test_numbers_are_those_of_the_regions(page, copy):
    table, text = pd.read_csv(copy / "regions.tsv", sep="\t"), page.read_text()
    r = np.corrcoef(table.log_counts, table["joint.log_counts"])[0, 1]
    assert f"| Pearson r of log counts | {r:.3f} [" in text
    error = table["joint.log_counts"] - table.log_counts
    assert f"has mean {error.mean():.4f} and standard deviation {error.std(ddof=0):.4f}" in text
    closer = (table["joint.jsd"] < table["network.jsd"]).sum()
    assert f"profile in {closer} of {len(table)} regions" in text
    middle = np.median(table["joint.jsd"])
    assert f"{middle:.4g} |" in text
    gap = middle - np.median(table["network.jsd"])
    assert f"| median Jensen-Shannon distance of profiles | {round(gap, 9):.4g} |" in text


def test_gc_is_that_of_the_windows(analysis, regions):
    genome = Genome(read_regions_file(regions).genome)
    where = analysis.rows.regions
    for n in range(3):
        tokens = genome.tokens(str(genome.find(str(where.chroms[n]))))
        window = tokens[where.centres[n] - 60 : where.centres[n] + 60]
        known = window[window < 4]
        assert analysis.gc[n] == pytest.approx(np.isin(known, (1, 2)).mean())


def test_profiles_are_those_of_the_percentiles(analysis, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        region_analysis.region_plots, "profile_figure", lambda examples: drawn.extend(examples)
    )
    monkeypatch.setattr(RegionAnalysis, "picture", lambda *arguments: "")
    region_analysis._profiles(analysis)
    order = np.argsort(analysis.first.distances)
    for example, percentile in zip(drawn, (5, 50, 95), strict=True):
        row = order[round(percentile / 100 * (len(order) - 1))]
        np.testing.assert_array_equal(example.measured, analysis.rows.profiles[row, 0])
        assert f"distance: {analysis.first.distances[row]:.4f}" in example.title
        assert set(example.predicted) == {"joint", "network"}
        for shares in example.predicted.values():
            assert shares.sum() == pytest.approx(1)
        assert not np.allclose(*example.predicted.values())


def test_ensembles_and_runs_without_a_bias_model(region_ensemble, bias_run, regions, tmp_path):
    both = shutil.copytree(region_ensemble, tmp_path / "both")
    assert (dream_keras.analyse(both, progress=False).parent / "profiles.png").exists()
    alone = shutil.copytree(bias_run, tmp_path / "alone")
    page = dream_keras.analyse(alone, suite=regions, progress=False)
    assert "Joint" not in page.read_text()
    assert not (page.parent / "comparison.png").exists()


def test_regions_without_counts(analysis, tmp_path, monkeypatch):
    """They have no distance, and are left out where one is needed."""
    monkeypatch.setattr(RegionAnalysis, "folder", property(lambda self: tmp_path))
    for scores in analysis.found.values():
        monkeypatch.setitem(vars(scores), "distances", scores.distances.copy())
        scores.distances[0] = np.nan
    text = write_region_analysis(analysis).read_text()
    assert "which have none: 1." in text
    assert "nan" not in text


def test_what_it_does_not_take(copy, tmp_path):
    (tmp_path / "table.txt").write_text("ACGT\t1\n")
    with pytest.raises(UserError, match="--part: a run that predicts profiles has none"):
        dream_keras.analyse(copy, part="private")
    with pytest.raises(UserError, match="--train: a run that predicts profiles has none"):
        dream_keras.analyse(copy, train=tmp_path / "table.txt")
