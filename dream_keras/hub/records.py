"""Checksums as the hosts of files publish them."""

import base64
from collections.abc import Mapping
from typing import Any

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason

TIMEOUT = 30
"""Seconds without an answer after which a host counts as not reachable."""


def published_checksum(record: str, name: str) -> str:
    """Read the checksum of a file from its record.

    Records are those of Zenodo (``/api/records/N``), ENCODE (``/files/ID/?format=json``), Google
    Cloud Storage (``/storage/v1/b/BUCKET/o/OBJECT``) and GitHub (``/repos/.../contents/PATH``),
    and lists as ``md5sum`` writes them.

    Args:
        record: Its address.
        name: Name of the file.

    Raises:
        UserError: If the record cannot be read, or does not have the file.
    """
    import requests

    try:
        response = requests.get(record, timeout=TIMEOUT)
        response.raise_for_status()
        checksum = _in_list(response.text, name) or _in_record(response.json(), name)
    except (requests.RequestException, ValueError) as error:
        raise UserError(
            f"{name}: its checksum cannot be read from {record} ({trouble(error)}). Nothing is "
            "downloaded that cannot be checked: try again later"
        ) from None
    if checksum is None:
        raise UserError(f"{name}: {record} does not have its checksum")
    return checksum


def trouble(error: Exception) -> str:
    """Return why a request failed, without the address, which messages name themselves."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    text = reason(error) if cause is None else str(cause).rpartition(": ")[2]
    return text.partition(" for url: ")[0]


def _in_list(text: str, name: str) -> str | None:
    for line in text.splitlines():
        digest, _, file = line.partition(" ")
        if len(digest) == 32 and file.strip().lstrip("*").rpartition("/")[2] == name:
            return f"md5:{digest}"
    return None


def _in_record(record: Mapping[str, Any], name: str) -> str | None:
    if "files" in record:
        return next((file["checksum"] for file in record["files"] if file["key"] == name), None)
    if "md5sum" in record:
        return f"md5:{record['md5sum']}"
    if "md5Hash" in record:
        return f"md5:{base64.b64decode(record['md5Hash']).hex()}"
    return f"git:{record['sha']}" if "sha" in record else None
