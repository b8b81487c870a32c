"""Score cards for people show the card's numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dream_keras.scoring.card import (
    Estimate,
    Interval,
    Intervals,
    NoiseLevel,
    ScoreCard,
    SubsetScore,
    SuiteCeiling,
)
from dream_keras.scoring.formulas import Formulas
from dream_keras.scoring.metrics import score
from dream_keras.scoring.report import markdown_table, scatter_figure, table
from dream_keras.scoring.suite import load_suite

CARD = ScoreCard(
    "public",
    {
        "all": SubsetScore(1.0, 71_103, pearson=-0.5, spearman=0.123456789),
        "motif_tiling": SubsetScore(0.4, 9, pearson=0.25, spearman=-0.75),
        "SNVs": SubsetScore(0.6, 1, math.nan, math.nan, "fewer than 2 values"),
    },
)
# (1 * 0.25 + 0.4 * 0.0625) / 2 and (1 * 0.123456789 - 0.4 * 0.75) / 2.
PEARSON_SCORE, SPEARMAN_SCORE = "0.137500", "-0.088272"

NONE = Interval(math.nan, math.nan)
WITH_INTERVALS = replace(
    CARD,
    intervals=Intervals(
        0.95,
        10_000,
        3,
        {"pearson_score": Interval(0.1, 0.2), "spearman_score": Interval(-0.1, 0.01234)},
        {
            "all": {
                "pearson": Interval(-0.6, -0.4),
                "r2": Interval(0.16, 0.36),
                "spearman": Interval(0.1, 0.15),
            },
            "motif_tiling": {
                "pearson": Interval(-0.25, 1),
                "r2": Interval(0, 1),
                "spearman": Interval(-1, 0.12346),
            },
            "SNVs": {"pearson": NONE, "r2": NONE, "spearman": NONE},
        },
        {"all": 0.0, "motif_tiling": 0.0234, "SNVs": 1.0},
    ),
)
LEFT_OUT = (
    "motif_tiling is undefined in 2.3 % of the resamples; there it counts as 0 in the scores, and "
    "its intervals leave them out"
)
RESAMPLES = "intervals: percentiles of 10,000 bootstrap resamples of the rows and pairs, seed 3"


def test_table():
    assert table(CARD).splitlines() == [
        "subset        weight       n  Pearson r        r^2  Spearman rho",
        "----------------------------------------------------------------",
        "all             1.00  71,103  -0.500000   0.250000      0.123457",
        "motif_tiling    0.40       9   0.250000   0.062500     -0.750000",
        "SNVs            0.60       1  undefined  undefined     undefined",
        "",
        "SNVs is undefined: fewer than 2 values; it counts as 0",
        f"Pearson Score  {PEARSON_SCORE}  = sum of weight * r^2 / 2",
        f"Spearman Score {SPEARMAN_SCORE}  = sum of weight * rho / 2",
        "public part: the public leaderboard's rows",
    ]


def test_markdown_table():
    assert markdown_table(CARD).splitlines() == [
        "| subset | weight | n | Pearson r | r² | Spearman ρ |",
        "|---|---:|---:|---:|---:|---:|",
        "| all | 1.00 | 71,103 | -0.500000 | 0.250000 | 0.123457 |",
        "| motif_tiling | 0.40 | 9 | 0.250000 | 0.062500 | -0.750000 |",
        "| SNVs | 0.60 | 1 | undefined | undefined | undefined |",
        "",
        "- SNVs is undefined: fewer than 2 values; it counts as 0",
        f"- Pearson Score  {PEARSON_SCORE}  = sum of weight * r^2 / 2",
        f"- Spearman Score {SPEARMAN_SCORE}  = sum of weight * rho / 2",
        "- public part: the public leaderboard's rows",
    ]


def test_table_with_intervals():
    assert table(WITH_INTERVALS).splitlines() == [
        "subset        weight       n  Pearson r        r^2     95 % interval  Spearman rho"
        "      95 % interval",
        "-" * 101,
        "all             1.00  71,103  -0.500000   0.250000  [0.1600, 0.3600]      0.123457"
        "   [0.1000, 0.1500]",
        "motif_tiling    0.40       9   0.250000   0.062500  [0.0000, 1.0000]     -0.750000"
        "  [-1.0000, 0.1235]",
        "SNVs            0.60       1  undefined  undefined         undefined     undefined"
        "          undefined",
        "",
        "SNVs is undefined: fewer than 2 values; it counts as 0",
        LEFT_OUT,
        f"Pearson Score  {PEARSON_SCORE}  = sum of weight * r^2 / 2; 95 % interval "
        "[0.1000, 0.2000]",
        f"Spearman Score {SPEARMAN_SCORE}  = sum of weight * rho / 2; 95 % interval "
        "[-0.1000, 0.0123]",
        RESAMPLES,
        "public part: the public leaderboard's rows",
    ]


@pytest.mark.parametrize("interval", [NONE, Interval(0.5, 0.75)])
def test_table_with_ceilings(interval):
    none = Estimate(math.nan, NONE)
    r2 = {"all": Estimate(0.98765, interval), "motif_tiling": Estimate(0.6, interval), "SNVs": none}
    noise = [NoiseLevel("expression", 0.0, 1.0, pairs, none) for pairs in (1_200, 34)]
    ceiling = SuiteCeiling("public", Estimate(0.7, interval), r2, tuple(noise))
    lines = [" ".join(line.split()) for line in table(replace(CARD, ceiling=ceiling)).splitlines()]
    ends = "" if interval is NONE else " [0.5000, 0.7500]"
    assert lines[0] == "subset weight n Pearson r r^2 ceiling of r^2 Spearman rho"
    assert lines[2] == f"all 1.00 71,103 -0.500000 0.250000 0.9877{ends} 0.123457"
    assert lines[4] == "SNVs 0.60 1 undefined undefined undefined undefined"
    assert lines[7] == (
        f"Pearson Score {PEARSON_SCORE} = sum of weight * r^2 / 2; ceiling 0.7000{ends}"
    )
    assert lines[9] == (
        "ceilings: what a perfect predictor is expected to reach, from the noise of 1,234 neutral "
        "pairs; too low where the predictions that chose these overlook changes"
    )
    assert "| ceiling of r² |" in markdown_table(replace(CARD, ceiling=ceiling))


def test_markdown_table_with_intervals():
    lines = markdown_table(WITH_INTERVALS).splitlines()
    assert lines[:3] == [
        "| subset | weight | n | Pearson r | r² | 95 % interval | Spearman ρ | 95 % interval |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        "| all | 1.00 | 71,103 | -0.500000 | 0.250000 | [0.1600, 0.3600] | 0.123457 "
        "| [0.1000, 0.1500] |",
    ]
    assert {f"- {LEFT_OUT}", f"- {RESAMPLES}"} < set(lines)


def test_intervals_are_of_what_the_scores_are_made_of():
    formulas = Formulas("weighted_mean_r", "weighted_mean_rho")
    lines = markdown_table(replace(WITH_INTERVALS, formulas=formulas)).splitlines()
    assert lines[0].startswith("| subset | weight | n | Pearson r | 95 % interval | r² | Spear")
    assert lines[2].startswith("| all | 1.00 | 71,103 | -0.500000 | [-0.6000, -0.4000] | 0.250000")


@pytest.mark.parametrize(
    ("part", "said"), [("private", "private part: without"), ("all", "all rows")]
)
def test_the_part_is_named(part, said):
    card = ScoreCard(part, CARD.subsets)
    assert table(card).splitlines()[-1].startswith(said)
    assert markdown_table(card).splitlines()[-1].startswith(f"- {said}")


@pytest.mark.parametrize("part", ["private", "public", "all"])
def test_figure_has_a_panel_for_each_subset(suite_files, tmp_path, part):
    suite = load_suite(suite_files.folder)
    card = score(suite, suite_files.predictions, part)
    figure = scatter_figure(suite, suite_files.predictions, part)
    panels = {
        axes.get_title(loc="left").split()[0]: axes
        for axes in figure.axes
        if axes.get_title(loc="left")
    }
    assert list(panels) == list(card.subsets)
    assert len(figure.axes) == 9 + 1  # The last one is the colour bar.
    for name, axes in panels.items():
        subset = card.subsets[name]
        title = axes.get_title(loc="left")
        assert f"n = {subset.n}" in title
        assert f"r = {subset.pearson:.3f}   ρ = {subset.spearman:.3f}" in title
        (hexagons,) = axes.collections
        assert hexagons.get_array().sum() == subset.n
        assert ("difference, alt − ref" in axes.get_xlabel()) == suite.subsets[name].is_pairs
    assert f"Pearson Score {card.pearson_score:.4f}" in figure.get_suptitle()
    figure.savefig(tmp_path / "scatter.png", dpi=20)
    assert (tmp_path / "scatter.png").stat().st_size > 1000


def test_figure_with_an_empty_subset_and_constant_predictions(suite_files, tmp_path):
    suite_files.public_file("high").write_text("{}")
    suite = load_suite(suite_files.folder)
    figure = scatter_figure(suite, np.ones(300), "public")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[1] == "high   n = 0\nr and ρ undefined: fewer than 2 values"
    assert titles[2] == "low   n = 6\nr and ρ undefined: constant predictions"
    figure.savefig(tmp_path / "scatter.png", dpi=20)
