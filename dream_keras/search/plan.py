"""The plan of a search: its space and settings, read from a file and checked."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import yaml

from dream_keras import menu
from dream_keras.common.errors import UserError, at_least, within
from dream_keras.config.check import check_files, check_sections, check_suite
from dream_keras.config.experiment import CONFIGS, Experiment, located, read_config
from dream_keras.config.order import Choice
from dream_keras.config.settings import read_settings
from dream_keras.config.smoke import shrink
from dream_keras.config.yaml_file import Yaml
from dream_keras.search.read_space import read_space
from dream_keras.search.space import Answers, Key, Space
from dream_keras.simulate.truth import is_simulated

Parsed = TypeVar("Parsed")
SPACES = CONFIGS / "search"
"""The built-in search spaces."""
SUITE_OBJECTIVES = ("pearson_score", "spearman_score")
"""Objectives that come from the gold-standard suite."""
PLAN = "search.yaml"
"""In the folder of a search: its space, with all changes."""
EPOCHS = "tuner/epochs"
"""Name under which Hyperband gives the epochs of a trial."""


@dataclass(frozen=True)
class Terms:
    """What all trials share: each sees ``batch_size * epochs * steps_per_epoch`` rows.

    Attributes:
        batch_size: Rows in a step.
        epochs: Epochs.
        steps_per_epoch: Steps in an epoch; a number, since "one pass over the rows" is twice as
            long for processors that train on each strand as a row of its own.

    Examples:
        >>> Terms(batch_size=64, epochs=2, steps_per_epoch=10).rows
        1280
    """

    batch_size: int
    epochs: int
    steps_per_epoch: int

    def __post_init__(self) -> None:
        """Refuse numbers that no run can be made with."""
        at_least(1, **dataclasses.asdict(self))

    @property
    def rows(self) -> int:
        """Rows that a trial is trained on, counted as often as it sees them."""
        return self.batch_size * self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class SearchSettings:
    """The section ``search`` of a space.

    Attributes:
        tuner: How the next trial is chosen.
        objective: The score to maximise.
        repeats: Runs of each trial, with the seeds ``seed``, ``seed + 1``, ...; the score is
            their mean.
        max_trials: Trials at most; None runs a whole grid.
        budget_minutes: No trial is started later than this after the start.
        seed: First seed of every trial, and seed of the tuner.
        lease: Seconds without a heartbeat after which a worker's trial is reassigned.
        smoke: Shrink the networks and the data of all trials, to test that they run.
    """

    tuner: Literal["grid", "random", "bayesian", "hyperband"] = "grid"
    objective: Literal["val_pearson", "pearson_score", "spearman_score"] = "val_pearson"
    repeats: int = 1
    max_trials: int | None = None
    budget_minutes: float | None = None
    seed: int = 0
    lease: float = 60.0
    smoke: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that no search can be made with."""
        at_least(1, repeats=self.repeats, max_trials=self.max_trials, lease=self.lease)
        at_least(0, seed=self.seed, budget_minutes=self.budget_minutes)

    @property
    def seeds(self) -> list[int]:
        """The seeds of a trial's runs."""
        return list(range(self.seed, self.seed + self.repeats))


@dataclass(frozen=True)
class Plan:
    """A search, ready to run.

    Attributes:
        source: The space's file.
        settings: The section ``search`` without the terms.
        terms: What all trials share.
        space: The questions.
        config: The file's content with all changes; what ``to_yaml`` writes.
    """

    source: Path
    settings: SearchSettings
    terms: Terms
    space: Space
    config: Mapping[str, Yaml]

    @property
    def is_simulated(self) -> bool:
        """Whether its trials train on simulated rows."""
        train = (self.config.get("data") or {}).get("train")
        return train is None or is_simulated(train)

    def experiment(self, answers: Answers) -> Experiment:
        """Return the experiment that a trial runs, once per seed.

        Raises:
            UserError: If the answers make none; its ``key`` says where in the space's file.
        """
        experiment = self.parse(answers, Experiment.parse)
        if self.settings.smoke:
            experiment = shrink(experiment)
        terms = dataclasses.asdict(self.terms)
        terms["epochs"] = int(answers.get(EPOCHS, self.terms.epochs))
        trainer = Choice(experiment.trainer.name, {**experiment.trainer.options, **terms})
        return dataclasses.replace(experiment, trainer=trainer)

    def parse(self, answers: Answers, parse: Callable[[object], Parsed]) -> Parsed:
        """Read the config that a trial's answers make.

        Raises:
            UserError: As ``parse`` does; its ``key`` says where in the space's file.
        """
        config, places = self.space.fill(answers)
        try:
            _check_trainer(config.get("trainer"))
            return parse(config)
        except UserError as error:
            error.key = _place(error.key, places)
            raise

    def to_yaml(self) -> str:
        """Write the plan so that ``load_plan`` reads the same."""
        return yaml.safe_dump(dict(self.config), sort_keys=False)


