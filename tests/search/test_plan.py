import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from dream_keras.common.errors import UserError
from dream_keras.search.plan import EPOCHS, SPACES, load_plan


def test_a_plan_holds_experiments_on_equal_terms(plan):
    terms = {"batch_size": 8, "epochs": 2, "steps_per_epoch": 3}
    orders = list(plan.space.orders())
    assert len(orders) == 9
    experiments = [plan.experiment(answers) for answers in orders]
    for experiment in experiments:
        assert terms.items() <= experiment.trainer.options.items()
        assert experiment.trainer.name == experiment.model.processor.name
        assert experiment.data == experiments[0].data
    assert plan.terms.rows == 48


def test_longest_is_what_every_processor_takes(space_file):
    # autosome of 110 bp and its adapter: 127; UnlockDNA 130; BHI 142
    assert load_plan(space_file()).config["data"]["max_length"] == 127
    shorter = load_plan(space_file(), ["data.max_length=120"])
    assert shorter.config["data"]["max_length"] == 120
    longer = load_plan(space_file(), ["model.processor={choose: [bhi, unlockdna]}"])
    assert longer.config["data"]["max_length"] == 130
    assert longer.experiment(next(longer.space.orders())).data.max_length == 130


def test_rows_that_are_too_long_stop_every_trial_alike(space_file):
    assert "max_length" not in load_plan(space_file(), ["data.long_rows=fail"]).config["data"]


def test_the_shortest_processor_counts_whatever_its_options_combine_to(space_file):
    heads = "model.processor={name: unlockdna, head: {choose: [20, 17]}, tail: {choose: [20, 13]}}"
    plan = load_plan(space_file(), [heads], {"trainer": "autosome"})
    assert plan.config["data"]["max_length"] == 130


@pytest.mark.parametrize("file", SPACES.glob("*.yaml"), ids=lambda file: file.stem)
def test_built_in_spaces_are_whole(file):
    plan = load_plan(file.stem)
    orders = list(plan.space.orders())
    assert len(orders) == (81 if file.stem.startswith("prix_fixe") else plan.space.size())
    for answers in orders:
        plan.experiment(answers)


def test_the_documented_space_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "documented.yaml"
    file.write_text(example)
    plan = load_plan(file)
    assert plan.space.size() == 3 * 4 * (1 + 3)
    assert plan.config["data"]["max_length"] == 130


def test_a_plan_survives_a_round_trip(space_file, tmp_path):
    plan = load_plan(space_file(), ["model.core=bhi"], {"search.max_trials": 2})
    file = tmp_path / "again.yaml"
    file.write_text(plan.to_yaml())
    again = load_plan(file)
    assert dataclasses.replace(again, source=plan.source) == plan
    assert plan.space.size() == 3


def test_hyperband_says_for_how_long(plan):
    answers = {**next(plan.space.orders()), EPOCHS: 1}
    assert plan.experiment(answers).trainer.options["epochs"] == 1


@pytest.mark.parametrize(
    ("replace", "said", "line"),
    [
        ({"name: unlockdna, layers: 1": "name: unlokdna"}, 'Did you mean "unlockdna"', 14),
        ({"layers: 1": "layer: 1"}, 'Did you mean "layers"', 14),
        ({"choose: [1, 2]": "choose: [1, two]"}, "expected a whole number, got 'two'", 14),
        ({"length: 110": "length: {between: [90, long]}"}, "expected a number", 7),
        ({"warmup_steps: 3": "warmup_steps: 0"}, "at least 1", 21),
        ({"learning_rate: 0.005": "epochs: 3"}, "set search.terms.epochs", 19),
        ({"learning_rate: 0.005": "seed: 3"}, "set search.seed", 19),
        ({", steps_per_epoch: 3": ""}, "search.terms needs", 2),
        ({"  terms": "  tunr: grid\n  terms"}, 'Did you mean "tuner"', 2),
        ({"  terms": "  tuner: greedy\n  terms"}, "one of grid", 2),
        ({"  terms": "  repeats: 0\n  terms"}, "at least 1", 2),
        ({"{batch_size: 8": "{batch_size: {choose: [8, 16]}"}, "whole number", 2),
        ({"crop}": "crap}"}, "one of fail, drop, crop", 3),
        ({"final: autosome": "finale: autosome"}, 'Did you mean "final"', 15),
        ({"long_rows: crop": "long_rows: {choose: [crop, drop]}"}, "share the same data", 3),
        ({"out_channels: 8}\n  core": "out_channels: {between: [0.5, 1]}}\n  core"}, "whole", 10),
    ],
)
def test_mistakes_name_file_and_line(space_file, replace, said, line):
    path = space_file(replace=replace)
    with pytest.raises(UserError, match=said) as caught:
        load_plan(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_a_grid_over_a_range_without_steps_is_refused_at_its_line(space_file):
    path = space_file(replace={"warmup_steps: 3": "learning_rate: {between: [0.1, 0.2]}"})
    with pytest.raises(UserError, match="another tuner") as caught:
        load_plan(path)
    assert f"{path}:21" in str(caught.value)
    assert load_plan(path, (), {"search.tuner": "random", "search.max_trials": 2})


@pytest.mark.parametrize("tuner", ["random", "bayesian"])
def test_searches_without_an_end_are_refused(space_file, tuner):
    with pytest.raises(UserError, match="--max-trials or --budget-minutes"):
        load_plan(space_file(), (), {"search.tuner": tuner})


def test_objectives_of_the_suite_need_one(space_file):
    given = {"search.objective": "pearson_score", "data.train": "train.txt"}
    with pytest.raises(UserError, match="--suite"):
        load_plan(space_file(), (), given)
    assert load_plan(space_file(), (), {**given, "scoring.suite": "folder"})


def test_an_unknown_space_is_named():
    with pytest.raises(UserError, match="prix_fixe_small"):
        load_plan("prix_fix")


def test_smoke_shrinks_every_trial_and_keeps_the_terms(space_file):
    terms = {"batch_size": 16, "epochs": 2, "steps_per_epoch": 5}
    plan = load_plan("prix_fixe", (), {"search.smoke": True, "search.terms": terms})
    for answers in plan.space.covering():
        experiment = plan.experiment(answers)
        assert terms.items() <= experiment.trainer.options.items()
        assert experiment.data.simulated_rows == 2_000
        widths = experiment.model.first.options.get("out_channels", 24)
        assert widths <= 24


def test_the_written_plan_is_yaml_without_surprises(plan):
    assert yaml.safe_load(plan.to_yaml()) == plan.config
