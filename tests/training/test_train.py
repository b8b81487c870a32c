"""Whole runs: what they leave, that they can be broken off, and what they refuse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.cli import EXIT_RESUME
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import CONFIGS
from dream_keras.config.smoke import shrink
from dream_keras.runs.folder import RunFolder

SMALL = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "trainer.batch_size=16",
    "trainer.epochs=3",
    "trainer.steps_per_epoch=6",
    "trainer.ema=0.5",
]
FILES = [
    "MODEL.md",
    "best.weights.h5",
    "config.yaml",
    "environment.json",
    "history.csv",
    "last.weights.h5",
    "plots/learning_curve.png",
    "report.md",
    "state.npz",
]


def small_run(table, out, *overrides, **settings):
    return dream_keras.train(
        "dream_cnn",
        train=table,
        out=out,
        overrides=[*SMALL, *overrides],
        progress=False,
        **settings,
    )


def command(table, out, *arguments):
    overrides = [part for setting in SMALL for part in ("--set", setting)]
    base = [sys.executable, "-m", "dream_keras.train", "--config", "dream_cnn"]
    return [*base, "--train", str(table), "--out", str(out), *overrides, *arguments]


def weights(folder):
    with np.load(folder / "state.npz") as saved:
        return [saved[name] for name in saved.files if name.startswith("variable")]


@pytest.fixture(scope="module")
def finished(training_table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    return small_run(training_table, out, deterministic=True, seed=4)


def test_a_run_leaves_its_files(finished):
    for name in FILES:
        assert (finished.folder / name).stat().st_size > 0, name
    assert list((finished.folder / "tensorboard").iterdir())
    assert not list(finished.folder.rglob(".writing-*"))


def test_history_has_a_row_per_epoch(finished):
    history = pd.read_csv(finished.folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["step"].tolist() == [6, 12, 18]
    pd.testing.assert_frame_equal(history, finished.history)
    assert finished.metrics is None


def test_the_best_epoch_is_kept(finished):
    from dream_keras.data.stream import hold_out
    from dream_keras.data.table import load_rows
    from dream_keras.runs.prediction import predict_rows
    from dream_keras.runtime.steps import Steps
    from dream_keras.scoring.metrics import pearson

    run = dream_keras.load_run(finished.folder)
    rows = load_rows(run.experiment.data.train, run.processor)
    held_out = hold_out(rows, 0.1, seed=4)[1]
    predicted = predict_rows(Steps(run.network, run.processor), held_out.tokens)
    best = finished.history["val_pearson"].max()
    assert pearson(predicted[:, 0], held_out.labels[:, 0]) == pytest.approx(best, abs=1e-5)


def test_the_environment_is_written_down(finished):
    written = json.loads((finished.folder / "environment.json").read_text())
    assert written["seed"] == 4
    assert written["versions"]["dream_keras"] == dream_keras.__version__
    assert written["backend"] == "tensorflow"


def test_tensorboard_finds_scalars_pictures_text_and_graph(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished.folder / "tensorboard"), {"tensors": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"step/loss", "step/learning_rate", "epoch/val_pearson", "config"} <= set(
        tags["tensors"]
    )
    assert len(events.Tensors("step/loss")) == 18
    assert tags["graph"]
    assert len(events.Images("validation")) == 3
    names = [node.name for node in events.Graph().node]
    assert "core/stage0_grouped" in names
    inputs = {i for node in events.Graph().node for i in node.input}
    assert inputs <= set(names)


def test_resuming_a_finished_run_changes_nothing(finished, training_table):
    before = weights(finished.folder)
    again = small_run(training_table, finished.folder, deterministic=True, seed=4, resume=True)
    for then, now in zip(before, weights(finished.folder), strict=True):
        np.testing.assert_array_equal(then, now)
    assert len(again.history) == 3


def test_resume_refuses_other_settings(finished):
    with pytest.raises(UserError, match=r"was trained with trainer.epochs=3, not 5"):
        dream_keras.train(out=finished.folder, overrides=["trainer.epochs=5"], resume=True)


def wait_for(condition, process, seconds=240):
    for _ in range(seconds * 20):
        if condition():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("waited too long")


def steps_into_an_epoch(run):
    """Return how many steps beyond the last whole epoch a run's state holds."""
    with np.load(run / "state.npz") as saved:
        return len(json.loads(str(saved["state"]))["losses"])


