"""A page with all attributed sequences, sorted and searched in the browser."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from dream_keras.common.page import fill
from dream_keras.interpret.attribution import Attribution

_TEMPLATE = Path(__file__).parent / "web" / "attributions.html"


def render(
    attributions: Mapping[str, Attribution], pictures: Mapping[str, str], description: str
) -> str:
    """Return the page as HTML: one file that makes no network requests.

    Args:
        attributions: By the name of the sequence.
        pictures: Paths of the pictures, by name; not every sequence needs one.
        description: How they were made.
    """
    data = [
        {
            "name": name,
            "prediction": round(each.prediction, 4),
            "start": each.start + 1,
            "bases": each.sequence[each.start : each.end],
            "scores": [float(f"{score:.3g}") for score in each.contributions],
            "picture": pictures.get(name),
        }
        for name, each in attributions.items()
    ]
    return fill(
        _TEMPLATE,
        "Attributions",
        data,
        images="'self' file: data:",
        description=escape(description),
        count=f"{len(data):,}",
    )