def check_plan(
    space: str | Path,
    overrides: Iterable[str] = (),
    settings: Mapping[str, object] | None = None,
    plugins: Iterable[str | Path] = (),
) -> None:
    """Refuse what ``load_plan`` would, as far as that shows without Keras; arguments as there.

    Raises:
        UserError: Names what is wrong, or a table or suite that is not there.
    """
    path, config, lines = read_config(space, overrides, settings, plugins, SPACES)
    try:
        plan = Plan(path, *read_search(config), read_space(_without_search(config)), config)
        for answers in plan.space.covering():
            sections = plan.parse(answers, check_sections)
    except UserError as error:
        raise located(error, path, lines) from None
    check_files(sections.data.train, sections.data.validation)
    check_suite(sections.scoring.suite)


def load_plan(
    space: str | Path,
    overrides: Iterable[str] = (),
    settings: Mapping[str, object] | None = None,
    plugins: Iterable[str | Path] = (),
) -> Plan:
    """Read a search space and check all of it.

    Args:
        space: A YAML file or the name of a built-in space.
        overrides: Changes as ``"section.key=value"``; a question can be given its answer.
        settings: Changes as ``{"section.key": value}``.
        plugins: Plugin files beside those that the file names.

    Raises:
        UserError: If anything is wrong; the message names file, line and key.
    """
    path, config, lines = read_config(space, overrides, settings, plugins, SPACES)
    try:
        search = read_search(config)
        plan = Plan(path, *search, read_space(_without_search(config)), config)
        experiments = list(_check_space(plan))
        _check_settings(plan, experiments)
    except UserError as error:
        raise located(error, path, lines) from None
    max_length = _max_length(plan)
    data = experiments[0].data
    if data.long_rows == "fail" or (data.max_length or max_length + 1) <= max_length:
        return plan
    # Whatever the processors take, every trial trains on the same rows.
    config["data"] = {**(config.get("data") or {}), "max_length": max_length}
    return dataclasses.replace(plan, space=read_space(_without_search(config)), config=config)


def check_resumable(out: str | Path | None) -> Path:
    """Return the folder of a search to go on with.

    Raises:
        UserError: If it is none.
    """
    if out is None:
        raise UserError("--resume needs --out DIR: the folder of the search to go on with")
    if not (Path(out) / PLAN).is_file():
        raise UserError(f"{out} is not the folder of a search: it has no {PLAN}")
    return Path(out)


def read_search(config: Mapping[str, Yaml]) -> tuple[SearchSettings, Terms]:
    """Read the section ``search``.

    Raises:
        UserError: If a setting is unknown or of the wrong type, or a term is missing.
    """
    with within("search"):
        section = config.get("search") or {}
        if not isinstance(section, Mapping):
            raise UserError(f"search: expected a mapping, got {section!r}")
        own = {key: value for key, value in section.items() if key != "terms"}
        settings = read_settings(SearchSettings, own, "search")
        with within("terms"):
            names = [field.name for field in dataclasses.fields(Terms)]
            terms = section.get("terms") or {}
            if not isinstance(terms, Mapping) or any(terms.get(name) is None for name in names):
                raise UserError(
                    f"search.terms needs {', '.join(names)}: a comparison is fair only when every "
                    "trial trains on equally many rows"
                )
            return settings, read_settings(Terms, terms, "search.terms")


def _without_search(config: Mapping[str, object]) -> dict[str, object]:
    return {section: value for section, value in config.items() if section != "search"}


def _check_space(plan: Plan) -> Iterator[Experiment]:
    """Build experiments that hold every choice and both ends of every range."""
    for answers in plan.space.covering():
        yield plan.experiment(answers)
    if plan.settings.tuner == "grid":
        for question in plan.space.questions:
            try:
                question.answers()
            except UserError as error:
                error.key = question.at
                raise


def _check_settings(plan: Plan, experiments: list[Experiment]) -> None:
    """Refuse a search without an end, and objectives that are not computed."""
    settings, data = plan.settings, experiments[0].data
    limited = settings.max_trials is not None or settings.budget_minutes is not None
    if settings.tuner in ("random", "bayesian") and not limited:
        raise UserError(
            f"{settings.tuner} search has no end by itself: give --max-trials or --budget-minutes"
        )
    suite = experiments[0].scoring.suite
    if settings.objective in SUITE_OBJECTIVES and data.train is not None and suite is None:
        raise UserError(
            f"the objective {settings.objective} comes from the gold-standard suite: give its "
            "folder with --suite, or search for val_pearson"
        )


def _check_trainer(trainer: object) -> None:
    """Refuse trainer settings that are the same for all trials."""
    fixed = {**{field.name: "terms" for field in dataclasses.fields(Terms)}, "seed": "seed"}
    for name in trainer if isinstance(trainer, Mapping) else ():
        if name in fixed:
            with within("trainer"), within(name):
                where = f"search.{fixed[name]}" + (f".{name}" if fixed[name] == "terms" else "")
                raise UserError(f"trainer.{name} is the same for all trials: set {where}")


def _max_length(plan: Plan) -> int:
    """Return the longest sequence in bp that every processor of the space takes."""
    lengths = []
    for answers in plan.space.corners("processor"):
        choice = plan.experiment(answers).model.processor
        lengths.append(menu.get("processor", choice.name).build(**choice.options).max_length)
    return min(lengths)


def _place(key: Key, places: Mapping[Key, Key]) -> Key:
    """Turn a key of an experiment into where it stands in the space's file."""
    for end in range(len(key), 0, -1):
        if key[:end] in places:
            return (*places[key[:end]], *key[end:])
    return key
