"""Check that a trainer's optimiser trains, at the trainer's learning rate."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.config.order import Choice
from dream_keras.menu.trainer import Trainer
from dream_keras.testing.harness import Report, describe_part, on_the_menu, run_checks

STEPS = 20


@dataclass
class Case:
    """A trainer, and the learning rate of each step once it has been tried."""

    trainer: Trainer
    rates: list[float] = dataclasses.field(default_factory=list)


def check_trainer(
    trainer: str | type[Trainer], *, options: Mapping[str, object] | None = None
) -> Report:
    """Run a trainer's optimiser for some steps and explain what is wrong with it.

    Args:
        trainer: Its name on the menu, or the class.
        options: Options of the trainer, as in a config.

    Returns:
        A report, with the first and last ``"rate"`` of a run of 20 steps.

    Raises:
        BlockProblems: Lists every problem, and what to do about it.
        UserError: If it is not on the menu or cannot be registered, or an option is wrong.

    Examples:
        >>> check_trainer("bhi")
        trainer "bhi" is fine; rate 0.0015 to 9.23e-06
    """
    with on_the_menu("trainer", trainer) as item:
        choice = Choice.parse("trainer", {"name": item.name, **dict(options or {})})
        what = describe_part(item, choice.options)
        case = Case(item.build(**choice.options))
        run_checks(what, item, CHECKS, case)
    return Report(what, {"rate": f"{case.rates[0]:.3g} to {case.rates[-1]:.3g}"})


def _settings(case: Case) -> Iterator[str]:
    """Yield impossible settings that are accepted."""
    impossible: tuple[dict[str, Any], ...] = ({"batch_size": 0}, {"epochs": 0})
    for setting in impossible:
        try:
            dataclasses.replace(case.trainer, **setting)
        except UserError:
            continue
        name = next(iter(setting))
        yield f"it accepts {name}=0: call super().__post_init__() in your own __post_init__"


def _optimiser(case: Case) -> Iterator[str]:
    """Yield what is wrong with the optimiser, used as the training step uses it."""
    optimizer = case.trainer.optimizer(STEPS)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        yield f"optimizer() gives {optimizer!r}: return a Keras optimiser"
        return
    if case.trainer.optimizer(STEPS) is optimizer:
        yield (
            "optimizer() gives the same object twice: make a new one in each call, or a second "
            "run would continue with the first one's moments"
        )
    weight = keras.Variable(np.ones(3, np.float32), name="weight")
    optimizer.build([weight])
    for _ in range(STEPS):
        case.rates.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.convert_to_tensor(weight)], [weight])
    values = keras.ops.convert_to_numpy(weight)
    if not np.isfinite(values).all() or not all(math.isfinite(r) and r >= 0 for r in case.rates):
        yield (
            f"after {STEPS} steps the weights are {values} and the rates ran from "
            f"{min(case.rates):.3g} to {max(case.rates):.3g}: no rate may be negative or infinite"
        )
    elif (values == 1).all():
        yield f"{STEPS} steps change no weight: is the learning rate 0?"
    if max(case.rates) > case.trainer.learning_rate * (1 + 1e-5):
        yield (
            f"its rate reaches {max(case.rates):.3g}, more than learning_rate="
            f"{case.trainer.learning_rate:.3g}, which is meant to be the highest of the schedule"
        )


CHECKS: Mapping[str, Callable[[Case], Iterator[str]]] = {
    "setting it up": _settings,
    "its optimiser": _optimiser,
}