@pytest.mark.parametrize(
    ("sent", "minutes"),
    [
        pytest.param(signal.SIGKILL, 10, marks=pytest.mark.slow),
        (signal.SIGKILL, 0),
        pytest.param(signal.SIGTERM, 10, marks=pytest.mark.slow),
    ],
    ids=["killed, saved per epoch", "killed, saved per step", "told to stop"],
)
def test_a_broken_run_resumes_to_the_same_weights(
    finished, training_table, tmp_path, sent, minutes
):
    """Break it off in the middle of the second epoch, resume, and compare bit by bit."""
    out = tmp_path / "broken"
    arguments = ("--deterministic", "--seed", "4")
    arguments += ("--set", f"runtime.checkpoint_minutes={minutes}")
    # Slow steps leave time to hit one; they change no number.
    slow = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\n"
        "def slow():\n"
        "    import sys\n"
        "    while 'dream_keras.training.engine' not in sys.modules: time.sleep(0.01)\n"
        "    time.sleep(0.2)\n"
        "    from dream_keras.training.engine import Engine\n"
        "    call = Engine._call\n"
        "    def slowly(self, *a):\n"
        "        time.sleep(0.3)\n"
        "        return call(self, *a)\n"
        "    Engine._call = slowly\n"
        "threading.Thread(target=slow, daemon=True).start()\n"
    )
    process = subprocess.Popen(
        command(training_table, out, *arguments), env=slow, stderr=subprocess.PIPE, text=True
    )
    history = out / "history.csv"
    wait_for(history.exists, process)
    if minutes == 0:
        wait_for(lambda: steps_into_an_epoch(out) > 0, process)
    else:
        time.sleep(0.8)
    process.send_signal(sent)
    said = process.communicate()[1]
    assert len(pd.read_csv(history)) < 3
    assert (steps_into_an_epoch(out) > 0) == (sent == signal.SIGTERM or minutes == 0)
    if sent == signal.SIGTERM:
        assert process.returncode == EXIT_RESUME
        assert f"Continue with --out {out} --resume" in said
    assert not (out / "report.md").exists()
    done = subprocess.run(
        [sys.executable, "-m", "dream_keras.train", "--out", str(out), "--resume"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for unbroken, resumed in zip(weights(finished.folder), weights(out), strict=True):
        np.testing.assert_array_equal(unbroken, resumed)
    columns = ["epoch", "step", "loss", "val_pearson"]
    pd.testing.assert_frame_equal(
        pd.read_csv(history, float_precision="round_trip")[columns],
        finished.history[columns],
        check_exact=True,
    )
    assert (out / "report.md").exists()


def test_an_infinite_loss_stops_the_run_and_keeps_the_last_good_epoch(
    finished, training_table, tmp_path, monkeypatch
):
    """The loss breaks in the second epoch; the weights of the first must be there."""
    from dream_keras.runtime.steps import Steps

    train, calls = Steps.train, []

    def breaking(self, batches):
        calls.append(batches)
        report = train(self, batches)
        if len(calls) == 9:
            self.network.trainable_weights[0].assign(self.network.trainable_weights[0] * np.nan)
            report[-1, 0] = np.nan
        return report

    monkeypatch.setattr(Steps, "train", breaking)
    out = tmp_path / "broken"
    with pytest.raises(UserError, match=r"the loss is nan at step 9, learning rate 0\.00\d+\."):
        small_run(training_table, out, deterministic=True, seed=4)
    monkeypatch.setattr(Steps, "train", train)
    assert len(pd.read_csv(out / "history.csv")) == 1
    assert all(np.isfinite(value).all() for value in weights(out))
    # From there the run goes on as if nothing had happened.
    resumed = dream_keras.train(out=out, resume=True, progress=False)
    assert resumed.history["loss"].tolist() == finished.history["loss"].tolist()


def test_diverged_weights_are_named_when_the_loss_is_still_finite(training_table, tmp_path):
    with pytest.raises(UserError, match=r"predictions are not finite at step 1,"):
        small_run(
            training_table,
            tmp_path / "run",
            "trainer.steps_per_epoch=1",
            "trainer.learning_rate=1e30",
        )


def test_an_existing_folder_is_refused(finished):
    with pytest.raises(UserError, match=r"exists already.*--resume"):
        dream_keras.train(out=finished.folder)


def test_resume_needs_a_folder_that_is_a_run(tmp_path):
    with pytest.raises(UserError, match="--resume needs --out"):
        dream_keras.train(resume=True)
    with pytest.raises(UserError, match="is not a run folder"):
        dream_keras.train(out=tmp_path, resume=True)


def test_a_run_without_a_finished_epoch_says_so(finished, tmp_path):
    folder = RunFolder(tmp_path / "young")
    folder.create(dream_keras.load_run(finished.folder).experiment)
    with pytest.raises(UserError, match="has not finished an epoch"):
        _ = dream_keras.load_run(folder.path).network


@pytest.fixture
def copy(finished, tmp_path):
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


@pytest.mark.parametrize("content", [b"junk", b"", None], ids=["junk", "empty", "cut"])
def test_damaged_files_are_named(copy, content):
    for name in ("state.npz", "best.weights.h5"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"state\.npz cannot be read"):
        dream_keras.train(out=copy, resume=True)
    with pytest.raises(UserError, match=r"best\.weights\.h5 cannot be read"):
        _ = dream_keras.load_run(copy).network


def test_lost_weights_are_named(copy):
    (copy / "best.weights.h5").unlink()
    with pytest.raises(UserError, match=r"it is gone. last\.weights\.h5"):
        _ = dream_keras.load_run(copy).network


def test_a_kill_between_state_and_history_loses_no_row(copy):
    lines = (copy / "history.csv").read_text().splitlines(keepends=True)
    (copy / "history.csv").write_text("".join(lines[:-1]))
    dream_keras.train(out=copy, resume=True)
    assert (copy / "history.csv").read_text() == "".join(lines)


def test_a_kill_before_the_report_is_made_good(copy):
    (copy / "report.md").unlink()
    shutil.rmtree(copy / "plots")
    dream_keras.train(out=copy, resume=True)
    assert (copy / "report.md").exists()
    assert (copy / "plots/learning_curve.png").exists()


def test_a_kill_before_the_first_file_leaves_a_folder_to_start_in(training_table, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".writing-abc-config.yaml").write_text("")
    small_run(training_table, tmp_path / "run", "trainer.epochs=1")


def test_resume_refuses_changed_rows(finished, training_table, tmp_path):
    table = tmp_path / "train.txt"
    table.write_bytes(training_table.read_bytes())
    run = small_run(table, tmp_path / "run", "trainer.epochs=1")
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-50]))
    with pytest.raises(UserError, match="have changed since"):
        dream_keras.train(out=run.folder, resume=True)


