"""The examples in docstrings: each gives what it says."""

import ast
import doctest
import importlib
import inspect

import pytest
from test_floors import MODULES

import dream_keras
from dream_keras.menu import registry

WITHOUT = {
    "predict_interval": "needs a trained run; docs/ensembles.md shows it",
    "load_run": "opens what minutes of training leave; the README shows it",
    "from_preset": "is load_run",
    "push": "needs an account; docs/hub.md shows it",
    "score_attributions": "takes minutes; docs/attribution.md shows it",
    "cross_validate": "trains a run for each fold; docs/any_assay.md shows it",
    "train_ensemble": "trains several runs; docs/ensembles.md shows it",
}
"""What is public and has no example, and why."""


def docstrings(name):
    """Yield what each docstring of a module belongs to, its text and its line from 0.

    They are read from the source, so that none is missed because of a decorator.
    """
    found = [("", ast.parse(MODULES[name].read_text()))]
    for place, node in found:
        text = ast.get_docstring(node)
        if text is not None:
            yield place, text, node.body[0].lineno - 1
        kinds = ast.FunctionDef | ast.ClassDef
        found += [(f"{place}.{n.name}", n) for n in node.body if isinstance(n, kinds)]


def examples(name):
    """Return the examples of a module, one test for each docstring that has some."""
    parser = doctest.DocTestParser()
    tests = (
        parser.get_doctest(text, {}, name + place, str(MODULES[name]), line)
        for place, text, line in docstrings(name)
    )
    return [test for test in tests if test.examples]


EXAMPLES = {name: found for name in MODULES if (found := examples(name))}


@pytest.fixture(autouse=True)
def _menu():
    """Take what an example registers off the menu again."""
    registry.load_all()
    before = dict(registry._entries)
    yield
    registry._entries.clear()
    registry._entries.update(before)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_they_say(name):
    module = importlib.import_module(name)
    said = []
    for test in EXAMPLES[name]:
        # Each begins with the names of its module and nothing of the others.
        test.globs = dict(vars(module))
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


def test_a_wrong_example_would_be_found(tmp_path, monkeypatch):
    file = tmp_path / "wrong.py"
    file.write_text(
        'class A:\n    def f(self):\n        """Say.\n\n        >>> 1 + 1\n        3\n        """\n'
    )
    monkeypatch.setitem(MODULES, "wrong", file)
    monkeypatch.setitem(EXAMPLES, "wrong", examples("wrong"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssertionError, match=r"line 5, in wrong\.A\.f"):
        test_examples_give_what_they_say("wrong")


def test_public_functions_and_classes_have_an_example():
    public = set(dream_keras.__all__) - set(dream_keras.COMMANDS) - {"__version__"}
    without = {name for name in public if ">>> " not in inspect.getdoc(getattr(dream_keras, name))}
    assert without == set(WITHOUT)
