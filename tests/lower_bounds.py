"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

``make test-oldest`` installs them.
"""

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any


def lower_bounds(project: dict[str, Any]) -> list[str]:
    """Return ``name==version`` for each ``name>=version`` that a user may come to install.

    Args:
        project: The table ``project`` of pyproject.toml.
    """
    extras = project["optional-dependencies"]
    chosen = (
        extras[name] for name in ("tensorflow", "jax", "genome", "motif", "export", "serve", "hub")
    )
    wanted = [*project["dependencies"], *itertools.chain(*chosen)]
    found = (re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", requirement) for requirement in wanted)
    return ["==".join(match.groups()) for match in found if match]


if __name__ == "__main__":
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    print("\n".join(lower_bounds(tomllib.loads(pyproject.read_text())["project"])))
