"""The command: its table against predictions of the run, backgrounds of files, mistakes."""

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.interpret.backgrounds import random_backgrounds
from dream_keras.interpret.marginal import Marginal, write_effects
from dream_keras.interpret.marginal_plan import plan
from dream_keras.interpret.marginal_plots import MOST_PAIRS, curves
from dream_keras.interpret.motif_file import letters_motif
from dream_keras.marginalise import main

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
MEME = "MEME version 4\nMOTIF a\nletter-probability matrix: w= 2\n0 1 0 0\n0 0 1 0\n"


def read(folder):
    return pd.read_csv(folder / "effects.tsv", sep="\t", comment="#", keep_default_na=False)


@pytest.fixture
def files(tmp_path):
    """Backgrounds with and without adapters, and a motif."""
    source = np.random.default_rng(1)
    inserts = ["".join(source.choice(list("ACGT"), 80)) for _ in range(3)]
    for name, (first, last) in {"whole.fa": (LEFT, RIGHT), "bare.fa": ("", "")}.items():
        records = (f">{n}\n{first}{insert}{last}\n" for n, insert in enumerate(inserts))
        (tmp_path / name).write_text("".join(records))
    (tmp_path / "a.meme").write_text(MEME)
    return tmp_path, inserts


def test_random_inserts_stand_between_the_adapters(run, tmp_path):
    """Each number is a mean of differences of the run's own predictions."""
    words = [str(run.folder.path), "--motif", "Gcn4=TGACTCA", "--positions", "1-70:60"]
    words += ["--copies", "2", "--backgrounds", "3", "--seed", "4", "--out", str(tmp_path / "new")]
    main(words)
    inserts = alphabet.decode_rows(random_backgrounds(3, 80, seed=4).tokens)
    site = "TGACTCA"

    def mean(edit=lambda insert: insert):
        return run.predict([LEFT + edit(insert) + RIGHT for insert in inserts]).mean()

    table = read(tmp_path / "new")
    assert table["kind"].tolist() == ["position"] * 4 + ["orientation"] * 3 + ["copies"] * 2
    first, last = table["effect"][:2]
    assert first == pytest.approx(mean(lambda insert: site + insert[7:]) - mean(), abs=3e-6)
    expected = mean(lambda insert: insert[:60] + site + insert[67:]) - mean()
    assert last == pytest.approx(expected, abs=3e-6)
    expected = mean(lambda insert: f"{insert[:28]}{site}{insert[35:45]}{site}{insert[52:]}")
    assert table["effect"][7] == pytest.approx(expected - mean(), abs=3e-6)
    assert table["position"][7] == "29"
    assert (table["low"] <= table["effect"]).all()
    assert (table["effect"] <= table["high"]).all()
    comment = (tmp_path / "new" / "effects.tsv").read_text().splitlines()[0]
    for part in ("3 random inserts of 80 bp", f"adapters put on={LEFT},{RIGHT}", "seed=4"):
        assert part in comment
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"effects.tsv", "curves.png"}