def test_weights_without_a_state_are_not_trained_over(copy):
    (copy / "state.npz").unlink()
    before = (copy / "best.weights.h5").read_bytes()
    with pytest.raises(UserError, match="cannot be resumed"):
        dream_keras.train(out=copy, resume=True)
    assert (copy / "best.weights.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"suite": "nowhere"}, "does not exist"),
        ({"overrides": ["data.max_rows=2"]}, "nothing to learn"),
        ({"overrides": ["trainer.batch_size=0"]}, r"batch_size=0: at least 1"),
        ({"overrides": ["trainer.epochs=0"]}, r"epochs=0: at least 1"),
        ({"overrides": ["runtime.steps_per_call=0"]}, r"steps_per_call=0: at least 1"),
        ({"seed": -1}, r"seed=-1: at least 0"),
        ({"train": "missing # file.txt"}, r"no file .*missing # file\.txt"),
        ({"sequence_column": "1", "target_column": "no"}, 'unknown column .* "1"'),
    ],
)
def test_mistakes_are_found_before_the_folder_is_made(training_table, tmp_path, settings, said):
    out = tmp_path / "run"
    with pytest.raises(UserError, match=said):
        dream_keras.train(**{"train": training_table, "out": out, **settings})
    assert not out.exists()


def test_labels_on_another_scale_are_refused(training_table, tmp_path):
    table = tmp_path / "train.txt"
    lines = (line.split("\t") for line in training_table.read_text().splitlines())
    table.write_text("".join(f"{s}\t{float(y) - 12}\n" for s, y in lines))
    with pytest.raises(UserError, match=r"labels run from .*autosome_regression"):
        small_run(table, tmp_path / "run")
    small_run(table, tmp_path / "run", "model.final=autosome_regression", "trainer.epochs=1")


