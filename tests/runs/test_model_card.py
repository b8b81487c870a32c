"""The model card of a run, against its other files; pages of presets, against the configs."""

import dataclasses
import json
import re

import keras
import pandas as pd
import pytest
import save_model_pages
import yaml

from dream_keras.config.experiment import CONFIGS, load_experiment
from dream_keras.runs.folder import RunFolder, State
from dream_keras.runs.model_card import model_card
from dream_keras.runs.report import write_report
from dream_keras.runs.run import Run
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with slim, untrained weights, scored."""
    folder = tmp_path_factory.mktemp("card")
    suite = load_suite(simulate(folder / "suite", 20, 600, seed=1))
    slim = ["model.first.out_channels=8", "model.core.widths=[8]", "model.core.out_channels=8"]
    experiment = load_experiment("quickstart", [*slim, "scoring.part=public"])
    run = Run(RunFolder(folder / "run"), experiment)
    rows = {"training": 1234, "validation": 56, "lowest": [-0.5], "highest": [16.25]}
    run.folder.create(experiment, {"rows": rows})
    keras.utils.set_random_seed(0)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
    epochs = [
        {"epoch": n, "step": 7 * n, "loss": 1, "learning_rate": 1, "val_loss": 1}
        | {"val_pearson": r, "val_spearman": r / 2}
        for n, r in ((1, 0.5), (2, 0.75), (3, 0.25))
    ]
    run.folder.write_table("history.csv", pd.DataFrame(epochs))
    write_report(run, State(3, 2, 0.75, epochs), suite, progress=False)
    return run


def test_scores_and_intervals_are_those_of_the_metrics(run):
    card = (run.folder.path / "MODEL.md").read_text()
    metrics = json.loads((run.folder.path / "metrics.json").read_text())
    front = yaml.safe_load(card.split("---\n")[1])
    (result,) = front["model-index"][0]["results"]
    found = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert found == {kind: metrics[kind] for kind in ("pearson_score", "spearman_score")}
    assert metrics["suite"] == result["dataset"]["name"]

    table = re.findall(r"^\| (\w+) \| ([\d,]+) \| (.+) \| (.+) \|$", card, flags=re.MULTILINE)
    assert [row[0] for row in table] == list(metrics["subsets"])
    for name, rows, *cells in table:
        subset, ends = metrics["subsets"][name], metrics["bootstrap"]["subsets"][name]
        assert int(rows.replace(",", "")) == subset["n"]
        for cell, kind in zip(cells, ("pearson", "spearman"), strict=True):
            value, low, high = map(float, re.findall(r"-?\d\.\d{3}", cell))
            assert low <= value <= high
            assert [value, low, high] == pytest.approx([subset[kind], *ends[kind]], abs=5e-4)


def test_what_the_card_says_of_training_and_limits(run):
    card = model_card(run)
    assert "- Data: simulated, 1,234 rows, 56 validated on." in card
    assert "3 epochs, 21 steps of 64 rows; trainer autosome, seed 0" in card
    assert "Validation: Pearson r 0.7500, Spearman 0.3750 (epoch 2)" in card
    assert "reach from -0.5 to 16.25" in card
    weights = sum(w.numpy().size for w in run.network.trainable_weights)
    assert f"{weights:,} trainable weights" in card
    metrics = json.loads((run.folder.path / "metrics.json").read_text())
    r2 = {name: subset["r2"] for name, subset in metrics["subsets"].items()}
    poor = re.search("- Least reliable on: (.*); r²", card)[1]
    wanted = {name for name, value in r2.items() if value < max(r2.values()) / 2}
    assert {each.split(" ")[0] for each in poor.split(", ")} == wanted
    assert "# run (simulated data)" in card
    assert str(run.folder.path.parent) not in card


def test_the_card_names_the_epoch_that_is_kept(run):
    """Of the lowest loss, the earliest, where the trainer goes by it."""
    trainer = dataclasses.replace(
        run.experiment.trainer, options={**run.experiment.trainer.options, "best": "mse"}
    )
    table = pd.read_csv(run.folder.path / "history.csv").assign(val_mse=[2.0, 2.5, 1.5])
    run.folder.write_table("history.csv", table)
    card = model_card(Run(run.folder, dataclasses.replace(run.experiment, trainer=trainer)))
    assert "Validation: Pearson r 0.2500, Spearman 0.1250 (epoch 3)" in card


def test_the_card_says_where_weights_come_from(run):
    distillation = dataclasses.replace(run.experiment.distillation, teacher="/home/me/runs/five")
    student = dataclasses.replace(run.experiment, distillation=distillation)
    assert "the labels are predictions of five." in model_card(Run(run.folder, student))
    converted = dataclasses.replace(run.experiment, weights_from="/home/me/best.pth")
    assert "Published weights, converted" in model_card(Run(run.folder, converted))


def test_pages_of_the_models_are_current():
    """``make models`` writes them."""
    pages = dict(save_model_pages.pages())
    configs = {path.stem for path in CONFIGS.rglob("*.yaml") if path.parent.name != "search"}
    assert {path.stem for path in pages} == configs | {"README"}
    assert {path: path.read_text("utf-8") for path in pages} == pages
    assert set(save_model_pages.FOLDER.iterdir()) == set(pages)
