"""What is in the repository, in the files that are installed, and in an editable install."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from lower_bounds import lower_bounds

from dream_keras import __version__

ROOT = Path(__file__).parent.parent
TOP = {
    *("dream_keras", "configs", "notebooks", "tests", "benchmarks", "docs"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"),
    *("pyproject.toml", "requirements.txt", "mkdocs.yml", "Makefile", ".gitignore", ".ci"),
}
"""Everything that belongs at the top of the repository."""


@pytest.fixture(scope="module")
def tracked():
    """Paths of the files in the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {path for path in done.stdout.splitlines() if (ROOT / path).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return folder


def files_under(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}


def test_top_level_entries_are_expected(tracked):
    assert {path.partition("/")[0] for path in tracked} == TOP


def test_nothing_is_a_symbolic_link(tracked):
    """A zip download and Windows turn links into text files."""
    assert not [path for path in tracked if (ROOT / path).is_symlink()]


def test_the_wheel_holds_the_package_its_data_and_the_configs(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        scripts = archive.read(f"dream_keras-{__version__}.dist-info/entry_points.txt").decode()
    packed = {name for name in names if ".dist-info/" not in name}
    configs = {f"dream_keras/{name}" for name in files_under(ROOT / "configs")}
    assert packed == files_under(ROOT / "dream_keras") | configs
    assert {
        "dream_keras/configs/quickstart.yaml",
        "dream_keras/configs/search/prix_fixe.yaml",
        "dream_keras/leaderboard/web/page.html",
        "dream_keras/scoring/suites/dream.yaml",
        "dream_keras/py.typed",
    } <= packed
    assert "dream-keras = dream_keras.__main__:script" in scripts


def test_the_source_distribution_holds_the_repository(built, tracked):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    assert tracked <= packed


def test_an_installed_package_finds_its_configs(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = "from dream_keras.config.experiment import CONFIGS, find_config\n"
    script += "print(CONFIGS, find_config('quickstart').is_file())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(tmp_path / "dream_keras" / "configs"), "True"], done.stderr


def test_an_editable_install_seen_from_above_a_clone_called_dream_keras(tmp_path):
    """The clone, a folder without ``__init__.py``, must not be imported as an empty package."""
    clone, site = tmp_path / "dream_keras", tmp_path / "site"
    for name in ("dream_keras", "configs"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    build = "from hatchling.build import build_editable; print(build_editable('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=clone, capture_output=True, text=True, check=True
    )
    zipfile.ZipFile(clone / done.stdout.split()[-1]).extractall(site)
    script = (
        f"import site; site.addsitedir({str(site)!r})\n"
        "import dream_keras; print(dream_keras.__version__, dream_keras.__file__)"
    )
    # -S: without the packages of this environment, dream_keras among them.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    home = clone / "dream_keras" / "__init__.py"
    assert done.stdout.split() == [__version__, str(home)], done.stderr


def test_lower_bounds():
    project = {
        "dependencies": ["some[extra]>=1.2,<4", "other", "third-one>=0.4.35"],
        "optional-dependencies": {
            **{"jax": ["jax>=1"], "tensorflow": ["t>=2.18"], "genome": ["g>=1"], "dev": ["d>=5"]},
            **{"motif": ["m>=3.0"], "serve": ["s>=0.4"], "export": ["e>=1"], "hub": ["h>=2"]},
        },
    }
    wanted = ["some==1.2", "third-one==0.4.35", "t==2.18", "jax==1", "g==1", "m==3.0"]
    assert lower_bounds(project) == [*wanted, "e==1", "s==0.4", "h==2"]


def test_requirements_repeat_what_pyproject_says():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = {line for line in lines if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tensorflow"]]
    assert listed == set(wanted)
