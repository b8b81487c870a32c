"""Experiments as plain data: strict YAML in, resolved YAML out.

An experiment has five sections: ``data`` (files), ``model`` (an order from the menu), ``trainer``,
``runtime`` (hardware, never mixed with science) and ``scoring``. Whatever is not known is an error
that names the file, the line and the nearest known name.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from dream_keras import menu
from dream_keras.errors import UserError, at_least, unknown, within

CONFIGS = Path(__file__).parent / "configs"
"""The built-in configs."""
PRESETS = ("dream_cnn", "dream_rnn", "dream_attn")
"""The three DREAM models; each has a config of the same name, which holds its order."""
DEFAULT_CONFIG = "quickstart"

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Choice:
    """A name from one slot of the menu, with the options that differ from its defaults."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, slot: menu.registry.Slot, value: Any) -> "Choice":
        """Read a name, or a mapping with a name and options, and check both.

        Raises:
            UserError: If the name or an option is not on the menu.
        """
        if isinstance(value, Choice):
            return value
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise UserError(f"{slot}: expected a name or a mapping with a name, got {value!r}")
        item = menu.get(slot, given["name"])
        options = {key: option for key, option in given.items() if key != "name"}
        _only(options, item.options, f"option of {slot} {item.name}")
        expected = typing.get_type_hints(item.build_function)
        checked = {key: _checked(option, expected[key], key) for key, option in options.items()}
        if slot in ("processor", "trainer"):
            item.build(**checked)  # refuses values that it cannot work with
        return cls(item.name, checked)

    def plain(self) -> str | dict[str, Any]:
        """Return what ``parse`` reads: the name alone where no option is set."""
        return {"name": self.name, **_plain(self.options)} if self.options else self.name


@dataclass(frozen=True)
class Order:
    """A model from the menu: processor, first, core and final block."""

    processor: Choice
    first: Choice
    core: Choice
    final: Choice

    @classmethod
    def parse(cls, value: Any) -> "Order":
        """Read a mapping of the four slots.

        Raises:
            UserError: If a slot is missing or unknown, or a choice is not on the menu.
        """
        slots = [f.name for f in dataclasses.fields(cls)]
        if not isinstance(value, Mapping):
            raise UserError(f"model: expected a mapping with {', '.join(slots)}, got {value!r}")
        _only(value, slots, "slot of the model")
        choices = {}
        for slot in slots:
            if slot not in value:
                raise UserError(f'the model has no "{slot}": an order names {", ".join(slots)}')
            with within(slot):
                choices[slot] = Choice.parse(slot, value[slot])  # type: ignore[arg-type]
        return cls(**choices)

    def plain(self) -> dict[str, Any]:
        """Return what ``parse`` reads."""
        return {f.name: getattr(self, f.name).plain() for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class DataSettings:
    """Files and how to read them.

    Attributes:
        train: Training table; None simulates one.
        validation: Validation table; None holds out a tenth of the training rows.
        sequence_column: Header name of the sequences; None for the official two-column format.
        target_column: Header name of the measured values, likewise.
        on_bad_row: Whether a bad row stops the run or is skipped and written down.
        long_rows: What to do with sequences that are too long for the processor.
        longest: Longest sequence in bp, if less than the processor takes: what different
            processors are compared on must be the same rows.
        simulated_rows: Training rows of the simulation, when there is no training table.
        simulated_test_rows: Rows of its test table.
        max_rows: Read only this many training rows.
        split: How a tenth is held out: row by row at random, or whole families of related rows.
    """

    train: str | None = None
    validation: str | None = None
    sequence_column: str | None = None
    target_column: str | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"
    long_rows: Literal["fail", "drop", "crop"] = "fail"
    longest: int | None = None
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
            longest=self.longest,
        )


@dataclass(frozen=True)
class RuntimeSettings:
    """How the experiment is computed; nothing here is meant to change its result.

    Attributes:
        precision: Keras dtype policy.
        steps_per_call: Training steps in one call of the compiled function.
        deterministic: Use only deterministic kernels, at some cost in speed.
        strategy: Devices that share each batch: ``"none"`` for one, ``"mirrored"`` for all GPUs of
            the machine, ``"mirrored:N"`` for N of them or, without GPUs, N parts of the CPU.
    """

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    steps_per_call: int = 1
    deterministic: bool = False
    strategy: str = "none"

    def __post_init__(self) -> None:
        """Refuse a call without steps, and an unknown strategy."""
        at_least(1, steps_per_call=self.steps_per_call)
        if not re.fullmatch(r"none|mirrored(:[1-9]\d*)?", self.strategy):
            with within("strategy"):
                raise UserError(
                    f'strategy={self.strategy}: expected "none", "mirrored" or "mirrored:N"'
                )


@dataclass(frozen=True)
class ScoringSettings:
    """The gold-standard suite.

    Attributes:
        suite: Folder with the test table and its subsets; None scores simulated runs on the
            simulation's own suite and others not at all.
        part: Which part of the suite is scored.
    """

    suite: str | None = None
    part: Literal["private", "public", "all"] = "private"


