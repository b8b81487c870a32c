"""Experiments as plain data: strict YAML in, resolved YAML out.

An experiment has five sections: ``data`` (files), ``model`` (an order from the menu), ``trainer``,
``runtime`` (hardware, never mixed with science) and ``scoring``; ``plugins`` lists files that put
more on the menu. Whatever is not known is an error that names the file, the line and the nearest
known name.
"""

import copy
import dataclasses
import re
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import yaml

from dream_keras import menu
from dream_keras.common.errors import UserError, at_least, unknown, within
from dream_keras.common.options import checked, yaml_values
from dream_keras.config.yaml_file import Lines, Yaml, located, read_yaml
from dream_keras.data.adapters import PRESENT, check_setting
from dream_keras.data.columns import Columns
from dream_keras.data.processor import LABEL_STATISTICS, Processor
from dream_keras.data.split import Part, Split
from dream_keras.data.table import ReadSettings
from dream_keras.menu.plugins import load_plugins
from dream_keras.menu.registry import ORDER_SLOTS, Slot
from dream_keras.menu.trainer import Trainer

_PACKAGE, _REPOSITORY = (folder / "configs" for folder in Path(__file__).parents[1:3])
CONFIGS = _PACKAGE if _PACKAGE.is_dir() else _REPOSITORY
"""The built-in configs: inside an installed package, or at the top of a checkout."""
PRESETS = ("dream_cnn", "dream_rnn", "dream_attn")
"""The three DREAM models; each has a config of the same name, which holds its order."""
DEFAULT_CONFIG = "quickstart"

RENAMED = {
    "start": "init",
    "label_deviation": "label_std",
    "longest": "max_length",
    "target_column": "target_columns",
}
"""Options and settings by their names in version 0.1.0, under which run folders hold them."""

Settings = TypeVar("Settings")
Config: TypeAlias = str | Path | Mapping[str, Yaml]
"""A YAML file, the name of a built-in config, or what such a file holds."""


