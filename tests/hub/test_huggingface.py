"""Runs on the hub: pushed, opened by address, and loaded by Keras alone."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml
from hub_stand_in import TOKEN, Hub

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.predict import main as predict
from dream_keras.runs.ensemble import make_ensemble
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.run import Run, load_run

SLIM = ["first.out_channels=8", "core.widths=[8]", "core.out_channels=8"]
SECRET = "patients-of-ward-7"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub that the library of this process talks to."""
    constants = pytest.importorskip("huggingface_hub.constants")
    hub = Hub()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # 0.30 has no Xet
        patch.setenv("HF_TOKEN", TOKEN)
        yield hub
    hub.server.shutdown()


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """An ensemble of two untrained runs, whose config names a folder that nobody should see."""
    folder = tmp_path_factory.mktemp("runs")
    runs = []
    for seed in range(2):
        settings = {"data.train": f"/home/{SECRET}/train.txt", "scoring.suite": f"/{SECRET}/suite"}
        settings["regions.bias"] = f"/home/{SECRET}/bias"
        overrides = [f"model.{option}" for option in SLIM]
        experiment = load_experiment("quickstart", overrides, settings)
        run = Run(RunFolder(folder / f"seed-{seed}"), experiment)
        run.folder.create(experiment)
        keras.utils.set_random_seed(seed)
        run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
        (run.folder.path / "predictions.tsv").write_text(SECRET)
        (run.folder.path / "data").mkdir()
        (run.folder.path / "data" / "train.tsv").write_text(SECRET)
        runs.append(run.folder.path)
    experiment = load_experiment(runs[0] / "config.yaml", settings={"scoring.suite": None})
    for run in runs:
        RunFolder(run).write_config(experiment)
    make_ensemble(runs, folder / "both", progress=False)
    return load_run(folder / "both")


@pytest.fixture(scope="module")
def pushed(hub, ensemble):
    """Commit and files of the ensemble, as it was pushed."""
    url = ensemble.push("hf://me/both", license=" cc-by-4.0 ")
    commit, files = hub.latest("me/both")
    assert url == f"{hub.url}/me/both/commit/{commit}"
    return commit, files


def sequences(random, count=3):
    return [
        "TGCATTTTTTTCACATC" + "".join(random.choice(list("ACGTN"), 80)) + "GGTTACGGCTGTT"
        for _ in range(count)
    ]


KERAS_ALONE = """
import json, sys
import keras
import numpy as np

model = keras.saving.load_model("hf://me/both")
assert "dream_keras" not in sys.modules
tokens = np.array(json.loads(sys.argv[1]), np.uint8)
print(json.dumps(model.predict(tokens, verbose=0)[:, 0].tolist()))
"""


def test_a_pushed_run_predicts_the_same(hub, pushed, ensemble, tmp_path, random, capsys):
    """Opened here by its address, by a command, at a revision, and by Keras alone."""
    given = sequences(random)
    wanted = ensemble.predict(given)
    back = dream_keras.from_preset("hf://me/both")
    np.testing.assert_array_equal(back.predict(given), wanted)
    (tmp_path / "sequences.txt").write_text("\n".join(given))
    predict(["hf://me/both", str(tmp_path / "sequences.txt"), "-o", "-"])
    printed = [float(line.split("\t")[1]) for line in capsys.readouterr().out.splitlines()[1:]]
    np.testing.assert_allclose(printed, wanted, rtol=1e-5)

    ensemble.members[0].push("hf://me/both", license="mit")
    single = dream_keras.from_preset("hf://me/both").predict(given)
    np.testing.assert_array_equal(single, ensemble.members[0].predict(given))
    first = dream_keras.from_preset(f"hf://me/both@{pushed[0]}")
    np.testing.assert_array_equal(first.predict(given), wanted)

    tokens = np.full((len(given), 127), 5)
    for row, sequence in zip(tokens, given, strict=True):
        row[: len(sequence)] = ["ACGTN".index(base) for base in sequence]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "HF_ENDPOINT": hub.url,
        "KERAS_BACKEND": keras.backend.backend(),
    }
    command = [sys.executable, "-c", KERAS_ALONE, json.dumps(tokens.tolist())]
    alone = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    np.testing.assert_allclose(json.loads(alone.stdout.splitlines()[-1]), single, rtol=1e-5)


def test_what_is_pushed(pushed, ensemble):
    """Weights, configs and the card; neither rows nor predictions nor folders of the machine."""
    files = pushed[1]
    members = {"config.yaml", "environment.json", "best.weights.h5"}
    wanted = {"README.md", "config.json", "metadata.json", "model.weights.h5"}
    wanted |= {"config.yaml", "environment.json"}
    wanted |= {f"{name}/{file}" for name in ensemble.experiment.members for file in members}
    assert set(files) == wanted
    assert not [name for name, content in files.items() if SECRET.encode() in content]
    card = files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["datasets"] == ["train.txt"]
    assert 'from_preset("hf://me/both")' in card


def test_mistakes_end_in_one_line(hub, ensemble, monkeypatch):
    with pytest.raises(UserError, match="hf://me: expected hf://USER/NAME"):
        load_run("hf://me")
    with pytest.raises(UserError, match="there is no such model, or it is private"):
        load_run("hf://me/nothing")
    with pytest.raises(UserError, match="a push makes a new revision"):
        ensemble.push("hf://me/both@main", license="mit")
    with pytest.raises(UserError, match="license is empty"):
        ensemble.push("hf://me/both", license="")
    monkeypatch.setenv("DREAM_KERAS_OFFLINE", "1")
    with pytest.raises(UserError, match="hf://me/nothing is not in the hub's cache"):
        load_run("hf://me/nothing")
    monkeypatch.delenv("DREAM_KERAS_OFFLINE")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"hf://me/both: .*401"):
        ensemble.push("hf://me/both", license="mit")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"hf://me/both: .*[Cc]onnect"):
        ensemble.push("hf://me/both", license="mit")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"needs the extra \[hub\]"):
        load_run("hf://me/both")


def test_a_run_from_the_hub_is_the_base_of_the_next(ensemble):
    """The hub links a fine-tuned model to the one it started from."""
    from dream_keras.runs.model_card import model_card

    member = ensemble.members[0]
    settings = {"init_from": "hf://me/both@v1"}
    tuned = Run(member.folder, load_experiment(member.folder.config, settings=settings))
    front = yaml.safe_load(model_card(tuned).split("---\n")[1])
    assert front["base_model"] == "me/both"
