"""The notebooks run from top to bottom in smoke mode, and are stored with such outputs."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
each = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook, kind):
    content = json.loads(notebook.read_text())
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def check_outputs(outputs):
    assert not [out for out in outputs if out["output_type"] == "error"]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert re.search("Pearson (Score|r of log counts)", str(outputs))
    texts = json.dumps(
        [(out.get("text"), out.get("data", {}).get("text/plain")) for out in outputs]
    )
    assert "ipywidgets" not in texts
    assert "Warning" not in texts
    assert not re.findall(r"(?<![\w:/.])/(?:tmp|home|root|work|usr|Users|content)/", texts)


@pytest.mark.slow
@each
def test_notebook_runs_in_smoke_mode(notebook, tmp_path):
    pytest.importorskip("nbclient")
    from save_notebooks import execute

    content = execute(notebook, tmp_path)
    check_outputs([out for cell in content.cells for out in cell.get("outputs", [])])


@each
def test_notebook_is_stored_with_outputs(notebook):
    code = cells(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    check_outputs([out for cell in code for out in cell["outputs"]])


@each
def test_results_are_called_simulated(notebook):
    """In the introduction, and in the heading or the title of what is scored."""
    introduction, *others = map(source, cells(notebook, "markdown"))
    assert "on simulated data" in introduction
    titles = [line for text in others for line in text.splitlines() if line.startswith("#")]
    code = "\n".join(map(source, cells(notebook, "code")))
    scored = re.compile("simulated (suite|genome)")
    assert any(map(scored.search, titles)) or scored.search(code)


def test_addresses_are_those_of_the_repository():
    """Badges, cells and pages; ``pyproject.toml`` has the one that counts."""
    address = re.compile(r"(?:colab\.research\.google\.com/)?github(?:\.com)?/[\w-]+/[\w-]+")
    name = REPOSITORY.removeprefix("https://github.com/")
    allowed = {f"github.com/{name}", f"colab.research.google.com/github/{name}"}
    for notebook in NOTEBOOKS:
        assert set(address.findall(notebook.read_text())) == allowed
        badge = f"https://colab.research.google.com/github/{name}/blob/main/notebooks/"
        assert f"({badge}{notebook.name})" in source(cells(notebook, "markdown")[0])
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        assert set(address.findall(page.read_text())) <= allowed, page


INSTALLED = [
    # Keras and JAX without TensorFlow: a TPU runtime of Colab.
    ({"jax", "keras"}, "", "jax"),
    ({"jax", "keras", "libtpu", "tensorflow"}, "", "jax"),
    ({"jax", "keras", "tensorflow"}, "", None),
    ({"keras", "tensorflow"}, "", None),
    (set(), "[tensorflow]", None),
]


@each
@pytest.mark.parametrize(("packages", "extra", "backend"), INSTALLED)
@pytest.mark.parametrize("wheel", [False, True], ids=["repository", "wheel"])
def test_the_package_is_installed(notebook, packages, extra, backend, wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if wheel:
        Path("dream_keras-0.2.0-py3-none-any.whl").touch()
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in packages or None)
    variables = {}
    monkeypatch.setattr("os.environ", variables)
    exec(source(cells(notebook, "code")[0]), {})
    place = (tmp_path / "dream_keras-0.2.0-py3-none-any.whl").as_uri()
    requirement = f"dream-keras{extra} @ {place if wheel else f'git+{REPOSITORY}'}"
    assert commands == [[sys.executable, "-m", "pip", "install", "-q", requirement]]
    assert variables == ({"KERAS_BACKEND": backend} if backend else {})


def test_all_install_alike():
    assert len({source(cells(notebook, "code")[0]) for notebook in NOTEBOOKS}) == 1
