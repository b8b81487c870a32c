"""A page with all attributed sequences, sorted and searched in the browser."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from dream_keras._version import __version__
from dream_keras.common.page import policy_hash, script_json
from dream_keras.interpret.attribution import Attribution

_WEB = Path(__file__).parent / "web"


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
    style, script = (
        (_WEB / f"attributions.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")
    )
    return Template((_WEB / "attributions.html").read_text(encoding="utf-8")).substitute(
        description=escape(description),
        count=f"{len(data):,}",
        version=escape(__version__),
        style=style,
        style_hash=policy_hash(style),
        script=script,
        script_hash=policy_hash(script),
        data=script_json(data),
    )
