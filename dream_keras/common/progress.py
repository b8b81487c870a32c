"""Whether there is somebody to show a progress bar to."""

import sys


def hide_bar(progress: bool | None) -> bool:
    """Return tqdm's ``disable``: as asked, or hidden unless on a terminal or in a notebook."""
    if progress is not None:
        return not progress
    return not (sys.stderr.isatty() or _in_a_notebook())


def _in_a_notebook() -> bool:
    """Return whether this is a notebook's kernel; other programs, too, import its packages."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
