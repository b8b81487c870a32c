"""Leaderboards of runs that are scored on regions: submissions, intervals, comparisons, page."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.leaderboard.__main__ import main
from dream_keras.leaderboard.board import create_board
from dream_keras.leaderboard.comparison import compare
from dream_keras.leaderboard.page_data import write_page
from dream_keras.leaderboard.store import Store

RESAMPLES = 60


@pytest.fixture(scope="module")
def board(main_run, region_ensemble, bias_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    made = create_board(folder / "board.sqlite", main_run)
    for team, run in (("one", main_run), ("<both>", region_ensemble), ("bias", bias_run)):
        made.submit(team, run=run, resamples=RESAMPLES, progress=False)
    return made


def table(run, kind="joint"):
    """What a run's own files say of its test peaks."""
    read = pd.read_csv(run / "regions.tsv", sep="\t")
    return read[["log_counts", f"{kind}.log_counts", f"{kind}.jsd"]].to_numpy()


def resampled(values):
    """Pearson r and median distance in each resample, by hand, (resamples, 2)."""
    random, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = values[random.integers(0, len(values), len(values))]
        found.append((np.corrcoef(rows[:, 0], rows[:, 1])[0, 1], np.median(rows[:, 2])))
    return np.array(found)


def test_standings_are_those_of_the_runs(board, main_run, region_ensemble):
    standings = board.standings()
    assert [row.rank.rank for row in standings.rows] == [1, 2, 3]
    rows = {row.entry.team: row.scores.totals for row in standings.rows}
    values = [row["pearson"].value for row in rows.values()]
    assert values == sorted(values, reverse=True)
    for team, run in (("one", main_run), ("<both>", region_ensemble)):
        saved = json.loads((run / "metrics.json").read_text())["scores"]["joint"]
        by_hand = resampled(table(run))
        for number, metric in enumerate(("pearson", "jsd")):
            assert rows[team][metric].value == pytest.approx(saved[metric], rel=1e-5)
            ends = np.quantile(by_hand[:, number], [0.025, 0.975])
            np.testing.assert_allclose(rows[team][metric][1:], ends, rtol=1e-4)
    distances = sorted(
        (row.scores.totals["jsd"].value, row.by_distance.rank) for row in standings.rows
    )
    assert [rank for _, rank in distances] == [1, 2, 3]  # the smallest distance is the best
    text = standings.table()
    assert "Pearson r of log counts" in text
    assert "a low JSD (Jensen-Shannon distance) is good" in text
    assert json.loads(json.dumps(standings.to_dict()))["rows"][0]["rank"] == 1
    entry = board.find("one")
    np.testing.assert_allclose(board.predictions(entry), table(main_run), rtol=1e-5)


def test_differences_are_paired(board, main_run, region_ensemble, capsys):
    one, both = (resampled(board.predictions(board.find(team))) for team in ("one", "<both>"))
    by_hand = one - both
    found = [
        compare("one", "<both>", board=board),
        compare(main_run, region_ensemble, resamples=RESAMPLES, progress=False),
        compare("one", region_ensemble, board=board, resamples=RESAMPLES, progress=False),
    ]
    for comparison in found:
        for number, name in enumerate(("pearson", "jsd")):
            difference = comparison.differences.totals[name]
            ends = np.quantile(by_hand[:, number], [0.025, 0.975])
            np.testing.assert_allclose(difference[1:3], ends, atol=1e-5)
            assert difference.wins == pytest.approx((by_hand[:, number] > 1e-9).mean(), abs=0.04)
    # Of distances the lower one is better.
    distance = found[0].differences.totals["jsd"]
    line = next(text for text in found[0].text().splitlines() if text.startswith("median JSD"))
    better = "A" if distance.losses > distance.wins else "B"
    assert f"{better} is better in {100 * max(distance.losses, distance.wins):.1f} %" in line
    share = found[0].text().splitlines()[-1].split()[-2]
    assert share == f"{100 * distance.losses:.1f}"
    main(["compare", "one", "<both>", "--board", str(board.store.path)])
    assert "Pearson r of log counts:" in capsys.readouterr().out


def test_the_page_is_a_table(board, tmp_path):
    text = write_page(board, tmp_path / "web").read_text()
    assert "&lt;both&gt;" in text
    assert "<both>" not in text
    assert "<script" not in text
    assert text.count("<tr") == 1 + 3 + 1 + 3 * 2
    difference = compare("one", "bias", board=board).differences.totals["pearson"]
    signs = (1, -1)  # the better one stands first
    assert any(f"<td>{sign * difference.estimate:+.4f}</td>" in text for sign in signs)
    assert "Pearson r of log counts" in text
    with pytest.raises(UserError, match="regions have no pairs"):
        write_page(board, tmp_path / "web", ceiling=["one", "bias"])


def changed(run, out, regions):
    """Copy a run that has its regions from another file."""
    shutil.copytree(run, out)
    config = yaml.safe_load((out / "config.yaml").read_text())
    config["data"]["train"] = str(regions)
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    return out


def test_regions_are_told_by_what_they_hold(board, main_run, regions, tmp_path):
    """A copy elsewhere is the same; other counts, or other peaks, are not."""
    moved = shutil.copytree(regions.parent, tmp_path / "moved") / "regions.yaml"
    run = changed(main_run, tmp_path / "run", moved)
    with pytest.raises(UserError, match="on the leaderboard already"):
        board.submit("again", run=run, resamples=2, progress=False)
    peaks = (moved.parent / "peaks.narrowPeak").read_text().splitlines(keepends=True)
    (moved.parent / "peaks.narrowPeak").write_text("".join(peaks[:-1]))
    with pytest.raises(UserError, match="tested on other regions"):
        board.submit("fewer", run=run, resamples=2, progress=False)
    (moved.parent / "peaks.narrowPeak").write_text("".join(peaks))
    lines = moved.read_text().replace("- ", "-  ").splitlines(keepends=True)
    less = [line for line in lines if "replicate2" not in line]
    assert len(less) == len(lines) - 1
    moved.write_text("".join(less))
    with pytest.raises(UserError, match="their places or counts differ"):
        compare(main_run, run, resamples=2, progress=False)
    other = create_board(tmp_path / "other.sqlite", run)
    assert other.info.checksum != board.info.checksum
    assert other.info.folder == str(moved.resolve())
    # With --suite the board's own regions are found again.
    back = dream_keras.leaderboard(board.store.path, suite=regions)
    with pytest.raises(UserError, match="on the leaderboard already"):
        back.submit("again", run=run, resamples=2, progress=False)


def test_what_is_refused(board, main_run, desk, tmp_path):
    with pytest.raises(UserError, match="regions have no public part"):
        create_board(tmp_path / "b.sqlite", main_run, phase="public")
    with pytest.raises(UserError, match="give --run RUN without --predictions"):
        board.submit("x", desk.file("x.tsv", 1.0))
    with pytest.raises(UserError, match="is no run that predicts profiles"):
        compare("one", desk.file("x.tsv", 1.0), board=board)
    assert len(Store(board.store.path).entries()) == 3
