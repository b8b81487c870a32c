"""Check that a saved network predicts the same when it is loaded, here or in another process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from dream_keras.menu.registry import PLUGIN_MODULE
from dream_keras.testing.case import Case, Outputs, predict_outputs, same


def saving(case: Case) -> Iterator[str]:
    """Yield changes of the predictions when the network is saved and loaded."""
    want = predict_outputs(case.network, case.inputs)
    if not same(want, predict_outputs(case.network, case.inputs)):
        return  # nothing to compare; the check of prediction says so
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        case.network.save(path)
        if not same(want, predict_outputs(keras.saving.load_model(path), case.inputs)):
            yield (
                "its predictions change when it is saved and loaded: keep all that it learns in "
                "weights of layers (self.add_weight), and draw no random numbers when it is built"
            )
        elif case.fresh_process:
            np.save(Path(folder) / "inputs.npy", case.inputs)
            yield from _saving_to_another_process(case, want, Path(folder))


def _saving_to_another_process(case: Case, want: Outputs, folder: Path) -> Iterator[str]:
    """Yield changes of the predictions when another process loads the saved network."""
    module = case.item.module
    if module.startswith(PLUGIN_MODULE):
        imports = f"load_plugins([{sys.modules[module].__file__!r}])"
    else:
        imports = f"importlib.import_module({module!r})"
    script = (
        "import importlib, keras, numpy as np\n"
        "from dream_keras.menu.plugins import load_plugins\n"
        "from dream_keras.testing.case import predict_outputs\n"
        f"{imports}\n"
        "network = keras.saving.load_model('network.keras')\n"
        "np.savez('outputs.npz', **predict_outputs(network, np.load('inputs.npy')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        yield f"in another process the saved network cannot be loaded: {last}"
        return
    with np.load(folder / "outputs.npz") as saved:
        if not same(want, dict(saved)):
            yield (
                "in another process the saved network predicts something else: let nothing that "
                "is built depend on hash(), the order of a set, or the environment"
            )
