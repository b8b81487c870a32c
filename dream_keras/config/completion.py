"""Options that an experiment leaves open, and takes from its training table."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from dream_keras import menu
from dream_keras.config.experiment import Experiment, load_experiment, read_config
from dream_keras.config.order import Choice
from dream_keras.config.yaml_file import Yaml
from dream_keras.data.processor import FROM_LABELS
from dream_keras.data.shards import read_manifest
from dream_keras.data.survey import survey

TAKEN = ("length", *FROM_LABELS)
"""Options of processors that are taken from the training table where their default is None."""


def with_options(experiment: Experiment, found: Mapping[str, object]) -> Experiment:
    """Return an experiment with options of its processor, where it leaves them open.

    Examples:
        >>> from dream_keras.config.experiment import load_experiment
        >>> experiment = load_experiment("bhi_deepgxp")
        >>> with_options(experiment, {"label_std": (2.0,)}).make_processor().label_std
        (2.0,)
    """
    processor = experiment.model.processor
    options = {key: value for key, value in processor.options.items() if value is not None}
    choice = Choice(processor.name, {**found, **options})
    model = dataclasses.replace(experiment.model, processor=choice)
    return dataclasses.replace(experiment, model=model)


def taken_options(experiment: Experiment) -> dict[str, object]:
    """Return the options of the processor that a run has taken from its table."""
    processor = experiment.model.processor
    defaults = menu.get("processor", processor.name).options
    return {
        key: value
        for key, value in processor.options.items()
        if key in TAKEN and defaults[key] is None
    }


def without_rows(config: Path) -> dict[str, Yaml]:
    """Return a run's config without its rows and what was taken from them.

    What is left is a config for other rows: model, trainer and runtime. Augmentation is left out,
    too: EvoAug's second stage trains on rows as they are.

    Args:
        config: The run's ``config.yaml``.

    Raises:
        UserError: If it is no config.
    """
    experiment = load_experiment(config)
    _, value, _ = read_config(config)
    sections = ("data", "regions", "augment", "distillation", "scoring", "game")
    for section in (*sections, "weights_from", "init_from"):
        value.pop(section, None)
    taken = taken_options(experiment)
    options_of_slots = {"processor": {*FROM_LABELS, *taken}, "final": {"tasks"}}
    for slot, options in options_of_slots.items():
        choice = value["model"][slot]
        if isinstance(choice, dict):
            value["model"][slot] = {k: v for k, v in choice.items() if k not in options}
    return value


def with_length(
    experiment: Experiment, find_table: Callable[[], str | Path], least: int = 0
) -> Experiment:
    """Return an experiment whose input is as long as a table's longest sequence needs.

    One whose processor's length is set, or fixed, is returned as it is.

    Args:
        experiment: The experiment.
        find_table: Returns the training table, or a folder that it was prepared in; called only
            where it decides.
        least: Positions that the input has at least: those of the run that it starts from.

    Raises:
        UserError: If the table cannot be read.
    """
    processor = experiment.model.processor.build("processor")
    if processor.length:
        return experiment
    table = find_table()
    if Path(table).is_dir():
        length = read_manifest(Path(table)).length
    else:
        longest = survey(table, experiment.data.reading().columns).longest
        length = processor.length_for(min(longest, experiment.data.max_length or longest))
    return with_options(experiment, {"length": max(length, least)})
