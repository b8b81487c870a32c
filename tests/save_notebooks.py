"""Run the notebooks in smoke mode: for the tests, and to save them with their outputs.

``python tests/save_notebooks.py`` (``make notebooks``) writes the outputs into the notebooks.
"""

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
import PIL.Image

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def execute(notebook: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder; return it with outputs that name nothing of this machine."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    backend = {"KERAS_BACKEND": "jax"} if notebook.stem == "colab_tpu" else {}
    environment = {
        **{name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"},
        **backend,
        "DREAM_KERAS_SMOKE": "1",
        "PYTHONPATH": path,
        "TMPDIR": str(folder),
    }
    content = nbformat.read(notebook, as_version=4)
    client = nbclient.NotebookClient(
        content, timeout=600, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    content.metadata.language_info = {"name": "python"}
    for cell in content.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
            if output.output_type == "stream":
                output.text = plain(output.text, folder)
        if "outputs" in cell:
            cell.outputs = [out for out in cell.outputs if out.get("text") != ""]
    return content


def plain(text: str, folder: Path) -> str:
    """Return printed text without overwritten progress bars and this machine's paths."""
    lines = [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
    text = "\n".join(lines).replace(sys.executable, "python")
    return re.sub(re.escape(str(folder)) + r"/(tmp\w+/)?", "", text)


def smaller(png: str) -> str:
    """Return a picture, in base64, with 64 colours: a quarter of the bytes."""
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(64)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    """Write each notebook with its outputs."""
    for notebook in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            content = execute(notebook, Path(folder).resolve())
        for cell in content.cells:
            # Without progress bars and the backend's messages.
            if "outputs" in cell:
                cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        nbformat.write(content, notebook)
        print(notebook.relative_to(ROOT))


if __name__ == "__main__":
    main()
