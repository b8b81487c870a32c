"""Searches for designs against exhaustive search, closed forms and their own constraints."""

import itertools
import re

import numpy as np
import pytest
from design_helpers import linear, random_sequences, search_of, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.interpret.design_plan import optimise
from dream_keras.interpret.design_search import evolve, repair, single_edits
from dream_keras.interpret.goal import Goal, read_goal
from dream_keras.interpret.predictor import Predictor

METHODS = {"evolve": 6, "beam": 4, "anneal": 40, "gradient": 15}


def neighbours(sequence):
    """Return all sequences with one other base."""
    return [
        sequence[:at] + base + sequence[at + 1 :]
        for at in range(len(sequence))
        for base in "ACGT"
        if base != sequence[at]
    ]


def distance(one, other):
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_the_best_single_edit_is_that_of_an_exhaustive_search(predictor, counting):
    """Of starts of unequal length, in one call for all of them."""
    sequences = {**random_sequences(2, 44), "short": random_sequences(1, 41, seed=5)["s0"]}
    goal = Goal("max", "liver - brain")
    search = search_of([predictor], sequences, goal)
    counting.asked.clear()
    calls = []
    watched = Predictor(lambda asked: calls.append(len(asked)) or counting(asked), predictor.tasks)
    search.predictors = [watched]
    evolve(search, rounds=1)
    assert calls == [3 * (44 + 44 + 41)]
    for found, start in zip(texts(search), sequences.values(), strict=True):
        every = neighbours(start)
        liver, brain = np.array(counting(every)).T
        assert found == every[int((liver - brain).argmax())]


def test_single_edits_are_all_neighbours():
    search = search_of([linear(np.zeros((5, 4)))], {"one": "ACGNT"}, protect="2-3", kept=(0, 1))
    edited, parent = single_edits(search.starts, search.tokens, search.everyone)
    found = set(search.starts.texts(edited, parent))
    wanted = {f"{a}CG{b}T" for a, b in itertools.product("ACGT", "ACGTN")}
    assert found == {text for text in wanted if distance(text, "ACGNT") == 1}
    assert len(edited) == 3 + 4


@pytest.mark.parametrize("method", ["evolve", "beam", "anneal", "gradient"])
def test_additive_effects_end_at_the_best_base_of_each_position(random, method):
    weights = random.normal(size=(12, 4))
    search = search_of([linear(weights)], random_sequences(3, 12))
    rounds = {"evolve": 12, "beam": 12, "anneal": 3000, "gradient": 150}[method]
    optimise(search, method, rounds, beam=3)
    best = "".join("ACGT"[base] for base in weights.argmax(axis=1))
    assert texts(search) == [best] * 3
    np.testing.assert_allclose(search.values, weights.max(axis=1).sum())
    assert len(search.history) <= rounds + 1