LARGE = (
    "quickstart",
    "dream_cnn",
    "dream_rnn",
    "dream_attn",
    "autosome_legnet",
    "bhi_deepgxp",
    "unlockdna_proformer",
    "any_dream_cnn",
    "any_dream_rnn",
    "any_dream_attn",
    "any_house",
)
BUILT_IN = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem in LARGE else [])
    for path in sorted(CONFIGS.glob("*.yaml"))
]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_config_runs_in_miniature(name, tmp_path):
    result = dream_keras.train(name, out=tmp_path / "run", smoke=True)
    assert result.metrics["part"] == "public"
    assert result.metrics["subsets"]["all"]["n"] > 100
    assert (result.folder / "plots/suite.png").exists()
    assert (result.folder / "predictions.tsv").exists()
    again = dream_keras.evaluate(result.folder, part="public", progress=False).to_dict()
    assert again["subsets"]["all"]["pearson"] == pytest.approx(
        result.metrics["subsets"]["all"]["pearson"], abs=1e-5
    )


def test_smoke_never_enlarges_and_always_builds():
    overrides = [
        "model.first={name: bhi, out_channels: 330, kernel_sizes: [9, 11, 15]}",
        "model.core={name: unlockdna, num_heads: 3}",
        "model.final={name: autosome_regression, features: 4}",
    ]
    small = shrink(dream_keras.load_experiment("dream_cnn", overrides)).model
    assert small.first.options["out_channels"] == 24
    assert small.core.options["layers"] == 1
    assert small.final.options["features"] == 4
    dream_keras.build_network(small)


def test_low_precision_stays_with_its_run(training_table, tmp_path):
    import keras

    result = small_run(
        training_table, tmp_path / "run", "trainer.epochs=1", "runtime.precision=mixed_bfloat16"
    )
    assert keras.config.dtype_policy().name == "float32"
    layer = dream_keras.load_run(result.folder).network.get_layer("core_stage0_expand")
    assert layer.compute_dtype == "bfloat16"


@pytest.mark.slow
def test_several_steps_per_call_are_the_same_run(finished, training_table, tmp_path):
    other = small_run(training_table, tmp_path / "run", "runtime.steps_per_call=4", seed=4)
    for column in ("loss", "learning_rate", "val_pearson"):
        assert other.history[column].tolist() == pytest.approx(
            finished.history[column].tolist(), rel=1e-3
        )


def test_skipped_rows_are_written_down(training_table, tmp_path):
    table = tmp_path / "train.txt"
    table.write_text(training_table.read_text() + "ACGX\t1\nACGT\tx\n")
    result = small_run(table, tmp_path / "run", "trainer.epochs=1", on_bad_row="skip")
    skipped = pd.read_csv(result.folder / "skipped_rows.tsv", sep="\t")
    assert skipped["line"].tolist() == [401, 402]
    assert skipped["reason"].tolist() == ["letter", "number"]


def test_seeds_decide_the_start(finished, training_table, tmp_path):
    """The same seed gives the same run: see the test above and the one below."""
    other = small_run(training_table, tmp_path / "run", seed=5)
    assert other.history["loss"][0] != pytest.approx(finished.history["loss"][0], rel=1e-4)


def test_reference_validation_scores_every_strand(finished, training_table, tmp_path):
    reference = [
        "model.processor={name: autosome, singleton_in_validation: true, "
        "average_validation_strands: false}"
    ]
    other = small_run(training_table, tmp_path / "run", *reference, seed=4)
    assert other.history["loss"][0] == pytest.approx(finished.history["loss"][0], rel=1e-4)
    assert other.history["val_mse"][0] != finished.history["val_mse"][0]
