"""Parts of web pages that are one file and make no network requests."""

import base64
import hashlib
import json


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
