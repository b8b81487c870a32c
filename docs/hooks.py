"""Pages of the site that are not files of ``docs/``, and the links between all pages.

MkDocs calls these functions (``hooks`` in mkdocs.yml). The README and other pages at the top of
the repository, the notebooks with their saved outputs, and the API pages are added to the files
of ``docs/``. Links are written for GitHub, as paths between files of the repository; on the site
they lead to the page made of that file, or else to the file in the repository.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter
from pymdownx.slugs import slugify

import dream_keras

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "benchmarks/results.md",
    "benchmarks/scaling.png": "benchmarks/scaling.png",
}
"""Files outside ``docs/`` and their places on the site."""
MODULES = (
    *("data.alphabet", "data.processor", "interpret.attribution", "interpret.effects"),
    *("interpret.marginal", "interpret.predictor", "leaderboard.board", "menu", "menu.trainer"),
    *("model.summary", "nn.initializers", "nn.layers", "nn.losses", "nn.optimizers"),
    *("nn.schedules", "runs.run", "scoring.ceiling", "scoring.metrics", "scoring.report"),
    *("scoring.suite", "simulate.expression", "simulate.motifs", "simulate.truth", "testing"),
)
"""Modules for blocks and scripts of one's own."""
MENU = (
    *("autosome", "bhi", "unlockdna", "plain", "gaussian"),
    *("deepstarr", "malinois", "mpralegnet", "mprann", "vaishnav"),
)
"""Modules of ``dream_keras.menu`` with blocks, processors and trainers."""

LINK = re.compile(r"\]\((?![a-z]+:|[#/])([^)#\s]+)(#[^)\s]*)?\)")
BADGE = re.compile(r"\[!\[([^]]*)\]\(https?:[^)]*\)\]")
"""A picture on another host that is a link; its text takes its place."""
FRAME_STYLE = re.compile(r"<style scoped>.*?</style>\s*<table[^>]*>", re.DOTALL)
"""The style that pandas gives a table; on the site it looks like the others."""
sites: dict[str, str] = {}
"""Place on the site of each file of the repository that has one; filled by ``on_files``."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings the anchors that GitHub gives them."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside ``docs/`` and complete the navigation."""
    sites.clear()
    sites.update({f"docs/{file.src_uri}": file.src_uri for file in files})
    for source, place in OUTSIDE.items():
        sites[source] = place
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    pages: dict[str, str | bytes] = api_pages()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        sites[f"notebooks/{path.name}"] = f"notebooks/{path.stem}.md"
        pages |= notebook_pages(path, config.extra["repository"])
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    config.nav = expand(config.nav, [file.src_uri for file in files.documentation_pages()])
    return files


def expand(nav: Any, pages: list[str]) -> Any:
    """Replace each folder of a navigation, ``notes/``, by its pages; one without pages is left out.

    Args:
        nav: The navigation of mkdocs.yml, or a part of it.
        pages: The site's pages.
    """
    if isinstance(nav, str):
        return sorted(page for page in pages if page.startswith(nav)) if nav[-1] == "/" else nav
    if isinstance(nav, dict):
        found = {title: expand(part, pages) for title, part in nav.items()}
        return {title: part for title, part in found.items() if part}
    return [part for part in (expand(each, pages) for each in nav) if part]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    source = {place: path for path, place in sites.items()}.get(here)
    if source is None:
        return markdown

    def on_the_site(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in sites:
            target = posixpath.relpath(sites[path], posixpath.dirname(here) or ".")
        elif (ROOT / path).exists():
            target = f"{config.extra['repository']}/blob/main/{path}"
        return f"]({target}{anchor})"

    return LINK.sub(on_the_site, markdown)


def notebook_pages(path: Path, repository: str) -> dict[str, str | bytes]:
    """Return the page of a notebook, with its saved outputs, and the pictures in it.

    Its links are addresses, since it is also opened elsewhere; here they become paths.
    """
    markdown, resources = MarkdownExporter().from_filename(str(path))
    markdown = FRAME_STYLE.sub("<table>", BADGE.sub(r"[\1]", markdown))
    markdown = markdown.replace(f"]({repository}/blob/main/", "](../")
    pictures = resources["outputs"]
    for name in pictures:
        markdown = markdown.replace(f"]({name})", f"]({path.stem}/{name})")
    return {
        f"notebooks/{path.stem}.md": markdown,
        **{f"notebooks/{path.stem}/{name}": content for name, content in pictures.items()},
    }


def api_pages() -> dict[str, str | bytes]:
    """Return a page for each command's functions and each public module, and a list of them."""
    package = griffe.load("dream_keras", search_paths=[ROOT])

    def line(path: str, name: str) -> str:
        text = package[path.removeprefix("dream_keras.")].docstring.value
        return f"| [`{name}`][{path}] | {text.partition(chr(10))[0]} |"

    public = {name: f"dream_keras.{name}.{name}" for name in dream_keras.COMMANDS if name != "menu"}
    public |= {name: f"{module}.{name}" for name, module in dream_keras._HOME.items()}
    listed = {**public, "menu": "dream_keras.menu"}
    table = [line(path, f"dream_keras.{name}") for name, path in sorted(listed.items())]
    pages: dict[str, str | bytes] = {}
    modules = {path.rpartition(".")[0] for path in public.values()}
    for module in sorted(modules - {f"dream_keras.{name}" for name in MODULES}):
        parts = [path for path in public.values() if path.rpartition(".")[0] == module]
        blocks = "\n\n".join(f"::: {path}" for path in parts)
        pages[f"api/package/{module.partition('.')[2]}.md"] = titled(module, blocks)
    for folder, names in (("modules", MODULES), ("menu", [f"menu.{name}" for name in MENU])):
        for name in names:
            block = f"::: dream_keras.{name}\n    options: {{show_root_heading: false}}"
            pages[f"api/{folder}/{name}.md"] = titled(f"dream_keras.{name}", block)
    pages["api/index.md"] = "\n".join(
        [
            "# API",
            "",
            "Everything that `import dream_keras` offers. Commands are functions, too: "
            "`dream_keras.train(...)` does what `python -m dream_keras.train` does.",
            "",
            "| name | what it is |",
            "|---|---|",
            *table,
        ]
    )
    return pages


def titled(module: str, text: str) -> str:
    """Return the page of a module; the navigation leaves out the name of the package."""
    return f"---\ntitle: {module.partition('.')[2]}\n---\n\n# {module}\n\n{text}\n"
