"""Reading a search space: finding the questions in a config."""

import json
from collections.abc import Mapping

import numpy as np

from dream_keras.common.errors import UserError, did_you_mean, unknown
from dream_keras.config.yaml_file import Yaml
from dream_keras.menu.registry import ORDER_SLOTS
from dream_keras.search.space import (
    Between,
    Choose,
    Conditions,
    Follow,
    Key,
    Question,
    Space,
    name_of,
)

ASKED = ("model", "augment", "trainer", "runtime")
"""Sections that may hold questions; the others are the same for all trials."""
_WORDS = ("choose", "between", "step", "scale", "follow")


def read_space(config: Mapping[str, object]) -> Space:
    """Find the questions of a config.

    Raises:
        UserError: If one is not well formed; its ``key`` says where in the file it stands.

    Examples:
        >>> space = read_space({"trainer": {"name": "bhi", "batch_size": {"choose": [256, 512]}}})
        >>> list(space.orders())
        [{'trainer.batch_size': '256'}, {'trainer.batch_size': '512'}]
    """
    reader = _Reader()
    # The model first: what follows it asks questions that depend on its answers.
    names = sorted(config, key=lambda name: name != "model")
    parts = {name: reader.part(config[name], (name,), (name,), name, ()) for name in names}
    return Space(tuple(reader.questions), parts)


