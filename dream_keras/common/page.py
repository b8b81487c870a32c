"""Parts of web pages that are one file and load nothing else."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from string import Template

from dream_keras._version import __version__

_HEAD = """<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src '$script_hash'; style-src '$style_hash'; img-src $images; connect-src $asked; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>"""
_SCRIPTS = """<script id="data" type="application/json">$data</script>
<script>$script</script>"""


def fill(
    template: Path,
    title: str,
    data: object,
    images: str = "data:",
    asked: str = "'none'",
    style_of: Path | None = None,
    **texts: str,
) -> str:
    """Return a page as HTML.

    A policy in its head forbids every request but those to ``asked``, and every script and style
    but the page's own, which are named by their checksums.

    Args:
        template: HTML with the placeholders ``$head``, ``$scripts``, ``$version`` and those of
            ``texts``. Style and script are files beside it with its name.
        title: Of the window.
        data: JSON that the script reads from the element ``data``.
        images: Where images may come from, as the policy says it.
        asked: Where its script may send requests, likewise.
        style_of: Template whose style is taken, for a page without a script.
        texts: HTML by the name of its placeholder.
    """
    page = template.read_text(encoding="utf-8")
    style = (style_of or template).with_suffix(".css").read_text(encoding="utf-8")
    script = "" if style_of else template.with_suffix(".js").read_text(encoding="utf-8")
    head = Template(_HEAD).substitute(
        script_hash=policy_hash(script),
        style_hash=policy_hash(style),
        images=images,
        asked=asked,
        title=escape(title),
        style=style,
    )
    scripts = Template(_SCRIPTS).substitute(data=script_json(data), script=script)
    return Template(page).substitute(texts, head=head, scripts=scripts, version=escape(__version__))


def policy_hash(text: str) -> str:
    """Name a script or style as a content security policy does.

    Examples:
        >>> policy_hash("")
        'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def script_json(data: object) -> str:
    r"""Write JSON that cannot end the script element it stands in.

    Examples:
        >>> script_json(["</script>"])
        '["\\u003c/script\\u003e"]'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
