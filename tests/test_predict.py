import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data import sequences
from dream_keras.runs import run as runs
from dream_keras.runs.run import load_run

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"


@pytest.fixture(scope="module")
def run(training_table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    dream_keras.train(
        "dream_cnn", train=training_table, out=out, overrides=["trainer.seed=2"], smoke=True
    )
    return out


@pytest.fixture(scope="module")
def opened(run):
    return load_run(run)


@pytest.fixture(autouse=True)
def opened_once(run, opened, monkeypatch):
    """Compile the run's predictions once for all tests, not once for each call."""
    monkeypatch.setattr(
        runs, "load_run", lambda path: opened if Path(path) == run else load_run(path)
    )


@pytest.fixture
def inserts(random):
    return [LEFT + "".join(random.choice(list("ACGTN"), n)) + RIGHT for n in (80, 79, 60, 112, 80)]


def predictions(path):
    pairs = [line.split("\t") for line in path.read_text().splitlines()]
    return [name for name, _ in pairs], [float(value) for _, value in pairs]


def test_every_form_of_input_gives_the_same_predictions_in_order(run, inserts, tmp_path):
    fasta = "".join(f">s{n} described\n{s[:50]}\n{s[50:].lower()}\n" for n, s in enumerate(inserts))
    forms = {
        "text": "\n".join(inserts) + "\n",
        "windows": "\r\n".join(inserts),
        "table": "".join(f"{s}\t{n}\n" for n, s in enumerate(inserts)),
        "header": "id\tseq\n" + "".join(f"{n}\t{s}\n" for n, s in enumerate(inserts)),
        "fasta": fasta,
        "fasta after a comment": f"; made by hand\n\n{fasta}",
        "fasta with old line ends": fasta.replace("\n", "\r"),
    }
    got = {}
    for form, text in forms.items():
        (tmp_path / form).write_bytes(text.encode())
        column = "seq" if form == "header" else None
        out = tmp_path / f"{form}.tsv"
        rows = dream_keras.predict(run, tmp_path / form, out, sequence_column=column)
        assert rows == len(inserts)
        names, got[form] = predictions(out)
        assert names == ([f"s{n}" for n in range(5)] if "fasta" in form else inserts)
    (tmp_path / "gz").write_bytes(gzip.compress(forms["text"].encode()))
    dream_keras.predict(run, tmp_path / "gz", tmp_path / "gz.tsv")
    got["gzip"] = predictions(tmp_path / "gz.tsv")[1]
    for form, values in got.items():
        assert values == pytest.approx(got["text"], abs=2e-6), form
    assert len(set(got["text"])) == 5


def test_blocks_of_input_change_nothing(run, inserts, tmp_path, monkeypatch):
    many = inserts * 30
    (tmp_path / "in.fa").write_text("".join(f">{n}\n{s}\n" for n, s in enumerate(many)))
    dream_keras.predict(run, tmp_path / "in.fa", tmp_path / "whole.tsv")
    monkeypatch.setattr(sequences, "RECORDS", 7)
    monkeypatch.setattr("dream_keras.runs.prediction.WRITTEN_AT_A_TIME", 3)
    dream_keras.predict(run, tmp_path / "in.fa", tmp_path / "parts.tsv")
    whole, parts = predictions(tmp_path / "whole.tsv"), predictions(tmp_path / "parts.tsv")
    assert whole[0] == parts[0] == [str(n) for n in range(150)]
    assert whole[1] == pytest.approx(parts[1], abs=2e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{LEFT}ACGT\n{LEFT}ACXT\n", r"in:2: letter 'X' at position 20"),
        (f"# a comment\n{LEFT}ACGT\n{LEFT}ACXT\n", r"in:3: letter 'X' at position 20"),
        ("\n\n\n", "in: no sequences in it"),
        (f"{LEFT}ACGT\n\n{LEFT}\n", r"in:2: "),
        ("", "is empty"),
    ],
)
def test_bad_input_is_named_and_leaves_no_output(run, tmp_path, text, said):
    (tmp_path / "in").write_text(text)
    with pytest.raises(UserError, match=said):
        dream_keras.predict(run, tmp_path / "in", tmp_path / "out.tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_cannot_be_predicted_is_nan_or_left_out_and_listed(
    run, inserts, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("dream_keras.runs.prediction.WRITTEN_AT_A_TIME", 2)
    wrong = {0: "AC", 2: f"{LEFT}X", 3: LEFT + "A" * 151, 7: "", 8: "ACGT"}
    rows = [wrong.get(n, inserts[n % 5]) for n in range(9)]
    (tmp_path / "in").write_text("".join(f">s{n}\n{row}\n" for n, row in enumerate(rows)))
    out, listed = tmp_path / "out.tsv", tmp_path / "out.tsv.skipped.tsv"
    assert dream_keras.predict(run, tmp_path / "in", out, on_bad_row="nan", long_rows="drop") == 4
    names, values = predictions(out)
    assert names == [f"s{n}" for n in range(9)]
    assert [n for n, value in enumerate(values) if value != value] == list(wrong)
    table = [line.split("\t") for line in listed.read_text().splitlines()]
    assert [row[:3] for row in table] == [
        ["name", "line", "reason"],
        ["s0", "1", "short"],
        ["s2", "5", "letter"],
        ["s3", "7", "long"],
        ["s7", "15", "empty"],
        ["s8", "17", "short"],
    ]
    said = (
        "5 sequences were not predicted, 4 were: s0 (line 1), s2 (line 5), s3 (line 7) and others"
    )
    assert f"{said}; all are listed in {listed}" in caplog.text
    assert dream_keras.predict(run, tmp_path / "in", out, on_bad_row="skip", long_rows="crop") == 5
    assert predictions(out)[0] == ["s1", "s3", "s4", "s5", "s6"]
    assert len(listed.read_text().splitlines()) == 5
    (tmp_path / "in").write_text(inserts[0])
    dream_keras.predict(run, tmp_path / "in", out)
    assert not listed.exists()


def test_by_default_rows_are_treated_as_in_training(run, inserts, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    text = (copy / "config.yaml").read_text()
    for old, new in {
        "long_rows: fail": "long_rows: crop",
        "on_bad_row: fail": "on_bad_row: skip",
        "adapters: null": "adapters: add",
    }.items():
        assert old in text
        text = text.replace(old, new, 1)  # of the section data
    (copy / "config.yaml").write_text(text)
    bare = [insert.removeprefix(LEFT).removesuffix(RIGHT) for insert in inserts]
    rows = [f"p{n},{row},x" for n, row in enumerate([*bare, "ACX", "A" * 300])]
    (tmp_path / "in.csv").write_text("\n".join(["name,seq,note", *rows]))
    out = tmp_path / "out.tsv"
    assert dream_keras.predict(copy, tmp_path / "in.csv", out, id_column="name") == 6
    (tmp_path / "whole").write_text("\n".join(inserts))
    dream_keras.predict(run, tmp_path / "whole", tmp_path / "whole.tsv")
    names, values = predictions(out)
    assert names == ["p0", "p1", "p2", "p3", "p4", "p6"]
    assert values[:5] == pytest.approx(predictions(tmp_path / "whole.tsv")[1], abs=2e-6)
    # Also of sequences that are no file, as suites' are.
    opened = dream_keras.load_run(copy)
    assert opened.predict(bare) == pytest.approx(values[:5], abs=2e-6)


def test_pipes_are_written_to_and_links_followed(run, inserts, tmp_path):
    (tmp_path / "in").write_text("\n".join(inserts))
    (tmp_path / "real.tsv").write_text("old")
    (tmp_path / "link.tsv").symlink_to(tmp_path / "real.tsv")
    dream_keras.predict(run, tmp_path / "in", tmp_path / "link.tsv")
    assert (tmp_path / "link.tsv").is_symlink()
    assert len(predictions(tmp_path / "real.tsv")[0]) == 5
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    dream_keras.predict(run, tmp_path / "in", tmp_path / "pipe")
    assert reader.communicate()[0] == (tmp_path / "real.tsv").read_text()
    assert (tmp_path / "pipe").is_fifo()


def test_sequences_without_adapters_are_refused(run, inserts, tmp_path):
    (tmp_path / "in").write_text("ACGT" * 20)
    with pytest.raises(UserError, match="most sequences do not begin with the adapter"):
        dream_keras.predict(run, tmp_path / "in", tmp_path / "out.tsv")
    opened = dream_keras.load_run(run)
    for sequence, said in (("ACGT" * 20, "most sequences"), (LEFT, "sequence 1 has 17 bp")):
        with pytest.raises(UserError, match=said):
            opened.predict([sequence])
    for adapters in ("add", f"{LEFT},{RIGHT}"):
        dream_keras.predict(run, tmp_path / "in", tmp_path / "out.tsv", adapters=adapters)
        assert predictions(tmp_path / "out.tsv")[0] == ["ACGT" * 20]
    for wrong in ({"adapters": "both"}, {"long_rows": "no"}, {"on_bad_row": "no"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            dream_keras.predict(run, tmp_path / "in", tmp_path / "out.tsv", **wrong)


def test_standard_input_to_standard_output(run, inserts):
    done = subprocess.run(
        [sys.executable, "-m", "dream_keras.predict", str(run), "-"],
        input="\n".join(inserts),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == inserts
    assert done.stderr == ""
