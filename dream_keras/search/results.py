"""The results of a search as a table, and the best order as a config."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dream_keras.common.files import replacing, write_text
from dream_keras.config.order import Choice, Order
from dream_keras.search.journal import Trial
from dream_keras.search.plan import EPOCHS, Plan
from dream_keras.search.space import Choose, Follow, Question, name_of

SLOTS = (*(field.name for field in dataclasses.fields(Order)), "trainer")


def comparable(plan: Plan, trials: Sequence[Trial]) -> list[Trial]:
    """Return the completed trials that were trained for equally many epochs, the most there are.

    All are, except with Hyperband, which trains most of its trials for a part of the epochs.
    """
    done = [trial for trial in trials if trial.status == "completed"]
    longest = max((epochs_of(plan, trial) for trial in done), default=0)
    return [trial for trial in done if epochs_of(plan, trial) == longest]


def epochs_of(plan: Plan, trial: Trial) -> int:
    """Return for how many epochs a trial is trained."""
    return int(trial.answers.get(EPOCHS, plan.terms.epochs))


def best_of(plan: Plan, trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the highest score among the comparable ones."""
    objective = plan.settings.objective
    candidates = comparable(plan, trials)
    return max(candidates, key=lambda trial: trial.mean(objective), default=None)


def spread(trial: Trial, metric: str) -> float:
    """Return the standard deviation of a metric over a trial's repeats; NaN with one."""
    values = [repeat.get(metric, np.nan) for repeat in trial.repeats]
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def slots(plan: Plan, trial: Trial) -> dict[str, str]:
    """Return what a trial has in each slot: the label of a choice, or the name."""
    config, _ = plan.space.fill(trial.answers)
    found = {slot: name_of(config["model"][slot]) for slot in SLOTS[:-1]}
    found["trainer"] = name_of(config["trainer"])
    return {slot: str(trial.answers.get(slot, name)) for slot, name in found.items()}


def trainer_follows(plan: Plan) -> bool:
    """Return whether the processor determines the trainer."""
    trainer = plan.space.parts["trainer"]
    return isinstance(trainer, Follow) and trainer.slot == "processor" and len(trainer.entries) > 1


def option_questions(plan: Plan) -> list[Question]:
    """Return the questions for options, those for whole slots left out."""
    return [question for question in plan.space.questions if question.name not in SLOTS]


def column_of(question: Question) -> str:
    """Return the table's column for an option, the same under every choice: ``core.num_heads``."""
    return ".".join(question.key).removeprefix("model.")


def value_of(question: Question, trial: Trial) -> Any:
    """Return a trial's answer: a number of a range, the label of a choice, None if not asked."""
    answer = trial.answers.get(question.name)
    if answer is not None and isinstance(question, Choose) and question.numbers:
        return question.options[answer]
    return answer


def describe(plan: Plan, trial: Trial) -> str:
    """Return a one-line description of a trial."""
    told = {slot: label for slot, label in slots(plan, trial).items() if slot in trial.answers}
    for question in option_questions(plan):
        value = value_of(question, trial)
        if value is not None:
            told[column_of(question)] = f"{value:.4g}" if isinstance(value, float) else str(value)
    if EPOCHS in trial.answers:
        told["epochs"] = str(trial.answers[EPOCHS])
    return ", ".join(f"{name}={value}" for name, value in told.items()) or "the only order"


def table(plan: Plan, trials: Sequence[Trial]) -> pd.DataFrame:
    """Return one row per trial: its order, its score and further metrics.

    The score is the mean over the repeats of the objective, whose values stand in the columns
    ``seed_...``; other metrics are means as well.
    """
    objective, seeds = plan.settings.objective, plan.settings.seeds
    options = option_questions(plan)
    # One column for each key, whichever of its questions was asked.
    columns = list(dict.fromkeys(column_of(question) for question in options))
    metrics = list(dict.fromkeys(m for t in trials for repeat in t.repeats for m in repeat))
    rows = []
    for trial in trials:
        row: dict[str, object] = {"trial": trial.name, "status": trial.status}
        row |= {"score": trial.mean(objective), "score_sd": spread(trial, objective)}
        scores = [repeat.get(objective, np.nan) for repeat in trial.repeats]
        row |= {f"seed_{seed}": score for seed, score in zip(seeds, scores, strict=False)}
        row |= slots(plan, trial) | dict.fromkeys(columns)
        values = {column_of(q): value_of(q, trial) for q in options if q.name in trial.answers}
        row |= values | {"epochs": epochs_of(plan, trial)}
        row |= {metric: trial.mean(metric) for metric in metrics}
        row |= {"worker": trial.worker, "reason": trial.reason}
        rows.append(row)
    return pd.DataFrame(rows)


def write_results(plan: Plan, trials: Sequence[Trial], folder: Path) -> None:
    """Write ``trials.csv`` and, once a trial is completed, ``best.yaml``."""
    with replacing(folder / "trials.csv") as temporary:
        table(plan, trials).to_csv(temporary, index=False)
    best = best_of(plan, trials)
    if best is None:
        return
    experiment = plan.experiment(best.answers)
    options = {**experiment.trainer.options, "seed": plan.settings.seed}
    trainer = Choice(experiment.trainer.name, options)
    score = best.mean(plan.settings.objective)
    head = (
        f"# The best order of a search: trial {best.name}, {plan.settings.objective} {score:.4f}.\n"
        f"# Train it with: python -m dream_keras.train --config {folder / 'best.yaml'}\n"
    )
    write_text(
        folder / "best.yaml", head + dataclasses.replace(experiment, trainer=trainer).to_yaml()
    )
