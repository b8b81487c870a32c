"""The GAME protocol, schema version 1.0: what a request asks for, and which model answers it.

The protocol: Genomic API for Model Evaluation, readthedocs
genomic-api-for-model-evaluation-documentation. Where documentation and the existing evaluators
differ, docs/serve.md says what is done here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dream_keras.config.settings import GAME_TYPE
from dream_keras.serve.model import Model

VERSION = "1.0"
READOUTS = ("point", "track", "interaction_matrix")
SCALES = ("log", "linear")
LETTERS = b"ACGTNacgtn"
BAD, FAILED, BROKEN = "bad_prediction_request", "prediction_request_failed", "server_error"
"""Kinds of errors: not a request, one that cannot be answered, and a fault of the server."""
NAMED = 20
"""Errors of a request that are listed."""

Span = tuple[int, int] | None
"""Where the readout is wanted: positions from 0 in flank + sequence + flank, the end excluded."""


class RequestError(Exception):
    """A request that is refused.

    Args:
        kind: ``BAD``, ``FAILED`` or ``BROKEN``.
        messages: What is wrong with it.
        status: The HTTP status.
    """

    def __init__(self, kind: str, messages: Sequence[str], status: int):
        super().__init__(*messages)
        self.kind, self.messages, self.status = kind, messages, status


@dataclass(frozen=True)
class Task:
    """A task of a request; the attributes are the protocol's fields."""

    name: str
    type: str
    cell_type: str
    species: str
    scale: str | None


@dataclass(frozen=True)
class Request:
    """What is to be predicted.

    Attributes:
        tasks: The tasks.
        sequences: By their ids, as they were written.
        spans: Where the readout of each is wanted, in positions of the sequence itself.
    """

    tasks: tuple[Task, ...]
    sequences: Mapping[str, str]
    spans: Mapping[str, Span]


def read_request(value: object) -> Request:
    """Read a request.

    Args:
        value: What was decoded from JSON or MessagePack.

    Raises:
        RequestError: With the status 400 if it is none, and 422 if sequences cannot be predicted.

    Examples:
        >>> task = {"name": "t", "type": "expression", "cell_type": "K562", "species": "a_b"}
        >>> asked = {"readout": "point", "prediction_tasks": [task], "sequences": {"s": "acgt"}}
        >>> read_request(asked).sequences
        {'s': 'acgt'}
    """
    if not isinstance(value, dict):
        raise RequestError(BAD, ["expected an object with readout, prediction_tasks, ..."], 400)
    wrong = [*_mistyped(value, "", {"readout": str, "prediction_tasks": list, "sequences": dict})]
    if not wrong:
        if value["readout"] not in READOUTS:
            wrong.append(f"readout {value['readout']!r}: expected one of {', '.join(READOUTS)}")
        wrong += [
            text for at, task in enumerate(value["prediction_tasks"]) for text in _task(task, at)
        ]
        wrong += _sequence_types(value)
    if not wrong and value.get("prediction_ranges") is not None:
        wrong += _ranges(value)
    if wrong:
        raise RequestError(BAD, wrong, 400)
    failed = list(_letters(value))
    if value["readout"] != "point":
        failed.append(f"readout {value['readout']}: this predictor answers point")
    if failed:
        raise RequestError(FAILED, failed, 422)
    begin = len(value.get("upstream_seq") or "")
    given = value.get("prediction_ranges") or {}
    spans = {
        key: (given[key][0] - begin, given[key][1] - begin) if given.get(key) else None
        for key in value["sequences"]
    }
    tasks = tuple(
        Task(task["name"], task["type"], task["cell_type"], task["species"], task.get("scale"))
        for task in value["prediction_tasks"]
    )
    return Request(tasks, value["sequences"], spans)


def _mistyped(value: Mapping, where: str, kinds: Mapping[str, type]) -> Iterator[str]:
    """Yield what is missing, empty or of another type."""
    names: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}
    for key, kind in kinds.items():
        if key not in value:
            yield f"{where}{key} is missing"
        elif not isinstance(value[key], kind) or not value[key]:
            yield f"{where}{key}: expected {names[kind]} that is not empty"


def _task(task: object, number: int) -> Iterator[str]:
    if not isinstance(task, dict):
        yield f"prediction_tasks[{number}]: expected an object"
        return
    where = f"prediction_tasks[{number}]."
    kinds = dict.fromkeys(("name", "type", "cell_type", "species"), str)
    wrong = list(_mistyped(task, where, kinds))
    yield from wrong
    if not wrong and not re.fullmatch(GAME_TYPE, task["type"]):
        yield f"{where}type {task['type']!r} is not one of the protocol"
    if task.get("scale") not in (None, *SCALES):
        yield f"{where}scale: expected {' or '.join(SCALES)}"


def _sequence_types(value: Mapping) -> Iterator[str]:
    for key, text in value["sequences"].items():
        if not isinstance(key, str) or key == "error":
            yield f"id {key!r}: expected a text, and not the word error"
        elif not isinstance(text, str):
            yield f"sequence {key}: expected a text"
    for key in ("upstream_seq", "downstream_seq"):
        if not isinstance(value.get(key) or "", str):
            yield f"{key}: expected a text"


