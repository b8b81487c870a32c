"""The ASGI application: the three addresses of the GAME protocol, the page, and what it asks."""

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dream_keras.interpret.predictor import View, distinct
from dream_keras.serve import game
from dream_keras.serve.batcher import Batcher, BusyError
from dream_keras.serve.exchange import JSON, MSGPACK, Bodies, decode, encode, json_response
from dream_keras.serve.game import BAD, BROKEN, FAILED, NAMED, RequestError, Task
from dream_keras.serve.model import Model
from dream_keras.serve.page import mutation_effects, predict_rows, render

NOT_AVAILABLE = "N/A"
GONE = Response(status_code=499)
"""To a client that has closed the connection; nobody reads it."""

Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    Attributes:
        body: Bytes of a request.
        sequences: Sequences of a request.
        waiting: Sequences that wait for their prediction.
    """

    body: int
    sequences: int
    waiting: int


def make_app(models: Sequence[Model], limits: Limits) -> Starlette:
    """Return the application that serves models."""
    service = _Service(models, limits)
    routes = [
        Route("/", service.page),
        Route("/formats", service.formats),
        Route("/help", service.help),
        Route("/predict", service.predict, methods=["POST"]),
        Route("/page/predict", service.page_predict, methods=["POST"]),
        Route("/page/mutations", service.page_mutations, methods=["POST"]),
    ]
    refusals = {
        RequestError: service.refuse,
        BusyError: service.refuse_busy,
        HTTPException: service.refuse_http,
        Exception: service.refuse_fault,
    }
    return Starlette(routes=routes, exception_handlers=refusals, lifespan=service.lifespan)


@dataclass(frozen=True)
class _Plan:
    """How a request is answered; it holds no more of a long sequence than models are given.

    Attributes:
        tasks: With the model and the number of its task that answer each, or why none does.
        inputs: By model and by id.
        sequences: How many the request has.
    """

    tasks: Sequence[tuple[Task, tuple[Model, int] | str]]
    inputs: Mapping[Model, Mapping[str, View]]
    sequences: int


def _plan(models: Sequence[Model], body: bytearray, content_type: str) -> _Plan:
    asked = game.read_request(decode(body, content_type))
    tasks: list[tuple[Task, tuple[Model, int] | str]] = []
    for task in asked.tasks:
        try:
            tasks.append((task, game.find_task(models, task)))
        except LookupError as error:
            tasks.append((task, str(error)))
    inputs = {
        model: {
            key: (
                game.model_input(model, text, asked.spans[key]),
                bool(model.reverse_mark) and model.reverse_mark in key,
            )
            for key, text in asked.sequences.items()
        }
        for model in distinct(by[0] for _, by in tasks if not isinstance(by, str))
    }
    return _Plan(tasks, inputs, len(asked.sequences))


class _Service:
    def __init__(self, models: Sequence[Model], limits: Limits):
        self.models, self.limits = models, limits
        self.bodies = Bodies(limits.body)
        self.name = predictor_name(models)
        self.html = render(models)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.batcher = Batcher(self.limits.waiting)
        worker = asyncio.create_task(self.batcher.run())
        yield
        worker.cancel()

    # The GAME protocol.

    async def formats(self, request: Request) -> Response:
        supported = [JSON, MSGPACK]
        return json_response(
            {
                "predictor_name": self.name,
                "predictor_supported_request_formats": supported,
                "predictor_supported_response_formats": supported,
            }
        )

    async def help(self, request: Request) -> Response:
        return json_response({"predictor_name": self.name, **game.help_fields(self.models)})

    async def predict(self, request: Request) -> Response:
        with self.bodies.reading() as held:
            body = await held.read(request)
            kind = request.headers.get("content-type", "")
            plan = await asyncio.to_thread(_plan, self.models, body, kind)
            del body
        self._check_number(plan.sequences)
        answers = await _unless_gone(request, self._answers(plan))
        if answers is None:
            return GONE
        value = {"predictor_name": self.name, "prediction_tasks": answers}
        return encode(value, request.headers.get("accept", ""))

    def _check_number(self, sequences: int) -> None:
        if sequences > self.limits.sequences:
            raise RequestError(
                FAILED,
                [f"{sequences:,} sequences; at most {self.limits.sequences:,} in one request"],
                422,
            )

    async def _answers(self, plan: "_Plan") -> list[dict[str, object]]:
        """Return the answers to all tasks."""
        values: dict[Model, dict[str, list[float]]] = {}
        for model, views in plan.inputs.items():
            once = distinct(views.values())
            rows = (await self.batcher.predict(model, once)).mean.tolist()
            row_of = dict(zip(once, rows, strict=True))
            values[model] = {key: row_of[view] for key, view in views.items()}
        return [
            _failed(task, by) if isinstance(by, str) else _answer(task, by[0], by[1], values[by[0]])
            for task, by in plan.tasks
        ]

    # The page.

    async def page(self, request: Request) -> Response:
        return HTMLResponse(
            self.html,
            headers={"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "nosniff"},
        )

    async def page_predict(self, request: Request) -> Response:
        asked = await self._read_page(request, {"sequences": list})
        sequences = [str(text) for text in asked["sequences"]]
        self._check_number(len(sequences))
        rows = await _unless_gone(request, predict_rows(self.models, self.batcher, sequences))
        return GONE if rows is None else json_response({"rows": rows})

    async def page_mutations(self, request: Request) -> Response:
        asked = await self._read_page(request, {"model": str, "sequence": str})
        model = next((each for each in self.models if each.name == asked["model"]), None)
        if model is None:
            raise RequestError(FAILED, [f"no model {asked['model']}"], 422)
        work = mutation_effects(model, self.batcher, asked["sequence"])
        found = await _unless_gone(request, work)
        return GONE if found is None else json_response(found)

    async def _read_page(self, request: Request, kinds: Mapping[str, type]) -> dict:
        with self.bodies.reading() as held:
            body = await held.read(request)
            asked = decode(body, request.headers.get("content-type", ""))
        if not isinstance(asked, dict) or any(
            not isinstance(asked.get(key), kind) for key, kind in kinds.items()
        ):
            raise RequestError(BAD, [f"expected {' and '.join(kinds)}"], 400)
        return asked

    # Errors, which are JSON whatever is accepted.

    def _error(self, kind: str, messages: Sequence[str], status: int, **headers: str) -> Response:
        listed = [{kind: message} for message in messages[:NAMED]]
        if len(messages) > NAMED:
            listed.append({kind: f"and {len(messages) - NAMED:,} more"})
        value = {"predictor_name": self.name, "error": listed}
        return json_response(value, status, **headers)

    async def refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        headers = {"Connection": "close"} if error.status in (408, 413) else {}
        return self._error(error.kind, error.messages, error.status, **headers)

    async def refuse_busy(self, request: Request, error: Exception) -> Response:
        return self._error(BROKEN, ["too many sequences wait: try again later"], 503)

    async def refuse_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._error(BAD, [error.detail], error.status_code, **(error.headers or {}))

    async def refuse_fault(self, request: Request, error: Exception) -> Response:
        return self._error(BROKEN, ["a fault of the server; its log has the details"], 500)


async def _unless_gone(request: Request, work: Coroutine[None, None, Result]) -> Result | None:
    """Return what comes of some work, or stop it and return None when the client has gone."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else None
    finally:
        doing.cancel()
        leaving.cancel()


