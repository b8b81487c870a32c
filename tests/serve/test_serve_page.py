"""The page in a real browser: paste, drop, predict, mutate, wrong letters, long sequences."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
import subprocess

import httpx
import numpy as np
import pytest
from serve_helpers import human_model, running, values, yeast_model
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from dream_keras.common.errors import UserError
from dream_keras.serve.app import Limits
from dream_keras.serve.page import render

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="needs chromium, chromium-browser or google-chrome"
)
LIMITS = Limits(2**22, 2000, 20_000)
EVIL = "<img src=x onerror=alert(1)>"
LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
INSERT = "ACGTTGCAAC" * 8


def bounds(predicted):
    return predicted.mean - 0.5, predicted.mean + 0.5


MODELS = [yeast_model(name=f"yeast {EVIL}", bounds=bounds), human_model()]

TOOLS = """
const by = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const until = async (condition) => {
  for (let at = 0; at < 2000; at += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never: ${condition}`);
};
const settled = () => until(() => all('#maps .map').length && !by('#maps .stale')
  && !by('#progress').textContent && !by('#predict').ariaBusy);
const paste = async (text) => {
  by('#text').value = text; by('#predict').click();
  await until(() => !by('#predict').ariaBusy);
};
const shownValues = () => all('#cards .value').map((node) => node.textContent.replace('−', '-'));
const strip = () => all('#strip button').map((node) => node.textContent).join('');
const press = (key) => document.activeElement.dispatchEvent(
  new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
"""


def with_script(page, script):
    """Return a copy of the page with one more script, which its policy names, too."""
    script = (
        f"addEventListener('load', async () => {{ let found; try {{ found = await (async () => "
        f"{{{TOOLS}{script}}})() }} catch (error) {{ found = String(error.stack) }}"
        "const pre = document.createElement('pre'); pre.id = 'found'; pre.hidden = true;"
        "pre.textContent = JSON.stringify(found); document.body.append(pre) })"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return text.replace("</body>", f"<script>{script}</script></body>")


def browse(tmp_path, script, *flags, models=MODELS, width=None, path="copy"):
    """Open the page, run a script in it and return what Chromium prints."""
    held = {}

    def wrap(app):
        async def copy(request):
            return HTMLResponse(with_script(held["page"], script))

        async def phone(request):
            return HTMLResponse(f'<iframe src="copy" width="{width}" height="1400"></iframe>')

        routes = [Route("/copy", copy), Route("/phone", phone), Mount("/", app)]
        return Starlette(routes=routes, lifespan=app.router.lifespan_context)

    with running(models, LIMITS, wrap) as address:
        held["page"] = httpx.get(address, timeout=600).text
        own = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
        own += ["disable-background-networking", "disable-component-update", "disable-sync"]
        own += [f"user-data-dir={tmp_path / 'profile'}", "virtual-time-budget=60000", *flags]
        done = subprocess.run(
            [BROWSER, *(f"--{flag}" for flag in own), f"{address}/{path}"],
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def found_by(tmp_path, script, **options):
    text = browse(tmp_path, script, "dump-dom", **options)
    (found,) = re.findall(r'<pre id="found" hidden="">(.*?)</pre>', text, re.DOTALL)
    return json.loads(html.unescape(found)), text


USE = """
const found = {};
await paste('>first %EVIL%\\n' + '%INSERT%'.slice(0, 40) + '\\n' + '%INSERT%'.slice(40)
  + '\\n>second\\n%LEFT%' + '%INSERT%'.toLowerCase() + '%RIGHT%\\n>bad\\nACXT\\n'
  + '>long\\n' + 'A'.repeat(10000));
await settled();
found.problems = all('#problems li').map((node) => node.textContent);
found.rows = all('#table tbody tr').map((row) => [...row.children].map((each) => each.textContent));
found.values = shownValues();
found.title = by('#detail-title').textContent;
found.strip = strip();
found.cells = all('#maps .map').map((map) => map.querySelectorAll('rect.up, rect.down').length);
found.scripts = all('script').length; found.images = all('img').length;
// Another base by the keyboard: shown at once, before the server has answered.
const first = by('#strip [tabindex="0"]'); first.focus();
press('ArrowRight'); press('End'); press('Home'); press('ArrowRight'); press('ArrowRight');
found.place = by('#inspector .place').textContent;
found.offered = all('#inspector button').map((node) => node.dataset.base);
found.effect = by('#inspector [data-base="T"]').textContent;
press('t');
found.atOnce = shownValues();
found.stale = all('#maps .stale').length;
found.changed = [strip(), by('#changes').textContent];
found.focus = document.activeElement.ariaLabel;
await settled();
found.after = shownValues();
// The same base by a click on a cell of the second model's map.
by('#undo').click(); await settled();
found.undone = [strip(), shownValues(), by('#undo').disabled];
const svg = all('#maps svg')[1].getBoundingClientRect();
const hit = all('#maps svg')[1].querySelector('.cell').getBoundingClientRect();
const side = hit.height / 4;
all('#maps .cell')[1].dispatchEvent(new MouseEvent('click', {
  clientX: svg.left + 2.5 * side, clientY: hit.top + 3.5 * side, bubbles: true }));
found.clicked = [strip(), shownValues()];
await settled();
by('#original').click(); await settled();
found.original = [strip(), shownValues()];
// A sequence with its adapters: these cannot be changed.
all('#table button')[1].click(); await settled();
found.withAdapters = shownValues();
found.locked = all('#strip .locked').length;
all('#models input')[1].click();
found.lockedAlone = all('#strip .locked').length;
by('#strip button').click();
found.construct = by('#inspector').textContent;
found.cards = all('#cards .card').length;
found.colours = [getComputedStyle(document.body).backgroundColor];
by('#theme').click(); found.colours.push(getComputedStyle(document.body).backgroundColor);
all('#examples button')[0].click();
await until(() => by('#detail-title').textContent.startsWith('random_low')); await settled();
found.example = [by('#list').hidden, by('#cards .histogram + .note').textContent];
// A dropped file.
const dropped = new Event('drop', { bubbles: true, cancelable: true });
dropped.dataTransfer = { files: [new File(['GATTACA\\n'], 'x.txt')] };
by('#text').dispatchEvent(dropped);
await until(() => strip() === 'GATTACA'); await settled();
found.dropped = by('#detail-title').textContent;
await paste(''); found.empty = by('#problems').textContent;
await paste('AC-T');
found.wrong = [by('#problems').textContent, by('#text').ariaInvalid, by('#detail').hidden];
await paste('A\\n'.repeat(1001)); found.many = by('#problems').textContent;
return found;
"""


@needs_browser
def test_people_can_use_the_page(tmp_path):
    script = USE
    for name, text in (("EVIL", EVIL), ("INSERT", INSERT), ("LEFT", LEFT), ("RIGHT", RIGHT)):
        script = script.replace(f"%{name}%", text)
    found, text = found_by(tmp_path, script)
    assert isinstance(found, dict), found

    def predicted(insert):
        return [values([LEFT + insert + RIGHT])[0, 0], *values([insert], 3, seed=1)[0]]

    def numbers(shown):
        return [float(each) for each in shown]

    close = {"abs": 6e-4}
    assert "bad: letter 'X' at position 3; expected A, C, G, T or N" in found["problems"]
    assert any("long: 10,000 bp; human_cnn takes 1 to 200 bp" in each for each in found["problems"])
    assert [row[:2] for row in found["rows"]] == [
        ["first", "80"],
        ["second", "110"],
        ["bad", "4"],
        ["long", "10,000"],
    ]
    assert numbers(found["values"]) == pytest.approx(predicted(INSERT), **close)
    assert found["rows"][0][2].endswith(f"{predicted(INSERT)[0] + 0.5:.2f}".replace("-", "−"))
    assert (found["title"], found["strip"]) == ("first, 80 bp", INSERT)
    assert found["cells"] == [240] * 4
    # What would be markup is text.
    assert (found["images"], found["scripts"]) == (0, 3)
    assert html.escape(EVIL, quote=False) in text

    assert found["place"] == "Position 3: G"
    assert found["offered"] == ["A", "C", "T"]
    mutant = f"{INSERT[:2]}T{INSERT[3:]}"
    difference = np.subtract(predicted(mutant), predicted(INSERT))
    effects = re.findall(r"[+−]?\d\.\d{3}", found["effect"])
    assert [float(e.replace("−", "-")) for e in effects] == pytest.approx(difference, **close)
    assert numbers(found["atOnce"]) == pytest.approx(predicted(mutant), abs=1.1e-3)
    assert found["stale"] == 4
    assert found["changed"] == [mutant, "Changed: G3T"]
    assert found["focus"] == "position 3, T"
    assert numbers(found["after"]) == pytest.approx(predicted(mutant), **close)
    assert found["undone"] == [INSERT, found["values"], True]
    assert found["clicked"][0] == mutant
    assert found["original"] == [INSERT, found["values"]]
    assert numbers(found["withAdapters"])[0] == numbers(found["values"])[0]
    assert (found["locked"], found["lockedAlone"], found["cards"]) == (0, 30, 1)
    assert "belongs to the construct" in found["construct"]
    assert found["colours"][0] != found["colours"][1]
    assert found["example"][0]
    assert "Higher than 0 % of 256 random promoters" in found["example"][1]
    assert found["dropped"] == "sequence 1, 7 bp"
    assert "Paste a sequence" in found["empty"]
    assert found["wrong"] == [
        "sequence 1: letter '-' at position 3; expected A, C, G, T or N",
        "true",
        True,
    ]
    assert "up to 1000" in found["many"]


WIDTHS = """
await paste('%INSERT%\\n%INSERT%'); await settled();
const room = document.documentElement.clientWidth;
return {
  room, page: document.documentElement.scrollWidth,
  scrolls: by('#maps-scroller').scrollWidth > room,
  overflowing: all('section, .card, textarea, header, button:not(#strip button), .inspector')
    .filter((node) => node.getBoundingClientRect().right > room + 1)
    .map((node) => node.outerHTML.slice(0, 90)),
};
""".replace("%INSERT%", INSERT)


@needs_browser
def test_on_a_phone_only_maps_and_tables_scroll_sideways(tmp_path):
    script = WIDTHS.replace(
        "return {", "parent.document.body.dataset.found = JSON.stringify({"
    ).replace("};\n", "});\nreturn 0;\n")
    text = browse(tmp_path, script, "dump-dom", width=390, path="phone")
    found = json.loads(html.unescape(re.search(r'data-found="(.*?)"', text)[1]))
    assert found["page"] == found["room"] <= 390
    assert found["overflowing"] == []
    assert found["scrolls"]


def test_the_page_loads_nothing_from_elsewhere():
    with running(MODELS, LIMITS) as address:
        answer = httpx.get(address, timeout=600)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', answer.text)[1]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert not re.search(r"(src|href)=\"(?!#|data:,)", answer.text)
    assert answer.headers["x-content-type-options"] == "nosniff"
    script = re.search(r"<script>(.*)</script>", answer.text, re.DOTALL)[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)
    assert set(re.findall(r"https?://[^\"' ]+", script)) == {"http://www.w3.org/2000/svg"}


def test_a_model_without_numbers_is_refused():
    broken = dataclasses.replace(
        human_model(),
        function=lambda views: (
            human_model().function(views)._replace(values=np.full((1, len(views), 3), np.nan))
        ),
    )
    with pytest.raises(UserError, match="human_cnn predicts what is no finite number"):
        render([broken])