@pytest.mark.parametrize("edits", [1, 3])
def test_few_edits_are_the_most_effective_ones(random, edits):
    weights = random.normal(size=(12, 4))
    search = search_of([linear(weights)], random_sequences(3, 12), max_edits=edits)
    gains = np.sort(weights.max(axis=1) - weights[np.arange(12), search.tokens], axis=1)
    before = search.values.copy()
    optimise(search, "evolve", 12)
    np.testing.assert_allclose(search.values - before, gains[:, -edits:].sum(axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_low_and_wanted_values(random, method):
    model = linear(random.normal(size=(2, 44, 4)), ("liver", "brain"))
    sequences = random_sequences(4, 44)
    low = search_of([model], sequences, Goal("min", "liver"))
    optimise(low, method, METHODS[method])
    assert (low.values < low.history[0]).all()
    assert (np.diff(np.array(low.history), axis=0) <= 0).all()
    wanted = search_of([model], sequences, Goal(12.5, "liver"))
    optimise(wanted, method, METHODS[method] * 4)
    assert (abs(wanted.values - 12.5) <= abs(wanted.history[0] - 12.5)).all()
    assert abs(wanted.values - 12.5).max() < (0.5 if method == "gradient" else 0.1)


@pytest.fixture
def predictor(predictor):
    """The stand-in with gradients, which are as good as none."""

    def gradients(bases, weights):
        sequences = ["".join("ACGTN"[b] for b in row) for row in letters(bases)]
        noise = np.random.default_rng(len(bases)).normal(size=bases.shape)
        return predictor(sequences) @ weights, noise

    def letters(bases):
        return np.where(bases.any(axis=2), bases.argmax(axis=2), 4)

    return Predictor(predictor.function, predictor.tasks, gradients=gradients)


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "gc": st.sampled_from([(0.4, 0.6), (0.3, 0.45), (0.5, 0.5)]),
        "forbid": st.sampled_from(["GAATTC", "AC", "CNG,TTA", "GGW"]),
        "max_homopolymer": st.integers(1, 4),
        "max_edits": st.integers(1, 12),
        "min_distance": st.integers(0, 8),
        "protect": st.sampled_from(["1-20", "13,30-44"]),
        "kept": st.sampled_from([(7, 0), (3, 5)]),
        "designs": st.sampled_from([2, 5]),
        "flanks": st.sampled_from([("", ""), ("CCGA", "TTA")]),
    },
)


def assert_fulfilled(search, limits):
    """Compare designs with the constraints, by other means than the code does."""
    start, now, status = search.starts.texts(search.starts.tokens), texts(search), search.status()
    editable = search.starts.editable
    kept, flanks = limits.get("kept", (0, 0)), limits.get("flanks", ("", ""))
    good = [text for text, each in zip(now, status, strict=True) if each == "ok"]
    for one, other in itertools.combinations(good, 2):
        assert distance(one, other) >= limits.get("min_distance", 0)
    for design, (before, after) in enumerate(zip(start, now, strict=True)):
        places = [at for at, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1]
        assert editable[design][places].all()
        if status[design] != "ok":
            continue
        assert len(places) <= limits.get("max_edits", 99)
        insert = after[kept[0] : len(after) - kept[1]]
        low, high = limits.get("gc", (0, 1))
        gc = sum(base in "GC" for base in insert)
        assert low * len(insert) - 1e-9 <= gc <= high * len(insert) + 1e-9
        whole = flanks[0] + after + flanks[1]
        span = (len(flanks[0]) + kept[0], len(whole) - len(flanks[1]) - kept[1])
        letters = {"N": "[ACGT]", "W": "[AT]"}
        words = limits.get("forbid", "").split(",") if "forbid" in limits else []
        words += [base * (limits.get("max_homopolymer", 98) + 1) for base in "ACGT"]
        complement = str.maketrans("ACGTNW", "TGCANW")
        for word in {*words, *(word.translate(complement)[::-1] for word in words)}:
            pattern = "".join(letters.get(letter, letter) for letter in word)
            for found in re.finditer(f"(?={pattern})", whole):
                first, last = found.start(), found.start() + len(word)
                assert last <= span[0] or first >= span[1], (word, whole)


@pytest.mark.parametrize("method", METHODS)
@given(limits=LIMITS, seed=st.integers(0, 99))
@settings(max_examples=12, derandomize=True)
def test_constraints_are_never_broken(method, limits, seed):
    random = np.random.default_rng(seed)
    weights = random.normal(size=(44, 4))
    search = search_of([linear(weights)], random_sequences(2, 44, seed), seed=seed, **limits)
    optimise(search, method, METHODS[method], beam=2)
    assert_fulfilled(search, limits)
    # Of sequences that fulfil them from the start none gets worse.
    if not search_of([linear(weights)], random_sequences(2, 44, seed), **limits).broken().any():
        assert search.status() == ["ok"] * len(search.tokens)
        assert (search.scores >= search.history[0]).all()