def predictor_name(models: Sequence[Model]) -> str:
    """Return a name with the time when the newest weights were written, without a slash."""
    names = re.sub(r"[^\w.-]+", "-", "+".join(model.name for model in models)[:60])
    written = time.gmtime(max(model.written for model in models))
    return f"{names}_{time.strftime('%Y%m%d-%H%M%S', written)}_UTC"


def _answer(
    task: Task, model: Model, number: int, values: Mapping[str, Sequence[float]]
) -> dict[str, object]:
    """Return the answer to a task; one with a prediction that is no number fails."""
    scale = task.scale or model.game.scale
    try:
        predictions = {
            key: [_on_scale(row[number], model.game.scale, scale)] for key, row in values.items()
        }
    except (ValueError, OverflowError) as error:
        return _failed(task, f"a prediction is no finite number on the scale {scale}: {error}")
    return _echo(task) | {
        "type_actual": [model.game.type],
        "cell_type_actual": model.game.cell_type(number),
        "species_actual": model.game.species,
        "scale_prediction_actual": scale,
        "predictions": predictions,
    }


def _on_scale(value: float, own: str, wanted: str) -> float:
    """Return a value on a scale, with the digits that float32 has.

    Raises:
        ValueError: If it is no finite number there.
    """
    if own != wanted:
        value = 2.0**value if wanted == "linear" else math.log2(value)
    if not math.isfinite(value):
        raise ValueError(value)
    return float(f"{value:.7g}")


def _failed(task: Task, message: str) -> dict[str, object]:
    """Return the answer to a task that fails while others may not."""
    return _echo(task) | {
        "type_actual": [NOT_AVAILABLE],
        "cell_type_actual": NOT_AVAILABLE,
        "species_actual": NOT_AVAILABLE,
        "scale_prediction_actual": NOT_AVAILABLE,
        "predictions": {"error": message},
    }


def _echo(task: Task) -> dict[str, object]:
    return {
        "name": task.name,
        "type_requested": task.type,
        "cell_type_requested": task.cell_type,
        "species_requested": task.species,
        "scale_prediction_requested": task.scale,
    }
