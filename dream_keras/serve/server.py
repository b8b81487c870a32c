"""The server process: the socket it listens at, and how it stops."""

import logging
import signal
import socket as sockets
from collections.abc import Sequence

import uvicorn

from dream_keras.common.errors import UserError
from dream_keras.serve.app import Limits, make_app
from dream_keras.serve.model import Model

LAST_SECONDS = 600
"""How long requests that have begun may take when the server is told to stop."""

log = logging.getLogger(__name__)


def listen(host: str, port: int) -> sockets.socket:
    """Return a socket that listens; others than this machine's are warned about.

    Raises:
        UserError: If the address cannot be listened at.
    """
    try:
        family, _, _, _, address = sockets.getaddrinfo(
            host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0]
        socket = sockets.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host} port {port}: {(error.strerror or str(error)).lower()}. "
            "Choose others with --host and --port."
        ) from None
    if not str(address[0]).startswith("127.") and address[0] != "::1":
        log.warning(
            "listening at %s: everyone who reaches this machine there can use the server, which "
            "asks for no password",
            address[0],
        )
    return socket


def run_server(models: Sequence[Model], limits: Limits, socket: sockets.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have begun are finished."""
    config = uvicorn.Config(
        make_app(models, limits),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    host, port = socket.getsockname()[:2]
    log.info("serving at http://%s:%s", f"[{host}]" if ":" in host else host, port)
    # Uvicorn raises the signal again when it has stopped, which is the end of this command.
    former = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        uvicorn.Server(config).run(sockets=[socket])
    finally:
        signal.signal(signal.SIGTERM, former)
