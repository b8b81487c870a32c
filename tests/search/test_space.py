import itertools

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.search.read_space import read_space


def space(text):
    return read_space(yaml.safe_load(text))


MODEL = "processor: autosome, first: bhi, final: autosome"


def model(core, **others):
    slots = {"processor": "autosome", "first": "bhi", "core": core, "final": "autosome", **others}
    return {"model": slots, "trainer": "autosome"}


def key_of(answers):
    return tuple(sorted(answers.items()))


def test_an_answer_stands_where_its_question_stood():
    found = space(
        f"model: {{{MODEL}, core: {{choose: [bhi, {{name: unlockdna, layers: 2}}]}}}}\n"
        "trainer: {name: autosome, learning_rate: {choose: [0.1, 1e-3]}}"
    )
    answers = {"core": "unlockdna", "trainer.learning_rate": "1e-3"}
    config, places = found.fill(answers)
    assert config["model"]["core"] == {"name": "unlockdna", "layers": 2}
    assert config["trainer"] == {"name": "autosome", "learning_rate": "1e-3"}
    assert places["model", "core", "layers"] == ("model", "core", "choose", "1", "layers")


def test_conditional_options_exist_only_under_their_choice():
    found = read_space(
        model(
            {
                "choose": [
                    "bhi",
                    {"name": "unlockdna", "num_heads": {"choose": [2, 4]}},
                    {"name": "autosome", "out_channels": {"choose": [8, 16, 32]}},
                ]
            }
        )
    )
    orders = list(found.orders())
    assert len(orders) == 1 + 2 + 3
    for answers in orders:
        asked = set(answers) - {"core"}
        expected = {
            "bhi": set(),
            "unlockdna": {"core[unlockdna].num_heads"},
            "autosome": {"core[autosome].out_channels"},
        }
        assert asked == expected[answers["core"]]
        core = found.fill(answers)[0]["model"]["core"]
        assert (core if isinstance(core, str) else core["name"]) == answers["core"]


slot = st.lists(st.integers(1, 3), min_size=1, max_size=3)
"""A slot's choices: how many values the one option of each has; 1 asks nothing."""


@settings(max_examples=50)
@given(st.lists(slot, min_size=4, max_size=4))
def test_enumeration_is_the_brute_force_product(slots):
    names = ("processor", "first", "core", "final")
    parts, expected = {}, []
    for name, choices in zip(names, slots, strict=True):
        options = [
            {"name": f"n{i}", "x": {"choose": list(range(count))} if count > 1 else 0}
            for i, count in enumerate(choices)
        ]
        parts[name] = {"choose": options}
        expected.append([(f"n{i}", x) for i, count in enumerate(choices) for x in range(count)])
    found = read_space({"model": parts, "trainer": "autosome"})
    configs = [found.fill(answers)[0]["model"] for answers in found.orders()]
    got = [tuple((c[n]["name"], c[n]["x"]) for n in names) for c in configs]
    assert got == list(itertools.product(*expected))
    assert found.size() == len(got)


def test_the_trainer_follows_the_processor():
    found = space(
        "model: {processor: {choose: [{name: autosome, length: 110}, {name: autosome, length: 120},"
        " bhi]}, first: bhi, core: {choose: [bhi, unlockdna]}, final: bhi}\n"
        "trainer: {follow: processor, choose: [{name: bhi, learning_rate: {choose: [1, 2]}}, "
        "{name: unlockdna}, "
        "{name: autosome, learning_rate: {follow: core, choose: {bhi: 5, unlockdna: 1}}}]}"
    )
    assert found.size() == 2 * 2 + 1 * 2 * 2
    for answers in found.orders():
        config, places = found.fill(answers)
        processor, trainer = config["model"]["processor"], config["trainer"]
        assert trainer["name"] == ("bhi" if processor == "bhi" else processor["name"])
        if trainer["name"] == "autosome":
            assert trainer["learning_rate"] == {"bhi": 5, "unlockdna": 1}[answers["core"]]
            assert places["trainer", "name"] == ("trainer", "choose", "2", "name")


