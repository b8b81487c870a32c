"""The page in a real browser: it sorts, draws, compares and asks nothing of the network."""

import base64
import hashlib
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from urllib.parse import quote

import pytest

from dream_keras.leaderboard.page_data import write_page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium, chromium-browser or google-chrome"
)
EVIL = "<script>alert(1)</script>"
GAMMA = "gamma & sons"


@pytest.fixture
def page(teams, tmp_path):
    return write_page(teams, tmp_path / "web")


def dom(path, tmp_path, fragment=""):
    """Open a page and return the document that its scripts leave, as HTML."""
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
    flags += ["disable-background-networking", "disable-component-update", "disable-sync"]
    flags += [f"user-data-dir={tmp_path / 'profile'}", "virtual-time-budget=25000", "dump-dom"]
    done = subprocess.run(
        [BROWSER, *(f"--{flag}" for flag in flags), f"{path.as_uri()}{fragment}"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_script(page, tmp_path, script, fragment=""):
    """Open a copy of the page with one more script, and return what that script returns.

    The policy of the page would not let it run, so the copy's policy names it, too.
    """
    script = (
        f"addEventListener('load', async () => {{ let found; try {{ found = await (async () => "
        f"{{{script}}})() }} catch (error) {{ found = String(error.stack) }}"
        "const text = JSON.stringify(found); parent.postMessage(text, '*');"
        "const pre = document.createElement('pre'); pre.id = 'found';"
        "pre.textContent = text; document.body.append(pre) })"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text().replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    copy = page.with_name("copy.html")
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    return found_in(dom(copy, tmp_path, fragment))


def found_in(text):
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', text, re.DOTALL)
    return json.loads(html.unescape(found))


def test_a_link_restores_a_view(page, tmp_path):
    view = f"#sort=spearman,ascending&teams={quote(EVIL)},alpha&compare={quote(GAMMA)},alpha"
    text = dom(page, tmp_path, view + "&subset=SNVs&measure=rho&theme=dark")
    names = re.findall(r'<span class="team">(.*?)</span>', text)
    assert [html.unescape(name) for name in names] == [GAMMA, EVIL, "alpha"]
    assert re.findall(r'data-key="(\w+)" aria-sort="(\w+)"', text) == [("spearman", "ascending")]
    assert 'data-theme="dark"' in text.partition("<head>")[0]
    legend = re.search(r'<ul id="legend".*?</ul>', text, re.DOTALL).group()
    assert [html.unescape(n) for n in re.findall(r"</span>(.*?)</li>", legend)] == [EVIL, "alpha"]
    bars = re.search(r'<div id="bars".*?<section', text, re.DOTALL).group()
    assert bars.count('class="bar"') == 9 * 2
    verdict = re.search(r'<div id="verdict".*?</div>', text, re.DOTALL).group()
    assert verdict.count("<strong>alpha</strong> is better in <strong>100.0&nbsp;%</strong>") == 2
    scatter = re.search(r'<div id="scatter".*?<section', text, re.DOTALL).group()
    assert scatter.count("<svg") == 2
    assert scatter.count("<circle") == 2 * 548
    # The name that would be a script is text in all of these places.
    assert len(re.findall(r"<script[ >]", text)) == 2
    assert text.count(html.escape(EVIL)) > 5


CLICKS = """
const by = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const names = () => all('#board .team').map((node) => node.textContent);
const sorted = () => all('th[aria-sort]').map((th) => [th.dataset.key, th.ariaSort]);
const found = { start: [names(), sorted()] };
by('th[data-key="r2.SNVs"] button').click();
found.descending = [names(), sorted()];
by('th[data-key="r2.SNVs"] button').click();
found.ascending = [names(), sorted(), by('#sorted').textContent];
by('th[data-key="team"] button').click();
found.team = [names(), sorted()];
found.focusable = all('#board thead th[data-key]').every((th) => th.querySelector('button'));
const button = by('th[data-key="pearson"] button');
button.focus();
found.outline = button.matches(':focus-visible') && getComputedStyle(button).outlineStyle;
by('.pick[aria-label="Show alpha in the charts"]').click();
found.legend = all('#legend li').map((node) => node.textContent);
found.bars = all('#bars .bar').length;
by('#measure input[value="rho"]').click();
found.rho = by('#bars .value').textContent;
const select = (id, value) => {
  by(id).value = value; by(id).dispatchEvent(new Event('change', { bubbles: true }));
};
select('#team-a', '2'); select('#team-b', '0');
found.verdict = by('#verdict').textContent;
found.rows = all('#duel tbody tr').map((row) => [...row.children].map((cell) => cell.textContent));
by('#swap').click();
found.swapped = by('#duel tbody tr').lastElementChild.textContent;
select('#subset', '6');
found.points = all('#scatter .dots')[0].children.length;
const colour = () => getComputedStyle(document.body).backgroundColor;
found.colours = [colour()];
by('#theme').click(); found.colours.push(colour());
by('#theme').click(); found.colours.push(colour());
found.address = location.hash;
found.hidden = all('.needs-script').filter((node) => !node.checkVisibility()).length;
return found;
"""


def test_clicks_sort_choose_and_compare(page, teams, tmp_path):
    found = run_script(page, tmp_path, CLICKS)
    assert isinstance(found, dict), found
    ranked = ["alpha", EVIL, GAMMA]
    assert found["start"] == [ranked, [["rank", "ascending"]]]
    assert found["descending"] == [ranked, [["r2.SNVs", "descending"]]]
    assert found["ascending"][:2] == [ranked[::-1], [["r2.SNVs", "ascending"]]]
    assert found["ascending"][2] == "Sorted by SNVs, ascending."
    assert sorted(found["team"][0], key=str.casefold) == sorted(ranked, key=str.casefold)
    assert found["team"][0].index("alpha") < found["team"][0].index(GAMMA)
    assert found["focusable"]
    assert found["outline"] == "solid"
    assert found["legend"] == [EVIL, GAMMA]
    assert found["bars"] == 2 * 9
    row = {row.entry.team: row.scores for row in teams.standings().rows}
    assert found["rho"] == f"{row[EVIL].rho['all'].value:.3f}"
    assert found["verdict"].count("alpha is better in 100.0\xa0% of the resamples") == 2
    differences = teams.samples(teams.find(GAMMA), "private").against(
        teams.samples(teams.find("alpha"), "private")
    )
    expected = [
        ("Pearson Score", "pearson_score", differences.totals, row[GAMMA].totals),
        *(
            (f"ρ {name.replace('_', ' ')}", name, differences.rho, row[GAMMA].rho)
            for name in differences.rho
        ),
    ]
    shown = {cells[0]: cells for cells in found["rows"]}
    for label, name, differences, values in expected:
        cells = [cell.replace("−", "-").replace("\xa0", " ") for cell in shown[label]]
        difference = differences[name]
        assert cells[1] == f"{values[name].value:.4f}"
        assert cells[3] == f"{difference.estimate:+.4f}"
        assert cells[5] == f"{difference.low:+.4f} to {difference.high:+.4f}"
        assert cells[6] == f"{100 * difference.wins:.1f} %"
    assert found["swapped"] == "100.0\xa0%"
    assert found["points"] == 548
    light, dark, again = found["colours"]
    assert light == again != dark
    assert f"compare=alpha,{quote(GAMMA)}" in found["address"]
    assert found["hidden"] == 0


WIDTHS = """
return {
  window: innerWidth, room: document.documentElement.clientWidth,
  page: document.documentElement.scrollWidth,
  text: parseFloat(getComputedStyle(document.querySelector('#board')).fontSize),
  table: document.querySelector('.scroller').scrollWidth > innerWidth,
  overflowing: [...document.querySelectorAll('section, select, .panel, .verdict, header')]
    .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((node) => node.outerHTML.slice(0, 80)),
};
"""


def test_on_a_phone_only_the_table_scrolls_sideways(page, tmp_path):
    run_script(page, tmp_path, WIDTHS)  # writes the copy
    frame = page.with_name("phone.html")
    frame.write_text(
        '<pre id="found"></pre><script>onmessage = (event) => '
        "{ document.getElementById('found').textContent = event.data }</script>"
        '<iframe src="copy.html" width="390" height="800" style="border: 0"></iframe>'
    )
    found = found_in(dom(frame, tmp_path))
    assert found["window"] == 390
    assert found["page"] == found["room"]
    assert found["overflowing"] == []
    assert found["table"]
    assert found["text"] >= 13


def test_the_policy_stops_other_scripts_and_every_request(page, tmp_path):
    asked = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{server.server_address[1]}"
        smuggled = (
            f'<img src="{there}/image"><script src="{there}/script"></script>'
            f'<link rel="stylesheet" href="{there}/style"><iframe src="{there}/frame"></iframe>'
            f"<script>document.title = 'taken'; fetch('{there}/fetch')</script>"
            f"<p style=\"background: url('{there}/inline')\" onclick='x()'>x</p>"
        )
        for name, policy in (("kept", True), ("dropped", False)):
            text = page.read_text().replace("<main>", f"<main>{smuggled}")
            if not policy:
                text = text.replace("Content-Security-Policy", "Nothing")
            copy = page.with_name(f"{name}.html")
            copy.write_text(text)
            asked.clear()
            shown = dom(copy, tmp_path)
            assert ("<title>taken</title>" in shown) != policy
            # Without the policy the same page does ask, so the test can fail.
            assert bool(asked) != policy, asked
        server.shutdown()


def test_without_submissions_the_page_still_works(board, tmp_path):
    page = write_page(board, tmp_path / "web")
    found = run_script(page, tmp_path, "return document.querySelector('#scatter').textContent")
    assert found == "None of the ticked teams has predictions here."
