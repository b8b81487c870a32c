import pytest
import yaml

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import (
    CONFIGS,
    PRESETS,
    Experiment,
    change,
    load_experiment,
    preset,
)
from dream_keras.config.order import Order
from dream_keras.data.augment import AugmentSettings

MODEL = {"processor": "autosome", "first": "bhi", "core": "autosome", "final": "autosome"}


def config(tmp_path, text):
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return path


FULL = """\
data:
  train: a.txt
model:
  processor: autosome
  first: {name: bhi, out_channels: 64, kernel_sizes: [9, 15]}
  core: autosome
  final: autosome
trainer:
  name: autosome
  learning_rate: 5e-3
augment:
  per_row: 3
  mutation: 0.05
  insertion: null
"""


@pytest.mark.parametrize("name", [path.stem for path in CONFIGS.glob("*.yaml")])
def test_every_built_in_config_survives_a_round_trip(name):
    experiment = load_experiment(name)
    again = Experiment.parse(yaml.safe_load(experiment.to_yaml()))
    assert again.plain() == experiment.plain()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_those_of_the_paper(name):
    blocks = {"dream_cnn": ("bhi", "autosome"), "dream_rnn": ("bhi", "bhi")}
    first, core = blocks.get(name, ("autosome", "unlockdna"))
    order = preset(name)
    assert (order.first.name, order.core.name) == (first, core)
    assert (order.processor.name, order.final.name) == ("autosome", "autosome")


def test_published_training_settings():
    options = load_experiment("dream_cnn").plain()["trainer"]
    assert (options["epochs"], options["batch_size"]) == (80, 1024)
    assert options["learning_rate"] == 0.005
    assert load_experiment("dream_attn").plain()["trainer"]["learning_rate"] == 0.001


def test_values_take_the_type_of_the_option(tmp_path):
    experiment = load_experiment(config(tmp_path, FULL))
    assert experiment.trainer.options["learning_rate"] == 0.005
    assert experiment.model.first.options["kernel_sizes"] == (9, 15)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("data:", "dota:", 1, 'unknown section "dota". Did you mean "data"?'),
        ("train: a.txt", "trian: a.txt", 2, 'unknown setting of data "trian".'),
        ("first: {name: bhi,", "first: {name: bih,", 5, 'unknown first on the menu "bih".'),
        ("out_channels: 64", "out_chanels: 64", 5, 'Did you mean "out_channels"?'),
        ("out_channels: 64", "out_channels: 6.4", 5, "expected a whole number, got 6.4"),
        ("out_channels: 64", "out_channels: yes", 5, "expected a whole number, got True"),
        ("[9, 15]", "wide", 5, "expected a list of a whole number, got 'wide'"),
        ("  core: autosome\n", "", 3, 'the model has no "core"'),
        ("core:", "centre:", 6, 'unknown slot of the model "centre"'),
        ("5e-3", "fast", 10, "expected a number, got 'fast'"),
        (
            "per_row:",
            "per_rows:",
            12,
            'unknown setting of augment "per_rows". Did you mean "per_row"',
        ),
        ("mutation: 0.05", "mutation: 5", 13, "mutation=5.0: expected a share between 0 and 1"),
        ("insertion: null", "insertion: long", 14, "expected a whole number or nothing"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, old, new, line, said):
    assert old in FULL
    path = config(tmp_path, FULL.replace(old, new))
    with pytest.raises(UserError) as error:
        load_experiment(path)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("overrides", [[], ["trainer.seed=1"]])
@pytest.mark.parametrize("text", ["", "- a\n", "model: [\n", "\x00"])
def test_what_is_no_config_is_refused(tmp_path, text, overrides):
    with pytest.raises(UserError, match=r"experiment\.yaml"):
        load_experiment(config(tmp_path, text), overrides)


