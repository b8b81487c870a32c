"""Experiments as plain data: strict YAML in, resolved YAML out.

An experiment has nine sections: ``data`` (files), ``regions`` (which regions of a genome are
trained on), ``model`` (an order from the menu), ``augment`` (random changes of training rows),
``distillation`` (labels from another run), ``trainer``,
``runtime`` (hardware, never mixed with science), ``scoring`` and ``game`` (what a server says that
it predicts); ``plugins`` lists files that put more on the menu. Whatever is not known is an error
that names the file, the line and the nearest known name.
"""

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from dream_keras import menu
from dream_keras.common.errors import UserError, within
from dream_keras.common.options import checked, refuse_unknown, yaml_values
from dream_keras.config.order import Choice, Order
from dream_keras.config.settings import (
    DataSettings,
    DistillationSettings,
    GameSettings,
    RuntimeSettings,
    ScoringSettings,
    read_settings,
)
from dream_keras.config.yaml_file import Lines, Yaml, located, read_yaml
from dream_keras.data.adapters import PRESENT
from dream_keras.data.augment import AugmentSettings
from dream_keras.data.processor import FROM_LABELS, PROFILE, Processor
from dream_keras.data.regions import RegionSettings
from dream_keras.menu.plugins import load_plugins
from dream_keras.menu.trainer import Trainer

_PACKAGE, _REPOSITORY = (folder / "configs" for folder in Path(__file__).parents[1:3])
CONFIGS = _PACKAGE if _PACKAGE.is_dir() else _REPOSITORY
"""The built-in configs: inside an installed package, or at the top of a checkout."""
PRESETS = ("dream_cnn", "dream_rnn", "dream_attn")
"""The three DREAM models; each has a config of the same name, which holds its order."""
DEFAULT_CONFIG = "quickstart"

Config: TypeAlias = str | Path | Mapping[str, Yaml]
"""A YAML file, the name of a built-in config, or what such a file holds."""


@dataclass(frozen=True)
class Sections:
    """An experiment whose model and trainer are not looked up on the menu yet.

    Attributes:
        model: As YAML gives it.
        trainer: Likewise.
        data: As of ``Experiment``.
        regions: Likewise.
        augment: Likewise.
        distillation: Likewise.
        runtime: Likewise.
        scoring: Likewise.
        game: Likewise.
        plugins: Likewise.
        weights_from: Likewise.
        init_from: Likewise.
        members: Likewise.
    """

    model: object
    trainer: object
    data: DataSettings
    regions: RegionSettings
    augment: AugmentSettings
    distillation: DistillationSettings
    runtime: RuntimeSettings
    scoring: ScoringSettings
    game: GameSettings
    plugins: tuple[str, ...]
    weights_from: str | None
    init_from: str | None
    members: tuple[str, ...]

    @classmethod
    def parse(cls, value: object) -> "Sections":
        """Read the sections from a mapping.

        Raises:
            UserError: If one is unknown or missing, or a setting is unknown or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise UserError(f"expected the sections {', '.join(_sections())}, got {value!r}")
        refuse_unknown(value, _sections(), "section")
        for section in ("model", "trainer"):
            if section not in value:
                raise UserError(f'the section "{section}" is missing')
        with within("data"):
            data = read_settings(DataSettings, value.get("data"), "data")
        with within("regions"):
            regions = read_settings(RegionSettings, value.get("regions"), "regions")
        with within("augment"):
            augment = read_settings(AugmentSettings, value.get("augment"), "augment")
        with within("distillation"):
            distillation = read_settings(
                DistillationSettings, value.get("distillation"), "distillation"
            )
        with within("runtime"):
            runtime = read_settings(RuntimeSettings, value.get("runtime"), "runtime")
        with within("scoring"):
            scoring = read_settings(ScoringSettings, value.get("scoring"), "scoring")
        with within("game"):
            game = read_settings(GameSettings, value.get("game"), "game")
        plugins, members = (
            checked(value.get(key, []), tuple[str, ...], key) for key in ("plugins", "members")
        )
        weights_from, init_from = (
            checked(value.get(key), str | None, key) for key in ("weights_from", "init_from")
        )
        return cls(
            value["model"],
            value["trainer"],
            data,
            regions,
            augment,
            distillation,
            runtime,
            scoring,
            game,
            plugins,
            weights_from,
            init_from,
            members,
        )


@dataclass(frozen=True)
class Experiment:
    """Everything that defines a run.

    Attributes:
        model: The order from the menu.
        trainer: The trainer from the menu.
        data: Files and how to read them.
        regions: Which regions of a genome are trained on, where the training table is a regions
            file.
        augment: Random changes of training rows.
        distillation: The run that labels the training rows, if any.
        runtime: How it is computed.
        scoring: The gold-standard suite.
        game: What a server says that it predicts.
        plugins: Files whose blocks, processors and trainers are on the menu as well.
        weights_from: Where weights came from that were not trained by this experiment: the
            checkpoint that ``dream_keras.convert`` read.
        init_from: The run whose weights training starts from.
        members: Of an ensemble, the run folders whose predictions are averaged, in its own folder.

    Examples:
        >>> experiment = load_experiment("dream_rnn")
        >>> experiment.model.core.name, experiment.make_trainer().batch_size
        ('bhi', 1024)
    """

    model: Order
    trainer: Choice
    data: DataSettings = field(default_factory=DataSettings)
    regions: RegionSettings = field(default_factory=RegionSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    distillation: DistillationSettings = field(default_factory=DistillationSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    game: GameSettings = field(default_factory=GameSettings)
    plugins: tuple[str, ...] = ()
    weights_from: str | None = None
    init_from: str | None = None
    members: tuple[str, ...] = ()

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
            "regions": dataclasses.asdict(self.regions),
            "model": self.model.plain(),
            "augment": dataclasses.asdict(self.augment),
            "distillation": dataclasses.asdict(self.distillation),
            "trainer": {
                "name": trainer.name,
                **yaml_values({**trainer.options, **self.trainer.options}),
            },
            "runtime": dataclasses.asdict(self.runtime),
            "scoring": dataclasses.asdict(self.scoring),
            "game": yaml_values(dataclasses.asdict(self.game)),
            "plugins": list(self.plugins),
            **({"weights_from": self.weights_from} if self.weights_from else {}),
            **({"init_from": self.init_from} if self.init_from else {}),
            **({"members": list(self.members)} if self.members else {}),
        }

    @property
    def is_of_regions(self) -> bool:
        """Whether its rows are regions of a genome, to predict counts at each position."""
        processor = menu.get("processor", self.model.processor.name)
        return PROFILE in getattr(processor.build, "targets", ())

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
        """Return name and options of the processor, as far as prepared rows depend on them.

        What is taken from the labels only scales the target. Adapters that are put on count, and
        of regions the settings that choose them.
        """
        choice = self.model.processor
        options = {**menu.get("processor", choice.name).options, **choice.options}
        kept = {key: value for key, value in options.items() if key not in FROM_LABELS}
        if self.data.adapters not in (None, PRESENT):
            kept["data.adapters"] = self.data.adapters
        if self.is_of_regions:
            chosen = dataclasses.asdict(self.regions)
            kept |= {f"regions.{key}": value for key, value in chosen.items() if key != "bias"}
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