@dataclass(frozen=True)
class Choice:
    """A name from one slot of the menu, with the options that differ from its defaults."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, slot: Slot, value: object) -> "Choice":
        """Read a name, or a mapping with a name and options, and check both.

        Raises:
            UserError: If the name or an option is not on the menu.

        Examples:
            >>> Choice.parse("core", {"name": "bhi", "units": "64"})
            Choice(name='bhi', options={'units': 64})
        """
        if isinstance(value, Choice):
            return value
        name, options = name_and_options(slot, value)
        item = menu.get(slot, name)
        hints = typing.get_type_hints(item.build_function)
        expected = {option: hints[option] for option in item.options}
        values = check_options(slot, name, options, expected)
        if slot in ("processor", "trainer"):
            item.build(**values)  # refuses values that it cannot work with
        return cls(item.name, values)

    def build(self, slot: Slot) -> Any:
        """Make the processor or trainer that was chosen."""
        return menu.get(slot, self.name).build(**self.options)

    def plain(self) -> str | dict[str, object]:
        """Return what ``parse`` reads: the name alone where no option is set.

        Examples:
            >>> Choice("bhi").plain(), Choice("bhi", {"kernel_sizes": (9, 15)}).plain()
            ('bhi', {'name': 'bhi', 'kernel_sizes': [9, 15]})
        """
        return {"name": self.name, **yaml_values(self.options)} if self.options else self.name


def name_and_options(slot: Slot, value: object) -> tuple[str, dict[str, object]]:
    """Split a choice as YAML gives it.

    Raises:
        UserError: If it is neither a name nor a mapping with one.
    """
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise UserError(f"{slot}: expected a name or a mapping with a name, got {value!r}")
    return given["name"], {key: option for key, option in given.items() if key != "name"}


def check_options(
    slot: Slot, name: str, options: Mapping[str, object], expected: Mapping[str, object]
) -> dict[str, object]:
    """Return a choice's options under their present names, as the types that are expected.

    Raises:
        UserError: If there is no such option, or its value is of another type.
    """
    options = _renamed(options, expected)
    _only(options, expected, f"option of {slot} {name}")
    return {key: checked(option, expected[key], key) for key, option in options.items()}


@dataclass(frozen=True)
class Order:
    """A model from the menu: processor, first, core and final block.

    Examples:
        >>> slots = {"processor": "autosome", "first": "bhi", "core": "bhi", "final": "autosome"}
        >>> order = Order.parse(slots)
        >>> order.core
        Choice(name='bhi', options={})
    """

    processor: Choice
    first: Choice
    core: Choice
    final: Choice

    @classmethod
    def parse(cls, value: object) -> "Order":
        """Read a mapping of the four slots.

        Raises:
            UserError: If a slot is missing or unknown, or a choice is not on the menu.
        """
        choices = {}
        for slot, given in slots_of(value).items():
            with within(slot):
                choices[slot] = Choice.parse(slot, given)
        return cls(**choices)

    def plain(self) -> dict[str, Yaml]:
        """Return what ``parse`` reads."""
        return {slot: getattr(self, slot).plain() for slot in ORDER_SLOTS}


def slots_of(value: object) -> dict[Slot, object]:
    """Return what each slot of an order holds, as YAML gives it.

    Raises:
        UserError: If a slot is missing or unknown.
    """
    slots = ", ".join(ORDER_SLOTS)
    if not isinstance(value, Mapping):
        raise UserError(f"model: expected a mapping with {slots}, got {value!r}")
    _only(value, ORDER_SLOTS, "slot of the model")
    for slot in ORDER_SLOTS:
        if slot not in value:
            raise UserError(f'the model has no "{slot}": an order names {slots}')
    return {slot: value[slot] for slot in ORDER_SLOTS}


@dataclass(frozen=True)
class DataSettings:
    """Files and how to read them.

    Attributes:
        train: Training table; None simulates one.
        validation: Validation table; None holds out a tenth of the training rows. With
            ``split_column`` the values of that column, separated by commas.
        test: Table of rows that are scored when training ends, or values of ``split_column``.
        split_column: Column of the training table that says which rows are trained, validated and
            tested on; see ``dream_keras.data.split``.
        weight_column: Column of row weights in the loss.
        error_column: Column of the values' standard errors; a row's weight in the loss is divided
            by error^2 + ``error_floor``^2, and weights are scaled to a mean of 1.
        error_floor: Standard error that no measurement falls below, in the values' units; None
            takes the median of the column.
        max_error: Leave out training and validation rows with a larger standard error.
        sequence_column: Header name of the sequences; None takes the column called seq or
            sequence, or the first one of a table without a header.
        target_columns: Header names of the measured values, one for each task; None takes the only
            other column of numbers, or the second one of a table without a header.
        id_column: Header name of the rows' names, if there are any.
        adapters: Whether sequences have the processor's adapters: ``"add"`` puts these on,
            ``"LEFT,RIGHT"`` others, ``"present"`` takes all sequences as they are; None refuses a
            table whose sequences lack what the processor cuts off.
        on_bad_row: Whether a bad row stops the run or is skipped and listed.
        long_rows: What to do with sequences that are too long for the processor.
        max_length: Longest sequence in bp, if less than the processor takes: what different
            processors are compared on must be the same rows.
        simulated_rows: Training rows of the simulation, when there is no training table.
        simulated_test_rows: Rows of its test table.
        max_rows: Read only this many training rows.
        split: How a tenth is held out: row by row at random, or whole families of related rows.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    split_column: str | None = None
    sequence_column: str | None = None
    target_columns: tuple[str, ...] | None = None
    id_column: str | None = None
    weight_column: str | None = None
    error_column: str | None = None
    error_floor: float | None = None
    max_error: float | None = None
    adapters: str | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"
    long_rows: Literal["fail", "drop", "crop"] = "fail"
    max_length: int | None = None
    simulated_rows: int = 100_000
    simulated_test_rows: int = 8_000
    max_rows: int | None = None
    split: Literal["random", "similarity"] = "random"

    def __post_init__(self) -> None:
        """Refuse numbers that no table can have."""
        at_least(
            1,
            simulated_rows=self.simulated_rows,
            simulated_test_rows=self.simulated_test_rows,
            max_rows=self.max_rows,
            max_length=self.max_length,
        )
        at_least(0, error_floor=self.error_floor, max_error=self.max_error)
        with within("adapters"):
            check_setting(self.adapters)
        if self.split_column and (self.validation is None) != (self.test is None):
            raise UserError(
                f"split_column={self.split_column}: give both its values to validate on "
                "(--validation) and to test on (--test), or neither if it says train, val and test"
            )
        if self.error_column is None and (self.error_floor, self.max_error) != (None, None):
            raise UserError("error_floor and max_error need --error-column, the standard errors")

    @property
    def parts(self) -> Split | None:
        """The parts of the training table, if a column tells them."""
        if self.split_column is None:
            return None
        values = [
            tuple(value.strip() for value in (text or "").split(",") if value.strip())
            for text in (self.validation, self.test)
        ]
        return Split(self.split_column, *values)

    def reading(self, part: Part | None = None) -> ReadSettings:
        """Return how tables are read: sequences alone, or a part of the table to train on."""
        columns = Columns(self.sequence_column, self.target_columns, self.id_column)
        if part is not None:
            columns = dataclasses.replace(
                columns,
                split=self.split_column,
                weight=self.weight_column if part == "train" else None,
                error=self.error_column
                if part == "train" or (part == "validation" and self.max_error is not None)
                else None,
            )
        return ReadSettings(
            columns,
            self.on_bad_row,
            self.long_rows,
            self.max_rows if part != "test" else None,
            self.max_length,
            self.adapters,
            self.parts if part is not None else None,
            part or "train",
            self.max_error,
        )


