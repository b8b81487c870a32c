"""Whether there is somebody to show a progress bar to."""

import sys


def hide_bar(progress: bool | None) -> bool:
    """Return tqdm's ``disable``: as asked, or hidden unless on a terminal or in a notebook."""
    if progress is not None:
        return not progress
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)