def test_starts_are_repaired_by_the_best_edits(random):
    weights = random.normal(size=(20, 4))
    sequence = "AC" * 5 + "GAATTC" + "AC" * 2
    search = search_of([linear(weights)], {"one": sequence}, forbid="EcoRI")
    repair(search)
    edits = [other for other in neighbours(sequence) if "GAATTC" not in other]
    best = max(edits, key=lambda each: linear(weights)([each])[0, 0])
    assert texts(search) == [best]
    stuck = search_of([linear(weights)], {"one": sequence}, forbid="EcoRI", protect="11-16")
    optimise(stuck, "evolve", 3)
    assert stuck.status() == ["forbidden_site"]
    assert texts(stuck) == [sequence]


def test_copies_of_a_start_part(random):
    weights = random.normal(size=(20, 4))
    sequences = random_sequences(1, 20)
    search = search_of([linear(weights)], sequences, designs=4, min_distance=3)
    optimise(search, "evolve", 30)
    assert search.status() == ["ok"] * 4
    assert search.starts.names == ("s0_1", "s0_2", "s0_3", "s0_4")
    best = weights.max(axis=1).sum()
    assert search.values.max() > best - 1.5
    assert (search.values > search.history[0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_designs_depend_on_the_seed_alone(predictor, method):
    def designs(seed):
        search = search_of([predictor], random_sequences(3, 44), Goal("max", "brain"), seed=seed)
        optimise(search, method, METHODS[method])
        return texts(search)

    assert designs(1) == designs(1)
    if method in ("anneal", "gradient"):
        assert designs(1) != designs(2)


def test_a_wider_beam_is_not_worse(predictor):
    found = []
    for beam in (1, 4):
        search = search_of([predictor], random_sequences(3, 44), Goal("max", "liver"))
        evolve(search, 4, beam)
        found.append(search.values)
    assert found[1].mean() > found[0].mean()


def test_caution_prefers_what_models_agree_on():
    """One position at which only the mean is better, and one at which both models are."""
    one, other = np.zeros((2, 3, 4))
    one[0, 1], other[0, 1] = 4, -1
    one[1, 2] = other[1, 2] = 1
    members = [linear(one), linear(other)]
    bold = search_of(members, {"one": "AAA"}, max_edits=1)
    careful = search_of(members, {"one": "AAA"}, Goal("max", None, cautious=True), max_edits=1)
    low = search_of([linear(-one), linear(-other)], {"one": "AAA"}, Goal("min", None, True))
    for search in (bold, careful, low):
        evolve(search, 1)
    assert (texts(bold), texts(careful), texts(low)) == (["CAA"], ["AGA"], ["AGA"])


@pytest.mark.parametrize("kind", ["max", "min", 0.2])
@pytest.mark.parametrize("cautious", [False, True])
def test_slopes_of_goals_are_derivatives(random, kind, cautious):
    goal, values, step = Goal(kind, None, cautious), random.normal(size=(3, 5)), 1e-6
    for member in range(3):
        moved = np.zeros((3, 1))
        moved[member] = step
        slope = (goal.score(values + moved) - goal.score(values - moved)) / (2 * step)
        np.testing.assert_allclose(goal.slopes(values)[member], slope, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "task", "said"),
    [
        ("high", None, 'goal "high": expected max, min, a number, or a task'),
        ("max", None, "name a task with --task: liver, brain"),
        ("3.5", None, "name a task with --task"),
        ("nan", "liver", "a finite number"),
        ("liver", "brain", "names a task already: leave out --task"),
        ("liver - bran", None, 'unknown task "bran". Did you mean "brain"'),
        ("max", "heart", 'unknown task "heart"'),
    ],
)
def test_goals_that_are_not_clear(text, task, said):
    with pytest.raises(UserError, match=re.escape(said)):
        read_goal(text, task, ("liver", "brain"))


def test_goals():
    assert read_goal("-2.5", "brain", ("liver", "brain")) == Goal(-2.5, "brain")
    assert read_goal("min", None, ("one",)) == Goal("min")
    assert read_goal("liver", None, ("liver", "brain")) == Goal("max", "liver")