def test_choices_of_one_name_are_told_apart_by_their_options():
    found = read_space(
        model(
            {"choose": ["a", {"name": "a", "x": 1}]},
            processor={"choose": [{"name": "a", "x": 1, "y": 2}, {"name": "a", "y": 2}]},
        )
    )
    assert [q.answers() for q in found.questions] == [["a(x=1)", "a"], ["a", "a(x=1)"]]


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ({"between": [64, 256], "step": 64}, [64, 128, 192, 256]),
        ({"between": [0.0, 0.3], "step": 0.1}, [0.0, 0.1, 0.2, 0.3]),
        ({"between": [1, 4]}, [1, 2, 3, 4]),
        ({"choose": [None, True, [1, 2], "x"]}, [None, True, [1, 2], "x"]),
    ],
)
def test_the_values_of_a_question(question, values):
    found = read_space(model({"name": "bhi", "x": question}))
    got = [found.fill(answers)[0]["model"]["core"]["x"] for answers in found.orders()]
    assert got == values
    assert [type(value) for value in got] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("question", "whole"),
    [
        ({"between": ["1e-4", "1e-2"], "scale": "log"}, False),
        ({"between": [2, 5]}, True),
        ({"between": [1, 1000], "scale": "log"}, True),
    ],
)
def test_draws_stay_inside_and_reach_both_ends(question, whole):
    found = read_space(model({"name": "bhi", "x": question}))
    low, high = (float(end) for end in question["between"])
    random = np.random.default_rng(0)
    drawn = np.array([found.draw(random)["core.x"] for _ in range(4000)])
    assert drawn.min() >= low
    assert drawn.max() <= high
    assert (drawn == np.round(drawn)).all() == whole
    middle = np.sqrt(low * high) if "scale" in question else (low + high) / 2
    assert np.mean(drawn <= middle) == pytest.approx(0.5, abs=0.05)


def test_covering_holds_every_answer_and_every_end():
    found = space(
        f"model: {{{MODEL}, core: {{choose: [bhi, {{name: unlockdna, x: {{choose: [1, 2]}}}}, "
        "{name: autosome, y: {between: [0.5, 2.5]}}]}}\n"
        "trainer: {name: autosome, learning_rate: {between: [1, 9], step: 4}}"
    )
    seen = {(name, answer) for answers in found.covering() for name, answer in answers.items()}
    assert seen == {
        *(("core", label) for label in ("bhi", "unlockdna", "autosome")),
        *(("core[unlockdna].x", label) for label in ("1", "2")),
        *(("core[autosome].y", end) for end in (0.5, 2.5)),
        *(("trainer.learning_rate", label) for label in ("1", "5", "9")),
    }


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"choose": []}, "choose needs a list"),
        ({"choose": "bhi"}, "choose needs a list"),
        ({"choose": ["bhi", "bhi"]}, '"bhi" stands in the list twice'),
        ({"choose": ["bhi"], "epochs": 3}, '"epochs" beside choose or between'),
        ({"name": {"choose": ["bhi", "autosome"]}}, "where the whole entry stands"),
        ({"name": "bhi", "x": {"between": [1]}}, r"\[lowest, highest\]"),
        ({"name": "bhi", "x": {"between": [3, 1]}}, "3 is not below 1"),
        ({"name": "bhi", "x": {"between": ["a", 1]}}, "expected a number"),
        ({"name": "bhi", "x": {"between": [1, 3], "step": 0}}, "more than 0"),
        ({"name": "bhi", "x": {"between": [0, 3], "scale": "log"}}, "above 0"),
        ({"name": "bhi", "x": {"between": [1, 3], "scale": "lag"}}, 'Did you mean "log"'),
        ({"name": "bhi", "x": {"between": [1, 3], "choose": [1]}}, "does not go with"),
        ({"follow": "processor", "choose": ["bhi"]}, "from outside it"),
    ],
)
def test_mistakes_in_questions(part, said):
    with pytest.raises(UserError, match=said) as caught:
        read_space(model(part))
    assert caught.value.key[:2] == ("model", "core")


def test_an_entry_that_a_name_follows_to_must_be_there():
    config = model("bhi", processor={"choose": ["autosome", "bhi"]})
    config["trainer"] = {"follow": "processor", "choose": [{"name": "bhi"}]}
    with pytest.raises(UserError, match='no entry for "autosome"; it has bhi'):
        read_space(config)


def test_sections_that_all_trials_share_take_no_questions():
    with pytest.raises(UserError, match="all trials share the same data") as caught:
        read_space({**model("bhi"), "data": {"max_rows": {"choose": [1, 2]}}})
    assert caught.value.key == ("data", "max_rows")


def test_a_grid_needs_countable_answers():
    found = read_space(model({"name": "bhi", "x": {"between": [0.0, 1.0]}}))
    assert found.size() is None
    with pytest.raises(UserError, match="give a step"):
        list(found.orders())
