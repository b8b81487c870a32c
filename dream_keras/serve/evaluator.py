"""An evaluator of the GAME protocol: asks a predictor for a suite's sequences and scores it."""

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import msgpack
import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.common.files import write_text
from dream_keras.common.remote import local_copy
from dream_keras.config.settings import GameSettings
from dream_keras.runs.prediction import Floats
from dream_keras.scoring.card import ScoreCard
from dream_keras.scoring.metrics import score
from dream_keras.scoring.suite import Suite, find_declaration, load_suite
from dream_keras.serve.exchange import JSON, MSGPACK

ATTEMPTS, PAUSE = 20, 3.0
"""How often a predictor that does not answer yet is tried, and seconds between."""
SUMMARY = ("evaluator_name", "description", "predictor_name", "time_stamp", "metric", "value")

log = logging.getLogger(__name__)


def evaluate_predictor(
    host: str, port: int, out: Path, suite: str | Path, part: str | None = None
) -> ScoreCard:
    """Ask a GAME predictor for a suite's sequences, all in one request, and score its answer.

    Args:
        host: Where the predictor is.
        port: Its port.
        out: Folder for ``EVALUATOR_predictions_from_PREDICTOR.json``, its whole answer, and
            ``evaluation_summary_EVALUATOR.csv``, to which each evaluation adds its scores.
        suite: Folder or YAML file of the suite. Its section ``game`` says what is asked for.
        part: ``"private"``, ``"public"`` or ``"all"``; None is private, or all where nothing is
            public.

    Raises:
        UserError: If the suite has no section ``game``, the predictor cannot be reached, or its
            answer is an error or lacks predictions.
    """
    loaded, (declaration, _) = load_suite(suite), find_declaration(local_copy(suite))
    settings = declaration.game
    if settings.species is None:
        raise UserError(
            f"{declaration.path} does not say what to ask a predictor for: add a section game "
            "with species and cell_types, as docs/serve.md shows"
        )
    part = loaded.choose_part(part)
    rows = loaded.rows(part)
    mark = declaration.reverse[1] if declaration.reverse else ""
    reverse = np.zeros(len(loaded.sequences), bool) if loaded.reverse is None else loaded.reverse
    # Some predictors read the strand off the id.
    ids = [f"{row}{mark if reverse[row] else ''}" for row in rows.tolist()]
    tasks = _tasks(loaded, settings)
    asked = {
        "readout": "point",
        "prediction_tasks": tasks,
        "sequences": {key: loaded.sequences[row] for key, row in zip(ids, rows, strict=True)},
    }
    answer = _ask(host, port, asked)
    predictions = np.full(loaded.measured.shape, np.nan)
    predictions[rows] = _values(answer, tasks, ids)
    card = score(loaded, predictions, part)
    _write(out, loaded, answer, card, part)
    return card


def _tasks(suite: Suite, settings: GameSettings) -> list[dict[str, str]]:
    return [
        {
            "name": target,
            "type": settings.type,
            "cell_type": settings.cell_type(number),
            "species": str(settings.species),
            "scale": settings.scale,
        }
        for number, target in enumerate(suite.targets)
    ]


def _ask(host: str, port: int, asked: Mapping) -> dict:
    """Return a predictor's answer to a request."""
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with httpx.Client(base_url=address, timeout=httpx.Timeout(None, connect=10)) as client:
        formats = _decoded(_connect(client))
        sent, received = (
            MSGPACK
            if MSGPACK in str(formats.get(f"predictor_supported_{way}_formats")).lower()
            else JSON
            for way in ("request", "response")
        )
        packed = sent == MSGPACK
        body = msgpack.packb(asked) if packed else json.dumps(asked).encode()
        try:
            return _decoded(
                client.post(
                    "/predict", content=body, headers={"Content-Type": sent, "Accept": received}
                )
            )
        except httpx.HTTPError as error:
            raise UserError(f"{address}/predict gave no answer: {error}") from None


def _connect(client: httpx.Client) -> httpx.Response:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return client.get("/formats")
        except httpx.InvalidURL as error:
            raise UserError(f"{client.base_url} is no address: {error}") from None
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                raise UserError(f"{client.base_url} cannot be reached: {error}") from None
            log.info("%s does not answer yet: %s", client.base_url, error)
        time.sleep(PAUSE)
    raise AssertionError


def _decoded(response: httpx.Response) -> dict:
    """Return the object that an answer holds.

    Raises:
        UserError: If the predictor refused the request, or answers with something else.
    """
    if response.status_code != 200:
        raise UserError(f"{response.url} answers {response.status_code}: {response.text[:500]}")
    try:
        if MSGPACK in response.headers.get("content-type", ""):
            value = msgpack.unpackb(response.content)
        else:
            value = response.json()
    except (ValueError, msgpack.UnpackException) as error:
        raise UserError(f"{response.url} answers with what cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{response.url} answers with {type(value).__name__}, not an object")
    return value


def _values(answer: Mapping, tasks: list[dict[str, str]], ids: list[str]) -> Floats:
    """Return the predictions, (ids, tasks).

    Raises:
        UserError: If a task failed or was answered on another scale, or a prediction is missing or
            no number.
    """
    answered = {task.get("name"): task for task in answer.get("prediction_tasks") or []}
    columns = []
    for task in tasks:
        name = task["name"]
        given = answered.get(name, {})
        predictions = given.get("predictions")
        if not isinstance(predictions, Mapping) or "error" in predictions:
            raise UserError(f"the predictor failed at the task {name}: {str(predictions)[:500]}")
        scale = given.get("scale_prediction_actual")
        if scale != task["scale"]:
            raise UserError(
                f"the task {name} is answered on the scale {scale}, not {task['scale']}"
            )
        try:
            values = [predictions[key] for key in ids]
            column = [float(v[0] if isinstance(v, list) else v) for v in values]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(f"the task {name} lacks a prediction: {error!r}") from None
        if not all(map(math.isfinite, column)):
            raise UserError(f"a prediction of the task {name} is no finite number")
        columns.append(column)
    return np.array(columns).T


def _write(out: Path, suite: Suite, answer: Mapping, card: ScoreCard, part: str) -> None:
    """Write the answer, and add the scores to the summary; names and columns are GAME's."""
    name = _file_name(suite.name)
    predictor = _file_name(str(answer.get("predictor_name")))
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(answer, allow_nan=False)
    write_text(out / f"{name}_predictions_from_{predictor}.json", f"{text}\n")
    summary = out / f"evaluation_summary_{name}.csv"
    head = [] if summary.exists() else [[*SUMMARY, "prediction_task(s)_data"]]
    found = {"Pearson Score": card.pearson_score, "Spearman Score": card.spearman_score}
    for subset, values in card.subsets.items():
        found |= {
            f"Pearson r, {subset}": values.pearson,
            f"Spearman rho, {subset}": values.spearman,
        }
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    echoed = json.dumps(
        [
            {key: value for key, value in task.items() if key != "predictions"}
            for task in answer["prediction_tasks"]
        ]
    )
    lines = head + [
        [name, f"{suite.name}, {part}", predictor, stamp, metric, f"{value}", echoed]
        for metric, value in found.items()
    ]
    with summary.open("a", encoding="utf-8") as file:
        file.writelines("\t".join(line) + "\n" for line in lines)


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text)
