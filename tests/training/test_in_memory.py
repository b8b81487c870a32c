"""Runs on rows in memory: trained, resumed, moved and used like those on files."""

import shutil

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.errors import UserError

SMALL = [
    "model.first={name: autosome, out_channels: 8}",
    "model.core={name: autosome, widths: [8], out_channels: 8}",
    "trainer.epochs=1",
    "trainer.steps_per_epoch=2",
    "trainer.batch_size=16",
]


@pytest.fixture(scope="module")
def rows(training_table):
    lines = [line.split("\t") for line in training_table.read_text().splitlines()]
    return [line[0] for line in lines], np.array([float(line[1]) for line in lines])


@pytest.fixture(scope="module")
def run(tmp_path_factory, rows):
    out = tmp_path_factory.mktemp("memory") / "run"
    sequences, targets = rows
    dream_keras.train(
        "dream_cnn", sequences=sequences, targets=targets, out=out, overrides=SMALL, progress=False
    )
    return out


def test_a_run_on_rows_in_memory_is_that_on_their_file(run, tmp_path, training_table):
    of_file = tmp_path / "file"
    dream_keras.train(
        "dream_cnn", train=training_table, out=of_file, overrides=SMALL, progress=False
    )
    ours, theirs = (pd.read_csv(folder / "history.csv") for folder in (run, of_file))
    pd.testing.assert_frame_equal(
        ours.drop(columns=["seconds", "rows_per_second"], errors="ignore"),
        theirs.drop(columns=["seconds", "rows_per_second"], errors="ignore"),
        check_exact=True,
    )


def test_it_is_resumed_wherever_it_stands(run, rows, tmp_path, caplog):
    caplog.set_level("INFO")
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    dream_keras.train(out=moved, resume=True, progress=False)
    assert "is finished" in caplog.text
    sequences, targets = rows
    dream_keras.train(sequences=sequences, targets=targets, out=moved, resume=True, progress=False)
    with pytest.raises(UserError, match="row 0 is not that of"):
        dream_keras.train(
            sequences=sequences, targets=targets + 1, out=moved, resume=True, progress=False
        )


def test_an_aborted_run_keeps_nothing(tmp_path, rows):
    sequences, targets = rows
    left = tmp_path / "run" / ".writing-data"  # by a kill
    left.mkdir(parents=True)
    (left / "train.tsv").write_text("half a row")
    with pytest.raises(UserError, match="all training labels"):
        dream_keras.train(
            "dream_cnn",
            sequences=sequences,
            targets=np.ones(len(targets)),
            validation_sequences=sequences,
            validation_targets=targets,
            out=tmp_path / "run",
            overrides=SMALL,
            progress=False,
        )
    assert not (tmp_path / "run").exists()


def test_data_frames_of_two_tasks(tmp_path, rows):
    sequences, targets = rows
    frame = pd.DataFrame({"seq": sequences, "liver": targets, "brain": -targets})
    frame.loc[3, "brain"] = np.nan
    dream_keras.train(
        "dream_cnn",
        train=frame,
        validation=frame[:50],
        sequence_column="seq",
        target_columns=["liver", "brain"],
        overrides=[*SMALL, "model.final={name: autosome_regression, tasks: 2}"],
        out=tmp_path / "run",
        progress=False,
    )
    opened = dream_keras.load_run(tmp_path / "run")
    assert opened.task_names == ("liver", "brain")
    assert opened.predict(sequences[:3]).shape == (3, 2)


# A run in memory, used.
def test_predictions_are_returned(run, rows, tmp_path, capsys):
    sequences = rows[0][:20]
    opened = dream_keras.load_run(run)
    values = opened.predict(sequences)
    assert values.shape == (20,)
    np.testing.assert_array_equal(dream_keras.predict(run, sequences), values)
    np.testing.assert_allclose(opened.predict(sequences[::-1]), values[::-1], rtol=1e-6)

    file = tmp_path / "sequences.txt"
    file.write_text("\n".join(sequences) + "\n")
    np.testing.assert_allclose(dream_keras.predict(run, file), values, atol=1e-6)
    assert capsys.readouterr().out == ""
    assert dream_keras.predict(run, file, tmp_path / "out.tsv") == 20
    assert dream_keras.predict(run, file, "-") == 20
    assert capsys.readouterr().out == (tmp_path / "out.tsv").read_text()


def test_encoded_sequences_are_what_the_network_is_given(run, rows):
    opened = dream_keras.load_run(run)
    sequences = rows[0][:4]
    channels = opened.encode(sequences)
    assert channels.shape == (4, 150, 6)
    assert channels.dtype == np.float32
    # A, G, C, T of the last base, and both flags 0.
    for row, sequence in zip(channels, sequences, strict=True):
        assert row[-1].tolist() == [float(sequence[-1] == base) for base in "AGCT"] + [0, 0]
    reverse = channels.copy()
    reverse = reverse[:, ::-1][:, :, [3, 2, 1, 0, 4, 5]]
    reverse[..., 4] = 1
    both = [dream_keras.expression(opened.network, each) for each in (channels, reverse)]
    np.testing.assert_allclose(np.mean(both, axis=0), opened.predict(sequences), rtol=1e-5)


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        ("ACGT", "expected a list of sequences, got str"),
        ([], "there is no sequence"),
        (["ACGU" * 20], "sequence 1"),
        (
            ["TGCATTTTTTTCACATC" + "ACGT" * 20, "ACGT"],
            "sequence 2 has 4 bp; the processor takes 18 or",
        ),
        (["ACGT" * 200], "sequence 1 has 800 bp"),
    ],
)
def test_sequences_that_cannot_be_predicted(run, sequences, said):
    opened = dream_keras.load_run(run)
    for use in (opened.predict, opened.encode):
        with pytest.raises(UserError, match=said):
            use(sequences)
