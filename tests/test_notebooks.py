"""The notebooks run from top to bottom, in miniature."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"


NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONG = ("bring_your_own_block", "colab_tpu")


@pytest.mark.parametrize(
    "notebook",
    [pytest.param(n, marks=pytest.mark.slow if n.stem in LONG else ()) for n in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_notebook_runs_in_smoke_mode(notebook, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("DREAM_KERAS_SMOKE", "1")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    content = nbformat.read(notebook, as_version=4)
    client = nbclient.NotebookClient(
        content, timeout=600, resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [out for cell in content.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error"]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert "Pearson Score" in str(outputs)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(notebook):
    import json

    for cell in json.loads(notebook.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
