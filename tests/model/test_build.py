"""Networks saved and loaded by users."""

import subprocess
import sys

import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError

SMALL = {
    "processor": "autosome",
    "first": {"name": "autosome", "out_channels": 8},
    "core": {"name": "autosome", "widths": [8], "out_channels": 8},
    "final": "autosome",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    network = dream_keras.build_network(SMALL, 20, 6)
    inputs = np.random.default_rng(0).normal(size=(3, 20, 6)).astype("float32")
    folder = tmp_path_factory.mktemp("saved")
    network.save(folder / "network.keras")
    np.savez(folder / "rows.npz", inputs=inputs, values=dream_keras.expression(network, inputs))
    return folder


@pytest.mark.parametrize(
    "imports",
    [
        "import dream_keras\nimport keras",
        pytest.param("import keras\nimport dream_keras", marks=pytest.mark.slow),
    ],
    ids=["before Keras", "after Keras"],
)
def test_keras_loads_a_network_after_the_import_alone(saved, imports):
    script = (
        f"{imports}\nimport numpy as np\n"
        "network = keras.saving.load_model('network.keras')\n"
        "rows = np.load('rows.npz')\n"
        "got = dream_keras.expression(network, rows['inputs'])\n"
        "np.testing.assert_allclose(got, rows['values'], rtol=1e-6)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=saved)


def test_load_model(saved):
    rows = np.load(saved / "rows.npz")
    network = dream_keras.load_model(saved / "network.keras")
    np.testing.assert_allclose(dream_keras.expression(network, rows["inputs"]), rows["values"])


def test_what_is_no_network_is_refused(saved):
    import keras

    with pytest.raises(UserError, match="no file"):
        dream_keras.load_model(saved / "nowhere.keras")
    with pytest.raises(UserError, match="cannot be loaded"):
        dream_keras.load_model(saved / "rows.npz")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(saved / "other.keras")
    with pytest.raises(UserError, match="holds a Sequential"):
        dream_keras.load_model(saved / "other.keras")


def test_the_package_shows_its_public_names_alone():
    assert dir(dream_keras) == sorted(dream_keras.__all__)
