"""Motifs: letters, files in MEME format, drawn sites, mistakes."""

import gzip

import numpy as np
import pytest
import scipy.stats

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.interpret.motif_file import Motif, letters_motif, read_meme, read_motifs

JASPAR = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF MA0303.1 GCN4
letter-probability matrix: alength= 4 w= 3 nsites= 20 E= 0
 0.100000  0.200000  0.300000  0.400000
 1.000000  0.000000  0.000000  0.000000
 0.000000  0.333333  0.333333  0.333333
URL http://jaspar.genereg.net/matrix/MA0303.1

MOTIF MA0363.2
letter-probability matrix:
0 0.5 0.5 0
.25 .25 .25 .25
"""


@pytest.fixture
def meme(tmp_path):
    path = tmp_path / "motifs.meme"
    path.write_text(JASPAR)
    return path


def test_a_file_of_jaspar(meme, tmp_path):
    first, second = read_meme(meme)
    assert (first.name, second.name) == ("MA0303.1 GCN4", "MA0363.2")
    third = [0, 1 / 3, 1 / 3, 1 / 3]
    np.testing.assert_allclose(first.matrix, [[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0], third])
    np.testing.assert_array_equal(second.matrix, [[0, 0.5, 0.5, 0], [0.25] * 4])
    packed = tmp_path / "motifs.meme.gz"
    packed.write_bytes(gzip.compress(JASPAR.replace("\n", "\r\n").encode()))
    np.testing.assert_array_equal(read_meme(packed)[0].matrix, first.matrix)


def test_it_reads_what_biopython_does(meme):
    """Which rounds probabilities to counts of sites, 20 by default."""
    motifs = pytest.importorskip("Bio.motifs")
    with meme.open() as file:
        theirs = motifs.parse(file, "minimal")[0].counts
    ours = read_meme(meme)[0].matrix
    counts = np.array([theirs[letter] for letter in "ACGT"]).T
    np.testing.assert_allclose(counts / 20, ours, atol=0.026)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("MEME version 4", "version 4", 1, 'expected "MEME version"'),
        ("ALPHABET= ACGT", "ALPHABET= ACGU", 3, "expected ALPHABET= ACGT"),
        ("alength= 4", "alength= 20", 11, "expected 4 letters"),
        ("0.300000  0.400000", "0.300000  0.500000", 12, "the probabilities sum to 1.1"),
        ("0.300000  0.400000", "0.300000", 12, "expected the probabilities of A, C, G and T"),
        ("0.100000  0.200000", "-0.10000  0.400000", 12, "expected the probabilities"),
        (" 1.000000  0.000000", " 1.000000  x", 13, "expected the probabilities"),
        ("w= 3", "w= 4", 15, "motif MA0303.1 has 3 rows of w= 4"),
        ("w= 3", "w= 2", 15, "motif MA0303.1 has 3 rows of w= 2"),
        ("MOTIF MA0303.1 GCN4", "MOTIF", 10, "a motif without a name"),
        ("letter-probability matrix: alength", "log-odds: alength", 10, "MA0303.1 has no"),
    ],
)
def test_mistakes_in_files(tmp_path, old, new, line, said):
    path = tmp_path / "motifs.meme"
    assert JASPAR.count(old) == 1 or old.startswith("MEME")
    path.write_text(JASPAR.replace(old, new))
    with pytest.raises(UserError) as error:
        read_meme(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rows", ["", "0 0.5 0.5 0\n"])
def test_a_file_that_is_cut_short(tmp_path, rows):
    path = tmp_path / "motifs.meme"
    path.write_text(f"MEME version 4\nMOTIF a\nletter-probability matrix: w= 2\n{rows}")
    with pytest.raises(UserError, match=r"motif a has [01] rows of w= 2"):
        read_meme(path)


def test_what_the_command_line_takes(meme):
    given = ["tgastca", "Reb1=YYACCCGG", meme, "other=A"]
    assert [motif.name for motif in read_motifs(given)] == [
        *("TGASTCA", "Reb1", "MA0303.1 GCN4", "MA0363.2", "other")
    ]
    for name in ("GCN4", "MA0303.1", "MA0303.1 GCN4"):
        assert [motif.name for motif in read_motifs([f"{meme}:{name}"])] == ["MA0303.1 GCN4"]
    (first, *_) = read_motifs([meme], consensus=True)
    assert first.matrix.argmax(axis=1).tolist() == [3, 0, 1]
    assert set(first.matrix.ravel()) == {0.0, 1.0}
    # Letters have no most probable bases.
    np.testing.assert_array_equal(read_motifs(["S"], consensus=True)[0].matrix, [[0, 0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no motif: give letters"),
        (["TGAXTCA"], 'motif "TGAXTCA": expected bases or IUPAC letters: A, C, G'),
        (["Gcn4="], 'motif "": expected'),
        (["=ACGT"], "expected NAME=LETTERS"),
        (["nothing.meme"], "no file nothing.meme"),
        (["ACGT", "acgt"], 'two motifs are called "ACGT"'),
        (["{meme}:GCN5"], 'unknown motif of .*motifs.meme "GCN5". Did you mean'),
        (["{none}"], "no motif in it"),
    ],
)
def test_mistakes_on_the_command_line(meme, given, said):
    none = meme.with_name("none.meme")
    none.write_text("MEME version 4\n")
    with pytest.raises(UserError, match=said):
        read_motifs([each.format(meme=meme, none=none) for each in given])


def test_sites_are_drawn_with_their_probabilities():
    motif = Motif("a", np.array([[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 0], [0.7, 0, 0, 0.3]]))
    sites = motif.draw(4000, np.random.default_rng(1))
    assert sites.shape == (4000, 3)
    for column, shares in zip(sites.T, motif.matrix, strict=True):
        counts = np.bincount(column, minlength=4)
        assert not counts[shares == 0].any()
        if shares.max() < 1:
            expected = 4000 * shares[shares > 0]
            assert scipy.stats.chisquare(counts[shares > 0], expected).pvalue > 1e-3
    letters = alphabet.decode_rows(letters_motif("RN").draw(200, np.random.default_rng(2)))
    assert {site[0] for site in letters} == {"A", "G"}
    assert {site[1] for site in letters} == set("ACGT")
