"""Training on what another run predicts: which rows, which labels, resumed without the teacher."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from scipy import stats

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.config.smoke import shrink
from dream_keras.data import alphabet
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.prediction import predict_rows
from dream_keras.runs.rows import load_data
from dream_keras.runs.run import Run
from dream_keras.train import main
from dream_keras.training import distillation
from dream_keras.training.distillation import check_teacher, label_rows, open_teacher
from dream_keras.training.engine import Engine

SLIM = [
    "model.first={name: autosome, out_channels: 8}",
    "model.core={name: autosome, widths: [8], out_channels: 8}",
]
CHANGES = ["augment.mutation=0.3", "augment.deletion=5", "augment.shift=2"]
PROCESSORS = {
    "autosome": (["model.processor={name: autosome, length: 110}"], "autosome"),
    "bhi": (
        ["model.processor={name: bhi, shifts: 0, label_mean: [8], label_std: [2]}"],
        "autosome_regression",
    ),
    "unlockdna": (
        ["model.processor={name: unlockdna, label_mean: [8], label_std: [2]}"],
        "autosome_regression",
    ),
    "plain": (
        [
            "model.processor={name: plain, length: 112, fixed_left: 18, fixed_right: 14, "
            "upstream: ACG, downstream: TTA}"
        ],
        "gaussian",
    ),
}
"""Settings of each processor, and a final block that it goes with."""


def settings_of(processor):
    options, final = PROCESSORS[processor]
    return [*SLIM, *options, f"model.final={final}"]


def untrained(folder, overrides, seed):
    """Make a run with random weights."""
    experiment = load_experiment("dream_cnn", overrides)
    run = Run(RunFolder(folder), experiment)
    run.folder.create(experiment)
    keras.utils.set_random_seed(seed)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
    return folder


def student(folder, *overrides):
    return Run(RunFolder(folder), load_experiment("dream_cnn", overrides))


def labelled(run, network=None):
    """Return the training rows of a run, as measured and as its teacher labels them."""
    rows, _ = load_data(run)
    teacher = open_teacher(run)
    check_teacher(run, teacher)
    return rows, label_rows(run, rows, teacher, network or run.untrained_network(), False)


def test_every_processor_is_tested():
    assert menu.names("processor") == sorted([*PROCESSORS, "profile"])  # no teacher labels regions


@pytest.fixture(scope="module", params=PROCESSORS)
def lesson(request, training_table, tmp_path_factory):
    """A teacher, and the rows of a student: as they are, changed, random, and from a file."""
    folder = tmp_path_factory.mktemp(request.param)
    table = [f"data.train={training_table}", f"data.validation={training_table}"]
    common = [*settings_of(request.param), *table]
    teacher = untrained(folder / "teacher", common, seed=1)
    run = student(
        folder / "student",
        *common,
        *CHANGES,
        f"distillation.teacher={teacher}",
        "distillation.copies=2",
        "distillation.unlabelled=500",
        f"distillation.unlabelled_file={training_table}",
    )
    return (dream_keras.load_run(teacher), run, *labelled(run))


def test_rows_are_measured_changed_random_and_given(lesson):
    _, run, rows, taught = lesson
    assert len(taught) == 400 * 3 + 500 + 400
    parts = np.split(taught.tokens, [400, 800, 1200, 1700])
    np.testing.assert_array_equal(parts[0], rows.tokens)
    np.testing.assert_array_equal(parts[4], rows.tokens)
    assert not (parts[1] == parts[2]).all(axis=1).any()
    left, right = distillation._adapters(run)

    def ends(tokens):
        found = []

        def look(sequences):
            start, stop = run.processor.insert_bounds(sequences, left, right)
            at = np.arange(sequences.shape[1])
            inside = (at >= start[:, None]) & (at < stop[:, None])
            assert inside.sum(axis=1).min() >= 78
            found.append(np.where(inside, alphabet.N, sequences))
            return sequences

        run.processor.edit(tokens, look)
        return found[0]

    for part in parts[1:4]:
        assert not (part == np.resize(rows.tokens, part.shape)).all(axis=1).any()
        np.testing.assert_array_equal(np.unique(ends(part), axis=0), ends(rows.tokens)[:1])


def test_random_inserts_have_the_bases_of_the_rows(training_table, tmp_path):
    run = student(
        tmp_path / "run", *settings_of("autosome"), f"data.train={training_table}", "trainer.seed=1"
    )
    rows, _ = load_data(run)
    skewed = np.where(rows.tokens == alphabet.T, alphabet.A, rows.tokens)
    templates = dataclasses.replace(rows.take(np.zeros(3000, np.int64)), tokens=skewed[[0] * 3000])
    drawn = distillation._with_random_inserts(run, templates, np.random.default_rng(0))
    inside = distillation._inside(run, templates.tokens)
    np.testing.assert_array_equal(drawn[~inside], templates.tokens[~inside])
    expected = np.bincount(templates.tokens[inside], minlength=4)
    assert expected[alphabet.T] == 0
    found = np.bincount(drawn[inside], minlength=4)
    assert found[alphabet.T] == 0
    kept = expected > 0
    assert stats.chisquare(found[kept], expected[kept]).pvalue > 1e-3
    pairs = drawn[:, 30] * 4 + drawn[:, 31]  # neighbours are independent
    counts = np.bincount(pairs, minlength=16).reshape(4, 4)[:3, :3]
    assert stats.chi2_contingency(counts).pvalue > 1e-3


def test_labels_are_the_teachers_predictions_of_the_same_sequences(lesson, training_table):
    teacher, _, _, taught = lesson
    sequences = [line.split("\t")[0] for line in training_table.read_text().splitlines()]
    np.testing.assert_allclose(taught.labels[:400, 0], teacher.predict(sequences), rtol=1e-5)
    np.testing.assert_allclose(taught.labels[-400:, 0], teacher.predict(sequences), rtol=1e-5)
    expected = predict_rows(teacher.steps, taught.tokens)
    np.testing.assert_allclose(taught.labels, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(taught.labels[400:800] - taught.labels[:400]) > 0


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_measured_values_are_mixed_in(training_table, tmp_path, share):
    table = [f"data.train={training_table}", "data.split_seed=3"]
    common = [*settings_of("autosome"), *table]
    teacher = untrained(tmp_path / "teacher", common, seed=2)
    run = student(
        tmp_path / "run",
        *common,
        f"distillation.teacher={teacher}",
        f"distillation.measured={share}",
    )
    rows, taught = labelled(run)
    said = predict_rows(dream_keras.load_run(teacher).steps, rows.tokens)
    expected = share * rows.labels + (1 - share) * said
    np.testing.assert_allclose(taught.labels, expected, rtol=1e-5)


def test_a_network_with_variance_is_trained_on_single_members(training_table, tmp_path):
    common = [*settings_of("plain"), f"data.train={training_table}", "data.split_seed=3"]
    runs = [untrained(tmp_path / str(seed), common, seed) for seed in range(2)]
    dream_keras.ensemble(runs, tmp_path / "both", progress=False)
    run = student(tmp_path / "run", *common, f"distillation.teacher={tmp_path / 'both'}")
    rows, taught = labelled(run)
    said = [predict_rows(dream_keras.load_run(each).steps, rows.tokens) for each in runs]
    near = [np.isclose(taught.labels, each, rtol=1e-5)[:, 0] for each in said]
    assert (near[0] ^ near[1]).all()
    assert 0.4 < near[0].mean() < 0.6
    mean = student(tmp_path / "run", *common, f"distillation.teacher={tmp_path / 'both'}")
    network = student(
        tmp_path / "other", *common, "model.final=autosome_regression"
    ).untrained_network()
    np.testing.assert_allclose(
        labelled(mean, network)[1].labels, np.mean(said, axis=0), rtol=1e-5, atol=1e-6
    )


def test_broken_off_predictions_are_not_made_again(lesson, monkeypatch):
    teacher, _, _, taught = lesson
    monkeypatch.setattr(distillation, "CHUNK", 300)
    predict, calls = distillation.predict_distribution, []

    def counted(steps, tokens, **options):
        calls.append(len(tokens))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(steps, tokens, **options)

    monkeypatch.setattr(distillation, "predict_distribution", counted)
    with pytest.raises(KeyboardInterrupt):
        distillation.predict_cached(teacher, taught.tokens, taught.flags)
    said = distillation.predict_cached(teacher, taught.tokens, taught.flags)
    assert calls == [300] * 8
    np.testing.assert_allclose(said.mean, taught.labels, rtol=1e-5, atol=1e-5)
    distillation.predict_cached(teacher, taught.tokens, taught.flags)
    assert len(calls) == 8


# Whole runs

TINY = [*SLIM, "trainer.batch_size=32", "trainer.steps_per_epoch=40"]


@pytest.fixture(scope="module")
def teacher(training_table, tmp_path_factory):
    """A run that has hardly been trained."""
    few = ["trainer.epochs=1", "trainer.steps_per_epoch=2"]
    out = tmp_path_factory.mktemp("teacher") / "run"
    dream_keras.train(
        "dream_cnn", train=training_table, out=out, overrides=[*TINY, *few], progress=False
    )
    return out


@pytest.fixture(scope="module")
def school(training_table, tmp_path_factory):
    """An ensemble that has learnt the share of G and C, and a table that says nothing of it."""
    folder = tmp_path_factory.mktemp("school")
    dream_keras.train_ensemble(
        "dream_cnn",
        2,
        train=training_table,
        out=folder / "teacher",
        overrides=[*TINY, "trainer.epochs=8"],
        progress=False,
    )
    lines = [line.split("\t") for line in training_table.read_text().splitlines()]
    labels = np.random.default_rng(0).permutation([label for _, label in lines])
    text = "".join(f"{row[0]}\t{label}\n" for row, label in zip(lines, labels, strict=True))
    (folder / "noise.txt").write_text(text)
    return folder


def learn(school, out, validation):
    return dream_keras.train(
        "dream_cnn",
        train=school / "noise.txt",
        validation=validation,
        teacher=school / "teacher",
        unlabelled=600,
        out=out,
        overrides=[*TINY, *CHANGES, "trainer.epochs=6", "distillation.copies=1"],
        deterministic=True,
        progress=False,
    )


@pytest.mark.slow
def test_a_student_learns_what_only_its_teacher_knows(
    school, training_table, tmp_path, monkeypatch
):
    whole = learn(school, tmp_path / "whole", training_table)
    fresh = np.random.default_rng(5).choice(list("ACGT"), (300, 80))
    sequences = ["TGCATTTTTTTCACATC" + "".join(row) + "GGTTACGGCTGTT" for row in fresh]
    said = dream_keras.load_run(school / "teacher").predict(sequences)
    assert np.corrcoef(said, np.isin(fresh, ["G", "C"]).mean(axis=1))[0, 1] > 0.7
    assert np.corrcoef(said, dream_keras.load_run(whole.folder).predict(sequences))[0, 1] > 0.8

    # Broken off, it goes on without its teacher, to the same weights.
    epoch = Engine._epoch

    def breaking(self, number, *rest):
        if number == 1:
            raise KeyboardInterrupt
        return epoch(self, number, *rest)

    monkeypatch.setattr(Engine, "_epoch", breaking)
    with pytest.raises(KeyboardInterrupt):
        learn(school, tmp_path / "broken", training_table)
    monkeypatch.setattr(Engine, "_epoch", epoch)
    shutil.move(school / "teacher", school / "gone")
    try:
        resumed = dream_keras.train(out=tmp_path / "broken", resume=True, progress=False)
    finally:
        shutil.move(school / "gone", school / "teacher")
    with np.load(whole.folder / "state.npz") as a, np.load(resumed.folder / "state.npz") as b:
        for name in (name for name in a.files if name != "state"):
            np.testing.assert_array_equal(a[name], b[name])

    # A teacher's rows that have changed since are noticed.
    labels = tmp_path / "broken" / distillation.KEPT
    np.save(labels, np.load(labels)[:-1])
    with pytest.raises(UserError, match="the tables are others than the run was started with"):
        dream_keras.train(out=tmp_path / "broken", resume=True, progress=False)


def test_a_prepared_folder_is_taught(teacher, tmp_path, training_table):
    dream_keras.prepare(training_table, tmp_path / "rows", config="dream_cnn", shards=1)
    result = dream_keras.train(
        "dream_cnn",
        train=tmp_path / "rows",
        validation=training_table,
        teacher=teacher,
        out=tmp_path / "run",
        overrides=[*TINY, "trainer.epochs=1", "trainer.steps_per_epoch=2"],
        progress=False,
    )
    assert len(np.load(result.folder / distillation.KEPT)) == 400


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--set", "model.processor.length=110"], "has another model.processor"),
        (["--set", "data.adapters=present"], "has another data.adapters"),
        (["--seed", "4"], "would validate on rows that its teacher was trained on. Give --set "),
        (["--set", "data.max_rows=300"], r"data.max_rows=None, this run has 300"),
        (["--unlabelled", "nowhere.txt"], "no file"),
        (["--teacher", "nowhere"], "not a run folder"),
        (["--set", "distillation.measured=2"], "expected a share between 0 and 1"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher, training_table, tmp_path, given, message):
    arguments = ["--config", "dream_cnn", "--train", str(training_table), *given]
    for override in TINY:
        arguments += ["--set", override]
    if "--teacher" not in given:
        arguments += ["--teacher", str(teacher)]
    with pytest.raises(UserError, match=message):
        main([*arguments, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_unlabelled_rows_need_a_teacher(training_table, tmp_path):
    with pytest.raises(UserError, match="--teacher RUN"):
        dream_keras.train(train=training_table, unlabelled=10, out=tmp_path / "run")


def test_a_student_in_miniature():
    experiment = load_experiment(
        "dream_cnn", ["distillation.teacher=run", "distillation.unlabelled=1000000"]
    )
    small = shrink(experiment).distillation
    assert (small.teacher, small.copies, small.unlabelled) == ("run", 1, 2000)
