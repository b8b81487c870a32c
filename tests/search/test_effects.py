import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dream_keras.search.effects import main_effects
from dream_keras.search.space import Choose


def question(name, count, conditions=()):
    options = {f"{name}{i}": f"{name}{i}" for i in range(count)}
    return Choose(name, ("model", name), ("model", name), options, False, conditions)


def factorial(*questions):
    return [
        {q.name: label for q, label in zip(questions, labels, strict=True)}
        for labels in itertools.product(*(q.options for q in questions))
    ]


def test_a_full_factorial_gives_level_means_minus_the_grand_mean(random):
    questions = [question(name, count) for name, count in (("a", 3), ("b", 2), ("c", 4))]
    answers = factorial(*questions)
    scores = random.normal(size=(len(answers), 2))
    mean, effects = main_effects(questions, answers, scores)
    assert mean == pytest.approx(scores.mean(), abs=1e-12)
    for effect in effects:
        for label, change in zip(effect.labels, effect.change, strict=True):
            rows = [a[effect.question.name] == label for a in answers]
            assert change == pytest.approx(scores[rows].mean() - scores.mean(), abs=1e-12)
        assert effect.change.sum() == pytest.approx(0, abs=1e-12)
        assert (effect.trials == len(answers) / len(effect.labels)).all()


def test_the_spread_is_that_of_the_effects_over_the_repeats(random):
    questions = [question("a", 3), question("b", 3)]
    answers = factorial(*questions)
    scores = random.normal(size=(9, 4))
    _, effects = main_effects(questions, answers, scores)
    rows = [a["a"] == "a1" for a in answers]
    per_repeat = scores[rows].mean(axis=0) - scores.mean(axis=0)
    assert effects[0].spread[1] == pytest.approx(per_repeat.std(ddof=1), abs=1e-12)
    assert np.isnan(main_effects(questions, answers, scores[:, :1])[1][0].spread).all()


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.5))
def test_a_planted_additive_design_with_missing_cells_is_found(seed, missing):
    random = np.random.default_rng(seed)
    questions = [question("a", 3), question("b", 3), question("c", 3), question("d", 3)]
    planted = {}
    for asked in questions:
        terms = random.normal(size=3)
        planted |= dict(zip(asked.options, terms - terms.mean(), strict=True))
    answers = [a for a in factorial(*questions) if random.random() >= missing]
    scores = np.array([[7 + sum(planted[label] for label in a.values())] for a in answers])
    mean, effects = main_effects(questions, answers, scores)
    assert mean == pytest.approx(7, abs=1e-9)
    for effect in effects:
        assert effect.change == pytest.approx([planted[label] for label in effect.labels])


def test_an_unbalanced_design_is_not_fooled_by_the_company():
    """a1 was run with the bad b only; the level means would blame a for it."""
    questions = [question("a", 2), question("b", 2)]
    answers = [{"a": "a0", "b": "b0"}, {"a": "a0", "b": "b1"}, {"a": "a1", "b": "b1"}]
    _, effects = main_effects(questions, answers, [[1.0], [0.0], [0.0]])
    assert effects[0].change == pytest.approx([0, 0], abs=1e-12)
    assert effects[1].change == pytest.approx([0.5, -0.5])


def test_what_the_trials_do_not_tell_is_no_number():
    """a and b change together: which of them does it cannot be known; c can."""
    questions = [question("a", 2), question("b", 2), question("c", 2), question("d", 3)]
    answers = [
        {"a": f"a{i}", "b": f"b{i}", "c": f"c{j}", "d": "d1"} for i in range(2) for j in range(2)
    ]
    _, effects = main_effects(questions, answers, [[0.0], [1.0], [4.0], [5.0]])
    assert np.isnan(effects[0].change).all()
    assert np.isnan(effects[1].change).all()
    assert effects[2].change == pytest.approx([-0.5, 0.5])
    assert effects[3].change == pytest.approx([np.nan, 0, np.nan], nan_ok=True)
    assert effects[3].trials.tolist() == [0, 4, 0]


def test_an_option_of_one_choice_is_compared_under_that_choice():
    core = question("core", 2)
    heads = question("heads", 2, (("core", ("core1",)),))
    answers = [
        {"core": "core0"},
        {"core": "core1", "heads": "heads0"},
        {"core": "core1", "heads": "heads1"},
    ]
    mean, effects = main_effects([core, heads], answers, [[1.0], [2.0], [4.0]])
    assert mean == pytest.approx(2)
    assert effects[0].change == pytest.approx([-1, 1])
    assert effects[1].change == pytest.approx([-1, 1])
