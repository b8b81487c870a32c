"""What a leaderboard promises: checked, scored, hidden, limited, recognised."""

import csv
import dataclasses
import datetime
import hashlib
import json
import shutil
import sqlite3

import numpy as np
import pytest
import yaml

from dream_keras.common.errors import UserError
from dream_keras.leaderboard import board as board_module
from dream_keras.leaderboard import published
from dream_keras.leaderboard.board import Board, create_board, suite_checksum
from dream_keras.leaderboard.source import checksum
from dream_keras.scoring.bootstrap import bootstrap
from dream_keras.scoring.metrics import score
from dream_keras.scoring.suite import load_suite

WEEK = datetime.timedelta(days=7)


def test_a_submission_is_scored_on_both_parts_and_kept(board, desk):
    path = desk.file("mine.tsv", 1.0)
    entry = board.submit("mine", path, note="seed 0", resamples=50)
    assert (entry.id, entry.team, entry.note, entry.source) == (1, "mine", "seed 0", "mine.tsv")
    assert set(entry.scores) == {"public", "private"}
    values = desk.predictions(1.0)
    for part, found in entry.scores.items():
        card = score(desk.suite, values, part)
        assert found.totals["pearson_score"].value == card.pearson_score
        assert found.totals["spearman_score"].value == card.spearman_score
        resampled = bootstrap(desk.suite, values, part, 50)
        for name, subset in card.subsets.items():
            assert found.r2[name].value == pytest.approx(subset.r2, abs=1e-15)
            assert found.rho[name].value == subset.spearman
            interval = resampled.subsets[name]["r2"].interval()
            assert found.r2[name][1:] == pytest.approx(interval, abs=1e-12)
    np.testing.assert_array_equal(board.predictions(entry)[:, 0], values)
    assert Board(board.store.path).store.entries() == [entry]
    assert set(entry.versions) == {"dream_keras", "numpy", "scipy"}


def test_stored_resamples_are_those_of_the_bootstrap(board, desk):
    entry = board.submit("mine", desk.file("mine.tsv", 1.0), resamples=20)
    stored = board.samples(entry, "private")
    fresh = bootstrap(desk.suite, desk.predictions(1.0), "private", 20)
    for name, sampled in stored.totals.items():
        np.testing.assert_allclose(sampled.values, fresh.scores[name].values, atol=1e-7)
    np.testing.assert_allclose(
        stored.rho["SNVs"].values, fresh.subsets["SNVs"]["spearman"].values, atol=1e-7
    )


def test_the_same_predictions_are_recognised_in_any_format(board, desk, clock):
    path = desk.file("table.tsv", 1.0)
    board.submit("first", path, resamples=5)
    before = board.store.path.read_bytes()
    values = desk.predictions(1.0).tolist()
    other = desk.folder / "other.json"
    other.write_text(json.dumps(dict(enumerate(values))))
    clock.now += WEEK
    for again in (path, other):
        with pytest.raises(UserError, match=r"already: team first submitted them at 2024-05-06T07"):
            board.submit("second", again, resamples=5)
    assert board.store.path.read_bytes() == before
    assert checksum(np.array([0.0, 1.0])) == checksum(np.array([-0.0, 1.0]))
    assert checksum(np.array([0.0, 1.0])) != checksum(np.array([1.0, 0.0]))


