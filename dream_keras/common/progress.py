"""Progress as a bar on a terminal or in a notebook, and as lines in a log."""

import importlib.util
import sys
import warnings
from typing import Any

from tqdm import TqdmWarning, tqdm

with warnings.catch_warnings():
    # tqdm.contrib imports tqdm.auto, which warns in a notebook without ipywidgets.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.contrib.logging import logging_redirect_tqdm

__all__ = ["hide_bar", "logging_redirect_tqdm", "progress_bar"]

LINE_SECONDS = 20.0
"""Seconds between two lines in a log."""


def progress_bar(progress: bool | None = None, **options: Any) -> tqdm:
    """Return a tqdm bar, or one that writes lines where bars cannot be shown.

    On a terminal or in a notebook it is the usual bar; a notebook without ipywidgets gets a text
    bar. Where stderr is neither, as in a batch job, each update ``LINE_SECONDS`` or more after the
    last line (or after the start) writes another line to stderr. Work that has written lines
    writes a last one at its end; shorter work writes none.

    Args:
        progress: False shows nothing; None and True show progress.
        options: ``total``, ``desc``, ``unit`` and others of tqdm.
    """
    if progress is False:
        return tqdm(disable=True, **options)
    if hide_bar(None):
        # miniters=1: tqdm looks at the clock in each update. ncols=0: text without a bar.
        waits = {"mininterval": LINE_SECONDS, "delay": LINE_SECONDS, "miniters": 1}
        return tqdm(file=_Lines(), ncols=0, **(options | waits))
    if _in_a_notebook() and importlib.util.find_spec("ipywidgets"):
        from tqdm.notebook import tqdm as bar

        return bar(**options)
    return tqdm(**options)


def hide_bar(progress: bool | None) -> bool:
    """Return tqdm's ``disable``: as asked, or hidden unless on a terminal or in a notebook."""
    if progress is not None:
        return not progress
    return not (sys.stderr.isatty() or _in_a_notebook())


class _Lines:
    """A file for tqdm that writes what would be drawn over the last bar as a line to stderr."""

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        sys.stderr.flush()


def _in_a_notebook() -> bool:
    """Return whether this is a notebook's kernel; other programs, too, import its packages."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
