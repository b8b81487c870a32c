"""What a network takes, gives and is made of, in Markdown: for model cards and pages of presets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dream_keras import menu
from dream_keras.common.tables import markdown
from dream_keras.config.experiment import Experiment
from dream_keras.config.order import Choice
from dream_keras.data import alphabet
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.lookup import sequence_lengths
from dream_keras.data.processor import Processor
from dream_keras.menu.registry import BLOCKS

if TYPE_CHECKING:
    from dream_keras.model.summary import Found

STRANDS = {
    "rows": "both strands are training rows; a prediction is the mean over both",
    "step": "both strands are trained on in each step; a prediction is the mean over both",
    "input": "both strands are in one input",
    "random": "one strand, drawn at random, is trained on; a prediction is the mean over both",
    "single": "sequences are read as they are given",
}
"""What is said of each value of ``Processor.strands``."""


def describe_input(processor: Processor, experiment: Experiment) -> list[str]:
    """Describe the sequences that are taken, and what the network is given, as a list.

    Args:
        processor: The processor, with its length.
        experiment: The experiment it belongs to.
    """
    adapters = experiment.data.reading().adapters
    shortest, longest = sequence_lengths(processor, adapters)
    given = f"{shortest:,} to {longest:,}" if shortest < longest else f"{longest:,}"
    lines = [f"- Sequences of {given} bp in letters A, C, G, T and N, 5' to 3'."]
    ends = ProcessorAdapters(processor, adapters)
    left, right = (alphabet.decode(end) for end in ends.expected)
    if len(left) + len(right):
        added = any(map(len, ends.ends))
        lines.append(
            f"- Constant ends `{left}` and `{right}`: "
            + ("put on; give sequences without them." if added else "part of the sequences.")
        )
    lines.append(
        f"- Network input: (batch, {processor.length}, {processor.channels}), float32, made by the "
        f"processor `{experiment.model.processor.name}`; {STRANDS[processor.strands]}."
    )
    return lines


def describe_output(experiment: Experiment, task_names: Sequence[str]) -> list[str]:
    """Describe the predicted values, as a list.

    Args:
        experiment: The experiment.
        task_names: Names of its tasks.
    """
    game, names = experiment.game, ", ".join(f"`{name}`" for name in task_names)
    shape = "(rows,)" if len(task_names) == 1 else f"(rows, {len(task_names)})"
    lines = [f"- {shape}: {names}, in the units of the labels."]
    if game.species is not None:
        cells = ", ".join(game.cell_types)
        lines.append(f"- {game.type.capitalize()}, {game.scale} scale; {cells} ({game.species}).")
    return lines


def describe_network(experiment: Experiment, found: "Found") -> list[str]:
    """Describe the blocks of a network, with their output shapes and weights.

    Args:
        experiment: The experiment.
        found: Its order, surveyed on the processor's input.
    """
    rows = []
    for slot, part in zip(BLOCKS, found.parts, strict=True):
        choice = getattr(experiment.model, slot)
        rows.append(
            {
                "block": f"{slot} `{choice.name}`",
                "options": _options(choice),
                "output": _shape(part.output),
                "weights": part.parameters,
                "multiply-adds": part.multiply_adds,
                "from": menu.get(slot, choice.name).source,
            }
        )
    total = f"{found.parameters:,} trainable weights, {found.multiply_adds / 1e6:,.0f} million"
    return [markdown(pd.DataFrame(rows)), "", f"{total} multiply-adds per input."]


def _options(choice: Choice) -> str:
    return ", ".join(f"{name} {value}" for name, value in choice.options.items())


def _shape(output: object) -> str:
    if isinstance(output, dict):
        return ", ".join(f"{name} {_shape(shape)}" for name, shape in output.items())
    return "(" + ", ".join(map(str, ("batch", *output))) + ")"  # type: ignore[misc]
