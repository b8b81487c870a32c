"""The server as a process: real runs behind it, an evaluator that asks it, and its end."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import keras
import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.run import Run
from dream_keras.scoring.metrics import score
from dream_keras.scoring.suite import load_suite
from dream_keras.serve.__main__ import main
from dream_keras.serve.evaluator import evaluate_predictor
from dream_keras.serve.model import open_models
from dream_keras.simulate import simulate

SLIM = ["model.first.out_channels=4", "model.core.widths=[4]", "model.core.out_channels=4"]
FLY_HEAD = "ID\tSequence\tDev_log2_enrichment\tHk_log2_enrichment\tset"


def untrained(folder, config, overrides=()):
    experiment = load_experiment(config, [*SLIM, *overrides])
    run = Run(RunFolder(folder), experiment)
    run.folder.create(experiment)
    keras.utils.set_random_seed(1)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    untrained(folder / "yeast", "dream_cnn")
    untrained(folder / "fly", "fly_dream_cnn")
    simulate(folder / "suite", 20, 600, seed=1)
    random = np.random.default_rng(0)
    (folder / "fly_suite").mkdir()
    lines = [FLY_HEAD]
    for row in range(60):
        text = "".join(random.choice(list("ACGT"), 249))
        strand = "-" if row % 2 else "+"
        dev, hk = random.normal(size=2)
        lines.append(f"chr2L_{row}_{strand}_peak\t{text}\t{dev:.4f}\t{hk:.4f}\tTrain")
    (folder / "fly_suite" / "sample_test.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def server(desk):
    """A process with both runs, started as a GAME container is; gives it and its port."""
    words = ["yeast", "fly", "--max-waiting", "8100", "--", "127.0.0.1", "0", "10.0.0.1", "99"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dream_keras.serve", *words],
        cwd=desk,
        env={**os.environ, "KERAS_BACKEND": "jax"},  # the quicker one to import
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"serving at http://127\.0\.0\.1:(\d+)", line):
            break
    else:
        raise AssertionError("".join(said))
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield process, int(found[1])
    finally:
        process.kill()


def answered(folder, suite):
    """Return the predictions in the answer that an evaluator wrote, (rows, targets)."""
    (path,) = folder.glob("*_predictions_from_*.json")
    predictions = np.full(suite.measured.shape, np.nan)
    for task, values in enumerate(json.loads(path.read_text())["prediction_tasks"]):
        for key, value in values["predictions"].items():
            predictions[int(key.split("-")[0]), task] = value[0]
    path.unlink()
    return predictions


def test_evaluators_score_what_the_run_predicts_and_sigterm_ends(server, desk, tmp_path, capsys):
    process, port = server
    for name, suite in (("yeast", "suite"), ("fly", "fly_suite")):
        loaded = load_suite(desk / suite)
        run = dream_keras.load_run(desk / name)
        part = loaded.default_part
        found = evaluate_predictor("127.0.0.1", port, tmp_path, desk / suite)
        answers = answered(tmp_path, loaded)
        rows = loaded.rows(part)
        wanted = run.predict_suite(loaded, part, progress=False)[rows]
        np.testing.assert_allclose(answers[rows], wanted, atol=1e-4)  # the server runs on JAX
        assert found == score(loaded, answers, part)
    main(["evaluate", "127.0.0.1", str(port), str(tmp_path), "--suite", str(desk / "fly_suite")])
    assert "developmental" in capsys.readouterr().out
    with (tmp_path / "evaluation_summary_fly_STARR-seq.csv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["metric"] for row in rows].count("Pearson Score") == 2  # added, not replaced
    assert rows[0]["predictor_name"].startswith("yeast-fly_")
    (answer,) = tmp_path.glob("fly_STARR-seq_predictions_from_yeast-fly_*.json")
    assert len(json.loads(answer.read_text())["prediction_tasks"]) == 2

    # Requests in flight are finished.
    texts = ["".join(row) for row in np.random.default_rng(1).choice(list("ACGT"), (8000, 80))]
    task = {"name": "t", "type": "expression", "cell_type": "x"}
    task["species"] = "saccharomyces_cerevisiae"

    def ask(number):
        sequences = {str(at): text for at, text in enumerate(texts[:number])}
        body = {"readout": "point", "prediction_tasks": [task], "sequences": sequences}
        return httpx.post(f"http://127.0.0.1:{port}/predict", json=body, timeout=600)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, len(texts))
        while ask(200).status_code != 503:  # until the long one waits
            if answer.done():  # a short one stood in its way
                assert answer.result().status_code == 503
                answer = pool.submit(ask, len(texts))
        process.send_signal(signal.SIGTERM)
        assert process.wait(600) == 0
    predictions = answer.result().json()["prediction_tasks"][0]["predictions"]
    left, right = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
    run = dream_keras.load_run(desk / "yeast")
    expected = run.predict([f"{left}{text}{right}" for text in texts], progress=False)
    found = [predictions[str(at)][0] for at in range(len(texts))]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/formats")


def test_models_of_runs(desk, tmp_path, caplog):
    models = open_models([desk / "yeast", desk / "fly"])
    yeast, fly = models
    assert (yeast.name, yeast.ends[0], yeast.random_length) == ("yeast", "TGCATTTTTTTCACATC", 80)
    assert (yeast.shortest_insert, yeast.longest_insert) == (1, 137)
    assert (fly.ends, fly.longest, fly.tasks) == (
        ("", ""),
        249,
        ("Dev_log2_enrichment", "Hk_log2_enrichment"),
    )
    assert fly.reverse_mark == "-_"
    settings = ["game.species=homo_sapiens", "game.cell_types=[K562]", "game.adapters=AG,ttt"]
    untrained(tmp_path / "human" / "yeast", "human_dream_cnn", settings)
    first, human = open_models([desk / "yeast", tmp_path / "human" / "yeast"])
    assert [first.name, human.name] == [str(desk / "yeast"), str(tmp_path / "human" / "yeast")]
    assert (human.ends, human.kept, human.longest_insert) == (("AG", "TTT"), (2, 3), 225)
    untrained(tmp_path / "wrong", "fly_dream_cnn", ["game.cell_types=[a, b, c]"])
    with pytest.raises(UserError, match="names 3 cell types, and the run has the tasks Dev"):
        open_models([tmp_path / "wrong"])
    untrained(tmp_path / "silent", "dream_cnn", ["game.species=null"])
    open_models([tmp_path / "silent"])
    assert "says nothing of its species" in caplog.text


def test_intervals_come_from_a_calibration(desk, tmp_path, official_rows):
    from dream_keras.runs.calibration import calibrate

    rows = zip(*official_rows(np.random.default_rng(2), 120), strict=True)
    (tmp_path / "val.txt").write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    table = str(tmp_path / "val.txt")
    untrained(tmp_path / "run", "dream_cnn", [f"data.train={table}", f"data.validation={table}"])
    (model,) = open_models([tmp_path / "run"])
    assert model.bounds is None
    calibrate(dream_keras.load_run(tmp_path / "run"), progress=False)
    (model,) = open_models([tmp_path / "run"])
    predicted = model.predict([(model.whole("ACGT" * 20), False)])
    low, high = model.bounds(predicted)
    expected = dream_keras.predict_interval(
        tmp_path / "run", [model.whole("ACGT" * 20)], 0.9, progress=False
    )
    np.testing.assert_allclose(
        [low[0, 0], high[0, 0]], [each[0] for each in expected[1:]], atol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("game.species=Yeast", "species"),
        ("game.species=homo_sapiens", "cell_types"),
        ("game.type=expresion", "type"),
        ("game.adapters=add", "adapters"),
        ("game.adapters=ACGU,A", "adapters"),
    ],
)
def test_wrong_settings_are_named(settings, key):
    with pytest.raises(UserError, match=key):
        load_experiment("any_dream_cnn", [settings])


ERRORS = [
    ((200, "{"), "cannot be read"),
    ((200, "[]"), "list, not an object"),
    ((422, '{"error": "no"}'), "answers 422"),
    ((200, '{"prediction_tasks": []}'), "failed at the task expression"),
    ((200, '{"error": 1}'), "failed at the task expression"),
]


def answer_of(**fields):
    task = {"name": "expression", "scale_prediction_actual": "log", **fields}
    return 200, json.dumps({"prediction_tasks": [task], "predictor_name": "a/b c"})


ERRORS += [
    (answer_of(predictions={"error": "not mine"}), "not mine"),
    (answer_of(predictions={"0": 1.0}), "lacks a prediction"),
    (answer_of(predictions={}, scale_prediction_actual="linear"), "on the scale linear"),
]


@pytest.mark.parametrize(("answer", "said"), ERRORS)
def test_answers_that_cannot_be_scored(desk, tmp_path, monkeypatch, answer, said):
    def handle(request):
        if request.url.path == "/formats":
            return httpx.Response(200, json={})
        assert request.headers["content-type"] == "application/json"
        return httpx.Response(
            answer[0], text=answer[1], headers={"content-type": "application/json"}
        )

    client = httpx.Client
    transport = httpx.MockTransport(handle)
    monkeypatch.setattr(httpx, "Client", lambda **given: client(transport=transport, **given))
    with pytest.raises(UserError, match=said):
        evaluate_predictor("127.0.0.1", 1, tmp_path, desk / "suite")
    assert not list(tmp_path.iterdir())


def test_a_predictor_that_is_not_there(desk, tmp_path, monkeypatch):
    monkeypatch.setattr("dream_keras.serve.evaluator.PAUSE", 0)
    with pytest.raises(UserError, match="cannot be reached"):
        evaluate_predictor("127.0.0.1", 1, tmp_path, desk / "suite")


CONTAINERS = Path(__file__).parents[2] / "docs" / "containers"


def test_containers_start_the_server_with_their_arguments(monkeypatch):
    docker = (CONTAINERS / "Dockerfile").read_text()
    apptainer = (CONTAINERS / "predictor.def").read_text()
    entry, arguments = (
        json.loads(re.search(rf"^{word} (.*)$", docker, re.MULTILINE)[1])
        for word in ("ENTRYPOINT", "CMD")
    )
    script = shlex.split(re.search(r"^    exec (.*)$", apptainer, re.MULTILINE)[1])
    assert script == [*entry, "$@"]
    assert entry[:3] == ["python", "-m", "dream_keras.serve"]
    given = {}
    monkeypatch.setattr(
        "dream_keras.serve.__main__.serve", lambda runs, **options: given.update(options, runs=runs)
    )
    main([*entry[3:], *arguments, "10.0.0.1", "5000"])
    assert (given["runs"], given["host"], given["port"]) == (["/run"], "0.0.0.0", 8080)
    extras = tomllib.loads((CONTAINERS.parents[1] / "pyproject.toml").read_text())["project"]
    for text in (docker, apptainer):
        named = re.search(r"/src\[(.*?)\]", text)[1].split(",")
        assert set(named) <= set(extras["optional-dependencies"])


def test_arguments_behind_two_dashes():
    with pytest.raises(UserError, match=r"-- 0\.0\.0\.0: expected HOST PORT"):
        main(["run", "--", "0.0.0.0"])
