"""Bodies of requests and answers: their size, their time and their format."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dream_keras.serve.game import BAD, BROKEN, RequestError

JSON, MSGPACK = "application/json", "application/msgpack"
STALLED = 60.0
"""Seconds without a byte of a body, after which it is given up."""


class Bodies:
    """Reads bodies, whose sizes together have a limit.

    Args:
        most: Bytes of one body; all that are read or worked on together may have twice as many.
    """

    def __init__(self, most: int):
        self.most = most
        self.held = 0

    @contextmanager
    def reading(self) -> Iterator["_Held"]:
        """Count what is read inside as held until the end."""
        held = _Held(self)
        try:
            yield held
        finally:
            self.held -= held.size


class _Held:
    def __init__(self, bodies: Bodies):
        self.bodies, self.size = bodies, 0

    def _hold(self, size: int) -> None:
        """Hold more bytes.

        Raises:
            RequestError: If these are too many.
        """
        if self.size + size > self.bodies.most:
            limit = self.bodies.most / 2**20
            raise RequestError(BAD, [f"the body is larger than {limit:g} MiB"], 413)
        if self.bodies.held + size > 2 * self.bodies.most:
            raise RequestError(BROKEN, ["other large requests are worked on: try again"], 503)
        self.size += size
        self.bodies.held += size

    async def read(self, request: Request) -> bytearray:
        """Return the body of a request.

        Raises:
            RequestError: If it is too large or does not arrive.
        """
        told = request.headers.get("content-length", "")
        if told.isdecimal() and int(told) > self.bodies.most:
            self._hold(int(told))
        body, stream = bytearray(), request.stream()
        try:
            while True:
                async with asyncio.timeout(STALLED):
                    part = await anext(stream, None)
                if part is None:
                    return body
                self._hold(len(part))
                body += part
        except TimeoutError:
            raise RequestError(BAD, ["the body did not arrive"], 408) from None
        except ClientDisconnect:
            raise RequestError(BAD, ["the client has gone"], 400) from None


def decode(body: bytes | bytearray, content_type: str) -> object:
    """Decode a body; without a type it is JSON.

    Raises:
        RequestError: If it cannot be decoded.

    Examples:
        >>> decode(b'{"a": 1}', "application/json; charset=utf-8")
        {'a': 1}
    """
    kind = content_type.partition(";")[0].strip().lower() or JSON
    if kind not in (JSON, MSGPACK):
        raise RequestError(BAD, [f"Content-Type {kind}: expected {JSON} or {MSGPACK}"], 400)
    try:
        return json.loads(body) if kind == JSON else msgpack.unpackb(body)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise RequestError(BAD, [f"the body is not {kind}: {error}"[:300]], 400) from None


def encode(value: object, accepted: str) -> Response:
    """Return an answer in the format that is accepted; NaN is refused.

    Args:
        value: The answer.
        accepted: The header Accept.
    """
    if MSGPACK in accepted.lower():
        return Response(msgpack.packb(value, unicode_errors="surrogatepass"), media_type=MSGPACK)
    return json_response(value)


def json_response(value: object, status: int = 200, **headers: str) -> Response:
    """Return an answer in JSON."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Response(text, status, headers, JSON)