def test_refusals_come_before_anything_long(board, desk, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("scored")

    monkeypatch.setattr(board_module, "bootstrap", refuse)
    good = desk.file("good.tsv", 1.0)
    (desk.folder / "bad.tsv").write_text("ACGT\t1\n")
    for team, path, said in (
        ("", good, "the team name is empty"),
        ("two\nlines", good, "one line of at most 80 printable"),
        ("\x1b[31mred", good, "one line of at most 80 printable"),
        ("x" * 81, good, "one line of at most 80 printable"),
        ("12", good, "is a number, as submissions have"),
        ("mine", desk.folder / "missing.tsv", "no file"),
        ("mine", desk.folder / "bad.tsv", "has 1 rows; the suite .* has 1,200"),
        ("mine", None, "give a file of predictions"),
    ):
        with pytest.raises(UserError, match=said):
            board.submit(team, path)
    with pytest.raises(UserError, match="not a run folder: it has no config"):
        board.submit("mine", run=desk.folder)
    with pytest.raises(UserError, match="resamples=0"):
        board.submit("mine", good, resamples=0)
    assert board.store.entries() == []


def test_the_weekly_limit_holds_per_team(desk, clock):
    path = desk.folder / "limited.sqlite"
    board = create_board(path, desk.suite_folder, weekly_limit=1, clock=clock)
    board.submit("a", desk.file("0.tsv", 1.0, seed=0), resamples=5)
    second = desk.file("1.tsv", 1.0, seed=1)
    with pytest.raises(UserError, match="allows 1"):
        board.submit("a", second, resamples=5)
    board.submit("b", second, resamples=5)
    clock.now += WEEK
    board.submit("a", desk.file("2.tsv", 1.0, seed=2), resamples=5)
    assert [entry.team for entry in board.store.entries()] == ["a", "b", "a"]
    with pytest.raises(UserError, match="--weekly-limit 0"):
        create_board(desk.folder / "none", desk.suite_folder, weekly_limit=0)


def changed(folder, target, change):
    """Copy a suite and change one thing in it."""
    shutil.copytree(folder, target)
    change(target)
    return target


def other_value(folder):
    table = folder / "filtered_test_data_with_MAUDE_expression.txt"
    head, _, rest = table.read_text().partition("\n")
    sequence, _, value = head.partition("\t")
    table.write_text(f"{sequence}\t{float(value) + 1e-6}\n{rest}")


def other_subset(folder):
    path = folder / "test_subset_ids" / "yeast_seqs.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def other_member(folder):
    """All subsets as large as before, one private row another private one."""
    subsets = load_suite(folder).subsets
    private = subsets["yeast"].positions["private"]
    new = np.setdiff1d(subsets["all"].positions["private"], private)[0]
    path = folder / "test_subset_ids" / "yeast_seqs.csv"
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    column = header.index("pos")
    for row in rows:
        row[column] = str(new) if row[column] == str(private[0]) else row[column]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    changed = load_suite(folder).subsets["yeast"].positions["private"]
    assert len(changed) == len(private)
    assert new in changed


@pytest.mark.parametrize("change", [other_value, other_subset, other_member])
def test_another_suite_is_refused(board, desk, change):
    other = changed(desk.suite_folder, desk.folder / "other", change)
    with pytest.raises(UserError, match="is not the suite that the leaderboard"):
        Board(board.store.path, other).submit("mine", desk.file("x.tsv", 1.0))
    assert board.store.entries() == []


def test_a_suite_that_has_moved_is_given_anew(desk):
    first = shutil.copytree(desk.suite_folder, desk.folder / "first")
    board = create_board(desk.folder / "board", first)
    first.rename(desk.folder / "second")
    path = desk.file("x.tsv", 1.0)
    with pytest.raises(UserError, match="first does not exist"):
        Board(desk.folder / "board").submit("mine", path, resamples=5)
    moved = Board(desk.folder / "board", desk.folder / "second")
    assert moved.submit("mine", path, resamples=5).id == 1
    assert board.standings().rows[0].entry.team == "mine"  # needs no suite


def test_weights_belong_to_the_identity_of_a_suite(desk):
    subsets = dict(desk.suite.subsets)
    subsets["high"] = dataclasses.replace(subsets["high"], weight=0.31)
    other = dataclasses.replace(desk.suite, subsets=subsets)
    assert suite_checksum(other) != suite_checksum(desk.suite)
    assert suite_checksum(load_suite(desk.suite_folder)) == suite_checksum(desk.suite)


def test_standings_rank_the_latest_submission_of_each_team(teams, desk):
    teams.submit("alpha", desk.file("worse.tsv", 9.0, seed=9), resamples=100, note="again")
    standings = teams.standings()
    rows = {row.entry.team: row for row in standings.rows}
    assert [row.rank.rank for row in standings.rows] == [1, 2, 3]
    assert [row.entry.team for row in standings.rows][-1] == "alpha"
    assert (rows["alpha"].submissions, rows["alpha"].entry.note) == (2, "again")
    scores = [row.scores.totals["pearson_score"].value for row in standings.rows]
    assert scores == sorted(scores, reverse=True)
    # The ranks are those of the resamples that all of them have.
    drawn = np.array(
        [
            teams.samples(row.entry, "private").totals["pearson_score"].values[:100]
            for row in standings.rows
        ]
    )
    places = 1 + (drawn[:, None] < drawn[None]).sum(axis=1)
    for row, mine in zip(standings.rows, places, strict=True):
        assert row.rank.mean == pytest.approx(mine.mean())
        assert row.places == (row.rank.low, row.rank.high)


def test_the_table_shows_every_team_and_number(teams):
    text = teams.standings().table()
    for row in teams.standings().rows:
        (line,) = [line for line in text.splitlines() if row.entry.team in line]
        for name in ("pearson_score", "spearman_score"):
            value, low, high = row.scores.totals[name]
            assert f"{value:.4f} [{low:.4f}, {high:.4f}]" in line
        assert all(f"{estimate.value:.4f}" in line for estimate in row.scores.r2.values())
    assert "private part" in text
    assert "published" not in text
    plain = teams.standings().to_dict()
    assert plain == json.loads(json.dumps(plain, allow_nan=False))
    assert plain["rows"][0]["totals"]["pearson_score"] == list(
        teams.standings().rows[0].scores.totals["pearson_score"]
    )


def test_an_empty_board_says_so(board):
    assert board.standings().table().startswith("no submissions yet")
    assert board.standings().to_dict()["rows"] == []


def test_the_public_phase_hides_the_private_part(desk):
    path = desk.folder / "public.sqlite"
    board = create_board(path, desk.suite_folder, phase="public")
    entry = board.submit("mine", desk.file("x.tsv", 1.0), resamples=20)
    assert board.standings().part == "public"
    shown = json.dumps(board.standings().to_dict()) + board.standings().table()
    private = json.dumps(entry.scores["private"].to_dict())
    numbers = [word.strip("[]{},") for word in private.split() if "." in word]
    assert len(numbers) > 40
    assert not [number for number in numbers if number[:8] in shown]
    for act in (lambda: board.standings("private"), lambda: board.part("private")):
        with pytest.raises(UserError, match="is in its public phase, which shows nothing of"):
            act()
    board.set_phase("private")
    assert board.standings().part == "private"
    assert board.standings("public").part == "public"


def test_a_suite_without_public_lists_has_one_phase(desk):
    folder = changed(
        desk.suite_folder,
        desk.folder / "all",
        lambda path: shutil.rmtree(path / "public_leaderboard_ids"),
    )
    with pytest.raises(UserError, match="has no public lists"):
        create_board(desk.folder / "a", folder, phase="public")
    assert not (desk.folder / "a").exists()
    board = create_board(desk.folder / "b", folder)
    entry = board.submit("mine", desk.file("x.tsv", 1.0), resamples=5)
    assert set(entry.scores) == {"all"}
    assert board.standings().part == "all"
    for act in (lambda: board.standings("public"), lambda: board.set_phase("public")):
        with pytest.raises(UserError, match="has no public lists, so it has no public phase"):
            act()
    with pytest.raises(UserError, match='unknown phase "open"'):
        board.set_phase("open")


def as_real(monkeypatch, desk, tmp_path):
    """Let the simulated suite pass for the real test set."""
    content = yaml.safe_load(published._FILE.read_text())
    sequences = "\n".join(desk.suite.sequences)
    content["sequences"] = hashlib.sha256(sequences.encode()).hexdigest()
    (tmp_path / "published.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(published, "_FILE", tmp_path / "published.yaml")


def test_published_rows_are_there_for_the_real_test_set_only(board, desk, monkeypatch, tmp_path):
    assert board.store.entries() == []
    as_real(monkeypatch, desk, tmp_path)
    without = create_board(desk.folder / "without", desk.suite_folder, published=False)
    assert without.store.entries() == []
    filled = create_board(desk.folder / "with", desk.suite_folder)
    filled.submit("mine", desk.file("x.tsv", 1.0), resamples=50)
    rows = filled.standings().rows
    assert [row.entry.team for row in rows if row.entry.is_published] == [
        "autosome.org",
        "BHI",
        "Unlock_DNA",
        "wztr",
        "Camformers",
        "Vaishnav et al.",
    ]
    assert all(row.places is None for row in rows if row.entry.is_published)
    text = filled.standings().table()
    (line,) = [line for line in text.splitlines() if "autosome.org" in line]
    assert "published  " in line
    assert "0.8184" in line
    assert "0.7281" in line  # r^2 of SNVs
    assert "BHI" not in filled.standings("public").table()
    with pytest.raises(UserError, match='"BHI" is a row of the published leaderboard'):
        filled.submit("BHI", desk.file("y.tsv", 2.0))
    with pytest.raises(UserError, match="its predictions are not on this one"):
        filled.find("BHI")


def test_published_scores_are_the_weighted_means_of_their_subsets(desk, monkeypatch, tmp_path):
    """The weights are the suite's; the published numbers have four digits."""
    as_real(monkeypatch, desk, tmp_path)
    entries = published.published_entries(desk.suite.sequences)
    assert len(entries) == 6
    weights = {name: subset.weight for name, subset in desk.suite.subsets.items()}
    for entry in entries:
        scores = entry.scores["private"]
        assert scores.r2.keys() == weights.keys()
        mean = sum(weights[name] * r2.value for name, r2 in scores.r2.items()) / 4.65
        assert mean == pytest.approx(scores.totals["pearson_score"].value, abs=1e-4)


@pytest.mark.data
def test_the_real_test_set_gets_the_published_rows(real_data):
    suite = load_suite(real_data / "dream")
    assert len(published.published_entries(suite.sequences)) == 6


def test_find_takes_teams_and_numbers(teams, desk):
    again = teams.submit("alpha", desk.file("again.tsv", 5.0, seed=5), resamples=5)
    assert teams.find("alpha") == again
    assert teams.find("1").team == "alpha"
    assert teams.find("1").id == 1
    assert teams.find("nobody") is None
    assert teams.find("None") is None


def test_a_board_is_one_plain_sqlite_file(teams):
    """Anybody can read it without this package."""
    with sqlite3.connect(teams.store.path) as connection:
        rows = connection.execute(
            "SELECT team, json_extract(scores, '$.totals.pearson_score[0]') FROM submission "
            "JOIN score ON submission.id = score.submission WHERE part = 'private' "
            "ORDER BY 2 DESC"
        ).fetchall()
    assert rows == [
        (row.entry.team, row.scores.totals["pearson_score"].value) for row in teams.standings().rows
    ]
