"""A search in TensorBoard's HParams tab: ``tensorboard --logdir OUT/trials``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dream_keras.runs.folder import events_folder, has_events
from dream_keras.runs.tensorboard import EventWriter
from dream_keras.search.journal import Trial
from dream_keras.search.plan import Plan
from dream_keras.search.results import SLOTS, column_of, value_of
from dream_keras.search.space import Choose, Question

SHOWN = ("val_pearson", "val_spearman", "pearson_score", "spearman_score", "seconds", "weights")


def write_events(plan: Plan, trials: Sequence[Trial], folder: Path) -> None:
    """Write what TensorBoard does not have yet of a search and its ended trials."""
    if not has_events(folder / "trials"):
        writer = EventWriter(folder / "trials")
        writer.search(_answers(plan), _metrics(plan))
        writer.close()
    for trial in trials:
        own = events_folder(folder / "trials" / trial.name, plan.is_simulated)
        if trial.ended is not None and not has_events(own):
            _write_trial(plan, trial, own)


def _name(question: Question) -> str:
    return question.name if question.name in SLOTS else column_of(question)


def _answers(plan: Plan) -> dict[str, list[Any] | None]:
    """Return each question's answers; one column for questions of one key."""
    found: dict[str, list[Any] | None] = {}
    for question in plan.space.questions:
        name = _name(question)
        values = None
        if isinstance(question, Choose):
            values = [o if question.numbers else label for label, o in question.options.items()]
        known = found.get(name, [])
        found[name] = None if values is None or known is None else [*known, *values]
    return {name: list(dict.fromkeys(v)) if v else None for name, v in found.items()}


def _metrics(plan: Plan) -> list[str]:
    objective = plan.settings.objective
    return [objective, *(metric for metric in SHOWN if metric != objective)]


def _write_trial(plan: Plan, trial: Trial, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventWriter(folder)
    answers = {
        _name(question): value_of(question, trial)
        for question in plan.space.questions
        if question.name in trial.answers
    }
    ended = trial.started if trial.ended is None else trial.ended
    completed = trial.status == "completed"
    writer.trial(answers, trial.name, trial.started, ended, completed)
    means = {metric: trial.mean(metric) for metric in _metrics(plan)}
    writer.scalars({name: mean for name, mean in means.items() if np.isfinite(mean)}, 0)
    writer.close()
