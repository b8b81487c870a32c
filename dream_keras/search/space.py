"""A search space: an experiment's config with questions in it.

A question stands where a value would stand:

    {choose: [bhi, {name: unlockdna, num_heads: {choose: [2, 4]}}]}    one of these
    {between: [1.0e-4, 1.0e-2], scale: log}                            a number, ends included
    {between: [64, 256], step: 64}                                     64, 128, 192 or 256
    {follow: core, choose: {autosome: 0.005, unlockdna: 0.001}}        what the core block decides

A choice may hold further questions, which are asked only under it. ``follow`` is no question: the
name chosen for a slot of the model picks the entry, from a mapping or from a list of mappings with
names. What a trial answers is a dictionary from the questions' names to labels or numbers.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.config.yaml_file import Yaml

Key = tuple[str, ...]
"""Where something stands, outermost section first."""
Answers = dict[str, Any]
"""From the names of questions to the label of a choice or a number."""
Conditions = tuple[tuple[str, tuple[str, ...]], ...]
"""Questions, each with those of its labels under which another question is asked."""


@dataclass(frozen=True)
class Choose:
    """A question with a list of answers.

    Attributes:
        name: Unique; choices above it stand in brackets: ``core[unlockdna].num_heads``.
        key: Where its answer stands in the experiment.
        at: Where it stands in the file.
        options: The answers by label; parts of a config that may hold further questions.
        numbers: Whether it is a range with steps.
        conditions: Under which answers to other questions it is asked.
    """

    name: str
    key: Key
    at: Key
    options: Mapping[str, object]
    numbers: bool
    conditions: Conditions

    @property
    def ends(self) -> list[str]:
        """Answers between which all others lie, or all of them."""
        return list(self.options)

    def answers(self) -> list[str]:
        """Return all answers, in the order of the file."""
        return list(self.options)

    def draw(self, random: np.random.Generator) -> str:
        """Return an answer at random."""
        return list(self.options)[random.integers(len(self.options))]


@dataclass(frozen=True)
class Between:
    """A question for a number without steps; attributes as ``Choose``.

    Attributes:
        low: The lowest number.
        high: The highest number.
        log: Whether equal ratios are equally likely, rather than equal differences.
    """

    name: str
    key: Key
    at: Key
    low: int | float
    high: int | float
    log: bool
    conditions: Conditions

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are answers."""
        return isinstance(self.low, int)

    @property
    def ends(self) -> list[int | float]:
        """The lowest and the highest answer."""
        return [self.low, self.high]

    def answers(self) -> list[int | float]:
        """Return all answers.

        Raises:
            UserError: If they cannot be counted.
        """
        if not self.whole:
            raise UserError(
                f"{self.name}: a grid needs the numbers between {self.low} and {self.high} one "
                "by one: give a step, list them with choose, or use another tuner"
            )
        return list(range(int(self.low), int(self.high) + 1))

    def draw(self, random: np.random.Generator) -> int | float:
        """Return an answer at random."""
        share = random.random()
        high = self.high + 1 if self.whole else self.high
        if self.log:
            value = self.low * (high / self.low) ** share
        else:
            value = self.low + (high - self.low) * share
        return min(int(value), int(self.high)) if self.whole else float(value)


Question = Choose | Between


@dataclass(frozen=True)
class Follow:
    """What the name chosen for a slot decides; entries by name, each with its place in the file."""

    slot: str
    entries: Mapping[str, tuple[object, Key]]