def _ranges(value: Mapping) -> Iterator[str]:
    given, sequences = value["prediction_ranges"], value["sequences"]
    if not isinstance(given, dict) or given.keys() != sequences.keys():
        yield "prediction_ranges: expected an object with the same ids as sequences"
        return
    around = len(value.get("upstream_seq") or "") + len(value.get("downstream_seq") or "")
    for key, pair in given.items():
        if pair == []:
            continue
        whole = isinstance(pair, list) and all(type(number) is int for number in pair)
        if not whole or len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
            yield f"prediction_ranges of {key}: expected [start, end], 0 <= start <= end, or []"
        elif pair[1] > around + len(sequences[key]):
            yield f"prediction_ranges of {key}: ends behind the sequence and its flanks"


def _letters(value: Mapping) -> Iterator[str]:
    texts = [(f"sequence {key}", text) for key, text in value["sequences"].items()]
    texts += [(key, value.get(key) or "N") for key in ("upstream_seq", "downstream_seq")]
    for name, text in texts:
        if not text:
            yield f"{name} is empty"
        elif wrong := wrong_letter(text):
            yield f"{name}: {wrong}"


def wrong_letter(text: str) -> str | None:
    """Say which letter of a sequence is none of A, C, G, T and N, in either case.

    Examples:
        >>> wrong_letter("ACgtn"), wrong_letter("ACXT")
        (None, "letter 'X' at position 3; expected A, C, G, T or N")
    """
    if text.isascii() and not text.encode().translate(None, LETTERS):
        return None
    at = next(at for at, letter in enumerate(text) if letter not in LETTERS.decode())
    return f"letter {text[at]!r} at position {at + 1}; expected A, C, G, T or N"


def find_task(models: Sequence[Model], task: Task) -> tuple[Model, int]:
    """Return the model that answers a task, and the number of its task.

    Of those of the type and species asked for the cell type decides: equal words first, then the
    most words where all of one's are among the other's ("K562" and "lymphoblasts (K562)"). Where
    none fits, the only cell type that there is answers. Of equal ones it is the first.

    Raises:
        LookupError: If there is none; says what there is.
    """
    served = [
        (model, at)
        for model in models
        for at in range(len(model.tasks))
        if model.game.species == task.species.casefold()
        and _broad(model.game.type) == _broad(task.type)
    ]
    if not served:
        there = {f"{m.game.type} of {m.game.species}" for m in models if m.game.species}
        raise LookupError(
            f"no {task.type} of {task.species} here; there is "
            f"{', '.join(sorted(there)) or 'nothing for this protocol'}"
        )
    asked = _words(task.cell_type)
    fits = [_fit(asked, _words(model.game.cell_type(at))) for model, at in served]
    best = max(fits)
    types = {model.game.cell_type(at) for model, at in served}
    chosen = [each for each, fit in zip(served, fits, strict=True) if fit == best]
    chosen_types = {model.game.cell_type(at) for model, at in chosen}
    if (best == 0 and len(types) > 1) or len(chosen_types) > 1:
        raise LookupError(f"cell type {task.cell_type}: there is {', '.join(sorted(types))}")
    return chosen[0]


def _broad(kind: str) -> str:
    """Return a type, that of all kinds of expression as one."""
    return "expression" if kind.startswith("expression") else kind


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _fit(asked: frozenset[str], served: frozenset[str]) -> float:
    if asked == served:
        return float("inf")
    return len(asked & served) if asked <= served or served <= asked else 0


def model_input(model: Model, sequence: str, span: Span = None) -> str:
    """Return what a model is given for a sequence of any length: a whole sequence.

    What fits is taken as it is, with the model's adapters. Of a longer sequence a window is taken:
    the last one in front of the range (a gene, or the reporter behind a tested sequence) if
    expression is predicted, and around its centre otherwise, both inside the sequence; without a
    range the one in the middle.

    Args:
        model: The model.
        sequence: In either case.
        span: Where the readout is wanted, in positions of the sequence.

    Examples:
        >>> model = Model("m", None, longest=4, ends=("G", ""))
        >>> model_input(model, "ac"), model_input(model, "AACCTT")
        ('GAC', 'GACC')
        >>> model_input(model, "AACCTT", (6, 9))
        'GCTT'
    """
    if len(sequence) <= model.longest and model.is_whole(sequence.upper()):
        return sequence.upper().rjust(model.shortest, "N")
    room, length = model.longest_insert, len(sequence)
    if length > room:
        if span is None:
            start = (length - room) // 2
        elif model.game.type.startswith("expression"):
            start = span[0] - room
        else:
            start = (sum(span) - room) // 2
        start = min(max(start, 0), length - room)
        sequence = sequence[start : start + room]
    left, right = model.ends
    return f"{left}{sequence.upper().rjust(model.shortest_insert, 'N')}{right}"


def help_fields(models: Sequence[Model]) -> dict[str, object]:
    """Return the answer to GET /help, without the predictor's name."""

    def texts(values: Iterator[str]) -> list[str]:
        return list(dict.fromkeys(values))

    played = [model for model in models if model.game.species]
    return {
        "model": ", ".join(model.name for model in models),
        "game_schema_version": VERSION,
        "publication": texts(m.game.publication for m in played if m.game.publication),
        "features": texts(model.game.type for model in played),
        "cell_types": texts(m.game.cell_type(at) for m in played for at in range(len(m.tasks))),
        "species": texts(model.game.species for model in played if model.game.species),
        "container_authors": ["dream_keras"],
        "model_authors": texts(name for model in played for name in model.game.authors),
        "input_size": max(model.longest_insert for model in models),
        # Adapters stay in place when a sequence is turned around.
        "expression_strand_specific": any(sum(model.kept) for model in models),
    }
