import gzip
import os
import subprocess
import sys

import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data import sequences

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"


@pytest.fixture(scope="module")
def run(training_table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    dream_keras.train(
        "dream_cnn", train=training_table, out=out, overrides=["trainer.seed=2"], smoke=True
    )
    return out


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
        (f">s0\n{LEFT}ACGT\n>s1\n", r"in:3: record 's1': the sequence is empty"),
        ("\n\n\n", "in: no sequences in it"),
        (f"{LEFT}ACGT\n\n{LEFT}\n", r"in:2: "),
        (f">a\n{LEFT}\n>b\n>c\nACGT\n", r"in:3: record 'b'"),
        (f">a\n{LEFT}\n>b\nAC-T\n", r"in:3: record 'b': letter '-'"),
        (f"{LEFT}{'A' * 151}\n", r"sequence 1 has 168 bp; the processor takes 18 to 167"),
        (f"{LEFT}AC\nACGT\n", r"sequence 2 has 4 bp; the processor takes 18 to 167"),
        ("", "is empty"),
    ],
)
def test_bad_input_is_named_and_leaves_no_output(run, tmp_path, text, said):
    (tmp_path / "in").write_text(text)
    with pytest.raises(UserError, match=said):
        dream_keras.predict(run, tmp_path / "in", tmp_path / "out.tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


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


def test_missing_adapters_are_pointed_out(run, tmp_path, caplog):
    (tmp_path / "in").write_text("ACGT" * 20)
    dream_keras.predict(run, tmp_path / "in", tmp_path / "out.tsv")
    assert "without their adapters" in caplog.text


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
