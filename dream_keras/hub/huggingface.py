"""The Hugging Face hub: addresses, downloads, and what its library raises."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.hub.catalogue import named
from dream_keras.hub.download import is_offline

HUB = "hf://"
"""How addresses of the hub begin."""
KERAS_WEIGHTS = "model.weights.h5"
"""The weights of a model that Keras loads from the hub; runs have a file of their own."""
TRANSPORTS = ("httpx", "httpx2", "requests")
"""Packages whose errors the hub's library, by its version, lets through."""


def pull(address: str) -> Path:
    """Fetch a run from the hub into the hub's cache, once per revision.

    Args:
        address: ``hf://user/name``, or ``hf://user/name@revision``.

    Returns:
        Its folder.

    Raises:
        UserError: If there is no such repository, or it cannot be reached.
    """
    name, revision = repository(address)
    with hub_errors(address):
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                name,
                revision=revision,
                ignore_patterns=[KERAS_WEIGHTS],
                local_files_only=is_offline(),
            )
        )


def without_folder(path: str) -> str:
    """Return the last part of a path; names of the catalogue and addresses of the hub as they are.

    Examples:
        >>> without_folder("/home/me/train.txt"), without_folder("hf://me/promoters")
        ('train.txt', 'hf://me/promoters')
    """
    if path.startswith(HUB) or named(path) is not None:
        return path
    return path.rstrip("/").rpartition("/")[2]


def repository(address: str) -> tuple[str, str | None]:
    """Return the repository and the revision of an address.

    Raises:
        UserError: If it is none of the hub's.

    Examples:
        >>> repository("hf://me/promoters@v1")
        ('me/promoters', 'v1')
    """
    found = re.fullmatch(rf"{HUB}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", address)
    if found is None:
        raise UserError(f"{address}: expected hf://USER/NAME, or hf://USER/NAME@REVISION")
    return found[1], found[2]


@contextmanager
def hub_errors(address: str) -> Iterator[None]:
    """Turn what the hub's library raises into errors for the user."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise UserError(
            f"{address} needs the extra [hub] of dream-keras, which is not installed: "
            "pip install huggingface_hub"
        ) from None
    try:
        yield
    except errors.LocalEntryNotFoundError:
        raise UserError(f"{address} is not in the hub's cache, and cannot be reached") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{address}: there is no such model, or it is private and you are not logged in "
            "(hf auth login, or the environment variable HF_TOKEN)"
        ) from None
    except errors.LocalTokenNotFoundError:
        raise UserError(
            f"{address}: log in to push (hf auth login, or the environment variable HF_TOKEN)"
        ) from None
    except Exception as error:
        of_hub = isinstance(error, errors.HfHubHTTPError | OSError | ValueError)
        of_transport = type(error).__module__.partition(".")[0] in TRANSPORTS
        if isinstance(error, UserError) or not (of_hub or of_transport):
            raise
        raise UserError(f"{address}: {reason(error)}") from None
