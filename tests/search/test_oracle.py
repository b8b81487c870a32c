import itertools
from types import SimpleNamespace

import pytest

from dream_keras.common.errors import UserError
from dream_keras.search.oracle import make_oracle
from dream_keras.search.plan import EPOCHS, load_plan
from dream_keras.search.read_space import read_space


def key_of(answers):
    return tuple(sorted((k, v) for k, v in answers.items() if not k.startswith("tuner/")))


def run(oracle, objective="val_pearson", most=200, score=lambda answers: len(str(answers))):
    """Run an oracle to its end; return what it asked for."""
    asked = []
    for number in range(most):
        trial = oracle.create_trial(str(number))
        if trial.status != "RUNNING":
            assert trial.status == "STOPPED"
            return asked
        answers = dict(trial.hyperparameters.values)
        asked.append(answers)
        oracle.update_trial(trial.trial_id, {objective: score(answers)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return asked


def with_tuner(space_file, tuner, **search):
    settings = {"search.tuner": tuner, "search.max_trials": 99}
    return load_plan(space_file(), (), settings | {f"search.{k}": v for k, v in search.items()})


def test_the_grid_holds_every_order_once_in_a_fixed_order(plan):
    asked = run(make_oracle(plan))
    assert asked == list(plan.space.orders())
    assert len({key_of(answers) for answers in asked}) == len(asked) == 9


def test_the_81_orders_are_the_product_of_four_slots():
    plan = load_plan("prix_fixe")
    asked = run(make_oracle(plan))
    slots = ("processor", "first", "core", "final")
    names = [tuple(answers[slot] for slot in slots) for answers in asked]
    assert names == list(itertools.product(("autosome", "bhi", "unlockdna"), repeat=4))


def test_trials_may_overlap(plan):
    oracle = make_oracle(plan)
    asked = [oracle.create_trial(str(i)).hyperparameters.values for i in range(9)]
    assert asked == list(plan.space.orders())
    assert oracle.create_trial("9").status == "STOPPED"


def test_random_search_holds_every_order_once(space_file):
    plan = with_tuner(space_file, "random")
    asked = run(make_oracle(plan))
    every = {key_of(answers) for answers in plan.space.orders()}
    assert len(asked) == len(every) == 9
    assert {key_of(answers) for answers in asked} == every
    assert asked == run(make_oracle(plan))
    assert asked != run(make_oracle(with_tuner(space_file, "random", seed=1)))


def test_bayesian_search_repeats_no_order_and_climbs(space_file):
    """Two questions: six random orders, then the Gaussian process chooses."""
    pytest.importorskip("sklearn")
    widths = "{choose: [4, 8, 12, 16]}"
    overrides = [
        "model.processor=bhi",
        f"model.first={{name: bhi, out_channels: {widths}}}",
        f"model.core={{name: autosome, widths: [8], out_channels: {widths}}}",
    ]
    settings = {"search.tuner": "bayesian", "search.max_trials": 99}
    plan = load_plan(space_file(), overrides, settings)
    scores = []

    def score(answers):
        scores.append(sum(int(label) for label in answers.values()))
        return scores[-1]

    asked = run(make_oracle(plan), most=9, score=score)
    assert len({key_of(answers) for answers in asked}) == 9
    assert sum(scores[6:]) / 3 > sum(scores[:6]) / 6


def test_bayesian_search_names_what_is_missing(space_file, monkeypatch):
    from keras_tuner.src.tuners import bayesian

    monkeypatch.setattr(bayesian, "sklearn", None)
    with pytest.raises(UserError, match="scikit-learn"):
        make_oracle(with_tuner(space_file, "bayesian"))


def test_hyperband_halves_the_trials_and_trains_the_rest_for_longer():
    space = read_space(
        {
            "model": {"processor": "a", "first": {"choose": [f"f{i}" for i in range(60)]}},
            "trainer": "a",
        }
    )
    settings = SimpleNamespace(tuner="hyperband", objective="val_pearson", seed=0)
    plan = SimpleNamespace(space=space, settings=settings, terms=SimpleNamespace(epochs=9))
    asked = run(make_oracle(plan), score=lambda answers: int(answers["first"][1:]))
    first_bracket = [a for a in asked if a["tuner/bracket"] == 2]
    epochs = [answers[EPOCHS] for answers in first_bracket]
    assert sorted(set(epochs)) == [1, 3, 9]
    assert epochs.count(1) > epochs.count(3) > epochs.count(9) >= 1
    rung = sorted((int(a["first"][1:]) for a in first_bracket if a[EPOCHS] == 1), reverse=True)
    best = {int(a["first"][1:]) for a in first_bracket if a[EPOCHS] == 3}
    assert best == set(rung[: len(best)])


def test_a_search_of_failures_goes_on(plan):
    oracle = make_oracle(plan)
    for number in range(9):
        trial = oracle.create_trial(str(number))
        trial.status = "FAILED"
        oracle.end_trial(trial)
    assert oracle.create_trial("9").status == "STOPPED"
