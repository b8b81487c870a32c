"""Paired comparisons: signs, prefixes, words."""

import re

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.leaderboard.comparison import compare
from dream_keras.scoring.bootstrap import bootstrap
from dream_keras.scoring.bootstrap import compare as compare_resampled


def differences(comparison):
    return {
        f"{kind} {name}": difference
        for kind, group in vars(comparison.differences).items()
        for name, difference in group.items()
    }


def test_stored_submissions_compare_as_fresh_ones_do(teams, desk):
    found = compare("alpha", "3", board=teams)
    assert found.names == ("alpha, number 1", "gamma & sons, number 3")
    a, b = (
        bootstrap(desk.suite, desk.predictions(1.0 + seed, seed), "private", 200) for seed in (0, 2)
    )
    expected = compare_resampled(a, b)
    for name, difference in found.differences.totals.items():
        assert difference == pytest.approx(expected.scores[name], abs=1e-6)
    for name, kinds in expected.subsets.items():
        assert found.differences.r2[name] == pytest.approx(kinds["r2"], abs=1e-6)
        assert found.differences.rho[name] == pytest.approx(kinds["spearman"], abs=1e-6)


def test_turning_the_two_round_changes_all_signs(teams):
    there = differences(compare("alpha", "gamma & sons", board=teams))
    back = differences(compare("gamma & sons", "alpha", board=teams))
    assert len(there) == 2 + 9 + 9
    for name, one in there.items():
        other = back[name]
        assert one.estimate == -other.estimate
        assert (one.wins, one.losses) == (other.losses, other.wins)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)


def test_files_compare_with_submissions_and_without_a_board(teams, desk):
    path = desk.file("same.tsv", 1.0, seed=0)  # what alpha submitted
    same = compare("alpha", path, board=teams, resamples=60)
    for difference in differences(same).values():
        assert (difference.estimate, difference.low, difference.high) == (0, 0, 0)
        assert difference.wins == difference.losses == 0
    assert "Pearson Score: A and B are equally good (A - B = +0.0000" in same.text()
    assert "60 resamples" in same.text()
    other = desk.file("other.tsv", 3.0, seed=2)  # what gamma & sons submitted
    alone = compare(path, other, suite=desk.suite_folder, phase="private", resamples=60)
    stored = compare("alpha", "gamma & sons", board=teams, resamples=60)
    assert differences(alone) == differences(stored)
    public = compare(path, other, suite=desk.suite_folder, phase="public", resamples=60)
    assert differences(public) != differences(alone)


def test_more_resamples_than_were_stored_are_not_made_up(teams, desk):
    few = teams.submit("few", desk.file("few.tsv", 1.5, seed=7), resamples=30)
    found = compare("few", "alpha", board=teams)
    assert "30 resamples" in found.text()
    assert found.to_dict()["resamples"] == 30
    wins = found.differences.totals["pearson_score"].wins
    ours = teams.samples(few, "private").totals["pearson_score"].values
    theirs = teams.samples(teams.find("alpha"), "private").totals["pearson_score"].values[:30]
    assert wins == np.mean(ours > theirs)


def test_the_words_name_the_winner_and_its_share(teams):
    text = compare("gamma & sons", "alpha", board=teams).text()
    assert text.startswith("A: gamma & sons, number 3\nB: alpha, number 1\nprivate part; 200 ")
    assert re.search(
        r"Pearson Score: B is better in 100\.0 % of the resamples \(A - B = -0\.\d{4}, "
        r"95 % interval -0\.\d{4} to -0\.\d{4}\)\.$",
        text,
        re.MULTILINE,
    )
    (line,) = [line for line in text.splitlines() if line.startswith("rho SNVs")]
    difference = compare("gamma & sons", "alpha", board=teams).differences.rho["SNVs"]
    assert f"{difference.estimate:+.4f}" in line
    assert f"{100 * difference.wins:.1f} %" in line


def test_an_interval_that_contains_zero_is_called_so(teams, desk):
    values = desk.predictions(1.0, seed=0)
    values += 1e-3 * np.random.default_rng(1).normal(size=len(values))
    teams.submit("twin", desk.write("twin.tsv", values), resamples=200)
    text = compare("twin", "alpha", board=teams).text()
    assert "The interval contains 0: the difference is not significant." in text


def test_what_cannot_be_compared_is_named(teams, desk):
    path = desk.file("x.tsv", 1.0)
    for arguments, said in (
        (("alpa", "alpha"), r'"alpa" is neither a team nor .* Did you mean "alpha"\?'),
        (("alpha", "9"), '"9" is neither a team nor the number of a submission'),
    ):
        with pytest.raises(UserError, match=said):
            compare(*arguments, board=teams)
    with pytest.raises(UserError, match='"alpha" is no run folder and no file'):
        compare("alpha", path, suite=desk.suite_folder)
    with pytest.raises(UserError, match=r"no suite to compare .*: they record none"):
        compare(path, path)
    with pytest.raises(UserError, match="is not a run folder: it has no config"):
        compare(path, desk.folder, suite=desk.suite_folder)


def test_the_public_phase_compares_on_the_public_part_only(teams):
    teams.set_phase("public")
    assert compare("alpha", "2", board=teams).part == "public"
    with pytest.raises(UserError, match="is in its public phase"):
        compare("alpha", "2", board=teams, phase="private")