@dataclass(frozen=True)
class RuntimeSettings:
    """How the experiment is computed; nothing here is meant to change its result.

    Attributes:
        precision: Keras dtype policy.
        steps_per_call: Training steps in one call of the compiled function.
        deterministic: Use only deterministic kernels, at some cost in speed.
        strategy: Devices that share each batch: ``"none"`` for one, ``"mirrored"`` for all of the
            machine, ``"mirrored:N"`` for N of them or, without GPUs, N parts of the CPU; ``"tpu"``;
            ``"multiworker"`` for the processes that ``TF_CONFIG`` names; ``"auto"`` for a TPU if
            there is one, else several GPUs, else one device.
        checkpoint_minutes: Time between two checkpoints inside an epoch, beside that after each
            epoch.
        tpu: Where the TPU is, for TensorFlow: ``"local"``, a name or an address; None looks.
    """

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    steps_per_call: int = 1
    deterministic: bool = False
    strategy: str = "auto"
    tpu: str | None = None
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a call without steps, and an unknown strategy."""
        at_least(1, steps_per_call=self.steps_per_call)
        at_least(0, checkpoint_minutes=self.checkpoint_minutes)
        if not re.fullmatch(r"auto|none|tpu|multiworker|mirrored(:[1-9]\d*)?", self.strategy):
            with within("strategy"):
                raise UserError(
                    f"strategy={self.strategy}: expected auto, none, mirrored, mirrored:N, "
                    "multiworker or tpu"
                )


@dataclass(frozen=True)
class ScoringSettings:
    """The gold-standard suite.

    Attributes:
        suite: Folder with the test table and its subsets; None scores simulated runs on the
            simulation's own suite and others not at all.
        part: Which part of the suite is scored; None is private, or all where nothing is public.
    """

    suite: str | None = None
    part: Literal["private", "public", "all"] | None = None


@dataclass(frozen=True)
class Sections:
    """An experiment whose model and trainer are not looked up on the menu yet.

    Attributes:
        model: As YAML gives it.
        trainer: Likewise.
        data: As of ``Experiment``.
        runtime: Likewise.
        scoring: Likewise.
        plugins: Likewise.
        weights_from: Likewise.
        init_from: Likewise.
    """

    model: object
    trainer: object
    data: DataSettings
    runtime: RuntimeSettings
    scoring: ScoringSettings
    plugins: tuple[str, ...]
    weights_from: str | None
    init_from: str | None

    @classmethod
    def parse(cls, value: object) -> "Sections":
        """Read the sections from a mapping.

        Raises:
            UserError: If one is unknown or missing, or a setting is unknown or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise UserError(f"expected the sections {', '.join(_sections())}, got {value!r}")
        _only(value, _sections(), "section")
        for section in ("model", "trainer"):
            if section not in value:
                raise UserError(f'the section "{section}" is missing')
        with within("data"):
            data = read_settings(DataSettings, value.get("data"), "data")
        with within("runtime"):
            runtime = read_settings(RuntimeSettings, value.get("runtime"), "runtime")
        with within("scoring"):
            scoring = read_settings(ScoringSettings, value.get("scoring"), "scoring")
        plugins = checked(value.get("plugins", []), tuple[str, ...], "plugins")
        weights_from, init_from = (
            checked(value.get(key), str | None, key) for key in ("weights_from", "init_from")
        )
        return cls(
            value["model"],
            value["trainer"],
            data,
            runtime,
            scoring,
            plugins,
            weights_from,
            init_from,
        )


