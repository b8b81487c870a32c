"""Links between pages lead somewhere, every page is on the site, and the site can be built."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [
    *(*TOP, ROOT / "benchmarks" / "RESULTS.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]


def prose(page: Path) -> str:
    """Return the text of a page or a notebook without code."""
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a text."""
    found: set[str] = set()
    for title in re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        numbered = (f"{anchor}-{number}" if number else anchor for number in count())
        found.add(next(name for name in numbered if name not in found))
    return found


def broken_links(page: Path) -> Iterator[str]:
    """Yield the relative links of a page to a file or a heading that does not exist."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (
            anchor and (target.is_dir() or anchor not in anchors(prose(target)))
        ):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    assert not list(broken_links(page))


def test_broken_links_would_be_found(tmp_path):
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text(
        "# A `title`: of two, parts\n\n```\n# code\n```\n\n# Twice\n# Twice\n"
    )
    good = ["other.md#a-title-of-two-parts", "other.md#twice-1", "#here", "https://a.example/#b"]
    bad = ["none.md", "other.md#code", "#there", "other.md#twice-2"]
    page.write_text("# Here\n\n" + " ".join(f"[x]({link})" for link in good + bad))
    assert list(broken_links(page)) == bad


def test_every_page_is_in_the_navigation_of_the_site():
    def entries(nav):
        if isinstance(nav, str):
            return [nav]
        parts = nav.values() if isinstance(nav, dict) else nav
        return [entry for part in parts for entry in entries(part)]

    nav = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    docs = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    notebooks = [f"notebooks/{page.stem}.md" for page in (ROOT / "notebooks").glob("*.ipynb")]
    folders = tuple(entry for entry in nav if entry.endswith("/"))
    assert not [
        page for page in docs + notebooks if page not in nav and not page.startswith(folders)
    ]
    gone = set(nav) - {*docs, *notebooks, *folders, "index.md", "api/index.md"}
    assert gone == {"contributing.md", "changelog.md", "benchmarks/results.md"}


@pytest.fixture
def _site_tools():
    for package in ("material", "mkdocstrings", "nbconvert"):
        pytest.importorskip(package, reason="needs the extra docs")


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-d", str(site)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_site_tools")
def test_the_site(tmp_path):
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {
        page.relative_to(tmp_path).as_posix(): page.read_text() for page in tmp_path.rglob("*.html")
    }
    loaded = re.compile(r"<(?:script|link|img)[^>]*(?:src|href)=\"https?:")
    assert not [name for name, text in pages.items() if loaded.search(text)]
    assert 'href="training.html#from-python"' in pages["index.html"]
    assert 'href="notebooks/colab_tpu.html"' in pages["scaling.html"]
    assert 'id="dream_keras.train.train_ensemble"' in pages["api/package/train.html"]
    assert "dream_keras 0." in pages["notebooks/quickstart.html"]  # a saved output
    for picture in re.findall(r'<img[^>]* src="([^"]+)"', pages["notebooks/quickstart.html"]):
        assert (tmp_path / "notebooks" / picture).is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("_site_tools")
def test_warnings_end_the_build(tmp_path):
    """A link that leads nowhere, and an argument in a docstring that the function does not have."""
    for name in ("docs", "notebooks", "dream_keras", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for page in (*TOP, ROOT / "mkdocs.yml"):
        shutil.copy(page, tmp_path)
    with (tmp_path / "docs" / "glossary.md").open("a") as page:
        page.write("\n[nowhere](input.md#nowhere)\n")
    file = tmp_path / "dream_keras" / "convert.py"
    file.write_text(file.read_text().replace("    Args:\n", "    Args:\n        nobody: No one.\n"))
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert any("nowhere" in line for line in warnings), done.stderr
    assert any("nobody" in line for line in warnings), done.stderr
