"""The page as text: complete without a script, harmless, and silent about what is hidden."""

import base64
import hashlib
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.common.page import script_json
from dream_keras.leaderboard.page_data import page_data, write_page
from dream_keras.scoring.ceiling import suite_ceiling

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """The elements of a page, the text of its table, and what its scripts and styles hold."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.rows, self.raw, self.open = [], [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if tags and tags[-1] in ("script", "style"):
            kind = self.open[-1][1].get("type", tags[-1])
            self.raw[kind] = self.raw.get(kind, "") + data
        elif {"td", "th"} & set(tags):
            self.rows[-1][-1] += data + " "

    @property
    def data(self):
        return json.loads(self.raw["application/json"])


@pytest.fixture
def text(teams, tmp_path):
    return write_page(teams, tmp_path / "web").read_text()


def test_the_table_is_in_the_page_itself(teams, text):
    page = Page(text)
    header, *rows = page.rows
    assert [" ".join(cell.split()) for cell in header] == [
        *("Show in the charts", "Rank", "Team", "Pearson Score", "Spearman Score"),
        *("all", "high", "low", "yeast", "random", "challenging", "SNVs"),
        *("motif perturbation", "motif tiling"),
    ]
    assert len(rows) == 3
    for cells, row in zip(rows, teams.standings().rows, strict=True):
        assert cells[1].split()[0] == str(row.rank.rank)
        assert row.entry.team in cells[2]
        for cell, estimate in zip(cells[3:5], row.scores.totals.values(), strict=True):
            assert cell.split() == [f"{estimate[i]:.4f}" for i in (0, 1)] + [
                "to",
                f"{estimate.high:.4f}",
            ]
        shown = [cell.strip() for cell in cells[5:]]
        assert shown == [f"{estimate.value:.4f}" for estimate in row.scores.r2.values()]


def test_nothing_of_the_page_comes_from_elsewhere(text):
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form", "audio", "video"), tag
        for name in ("src", "href", "srcset", "action", "data", "background"):
            assert attributes.get(name, "#").startswith(("#", "data:,")), (tag, attributes)
        assert "style" not in attributes, "the policy allows no style attributes"
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in page.raw["style"]
    assert "url(" not in page.raw["style"]


def test_the_policy_names_the_script_and_the_style_by_checksum(text):
    page = Page(text)
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.raw[kind].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    # The policy holds for what comes after it only.
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_names_are_text_wherever_they_stand(text):
    assert EVIL not in text
    page = Page(text)
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    assert EVIL in {team["name"] for team in page.data["teams"]}
    assert any(EVIL in cell for row in page.rows for cell in row)


@pytest.mark.parametrize("name", ["</script><script>x", "<!--<script>", "a & b", "\u2028", '"\\'])
def test_json_cannot_end_its_element(name):
    written = script_json({"name": name})
    assert not set("<>&") & set(written)
    assert json.loads(written) == {"name": name}


def test_the_script_makes_no_markup_of_data(text):
    script = Page(text).raw["script"]
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script


def test_data_hold_the_numbers_of_the_board(teams):
    standings = teams.standings()
    data = page_data(teams, standings)
    assert [team["name"] for team in data["teams"]] == [row.entry.team for row in standings.rows]
    for team, row in zip(data["teams"], standings.rows, strict=True):
        scores = row.scores.to_dict()
        for kind in ("r2", "rho"):
            np.testing.assert_allclose(team[kind], [*scores[kind].values()], atol=6e-7)
    differences = teams.samples(standings.rows[0].entry, "private").against(
        teams.samples(standings.rows[2].entry, "private")
    )
    pair = data["pairs"]["0-2"]
    assert set(data["pairs"]) == {"0-1", "0-2", "1-2"}
    np.testing.assert_allclose(
        pair["rho"], [difference[:5] for difference in differences.rho.values()], atol=6e-7
    )
    for histogram in pair["histograms"]:
        assert sum(histogram["counts"]) == 200


def test_points_are_the_rows_of_the_part(teams, desk):
    data = page_data(teams, teams.standings("public"))
    subset = desk.suite.subsets["SNVs"]
    found = data["scatter"][list(desk.suite.subsets).index("SNVs")]
    assert len(found["measured"]["values"]) == 75 == len(found["predicted"][0]["values"])

    def unpacked(axis):
        low, high = axis["range"]
        return low + np.array(axis["values"]) / data["steps"] * (high - low)

    pairs = np.stack([unpacked(found["measured"]), unpacked(found["predicted"][0])], axis=1)
    expected = np.stack(
        [
            subset.pick(desk.suite.measured, "public"),
            subset.pick(desk.predictions(1.0, seed=0), "public"),
        ],
        axis=1,
    )
    spans = np.ptp(expected, axis=0)
    distance = np.abs((pairs[:, None] - expected[None]) / spans).max(axis=2)
    assert distance.min(axis=1).max() < 1.1 / data["steps"]
    assert distance.min(axis=0).max() < 1.1 / data["steps"]


def test_the_last_row_is_the_ceiling(teams, desk, tmp_path):
    path = str(desk.file("other.tsv", 0.95, seed=0))
    text = write_page(teams, tmp_path / "web", "public", ["alpha", path]).read_text()
    sets = [desk.predictions(1, seed=0), desk.predictions(0.95, seed=0)]
    expected = suite_ceiling(desk.suite, sets, "public")
    *_, row = Page(text).rows
    (rank, pick, name, *cells) = (cell.strip() for cell in row)
    assert (rank, pick, name) == ("", "", "Ceiling")
    assert cells.pop(1) == "–"
    for cell, estimate in zip(cells, [expected.pearson_score, *expected.r2.values()], strict=True):
        numbers = (estimate.value, *estimate.interval)
        assert cell.split() == "{:.4f} {:.4f} to {:.4f}".format(*numbers).split()
    assert f"the noise of {expected.pairs:,} pairs" in text
    with pytest.raises(UserError, match=r'"alpa" is neither a team .* Did you mean "alpha"'):
        write_page(teams, tmp_path / "web", ceiling=["alpa"])


def test_the_public_page_holds_nothing_private(teams, desk, tmp_path):
    text = write_page(teams, tmp_path / "public", "public").read_text()
    data = Page(text).data
    private = [
        number
        for entry in teams.store.entries()
        for group in entry.scores["private"].to_dict().values()
        for estimate in group.values()
        for number in estimate
    ]
    assert len(private) == 3 * 20 * 3
    # As the page writes numbers; a digit or two could be there by chance, whole numbers not.
    assert not [number for number in private if str(round(number, 6)) in text]
    assert str(round(private[0], 6)) in write_page(teams, tmp_path / "all").read_text()
    public_only = set(np.round(desk.suite.measured[desk.suite.rows("public"), 0], 6))
    measured = data["scatter"][0]["measured"]
    assert set(measured["range"]) <= public_only
    assert len(measured["values"]) == 315
    assert [subset["n"] for subset in data["subsets"]] == [
        len(subset.positions["public"]) for subset in desk.suite.subsets.values()
    ]
    teams.set_phase("public")
    with pytest.raises(UserError, match="public phase"):
        write_page(teams, tmp_path / "web", "private")
    assert not (tmp_path / "web").exists()


def test_a_page_is_the_same_when_made_again_and_stays_small(teams, tmp_path):
    first = write_page(teams, tmp_path / "a").read_text()
    assert write_page(teams, tmp_path / "b").read_text() == first
    # Most of it are points, at most 2,000 of each of 9 subsets for a team, and one of them takes
    # at most "500,". Ten teams have to stay under 3 MB.
    data = Page(first).data
    points = sum(
        len(axis["values"])
        for found in data["scatter"]
        for axis in [found["measured"], *found["predicted"]]
    )
    rest = len(first) - 4 * points
    assert 4 * 11 * 9 * 2_000 + rest * 11 < 3e6


def test_an_empty_board_has_a_page(board, tmp_path):
    text = write_page(board, tmp_path / "web").read_text()
    assert "No submissions yet." in text
    assert Page(text).data["teams"] == []


def test_a_file_in_the_way_is_named(teams, tmp_path):
    (tmp_path / "web").write_text("mine")
    with pytest.raises(UserError, match="web is a file; the page needs a folder"):
        write_page(teams, tmp_path / "web")
    assert (tmp_path / "web").read_text() == "mine"


def test_undefined_correlations_leave_gaps(board, desk, tmp_path):
    board.submit("constant", desk.write("c.tsv", np.full(1_200, 3.0)), resamples=20)
    board.submit("good", desk.file("good.tsv", 1.0), resamples=20)
    standings = board.standings()
    assert [row.entry.team for row in standings.rows] == ["good", "constant"]
    assert standings.table().splitlines()[3].split()[-9:] == ["-"] * 9
    page = Page(write_page(board, tmp_path / "web").read_text())
    assert [cell.strip() for cell in page.rows[2][5:]] == ["–"] * 9
    assert page.data["teams"][1]["rho"] == [[None, None, None]] * 9
    assert page.data["pairs"]["0-1"]["r2"][0][0] is None
