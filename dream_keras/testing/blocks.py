"""Check that a first, core or final block can be trained, used and saved."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping

import keras

from dream_keras.common.errors import UserError
from dream_keras.config.order import Choice
from dream_keras.menu.registry import BLOCKS, Slot
from dream_keras.nn import Tensors
from dream_keras.testing import behaviour, harness, saving, structure
from dream_keras.testing.case import CHANNELS, INPUT_CHANNELS, Case, order_around, shape_of
from dream_keras.testing.harness import (
    BlockProblems,
    Report,
    describe_part,
    on_the_menu,
    run_checks,
)

CHECKS: Mapping[str, Callable[[Case], Iterator[str]]] = {
    "reading its layers' names": structure.names,
    "building it twice": structure.repeatable,
    "reading its layers' shapes": structure.static_shapes,
    "training": behaviour.learning,
    "prediction": behaviour.prediction,
    "computing under mixed_bfloat16": behaviour.low_precision,
    "saving and loading": saving.saving,
}
"""The checks of a block; later ones use the weights after training."""


def check_block(
    slot: Slot,
    block: str | Callable[..., Tensors],
    *,
    length: int = 24,
    channels: int | None = None,
    options: Mapping[str, object] | None = None,
    dead_weights: Collection[str] = (),
    fresh_process: bool = False,
) -> Report:
    """Test a block in a small network and explain what is wrong with it.

    It is built, trained on one batch, used for prediction, built in low precision, saved and
    loaded. The other two blocks of the network are small ones of the autosome team. Takes some
    seconds, and sets the seeds of Python, numpy and the backend.

    Args:
        slot: ``"first"``, ``"core"`` or ``"final"``.
        block: Its name on the menu, or the function.
        length: Positions of its input; small, for speed.
        channels: Channels of its input; by default 6 for a first block and 8 for others.
        options: Options of the block, as in a config.
        dead_weights: Paths of weights that are not trained by design, such as
            ``"core_gate/kernel"``.
        fresh_process: Load the saved network in another Python process as well.

    Returns:
        A report, with the number of ``"parameters"`` and the ``"output"`` shape.

    Raises:
        BlockProblems: Lists every problem, and what to do about it.
        UserError: If the block is not on the menu or cannot be registered, or an option is wrong.
    """
    if slot not in BLOCKS:
        raise UserError(f'"{slot}" is no slot for a block: expected {", ".join(BLOCKS)}')
    options = dict(options or {})
    channels = channels or (INPUT_CHANNELS if slot == "first" else CHANNELS)
    with on_the_menu(slot, block) as item:
        if fresh_process and item.module in ("__main__", harness.__name__):
            raise UserError(
                f'fresh_process=True: another process does not know {slot} "{item.name}". Write it '
                "to a file that registers it, and load that with dream_keras.load_plugins."
            )
        what = describe_part(item, options)
        choice = Choice.parse(slot, {"name": item.name, **options})
        order = order_around(slot, choice, channels)
        case = Case(item, order, length, channels, dead_weights, fresh_process)
        keras.utils.set_random_seed(0)
        # A block that cannot be built, or gives a wrong shape, cannot be tested further.
        if problems := [*structure.shapes(case)] or [*structure.surroundings(case)]:
            raise BlockProblems(what, problems)
        run_checks(what, item, CHECKS, case)
        output = " and ".join(map(shape_of, keras.tree.flatten(case.alone.output)))
        parameters = sum(math.prod(w.shape) for w in case.alone.trainable_weights)
    return Report(what, {"parameters": parameters, "output": output})