@dataclass(frozen=True)
class Experiment:
    """Everything that defines a run."""

    model: Order
    trainer: Choice
    data: DataSettings = DataSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    scoring: ScoringSettings = ScoringSettings()

    @classmethod
    def parse(cls, value: Any) -> "Experiment":
        """Read the five sections from a mapping; ``trainer`` and ``model`` must be there.

        Raises:
            UserError: If anything is unknown, missing or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise UserError(f"expected the sections {', '.join(_sections())}, got {value!r}")
        _only(value, _sections(), "section")
        for section in ("model", "trainer"):
            if section not in value:
                raise UserError(f'the section "{section}" is missing')
        with within("model"):
            model = Order.parse(value["model"])
        with within("trainer"):
            trainer = Choice.parse("trainer", value["trainer"])
        with within("data"):
            data = _settings(DataSettings, value.get("data"), "data")
        with within("runtime"):
            runtime = _settings(RuntimeSettings, value.get("runtime"), "runtime")
        with within("scoring"):
            scoring = _settings(ScoringSettings, value.get("scoring"), "scoring")
        return cls(model, trainer, data, runtime, scoring)

    def plain(self) -> dict[str, Any]:
        """Return what ``parse`` reads, with every default written out."""
        trainer = menu.get("trainer", self.trainer.name)
        return {
            "data": dataclasses.asdict(self.data),
            "model": self.model.plain(),
            "trainer": {
                "name": trainer.name,
                **_plain({**trainer.options, **self.trainer.options}),
            },
            "runtime": dataclasses.asdict(self.runtime),
            "scoring": dataclasses.asdict(self.scoring),
        }

    def to_yaml(self) -> str:
        """Write the resolved experiment as YAML."""
        return yaml.safe_dump(self.plain(), sort_keys=False)


def find_config(name: str | Path) -> Path:
    """Return the config file of that path, or the built-in config of that name.

    Raises:
        UserError: If there is neither.
    """
    if Path(name).is_file():
        return Path(name)
    built_in = {file.stem: file for file in CONFIGS.glob("*.yaml")}
    if str(name) in built_in:
        return built_in[str(name)]
    raise UserError(
        f"no config file {name}. Give a YAML file, or one of the built-in configs: "
        f"{', '.join(sorted(built_in))}."
    )


def load_experiment(
    config: str | Path,
    overrides: Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Experiment:
    """Read an experiment from a YAML file or built-in config.

    Args:
        config: The file, or the name of a built-in config.
        overrides: Changes as ``"section.key=value"``, the value read as YAML.
        settings: Changes as ``{"section.key": value}``, the value taken as it is.

    Raises:
        UserError: If the file or an override is wrong; the message names the line.
    """
    path = find_config(config)
    value, lines = _read_yaml(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected the sections {', '.join(_sections())}, got {value!r}")
    for override in overrides:
        _set(value, *_parse_override(override))
    for name, setting in (settings or {}).items():
        _set(value, name, setting)
    try:
        return Experiment.parse(value)
    except UserError as error:
        key = error.key
        while key not in lines:
            key = key[:-1]
        place = f"{path}:{lines[key]}" if key == error.key else f"{path}"
        raise UserError(f"{place}: {error}") from None


def preset(name: str) -> Order:
    """Return the order of a DREAM preset, or of any config file.

    Raises:
        UserError: If there is none of that name.
    """
    return load_experiment(name).model


def _sections() -> list[str]:
    return [f.name for f in dataclasses.fields(Experiment)]


def _only(given: Mapping[str, Any], allowed: Collection[str], kind: str) -> None:
    """Refuse the first name that is not allowed."""
    for name in given:
        if name not in allowed:
            with within(str(name)):
                raise unknown(kind, str(name), allowed)


def _settings(kind: type[Settings], value: Any, section: str) -> Settings:
    """Build one section's dataclass from a mapping, every name and type checked."""
    if value is None:
        return kind()
    if not isinstance(value, Mapping):
        raise UserError(f"{section}: expected a mapping, got {value!r}")
    types_of = typing.get_type_hints(kind)
    _only(value, types_of, f"setting of {section}")
    return kind(**{name: _checked(given, types_of[name], name) for name, given in value.items()})


def _checked(value: Any, expected: Any, name: str) -> Any:
    """Return ``value`` as the annotated type, or refuse it by name.

    YAML reads ``5e-3`` as text and every list as a list, so numbers in text and lists for tuples
    are accepted.
    """
    with within(name):
        try:
            return _convert(value, expected)
        except (TypeError, ValueError):
            raise UserError(f"{name}: expected {_describe(expected)}, got {value!r}") from None


def _convert(value: Any, expected: Any) -> Any:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(kind for kind in arguments if kind is not type(None)))
    if origin is Literal:
        if value in arguments:
            return value
    elif origin in (tuple, Sequence):
        if isinstance(value, Sequence) and not isinstance(value, str):
            return tuple(_convert(part, arguments[0]) for part in value)
    elif expected is float and not isinstance(value, bool):
        return float(value)
    elif expected is int and isinstance(value, str):
        return int(value)
    elif isinstance(value, expected) and (expected is bool or not isinstance(value, bool)):
        return value
    raise TypeError


def _describe(expected: Any) -> str:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if a is type(None) else _describe(a) for a in arguments)
    if origin in (tuple, Sequence):
        return f"a list of {_describe(arguments[0])}"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        expected, str(expected)
    )


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with lists for tuples, as YAML writes them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}


def _read_yaml(path: Path) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Return a file's content and the line on which each key stands."""
    try:
        text = path.read_text(encoding="utf-8")
        node, value = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    lines: dict[tuple[str, ...], int] = {(): 1}

    def note(at: tuple[str, ...], part: yaml.Node | None) -> None:
        if isinstance(part, yaml.MappingNode):
            for key, below in part.value:
                name = str(key.value)
                lines[(*at, name)] = key.start_mark.line + 1
                note((*at, name), below)

    note((), node)
    return value, lines


def _parse_override(override: str) -> tuple[str, Any]:
    """Split ``section.key=value`` and read the value as YAML."""
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


def _set(value: dict[str, Any], path: str, setting: Any) -> None:
    """Set one ``section.key`` in place."""
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
