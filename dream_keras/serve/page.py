"""The page for people, and what it asks of the server."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.common.page import fill
from dream_keras.interpret.attribution import single_mutants
from dream_keras.interpret.gradients import BASES
from dream_keras.serve.batcher import Batcher
from dream_keras.serve.game import FAILED, RequestError, wrong_letter
from dream_keras.serve.model import COVERAGE, Model

_TEMPLATE = Path(__file__).parent / "web" / "page.html"
EXAMPLES = {"low": 0.0, "middle": 0.5, "high": 1.0}
"""Examples: random promoters by the rank of their prediction, as a share."""

Row = dict[str, object]


def render(models: Sequence[Model]) -> str:
    """Return the page as HTML; each model predicts random promoters, and is compiled by that.

    Raises:
        UserError: If one predicts what is no number.
    """
    promoters = [model.random_promoters() for model in models]
    predictions = [
        model.predict([(model.whole(text), False) for text in texts]).mean
        for model, texts in zip(models, promoters, strict=True)
    ]
    for model, values in zip(models, predictions, strict=True):
        if not np.isfinite(values).all():
            raise UserError(f"{model.name} predicts what is no finite number: train it anew")
    order = predictions[0][:, 0].argsort()
    examples = [
        {
            "name": f"random_{name}",
            "sequence": promoters[0][order[round(share * (len(order) - 1))]],
        }
        for name, share in EXAMPLES.items()
    ]
    data = {
        "coverage": COVERAGE,
        "examples": examples,
        "models": [
            {
                "name": model.name,
                "tasks": model.tasks,
                "shortest": model.shortest_insert,
                "longest": model.longest_insert,
                "ends": model.ends,
                "intervals": model.bounds is not None,
                "random": [[round(x, 4) for x in sorted(column)] for column in values.T.tolist()],
            }
            for model, values in zip(models, predictions, strict=True)
        ],
    }
    return fill(_TEMPLATE, "Expression of promoters", data, asked="'self'")


async def predict_rows(
    models: Sequence[Model], batcher: Batcher, sequences: Sequence[str]
) -> list[list[Row]]:
    """Predict sequences for the page.

    Returns:
        For each sequence and model ``start`` and ``end``, between which bases may be changed,
        ``values``, ``low`` and ``high`` of the tasks (None without intervals); or ``error``.
    """
    rows: list[list[Row]] = [[] for _ in sequences]
    for model in models:
        good: list[tuple[int, str]] = []
        for at, text in enumerate(sequences):
            try:
                good.append((at, _checked(model, text)))
                rows[at].append({})
            except RequestError as error:
                rows[at].append({"error": str(error)})
        if not good:
            continue
        views = [(model.whole(text), False) for _, text in good]
        predicted = await batcher.predict(model, views)
        low, high = (None, None) if model.bounds is None else model.bounds(predicted)
        for number, (at, text) in enumerate(good):
            start, end = _editable(model, text)
            rows[at][-1] |= {
                "start": start,
                "end": end,
                "values": predicted.mean[number].tolist(),
                "low": None if low is None else low[number].tolist(),
                "high": None if high is None else high[number].tolist(),
            }
    return rows


async def mutation_effects(model: Model, batcher: Batcher, sequence: str) -> Row:
    """Predict all single-base changes of a sequence.

    Returns:
        ``start``, the first position that may change, and ``effects``, the changes of the
        predictions, (tasks, positions, 4).
    """
    text = _checked(model, sequence)
    start, end = _editable(model, text)
    mutants, (_, position, base) = single_mutants([text], start, end)
    views = [(model.whole(each), False) for each in (text, *mutants)]
    values = (await batcher.predict(model, views)).mean
    effects = np.zeros((len(model.tasks), end - start, len(BASES)))
    effects[:, position, base] = (values[1:] - values[0]).T
    return {"start": start, "effects": effects.round(5).tolist()}


def _checked(model: Model, sequence: str) -> str:
    """Return a sequence in capitals, if the model takes it.

    Raises:
        RequestError: Says what is wrong with it.
    """
    text = sequence.upper()
    wrong = wrong_letter(text)
    if wrong:
        raise RequestError(FAILED, [wrong], 422)
    if not model.shortest <= len(model.whole(text)) <= model.longest:
        raise RequestError(
            FAILED,
            [
                f"{len(text):,} bp; {model.name} takes {model.shortest_insert:,} to "
                f"{model.longest_insert:,} bp besides its adapters"
            ],
            422,
        )
    return text


def _editable(model: Model, sequence: str) -> tuple[int, int]:
    """Return where the bases begin and end that do not belong to the construct."""
    put_on = len(model.ends[0]) if model.whole(sequence) != sequence else 0
    whole = len(model.whole(sequence))
    start, end = model.kept[0] - put_on, whole - model.kept[1] - put_on
    return max(start, 0), min(max(end, start, 0), len(sequence))