def test_overrides_change_single_settings(tmp_path):
    path = config(tmp_path, FULL)
    overrides = ["trainer.epochs=3", "model.core=bhi", "model.final.bins=9", "data.train=null"]
    plain = load_experiment(path, overrides).plain()
    assert plain["trainer"]["epochs"] == 3
    assert plain["model"]["core"] == "bhi"
    assert plain["model"]["final"] == {"name": "autosome", "bins": 9}
    assert plain["data"]["train"] is None


@pytest.mark.parametrize(
    "override", ["trainer.epochs=[1", "epochs=3", "trainer.epochs", ".x=1", "data.train.x.y=1"]
)
def test_malformed_overrides_are_refused(tmp_path, override):
    with pytest.raises(UserError, match=r"--set|expected|unknown|no keys"):
        load_experiment(config(tmp_path, FULL), [override])


def test_override_mistakes_name_the_nearest(tmp_path):
    with pytest.raises(UserError, match='Did you mean "epochs"'):
        load_experiment(config(tmp_path, FULL), ["trainer.epoch=3"])


def test_augmentation_is_off_unless_it_is_set(tmp_path):
    """Run folders of former versions have no such section."""
    path = config(tmp_path, FULL.partition("augment:")[0])
    assert load_experiment(path).augment == AugmentSettings()
    overrides = ["augment.mutation=0.1", "augment.shift=4", "augment.hard=false"]
    changed = load_experiment(path, overrides)
    assert changed.augment == AugmentSettings(mutation=0.1, shift=4, hard=False)
    assert load_experiment(config(tmp_path, FULL)).plain()["augment"]["insertion"] is None


def test_unknown_config_lists_the_built_in_ones():
    with pytest.raises(UserError, match=r"configs: any_dream_attn, .*dream_rnn, .*quickstart"):
        load_experiment("dream_ccn")


@pytest.mark.parametrize("item", menu.entries(), ids=lambda item: f"{item.slot}-{item.name}")
def test_every_option_on_the_menu_is_typed_and_passes_through_a_config(item):
    value = {"name": item.name, **{k: v for k, v in item.options.items() if v is not None}}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
    if item.slot == "trainer":
        parsed = Experiment.parse({"model": MODEL, "trainer": plain}).trainer
    else:
        parsed = getattr(Order.parse({**MODEL, item.slot: plain}), item.slot)
    assert parsed.options == {k: v for k, v in value.items() if k != "name"}


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = config(tmp_path, FULL + "trainer: bhi\n")
    with pytest.raises(UserError, match=r'experiment\.yaml:15: "trainer" stands on line 8 too'):
        load_experiment(path)


VERSION_1 = """\
data:
  train: a.txt
  sequence_column: seq
  target_column: activity
  longest: 120
model:
  processor: {name: bhi, label_mean: 11.25, label_deviation: 2.5}
  first: {name: unlockdna, start: keras}
  core: {name: unlockdna, start: keras}
  final: bhi
trainer: bhi
"""


def test_configs_of_version_1_are_read(tmp_path):
    """Run folders hold these names and single label statistics."""
    experiment = load_experiment(config(tmp_path, VERSION_1))
    assert experiment.data.target_columns == ("activity",)
    assert experiment.data.max_length == 120
    assert experiment.model.processor.options == {"label_mean": (11.25,), "label_std": (2.5,)}
    assert experiment.model.core.options == {"init": "keras"}
    again = Experiment.parse(yaml.safe_load(experiment.to_yaml()))
    assert again.plain() == experiment.plain()


def test_changes_of_an_experiment(tmp_path):
    experiment = load_experiment(config(tmp_path, FULL))
    changed = change(experiment, ["trainer.epochs=3"], {"data.train": "b.txt"})
    assert (changed.make_trainer().epochs, changed.data.train) == (3, "b.txt")
    assert changed.model == experiment.model
    with pytest.raises(UserError, match='Did you mean "epochs"'):
        change(experiment, ["trainer.epoch=3"])
