"""A server for trained runs: the GAME protocol, and a page for people."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dream_keras.common.cli import load_backend, make_callable
from dream_keras.common.errors import UserError, at_least

HOST, PORT = "127.0.0.1", 8080
MAX_BODY = 1024
"""MiB of a request; those of the evaluators are up to 0.7 GB."""
MAX_SEQUENCES = 100_000
"""Sequences in a request; the largest evaluator sends 56,000."""
MAX_WAITING = 400_000
"""Sequences that wait for their prediction, each of several tasks' models counted."""


def serve(
    runs: Sequence[str | Path],
    *,
    host: str = HOST,
    port: int = PORT,
    max_body: int = MAX_BODY,
    max_sequences: int = MAX_SEQUENCES,
    max_waiting: int = MAX_WAITING,
    plugins: Iterable[str | Path] = (),
) -> None:
    """Serve runs until the process is told to stop (SIGTERM, Ctrl-C).

    Requests that have begun are then finished.

    Args:
        runs: Run folders.
        host: Address to listen at; 127.0.0.1 is reached from this machine only.
        port: Port to listen at; 0 takes a free one.
        max_body: MiB of a request; larger ones are refused with the status 413.
        max_sequences: Sequences of a request; more are refused with the status 422.
        max_waiting: Sequences that may wait for their prediction; requests for more are refused
            with the status 503.
        plugins: Files that put on the menu what the runs were trained with, if they have no copies.

    Raises:
        UserError: If a run cannot be served, the extra ``serve`` is not installed, or the address
            cannot be listened at.
    """
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run

    at_least(1, max_body=max_body, max_sequences=max_sequences, max_waiting=max_waiting)
    if not 0 <= port < 2**16:
        raise UserError(f"port={port}: expected 0 to 65535")
    for each in runs:
        check_run(each)
    check_plugins(plugins := listed(plugins))
    check_installed()
    load_backend()
    from dream_keras.serve.app import Limits
    from dream_keras.serve.model import open_models
    from dream_keras.serve.server import listen, run_server

    load_plugins(plugins)
    with listen(host, port) as socket:
        limits = Limits(max_body * 2**20, max_sequences, max_waiting)
        run_server(open_models(runs), limits, socket)


def check_installed() -> None:
    """Refuse to begin without the packages of the extra.

    Raises:
        UserError: Names the extra.
    """
    try:
        import httpx  # noqa: F401
        import msgpack  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f'{error.name} is missing: pip install "dream-keras[serve]"') from None


make_callable(__name__, serve)
