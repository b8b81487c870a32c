"""``RESULTS.md``: sections that commands write anew, and the words that stand with every table."""

import os
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "RESULTS.md"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def rate_cells(turns: Sequence[tuple[float, float]]) -> list[str]:
    """Return median and best rate by the clock, and the median by processor time, as cells.

    Args:
        turns: Both rates in each turn.
    """
    clock, used = zip(*turns, strict=True)
    return [f"{rate:,.0f}" for rate in (median(clock), max(clock), median(used))]


def write_section(path: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines in the place of a section of that name, or at the end of the file."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = path.read_text() if path.exists() else "# Results\n"
    section = "\n".join([begin, *lines, end])
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(text):
        text = found.sub(lambda match: section, text)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    path.write_text(text)


def machine() -> str:
    """Return the processor, cores, how busy they are, and the versions, in one line."""
    cpu = platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        cpu = names[0] if names else cpu
    packages = []
    for name in ("keras", "tensorflow", "jax", "torch", "numpy"):
        try:
            packages.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            packages.append(f"no {name}")
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, load average {os.getloadavg()[0]:.1f} when "
        f"it began; Python {platform.python_version()}, {', '.join(packages)}"
    )
