"""Experiments in miniature: every part of them runs, within a minute."""

import dataclasses
from collections.abc import Collection
from typing import Any

from dream_keras import menu
from dream_keras.config.experiment import Experiment
from dream_keras.config.order import Choice, Order
from dream_keras.menu.registry import ORDER_SLOTS, Slot

TRAINER = {"epochs": 2, "steps_per_epoch": 5, "batch_size": 16}
ROWS = 2_000
TEST_ROWS = 1_500


def shrink(experiment: Experiment, asked: Collection[str] = ()) -> Experiment:
    """Return the experiment in miniature.

    Sizes of blocks become at most what their menu entries say (``smoke``); training takes
    ``TRAINER``'s steps on at most ``ROWS`` rows, of clean epochs and copies at most one; of the
    suite only the public part is predicted and scored. A network that starts from another run's
    weights keeps its size.

    Args:
        experiment: The experiment.
        asked: Settings of the trainer, the data and the scoring that were asked for, such as
            ``"scoring.part"``: these stay.

    Examples:
        >>> from dream_keras.config.experiment import load_experiment
        >>> small = shrink(load_experiment("dream_cnn"))
        >>> small.model.core.options
        {'widths': (16, 8), 'out_channels': 24}
    """
    model = experiment.model
    if experiment.init_from is None:
        model = Order(**{slot: _shrunk_choice(slot, getattr(model, slot)) for slot in ORDER_SLOTS})
    trainer = {k: v for k, v in TRAINER.items() if f"trainer.{k}" not in asked}
    rows = {"simulated_rows": ROWS, "simulated_test_rows": TEST_ROWS, "max_rows": ROWS}
    data: dict[str, Any] = {k: v for k, v in rows.items() if f"data.{k}" not in asked}
    if experiment.is_of_regions:
        data.pop("max_rows", None)  # regions are chosen by chromosome
    clean = min(experiment.augment.clean_epochs, 1)
    distillation = experiment.distillation
    distillation = dataclasses.replace(
        distillation,
        copies=min(distillation.copies, 1),
        unlabelled=min(distillation.unlabelled, ROWS),
    )
    scoring = experiment.scoring
    if "scoring.part" not in asked:
        scoring = dataclasses.replace(scoring, part="public")
    return dataclasses.replace(
        experiment,
        model=model,
        trainer=Choice(experiment.trainer.name, {**experiment.trainer.options, **trainer}),
        data=dataclasses.replace(experiment.data, **data),
        augment=dataclasses.replace(experiment.augment, clean_epochs=clean),
        distillation=distillation,
        scoring=scoring,
    )


def _shrunk_choice(slot: Slot, choice: Choice) -> Choice:
    entry = menu.get(slot, choice.name)
    options = {**entry.options, **choice.options}
    small = {
        name: _at_most(options[name], limit)
        for name, limit in entry.smoke.items()
        if options[name] is not None
    }
    return Choice(choice.name, {**choice.options, **small})


def _at_most(value: Any, limit: Any) -> Any:
    """Return a value no larger than its limit; of two sequences, element by element."""
    if isinstance(limit, tuple):
        return tuple(map(min, value, limit))
    return min(value, limit)
