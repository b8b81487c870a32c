"""Chief and workers over a network: keras-tuner's gRPC service with messages of our own.

Tasks and outcomes are sent as JSON in the values of a trial, since keras-tuner's messages have
single precision and no place for the reason of a failure. The connection is neither encrypted nor
authenticated.
"""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import grpc
from keras_tuner.src import protos

from dream_keras.common.errors import UserError
from dream_keras.search.chief import Answer, Chief, Outcome, Task

TIMEOUT = 60.0
"""Seconds that a worker waits for an unresponsive chief."""
_CONTENT = "dream_keras"
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # else two chiefs could listen at one port and share the workers
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
]
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
Message = Any
"""One of keras-tuner's protocol buffers, whose classes depend on the version of protobuf."""
_messages, _service = protos.get_proto(), protos.get_service()
_IDLE = _messages.TrialStatus.IDLE
_RUNNING = _messages.TrialStatus.RUNNING
_STOPPED = _messages.TrialStatus.STOPPED

log = logging.getLogger(__name__)


def parse_address(text: str) -> str:
    """Return ``HOST:PORT`` if it is that, and the host is known.

    Raises:
        UserError: If it is not.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UserError(f"--chief {text}: expected HOST:PORT, for example 10.0.0.1:5000")
    try:
        socket.getaddrinfo(host.strip("[]"), int(port))
    except (OSError, UnicodeError) as error:
        raise UserError(f"--chief {text}: unknown host {host} ({error})") from None
    return text


class _Servicer(protos.get_service_grpc().OracleServicer):  # type: ignore[misc]
    def __init__(self, chief: Chief):
        self.chief = chief

    def CreateTrial(self, request: Message, context: grpc.ServicerContext) -> Message:
        task = self.chief.ask(request.tuner_id)
        if isinstance(task, Task):
            trial = _trial(task.number, asdict(task))
        else:
            status = _STOPPED if task is Answer.STOP else _IDLE
            trial = _messages.Trial(status=status)
        return _service.CreateTrialResponse(trial=trial)

    def UpdateTrial(self, request: Message, context: grpc.ServicerContext) -> Message:
        self.chief.heartbeat(int(request.trial_id))
        return _service.UpdateTrialResponse()

    def EndTrial(self, request: Message, context: grpc.ServicerContext) -> Message:
        outcome = Outcome(**_content(request.trial))
        self.chief.tell(int(request.trial.trial_id), outcome)
        return _service.EndTrialResponse()


@contextlib.contextmanager
def serving(chief: Chief, address: str) -> Iterator[None]:
    """Serve a chief at ``HOST:PORT`` while the context lasts.

    Raises:
        UserError: If nothing can be served there.
    """
    # One thread: an oracle's lock identifies threads by name.
    server = grpc.server(ThreadPoolExecutor(1, "chief"), options=_OPTIONS)
    protos.get_service_grpc().add_OracleServicer_to_server(_Servicer(chief), server)
    try:
        bound = server.add_insecure_port(parse_address(address))
    except RuntimeError:
        bound = 0
    if not bound:
        raise UserError(
            f"--chief {address}: cannot listen there; the port is taken, or the address is not "
            "this machine's"
        )
    server.start()
    try:
        yield
    finally:
        server.stop(grace=None).wait()


class RemoteChief:
    """A worker's connection to its chief; use as a context.

    Args:
        address: ``HOST:PORT``.
        timeout: Seconds to wait for a chief that does not answer.
    """

    def __init__(self, address: str, timeout: float = TIMEOUT):
        self._address = parse_address(address)
        self._timeout = timeout
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._stub = protos.get_service_grpc().OracleStub(self._channel)

    def __enter__(self) -> "RemoteChief":
        return self

    def __exit__(self, *exception: object) -> None:
        self._channel.close()

    def ask(self, worker: str) -> Task | Answer:
        """Return a trial, or whether to wait or stop.

        Raises:
            UserError: If the chief does not answer for too long.
        """
        request = _service.CreateTrialRequest(tuner_id=worker)
        trial = self._call(self._stub.CreateTrial, request).trial
        if trial.status == _RUNNING:
            return Task(**_content(trial))
        return Answer.STOP if trial.status == _STOPPED else Answer.WAIT

    @contextlib.contextmanager
    def heartbeats(self, task: Task) -> Iterator[None]:
        """Send heartbeats, four in each lease, from a thread."""
        ended = threading.Event()
        request = _service.UpdateTrialRequest(trial_id=str(task.number))

        def beat() -> None:
            while not ended.wait(task.lease / 4):
                with contextlib.suppress(grpc.RpcError):
                    self._stub.UpdateTrial(request, timeout=task.lease / 4)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def tell(self, number: int, outcome: Outcome) -> None:
        """Report a trial.

        Raises:
            UserError: If the chief does not answer for too long.
        """
        trial = _trial(number, asdict(outcome))
        self._call(self._stub.EndTrial, _service.EndTrialRequest(trial=trial))

    def _call(self, method: Callable[..., Message], request: Message) -> Message:
        began, told = time.monotonic(), False
        while True:
            try:
                return method(request, timeout=self._timeout)
            except grpc.RpcError as error:
                if error.code() not in _GONE:
                    raise UserError(
                        f"{self._address} answers, but is not a search's chief: {error.details()}"
                    ) from None
            if time.monotonic() - began > self._timeout:
                raise UserError(
                    f"no chief answers at {self._address}. Start one with --role chief --chief "
                    f"{self._address}; this worker continues its trial when it is restarted "
                    "with the same command."
                )
            if not told:
                log.info("waiting for the chief at %s (%.0f s at most)", self._address, TIMEOUT)
                told = True
            time.sleep(min(1.0, self._timeout / 10))


def _trial(number: int, content: dict[str, object]) -> Message:
    value = _messages.Value(string_value=json.dumps(content))
    values = _messages.HyperParameters.Values(values={_CONTENT: value})
    return _messages.Trial(
        trial_id=str(number),
        hyperparameters=_messages.HyperParameters(values=values),
        status=_RUNNING,
    )


def _content(trial: Message) -> dict[str, Any]:
    return dict(json.loads(trial.hyperparameters.values.values[_CONTENT].string_value))
