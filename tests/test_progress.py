import sys

import pytest

from dream_keras.progress import hide_bar


@pytest.mark.parametrize(
    ("progress", "terminal", "notebook", "hidden"),
    [
        (None, False, False, True),
        (None, True, False, False),
        (None, False, True, False),
        (True, False, False, False),
        (False, True, True, True),
    ],
)
def test_a_bar_is_shown_where_somebody_looks(monkeypatch, progress, terminal, notebook, hidden):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    else:
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert hide_bar(progress) is hidden
