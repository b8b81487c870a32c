import contextlib
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tqdm import TqdmWarning

from dream_keras.common.progress import hide_bar, progress_bar


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


@pytest.mark.parametrize("widgets", [True, False])
def test_a_notebook_without_widgets_gets_text_and_no_warning(monkeypatch, recwarn, capsys, widgets):
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    found = SimpleNamespace() if widgets else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    monkeypatch.setitem(sys.modules, "tqdm.notebook", SimpleNamespace(tqdm=lambda **_: "widget"))
    bar = progress_bar(total=3, desc="scoring")
    if widgets:
        assert bar == "widget"
        return
    bar.close()
    assert capsys.readouterr().err.startswith("\rscoring:")
    assert not [warning for warning in recwarn if issubclass(warning.category, TqdmWarning)]


@pytest.mark.parametrize("module", ["progress", "remote"])
def test_imports_in_a_notebook_give_no_warning(module):
    """Without ipywidgets tqdm.contrib, which has the logging helper, and pooch cause one."""
    pytest.importorskip("ipykernel")
    script = f"import ipykernel.zmqshell, dream_keras.common.{module}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def clock(monkeypatch):
    """The time as tqdm sees it, in seconds, which stands still until it is moved."""
    now = SimpleNamespace(seconds=1e9)
    monkeypatch.setattr("tqdm.std.time", lambda: now.seconds)
    return now


def work(clock, capsys, seconds, **options):
    """The lines on stderr after each step of work that takes so many seconds each."""
    written = []
    with progress_bar(total=len(seconds), desc="scoring", unit=" rows", **options) as bar:
        for step in seconds:
            clock.seconds += step
            bar.update()
            written.append(capsys.readouterr().err)
    return [*written, capsys.readouterr().err]


@pytest.mark.parametrize("progress", [None, True])
def test_a_log_gets_a_line_every_twenty_seconds(clock, capsys, progress):
    written = work(clock, capsys, [7] * 9, progress=progress)
    assert written == [
        "",
        "",
        "scoring:  33% 3/9 [00:21<00:42,  7.00s/ rows]\n",
        "",
        "",
        "scoring:  67% 6/9 [00:42<00:21,  7.00s/ rows]\n",
        "",
        "",
        "scoring: 100% 9/9 [01:03<00:00,  7.00s/ rows]\n",
        "scoring: 100% 9/9 [01:03<00:00,  7.00s/ rows]\n",
    ]


def test_quick_steps_do_not_make_more_lines_and_slow_ones_not_fewer(clock, capsys):
    written = work(clock, capsys, [0.01] * 5000)
    assert sum(map(bool, written)) == 3  # after 20 s, after 40 s and at the end, 50 s
    written = work(clock, capsys, [300, 1, 1, 40])
    assert list(map(bool, written)) == [True, False, False, True, True]


def test_work_that_ends_soon_leaves_a_log_alone(clock, capsys):
    assert not any(work(clock, capsys, [3] * 6))


def test_work_that_fails_ends_with_what_was_done(clock, capsys):
    with contextlib.suppress(KeyError), progress_bar(total=None, desc="reading") as bar:
        for step in (30, 5, 5):
            clock.seconds += step
            bar.update(1000)
        raise KeyError
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("reading: 1000it [00:30,")
    assert last.startswith("reading: 3000it [00:40,")


@pytest.mark.parametrize("terminal", [True, False])
def test_false_shows_nothing(clock, capsys, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert not any(work(clock, capsys, [30] * 3, progress=False))


def test_a_terminal_gets_a_bar_at_once(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = "".join(work(clock, capsys, [1] * 4))
    assert shown.startswith("\rscoring:   0%|")
    assert "100%|" in shown
    assert "4/4" in shown
