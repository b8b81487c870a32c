"""What the package needs, as pip knows it."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import dream_keras.doctor
from dream_keras.runtime.machine import fits, packages, requirements

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def installed(folder, *lines):
    """Leave what pip writes down of the package, where it is found first."""
    (folder / "dream_keras-9.dist-info").mkdir()
    text = "\n".join(["Metadata-Version: 2.4", "Name: dream-keras", "Version: 9", *lines])
    (folder / "dream_keras-9.dist-info/METADATA").write_text(text + "\n")


def test_requirements_are_those_of_the_installation(tmp_path, monkeypatch):
    installed(
        tmp_path,
        "Requires-Python: >=3.11",
        "Requires-Dist: keras<4,>=3.10",
        "Requires-Dist: keras-tuner[bayesian]>=1.4.7",
        'Requires-Dist: colorama; python_version < "3"',
        'Requires-Dist: tqdm>=4; python_version > "3"',
        "Provides-Extra: tpu",
        'Requires-Dist: tensorflow-tpu>=2.18; extra == "tpu"',
        'Requires-Dist: libtpu==0.0.14; extra == "tpu"',
        "Provides-Extra: preflight",
        'Requires-Dist: libtpu==0.0.42.1; extra == "preflight"',
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert requirements() == {
        "": {"python": ">=3.11", "keras": "<4,>=3.10", "keras-tuner": ">=1.4.7", "tqdm": ">=4"},
        "tpu": {"tensorflow-tpu": ">=2.18", "libtpu": "==0.0.14"},
        "preflight": {"libtpu": "==0.0.42.1"},
    }
    assert packages()[:3] == ["keras", "keras-tuner", "tqdm"]
    assert sorted(packages()) == sorted(set(packages()))
    assert "jax" in packages()


def test_a_package_that_is_not_installed_needs_nothing_known(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    assert requirements() == {}
    assert "tensorflow" in packages()


@pytest.mark.parametrize(
    ("found", "needed", "expected"),
    [
        ("3.15.1", "<4,>=3.10", True),
        ("3.9.2", "<4,>=3.10", False),
        ("4.0.0", "<4,>=3.10", False),
        ("2.22.0.dev20260101+cpu12", ">=2.18", True),
        ("0.0.42.1", ">0.0.14", True),
        ("3.10", "", True),
        ("unknown", ">=3", True),
    ],
)
def test_versions_that_fit(found, needed, expected):
    assert fits(found, needed) == expected


def test_requirements_txt_asks_for_what_pyproject_asks_for():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    given = [Requirement(line) for line in lines if not line.startswith("#")]
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["tensorflow"]]
    assert {r.name: r.specifier for r in given} == {
        r.name: r.specifier for r in map(Requirement, wanted)
    }


def test_the_doctor_stops_at_a_python_that_pyproject_refuses():
    """It cannot read this there, so it says it once more."""
    lowest = PROJECT["requires-python"].removeprefix(">=")
    text = Path(dream_keras.doctor.__file__).read_text()
    assert f"sys.version_info < ({lowest.replace('.', ', ')})" in text
    assert f"install Python {lowest} or newer" in text