@dataclass(frozen=True)
class Space:
    """A config with questions.

    Attributes:
        questions: All of them; one comes after those it depends on.
        parts: The config, with questions where they stand.
    """

    questions: tuple[Question, ...]
    parts: Mapping[str, object]

    def asked(self, question: Question, answers: Answers) -> bool:
        """Return whether a question is asked, given the answers to those before it."""
        return all(answers.get(name) in labels for name, labels in question.conditions)

    def orders(self) -> Iterator[Answers]:
        """Yield every combination of answers once, in a fixed order: the last question first."""

        def extend(answers: Answers, number: int) -> Iterator[Answers]:
            if number == len(self.questions):
                yield answers
                return
            question = self.questions[number]
            if not self.asked(question, answers):
                yield from extend(answers, number + 1)
                return
            for answer in question.answers():
                yield from extend({**answers, question.name: answer}, number + 1)

        return extend({}, 0)

    def size(self, most: int = 100_000) -> int | None:
        """Return how many orders there are; None if infinite or more than ``most``."""
        try:
            count = sum(1 for _ in itertools.islice(self.orders(), most + 1))
        except UserError:
            return None
        return count if count <= most else None

    def draw(self, random: np.random.Generator) -> Answers:
        """Return random answers, independently for each question."""
        answers: Answers = {}
        for question in self.questions:
            if self.asked(question, answers):
                answers[question.name] = question.draw(random)
        return answers

    def covering(self) -> Iterator[Answers]:
        """Yield few combinations that hold every choice and both ends of every range once."""
        first = {question.name: question.ends[0] for question in self.questions}
        yield self._trimmed(first)
        for question in self.questions:
            # A question that is asked under one choice only needs that choice.
            above = {name: labels[0] for name, labels in question.conditions}
            for answer in question.ends:
                yield self._trimmed({**first, **above, question.name: answer})

    def corners(self, slot: str) -> Iterator[Answers]:
        """Yield the combinations of a slot's choices and ends, the other questions at one end."""
        here = [q for q in self.questions if q.key[:2] == ("model", slot)]
        first = {question.name: question.ends[0] for question in self.questions}
        for ends in itertools.product(*(question.ends for question in here)):
            names = (question.name for question in here)
            yield self._trimmed({**first, **dict(zip(names, ends, strict=True))})

    def fill(self, answers: Answers) -> tuple[dict[str, Yaml], dict[Key, Key]]:
        """Put answers in the place of the questions.

        Returns:
            The config, and for each of its keys where in the file it stands.

        Examples:
            >>> from dream_keras.search.read_space import read_space
            >>> space = read_space({"trainer": {"name": "bhi", "epochs": {"choose": [5, 10]}}})
            >>> space.fill({"trainer.epochs": "10"})[0]
            {'trainer': {'name': 'bhi', 'epochs': 10}}
        """
        filling = _Filling(answers, {})
        for name, part in self.parts.items():
            filling.config[name] = filling.fill(part, (name,), (name,))
        return filling.config, filling.places

    def _trimmed(self, answers: Answers) -> Answers:
        kept: Answers = {}
        for question in self.questions:
            if self.asked(question, kept):
                kept[question.name] = answers[question.name]
        return kept


@dataclass
class _Filling:
    """A config being filled with answers."""

    answers: Answers
    config: dict[str, Yaml]

    def __post_init__(self) -> None:
        self.places: dict[Key, Key] = {}

    def fill(self, part: object, key: Key, at: Key) -> Yaml:
        self.places[key] = at
        if isinstance(part, Choose):
            label = self.answers[part.name]
            number = list(part.options).index(label)
            place = at if part.numbers else (*at, "choose", str(number))
            return self.fill(part.options[label], key, place)
        if isinstance(part, Between):
            return self.answers[part.name]
        if isinstance(part, Follow):
            entry, place = part.entries[name_of(self.config["model"][part.slot])]
            return self.fill(entry, key, place)
        if isinstance(part, dict):
            return {k: self.fill(v, (*key, str(k)), (*at, str(k))) for k, v in part.items()}
        if isinstance(part, list):
            return [self.fill(v, (*key, str(i)), (*at, str(i))) for i, v in enumerate(part)]
        return part


def name_of(entry: object) -> str:
    """Return the name of an entry of the menu."""
    return str(entry.get("name")) if isinstance(entry, Mapping) else str(entry)