@dataclass(frozen=True)
class Experiment:
    """Everything that defines a run.

    Attributes:
        model: The order from the menu.
        trainer: The trainer from the menu.
        data: Files and how to read them.
        runtime: How it is computed.
        scoring: The gold-standard suite.
        plugins: Files whose blocks, processors and trainers are on the menu as well.
        weights_from: Where weights came from that were not trained by this experiment: the
            checkpoint that ``dream_keras.convert`` read.
        init_from: The run whose weights training starts from.

    Examples:
        >>> experiment = load_experiment("dream_rnn")
        >>> experiment.model.core.name, experiment.make_trainer().batch_size
        ('bhi', 1024)
    """

    model: Order
    trainer: Choice
    data: DataSettings = DataSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    scoring: ScoringSettings = ScoringSettings()
    plugins: tuple[str, ...] = ()
    weights_from: str | None = None
    init_from: str | None = None

    @classmethod
    def parse(cls, value: object) -> "Experiment":
        """Read the sections from a mapping; ``trainer`` and ``model`` must be there.

        Plugins are loaded first, since the other sections may name what they hold.

        Raises:
            UserError: If anything is unknown, missing or of the wrong type.
        """
        sections = Sections.parse(value)
        with within("plugins"):
            load_plugins(sections.plugins)
        with within("model"):
            model = Order.parse(sections.model)
        with within("trainer"):
            trainer = Choice.parse("trainer", sections.trainer)
            if sections.init_from is None and trainer.build("trainer").is_for_fine_tuning:
                raise UserError(
                    "freeze and lora_rank keep weights as they are: give the run they come from "
                    "(--from RUN)"
                )
        model = _with_tasks(model, sections.data)
        return cls(**vars(sections) | {"model": model, "trainer": trainer})

    def plain(self) -> dict[str, Yaml]:
        """Return what ``parse`` reads, with every default written out."""
        trainer = menu.get("trainer", self.trainer.name)
        return {
            "data": dataclasses.asdict(self.data),
            "model": self.model.plain(),
            "trainer": {
                "name": trainer.name,
                **yaml_values({**trainer.options, **self.trainer.options}),
            },
            "runtime": dataclasses.asdict(self.runtime),
            "scoring": dataclasses.asdict(self.scoring),
            "plugins": list(self.plugins),
            **({"weights_from": self.weights_from} if self.weights_from else {}),
            **({"init_from": self.init_from} if self.init_from else {}),
        }

    def make_processor(self) -> Processor:
        """Build the processor that it names.

        Raises:
            UserError: If its length is left to a training table that has not been read.
        """
        processor = self.model.processor.build("processor")
        if not processor.length:
            raise UserError(
                f"the input length of processor {self.model.processor.name} is taken from the "
                "training table, and there is none here: set it, for example "
                "--set model.processor.length=200"
            )
        return processor

    def make_trainer(self) -> Trainer:
        """Build the trainer that it names."""
        return self.trainer.build("trainer")

    def processor_settings(self) -> dict[str, object]:
        """Return name and options of the processor, as far as encoding may depend on them.

        What is taken from the labels only scales the target. Adapters that are put on count.
        """
        choice = self.model.processor
        options = {**menu.get("processor", choice.name).options, **choice.options}
        kept = {key: value for key, value in options.items() if key not in LABEL_STATISTICS}
        if self.data.adapters not in (None, PRESENT):
            kept["data.adapters"] = self.data.adapters
        return {"name": choice.name, **yaml_values(kept)}

    def to_yaml(self) -> str:
        """Write the resolved experiment as YAML."""
        return yaml.safe_dump(self.plain(), sort_keys=False)


