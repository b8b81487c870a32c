import sys
from types import SimpleNamespace

import pytest

from dream_keras.common.progress import hide_bar


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
    # IPython may be imported without a shell, and a shell may be one in a terminal.
    shells = [SimpleNamespace(kernel=object())] if notebook else [None, SimpleNamespace()]
    for shell in shells:
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert hide_bar(progress) is hidden
    if not notebook:
        monkeypatch.delitem(sys.modules, "IPython")
        assert hide_bar(progress) is hidden