class _Reader:
    """Turns a config into parts and questions."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self._slots: dict[str, list[tuple[str, Conditions]]] = {}

    def part(self, value: object, key: Key, at: Key, name: str, conditions: Conditions) -> object:
        """Read one value of the config.

        Args:
            value: As YAML gives it.
            key: Where it will stand in the experiment.
            at: Where it stands in the file.
            name: What a question here is called.
            conditions: Under which answers it exists.
        """
        part = self._read(value, key, at, name, conditions)
        if len(key) == 2 and key[0] == "model":
            self._slots[key[1]] = _names(part, name, conditions)
        return part

    def _read(self, value: object, key: Key, at: Key, name: str, conditions: Conditions) -> object:
        if isinstance(value, list):
            return [
                self._read(v, (*key, str(i)), (*at, str(i)), f"{name}[{i}]", conditions)
                for i, v in enumerate(value)
            ]
        if not isinstance(value, Mapping):
            return value
        if not {"choose", "between", "follow"} & set(value):
            return {
                k: self.part(v, (*key, str(k)), (*at, str(k)), _below(name, k), conditions)
                for k, v in value.items()
            }
        try:
            return self._question(value, key, at, name, conditions)
        except UserError as error:
            error.key = error.key or at
            raise

    def _question(
        self, value: Mapping[str, Yaml], key: Key, at: Key, name: str, conditions: Conditions
    ) -> Question | Follow:
        if key[0] not in ASKED:
            raise UserError(
                f"{name}: all trials share the same {key[0]}; questions may stand in "
                f"{', '.join(ASKED)}"
            )
        if key[-1] == "name":
            raise UserError(
                f"{name}: put the question where the whole entry stands: "
                "{choose: [{name: ...}, {name: ...}]}"
            )
        for word in value:
            if word not in _WORDS:
                raise UserError(
                    f'{name}: "{word}" beside choose or between; a question holds nothing else. '
                    "Options belong into the entries: {choose: [{name: ..., option: ...}]}"
                    + did_you_mean(str(word), _WORDS)
                )
        if "follow" in value:
            return self._follow(value, key, at, name, conditions)
        if "choose" in value:
            _alone(value, ("choose",), name)
            return self._choose(value["choose"], key, at, name, conditions)
        return self._between(value, key, at, name, conditions)

    def _choose(
        self, options: object, key: Key, at: Key, name: str, conditions: Conditions
    ) -> Choose:
        if not isinstance(options, list) or not options:
            raise UserError(f"{name}: choose needs a list of answers, got {options!r}")
        labels = _labels(options)
        for number, label in enumerate(labels):
            if label in labels[:number]:
                raise UserError(f'{name}: the answer "{label}" stands in the list twice')
        # The question goes in front of those that its answers ask.
        place = len(self.questions)
        parts = {
            label: self._read(
                option,
                key,
                (*at, "choose", str(i)),
                f"{name}[{label}]",
                (*conditions, (name, (label,))),
            )
            for i, (label, option) in enumerate(zip(labels, options, strict=True))
        }
        question = Choose(name, key, at, parts, False, conditions)
        self.questions.insert(place, question)
        return question

    def _between(
        self, value: Mapping[str, Yaml], key: Key, at: Key, name: str, conditions: Conditions
    ) -> Question:
        _alone(value, ("between", "step", "scale"), name)
        ends = value["between"]
        if not (isinstance(ends, list) and len(ends) == 2):
            raise UserError(f"{name}: between needs [lowest, highest], got {ends!r}")
        low, high = (_number(end, name) for end in ends)
        if isinstance(low, float) or isinstance(high, float):
            low, high = float(low), float(high)
        if not low < high:
            raise UserError(f"{name}: {low} is not below {high}")
        scale = value.get("scale", "linear")
        if scale not in ("linear", "log"):
            raise unknown("scale", str(scale), ("linear", "log"))
        if scale == "log" and (low <= 0 or "step" in value):
            raise UserError(f"{name}: scale: log needs numbers above 0 and takes no step")
        question: Question
        if "step" in value:
            numbers = _steps(low, high, _number(value["step"], name), name)
            options = {json.dumps(number): number for number in numbers}
            question = Choose(name, key, at, options, True, conditions)
        else:
            question = Between(name, key, at, low, high, scale == "log", conditions)
        self.questions.append(question)
        return question

    def _follow(
        self, value: Mapping[str, Yaml], key: Key, at: Key, name: str, conditions: Conditions
    ) -> Follow:
        slot, entries = value["follow"], value.get("choose")
        _alone(value, ("follow", "choose"), name)
        if key[0] == "model" or slot not in self._slots:
            slots = ", ".join(ORDER_SLOTS)
            raise UserError(f"{name}: follow names a slot of the model from outside it: {slots}")
        if isinstance(entries, list):
            places = [(*at, "choose", str(i)) for i in range(len(entries))]
            named = {
                name_of(entry): (entry, place) for entry, place in zip(entries, places, strict=True)
            }
        elif isinstance(entries, Mapping):
            named = {str(k): (entry, (*at, "choose", str(k))) for k, entry in entries.items()}
        else:
            raise UserError(f"{name}: follow needs choose: entries by name, got {entries!r}")
        parts: dict[str, tuple[object, Key]] = {}
        for chosen, condition in _merged(self._slots[slot]):
            if chosen not in named:
                raise UserError(
                    f'{name}: follows the {slot}, but has no entry for "{chosen}"; it has '
                    f"{', '.join(map(str, named))}"
                )
            entry, place = named[chosen]
            under = (*conditions, *condition)
            parts[chosen] = (self._read(entry, key, place, f"{name}[{chosen}]", under), place)
        return Follow(slot, parts)


def _below(name: str, key: str) -> str:
    """Name what stands below a name; slots of the model go by their own names."""
    return str(key) if name == "model" else f"{name}.{key}"


def _names(part: object, name: str, conditions: Conditions) -> list[tuple[str, Conditions]]:
    """Return which names a slot can have, and under which answers."""
    if not isinstance(part, Choose):
        return [(name_of(part), conditions)]
    return [
        found
        for label, option in part.options.items()
        for found in _names(option, name, (*conditions, (part.name, (label,))))
    ]


def _merged(names: list[tuple[str, Conditions]]) -> list[tuple[str, Conditions]]:
    """Join the conditions of choices that have one name; they are labels of one question."""
    merged: dict[str, Conditions] = {}
    for name, conditions in names:
        if name not in merged:
            merged[name] = conditions
            continue
        *above, (question, labels) = merged[name]
        *others, (same, more) = conditions
        if (above, question) != (others, same):
            raise UserError(f'what follows "{name}" needs its choices in one list')
        merged[name] = (*above, (question, labels + more))
    return list(merged.items())


def _labels(options: list[object]) -> list[str]:
    """Return a label for each answer: its name, with the options by which equal names differ."""
    names = [_label(option) for option in options]
    labels = []
    for name, option in zip(names, options, strict=True):
        same = [o for n, o in zip(names, options, strict=True) if n == name]
        if isinstance(option, Mapping) and "name" in option and len(same) > 1:
            own = [
                f"{k}={_label(v)}"
                for k, v in option.items()
                if k != "name" and any(not isinstance(o, Mapping) or o.get(k) != v for o in same)
            ]
            name = f"{name}({', '.join(own)})" if own else name
        labels.append(name)
    return labels


def _label(option: object) -> str:
    if isinstance(option, str):
        return option
    if isinstance(option, Mapping):
        if "name" in option:
            return str(option["name"])
        return ", ".join(f"{k}={_label(v)}" for k, v in option.items())
    return json.dumps(option, default=str)


def _alone(value: Mapping[str, object], allowed: tuple[str, ...], name: str) -> None:
    for word in value:
        if word not in allowed:
            raise UserError(f'{name}: "{word}" does not go with "{allowed[0]}"')


def _number(value: object, name: str) -> int | float:
    """Return a number; YAML reads ``1e-3`` as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(str(value))
    except ValueError:
        raise UserError(f"{name}: expected a number, got {value!r}") from None


def _steps(low: float, high: float, step: float, name: str) -> list[int | float]:
    if not step > 0:
        raise UserError(f"{name}: step={step}: more than 0 is needed")
    count = int(np.floor((high - low) / step + 1e-9)) + 1
    if isinstance(low, int) and isinstance(step, int):
        return [low + step * i for i in range(count)]
    # 0.1 + 2 * 0.1 is 0.30000000000000004.
    return [float(f"{low + step * i:.12g}") for i in range(count)]