def _with_tasks(model: Order, data: DataSettings) -> Order:
    """Return an order whose final block has a value for each of several target columns.

    A number of tasks that is set stays.
    """
    columns = data.target_columns or ()
    known = menu.get("final", model.final.name).options
    if len(columns) < 2 or "tasks" not in known or "tasks" in model.final.options:
        return model
    final = Choice(model.final.name, {**model.final.options, "tasks": len(columns)})
    return dataclasses.replace(model, final=final)


def find_config(name: str | Path, folder: Path = CONFIGS) -> Path:
    """Return the config file of that path, or the built-in config of that name in a folder.

    Raises:
        UserError: If there is neither.

    Examples:
        >>> find_config("dream_cnn").name
        'dream_cnn.yaml'
    """
    if Path(name).is_file():
        return Path(name)
    files = [*folder.glob("*.yaml"), *folder.glob("tasks/*.yaml")]
    built_in = {file.stem: file for file in files}
    if str(name) in built_in:
        return built_in[str(name)]
    raise UserError(
        f"no config file {name}. Give a YAML file, or one of the built-in configs: "
        f"{', '.join(sorted(built_in))}."
    )


def load_experiment(
    config: Config,
    overrides: Iterable[str] = (),
    settings: Mapping[str, object] | None = None,
    plugins: Iterable[str | Path] = (),
) -> Experiment:
    """Read an experiment from a YAML file or built-in config.

    Args:
        config: The file, the name of a built-in config, or what such a file holds.
        overrides: Changes as ``"section.key=value"``, the value read as YAML.
        settings: Changes as ``{"section.key": value}``, the value taken as it is.
        plugins: Plugin files beside those that the config names. The config's are found from
            where it stands, these from the working directory.

    Raises:
        UserError: If the file or an override is wrong; the message names the line.

    Examples:
        >>> experiment = load_experiment("dream_cnn", ["trainer.epochs=5"])
        >>> experiment.make_trainer().epochs
        5
    """
    path, value, lines = read_config(config, overrides, settings, plugins)
    try:
        return Experiment.parse(value)
    except UserError as error:
        raise located(error, path, lines) from None


def change(
    experiment: Experiment,
    overrides: Iterable[str] = (),
    settings: Mapping[str, object] | None = None,
    plugins: Iterable[str | Path] = (),
) -> Experiment:
    """Return an experiment with some settings changed; arguments as ``load_experiment``'s.

    Raises:
        UserError: If a change is wrong.

    Examples:
        >>> experiment = change(load_experiment("dream_cnn"), settings={"trainer.epochs": 5})
        >>> experiment.make_trainer().epochs
        5
    """
    value = experiment.plain()
    for name, setting in [*map(parse_override, overrides), *(settings or {}).items()]:
        set_key(value, name, setting)
    _add_plugins(value, Path(), plugins)
    return Experiment.parse(value)