def test_given_backgrounds_keep_their_adapters(run, files):
    """The same numbers with adapters in the file and with adapters that are put on."""
    folder, _ = files
    given = {"motifs": folder / "a.meme", "positions": [5], "copies": [1], "progress": False}
    tables = []
    for name, adapters in (("whole", None), ("bare", "add")):
        dream_keras.marginalise(
            run.folder.path,
            folder / name,
            background_sequences=folder / f"{name}.fa",
            adapters=adapters,
            shuffle=2,
            pairs_of_motifs=True,
            spacings="3-4",
            **given,
        )
        tables.append(read(folder / name))
    pd.testing.assert_frame_equal(*tables, atol=1e-6)
    assert tables[0]["n"].tolist() == [6] * 15
    comment = (folder / "whole" / "effects.tsv").read_text().splitlines()[0]
    assert "backgrounds=6 of whole.fa, 2 shuffles of each; insert=80 bp" in comment


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"motifs": []}, "no motif: give letters"),
        ({"motifs": "TGAXTCA"}, 'motif "TGAXTCA": expected bases or IUPAC letters'),
        ({"motifs": "nothing.meme"}, "no file nothing.meme"),
        ({"motifs": "A" * 81}, "has 81 bp; the insert it is put into has 80"),
        ({"length": 999}, "--length 999: the run takes 1 to"),
        ({"positions": "70-80"}, "--positions 75: motif TGACTCA has 7 bp and fits at 1 to 74"),
        ({"positions": "first"}, "--positions first: expected START-END"),
        ({"copies": "0-2"}, "--copies 0-2: the lowest is 1"),
        ({"task": "brain"}, 'unknown task "brain"'),
        ({"base_shares": "a,b"}, 'base_shares "a,b": expected those of A, C, G and T'),
        ({"backgrounds": 0}, "backgrounds=0: at least 1 is needed"),
        ({"shuffle": 2}, "--shuffle shuffles given sequences"),
        ({"adapters": "present"}, "the run expects constant ends, which random inserts lack"),
        ({"background_sequences": "nothing.fa"}, "no file .*nothing.fa"),
        ({"background_sequences": "whole.fa", "length": 9}, "describe random inserts: leave them"),
        ({"background_sequences": "bare.fa"}, "most sequences do not begin with the adapter"),
        ({"background_sequences": "whole.fa", "adapters": "A,C" + "A" * 90}, "bp; the run takes"),
        ({"out": "whole.fa"}, "whole.fa exists already: give another folder"),
    ],
)
def test_mistakes(run, files, given, said):
    folder, _ = files
    paths = {k: folder / v for k, v in given.items() if k in ("background_sequences", "out")}
    arguments = {"out": folder / "out", "motifs": ["TGACTCA"], **given, **paths}
    with pytest.raises(UserError, match=said) as error:
        dream_keras.marginalise(run.folder.path, progress=False, **arguments)
    assert "\n" not in str(error.value)
    assert not (folder / "out").exists()


def test_no_run(tmp_path):
    with pytest.raises(UserError, match="is not a run folder"):
        dream_keras.marginalise(tmp_path, tmp_path / "out", motifs=["ACGT"])


@pytest.fixture
def found():
    """Effects of nine motifs in two tasks, made up."""
    motifs = [letters_motif(letter * 4, f"motif {letter}") for letter in "ACGTRYSWK"]
    rows = plan(motifs, 30, pairs=True, spacings=[2, 5])
    source = np.random.default_rng(3)
    effects = source.normal(size=(len(rows), 2))
    return Marginal(rows, ("liver", "brain"), effects, effects - 0.5, effects + 0.25, 20)


def test_the_table_of_several_tasks(found, tmp_path):
    write_effects(tmp_path / "effects.tsv", found, "made up")
    text = (tmp_path / "effects.tsv").read_text()
    assert text.startswith(
        "# made up\nmotif\tkind\tsecond\tposition\tstrand\tcopies\tspacing\tliver."
    )
    table = read(tmp_path)
    for task, name in enumerate(found.outputs):
        for column in ("effect", "low", "high"):
            values = getattr(found, "effects" if column == "effect" else column)[:, task]
            np.testing.assert_allclose(table[f"{name}.{column}"], values, rtol=1e-6)
    row = found.rows[-1]
    last = table.iloc[-1][["motif", "kind", "second", "position", "strand", "spacing"]].tolist()
    assert last[:3] == [row.motif, "spacing", row.second]
    assert last[3:] == [str(row.position), "--", str(row.spacing)]


def test_the_picture(found):
    """What is drawn are the numbers; the largest, where there are too many."""
    figure = curves(found)
    panels = [axes for part in figure.subfigs for axes in part.axes]
    assert len(panels) == 2 * (3 + MOST_PAIRS)
    assert [part.get_suptitle() for part in figure.subfigs] == ["liver", "brain"]
    position = panels[0]
    lines = [line for line in position.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 8 * 2
    rows = [n for n, row in enumerate(found.rows) if (row.kind, row.strand) == ("position", "+")]
    of_first = [n for n in rows if found.rows[n].motif == found.rows[rows[0]].motif]
    drawn = [tuple(line.get_ydata()) for line in lines]
    assert tuple(found.effects[of_first, 0]) in drawn
    pair = panels[3].get_title()
    wanted = [n for n, row in enumerate(found.rows) if f"{row.motif}, then {row.second}" == pair]
    expected = found.effects[wanted, 0].reshape(4, 2)
    np.testing.assert_allclose([line.get_ydata() for line in panels[3].lines[:4]], expected)
