"""The package's floors: nothing imports from a higher one, and no modules import each other."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dream_keras"
FLOORS = (
    ("_version", "common"),
    ("hub",),
    ("nn",),
    ("data",),
    ("simulate",),
    ("menu",),
    ("config",),
    ("model",),
    ("scoring",),
    ("runtime",),
    ("runs",),
    ("training",),
    ("analyse", "leaderboard", "interpret"),
    # Commands; those that others call stand below them.
    ("ensemble",),
    ("train", "evaluate", "predict", "convert", "export", "prepare", "fetch", "regions"),
    ("variants", "attribute", "marginalise", "design"),
    ("search", "serve", "doctor", "preflight", "testing"),
    ("__init__", "__main__", "_registration"),
)
"""Folders and files of the package, the lowest floor first."""
FORWARDING = {"dream_keras.runs.run": {"dream_keras"}}
"""Modules with a method that calls the public function of its name: ``Run.push``."""
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
TOP = len(FLOORS) - 1


def modules():
    """Return every module's name and file."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = ["dream_keras", *file.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imports(name, everywhere=True):
    """Return the package's modules that a module imports, at its top or anywhere in it.

    ``from package import name`` counts as the module ``package.name`` where that is one. What only
    type checkers read (``if TYPE_CHECKING``) does not count as an import when ``everywhere`` is
    false.
    """
    tree = ast.parse(MODULES[name].read_text())
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in MODULES else node.module for each in below}
    return {each for each in found if each in MODULES and each != name}


def floor(name):
    """Return the floor of a module; a folder's command stands above everything."""
    parts = name.split(".")[1:] or ["__init__"]
    return TOP if parts[-1] == "__main__" else FLOOR_OF[parts[0]]


def test_every_folder_has_a_floor():
    found = {(name.split(".")[1:] or ["__init__"])[0] for name in MODULES}
    assert found == set(FLOOR_OF)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_imports_from_a_higher_floor(name):
    higher = {each for each in imports(name) if floor(each) > floor(name)}
    higher -= FORWARDING.get(name, set())
    assert not higher, f"{name} imports {', '.join(sorted(higher))}"


def test_no_modules_import_each_other():
    """Also not by way of others, nor inside functions; repeated removal leaves the circles."""
    left = {name: imports(name) - {"dream_keras"} for name in MODULES}
    while free := [name for name, needed in left.items() if not needed & set(left)]:
        for name in free:
            del left[name]
    circles = {name: sorted(needed & set(left)) for name, needed in left.items()}
    assert not circles


def test_a_circle_would_be_found(tmp_path, monkeypatch):
    files = {}
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        files[f"dream_keras.{name}"] = tmp_path / f"{name}.py"
        files[f"dream_keras.{name}"].write_text(f"def f():\n    from dream_keras import {other}\n")
    monkeypatch.setattr(f"{__name__}.MODULES", files)
    with pytest.raises(AssertionError, match=r"dream_keras\.a"):
        test_no_modules_import_each_other()