def read_config(
    config: Config,
    overrides: Iterable[str] = (),
    settings: Mapping[str, object] | None = None,
    plugins: Iterable[str | Path] = (),
    folder: Path = CONFIGS,
) -> tuple[Path, dict[str, Yaml], Lines]:
    """Read a config's sections as they are, with changes; arguments as ``load_experiment``'s.

    Returns:
        The file, its sections, and the line on which each key of it stands.

    Raises:
        UserError: If the file is none, or a change cannot be made.
    """
    value: Yaml
    lines: Lines
    if isinstance(config, Mapping):
        path, value, lines = Path("config"), copy.deepcopy(dict(config)), {}
    else:
        path = find_config(config, folder)
        value, lines = read_yaml(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected the sections {', '.join(_sections())}, got {value!r}")
    for name, setting in [*map(parse_override, overrides), *(settings or {}).items()]:
        set_key(value, name, setting)
        lines[tuple(name.split("."))] = None
    try:
        _add_plugins(value, path.parent, plugins)
    except UserError as error:
        raise located(error, path, lines) from None
    return path, value, lines


def _add_plugins(value: dict[str, object], folder: Path, plugins: Iterable[str | Path]) -> None:
    """Write whole paths of the config's plugins, and of those given, into a config."""
    own = checked(value.get("plugins") or [], tuple[str, ...], "plugins")
    files = [folder / Path(file).expanduser() for file in own] + [Path(file) for file in plugins]
    value["plugins"] = list(dict.fromkeys(str(file.resolve()) for file in files))


def preset(name: str) -> Order:
    """Return the order of a DREAM preset, or of any config file.

    Raises:
        UserError: If there is none of that name.

    Examples:
        >>> preset("dream_attn").core
        Choice(name='unlockdna', options={'layers': 4, 'num_heads': 4})
    """
    return load_experiment(name).model


def _sections() -> list[str]:
    return [f.name for f in dataclasses.fields(Experiment)]


def _only(given: Mapping[str, object], allowed: Collection[str], kind: str) -> None:
    """Refuse the first name that is not allowed."""
    for name in given:
        if name not in allowed:
            with within(str(name)):
                raise unknown(kind, str(name), allowed)


def _renamed(given: Mapping[str, object], allowed: Collection[str]) -> dict[str, object]:
    """Return options or settings under their present names."""
    renamed = {}
    for name, value in given.items():
        new = RENAMED.get(name, name)
        if name in allowed or new not in allowed:
            new = name
        renamed[new] = value
    return renamed


def read_settings(kind: type[Settings], value: object, section: str) -> Settings:
    """Build one section's dataclass from a mapping, every name and type checked.

    Raises:
        UserError: If a name is unknown or a value of the wrong type.

    Examples:
        >>> read_settings(ScoringSettings, {"part": "public"}, "scoring")
        ScoringSettings(suite=None, part='public')
    """
    if value is None:
        return kind()
    if not isinstance(value, Mapping):
        raise UserError(f"{section}: expected a mapping, got {value!r}")
    types_of = typing.get_type_hints(kind)
    value = _renamed(value, types_of)
    _only(value, types_of, f"setting of {section}")
    return kind(**{name: checked(given, types_of[name], name) for name, given in value.items()})


def parse_override(override: str) -> tuple[str, object]:
    """Split ``section.key=value`` and read the value as YAML.

    Examples:
        >>> parse_override("model.first.kernel_sizes=[9, 15]")
        ('model.first.kernel_sizes', [9, 15])
    """
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or len(keys) < 2 or not all(keys):
        raise UserError(
            f"--set {override}: expected section.key=value, for example trainer.epochs=5"
        )
    try:
        return path, yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: {text!r} is not a YAML value") from None


def set_key(value: dict[str, Yaml], path: str, setting: object) -> None:
    """Set one ``section.key`` in place.

    Examples:
        >>> config = {"model": {"core": "bhi"}}
        >>> set_key(config, "model.core.units", 64)
        >>> config
        {'model': {'core': {'name': 'bhi', 'units': 64}}}
    """
    *above, last = path.split(".")
    for key in above:
        below = value.get(key)
        if below is None:
            below = {}
        elif isinstance(below, str):
            below = {"name": below}
        elif not isinstance(below, dict):
            raise UserError(f"{path}: {key} has no keys below it")
        value[key] = value = below
    # A slot set to a name alone becomes that choice without the former one's options.
    value[last] = setting
