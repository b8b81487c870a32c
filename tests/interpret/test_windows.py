"""Windows around variants, against chromosomes that are edited as a whole."""

import gzip
import sys

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.data import genome as genome_module
from dream_keras.data.genome import Genome
from dream_keras.data.variants import (
    Variant,
    read_edits,
    read_named_sequences,
    read_pairs,
    read_positions,
)
from dream_keras.interpret.windows import (
    Placed,
    Window,
    edited_windows,
    fitting,
    genome_windows,
    pair_windows,
    read_elements,
    reverse_complement,
)

LENGTH = 30


@pytest.fixture(scope="module")
def chromosome():
    return "".join(np.random.default_rng(3).choice(list("ACGT"), 400))


@pytest.fixture(scope="module")
def genome(tmp_path_factory, chromosome):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{chromosome.lower()}\n>2\n{'N' * 20}{'ACGT' * 20}\n")
    return Genome(path)


def variant(pos, ref, alt, chrom="chr1"):
    return Variant("test", "", chrom, pos, ref, alt)


def sequences(window, allele, strand):
    return [sequence for sequence, _ in window.views(allele, strand)]


def random_variants(chromosome, count=60):
    random = np.random.default_rng(1)
    for _ in range(count):
        pos = int(random.integers(60, 340))
        ref = chromosome[pos - 1 : pos - 1 + random.integers(0, 5)]
        alt = "".join(random.choice(list("ACGT"), random.integers(0, 5)))
        if ref != alt:
            yield variant(pos, ref, alt)


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("shifts", [0, 3])
def test_windows_are_cut_from_the_edited_chromosome(genome, chromosome, strand, shifts):
    variants = list(random_variants(chromosome))
    windows = list(genome_windows(variants, genome, LENGTH, shifts=shifts))
    assert [window.status for window in windows] == ["ok"] * len(variants)
    for each, window in zip(variants, windows, strict=True):
        at = each.pos - 1
        for allele in (each.ref, each.alt):
            edited = chromosome[:at] + allele + chromosome[at + len(each.ref) :]
            starts = [at - LENGTH // 2 + shift for shift in range(-shifts, shifts + 1)]
            forward = [edited[start : start + LENGTH] for start in starts]
            backward = [reverse_complement(sequence) for sequence in forward]
            wanted = {"+": forward, "-": backward, "both": forward + backward}[strand]
            assert sequences(window, allele, strand) == wanted


def test_elements_are_the_windows_on_their_strand(genome, chromosome, tmp_path):
    (tmp_path / "elements.bed").write_text(
        "# elements\nchr1\t100\t130\tplus\t0\t+\nchr1\t110\t125\ta minus\t0\t-\n"
        "1 90 140 long\nchr1\t100\t114\tbefore\n"
    )
    elements = read_elements(tmp_path / "elements.bed", genome)
    ref = chromosome[114:117]
    windows = genome_windows([variant(115, ref, "")], genome, LENGTH, elements=elements)
    windows = list(fitting(windows, 13, LENGTH))
    assert [(w.element, w.status) for w in windows] == [
        ("long", "too_long"),
        ("plus", "ok"),
        ("a minus", "ok"),
    ]
    assert [turned for _, turned in windows[2].views(ref, "both")] == [True, False]
    assert {w.status for w in fitting(windows, 16, None)} == {"too_long", "ok", "too_short"}
    _, plus, minus = windows
    edited = chromosome[:114] + chromosome[117:]
    assert sequences(plus, ref, "+") == [chromosome[100:130]]
    assert sequences(plus, "", "+") == [edited[100:130]]
    assert sequences(minus, "", "+") == [reverse_complement(edited[110:125])]
    outside = genome_windows([variant(200, chromosome[199], "")], genome, LENGTH, elements=elements)
    assert [window.status for window in outside] == ["no_element"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (variant(5, None, "T"), "edge_of_chromosome"),
        (variant(398, None, "T"), "edge_of_chromosome"),
        (variant(500, "A", "T"), "outside_chromosome"),
        (variant(0, "N", "T"), "outside_chromosome"),
        (variant(50, None, "<DEL>"), "symbolic_allele"),
        (variant(50, None, "*"), "symbolic_allele"),
        (variant(50, None, "."), "no_alternative"),
        (variant(50, None, "R"), "other_letters"),
        (variant(50, None, None), "same_alleles"),
        (variant(50, "A", "T", "chr7"), "unknown_chromosome"),
        (variant(60, "C", "A", "chr2"), "ok"),
        (variant(60, "C", "A", "2"), "ok"),
    ],
)
def test_every_variant_has_a_status(genome, chromosome, given, status):
    there = chromosome[given.pos - 1 : given.pos]
    ref = there if given.ref is None else given.ref
    alt = there if given.alt is None else given.alt
    (window,) = genome_windows([variant(given.pos, ref, alt, given.chrom)], genome, LENGTH, "keep")
    assert window.status == status
    assert bool(window.placed) == (status == "ok")


def test_reference_alleles_that_are_not_there(genome, chromosome):
    there = chromosome[99]
    other, third = [base for base in "ACGT" if base != there][:2]
    wrong, swapped = variant(100, other, third), variant(100, other, there)
    with pytest.raises(UserError, match=rf"reference allele is {other}, but there is {there}"):
        list(genome_windows([wrong], genome, LENGTH))
    found = genome_windows([wrong, swapped], genome, LENGTH, "swap")
    assert [(w.status, w.variant.ref, w.warnings) for w in found] == [
        ("reference_mismatch", other, ()),
        ("ok", there, ("alleles_swapped",)),
    ]
    (kept,) = genome_windows([wrong], genome, LENGTH, "keep")
    assert kept.warnings == ("reference_put_in_place",)
    assert sequences(kept, other, "+")[0][LENGTH // 2] == other
    (near,) = genome_windows([variant(30, "T", "A", "2")], genome, LENGTH, "keep")
    assert near.warnings == ("reference_put_in_place", "N_in_window")


def test_edits_of_sequences(tmp_path):
    (tmp_path / "s.fa").write_text(">one\nacgtacgtac\n>two\nTTTTT\n")
    (tmp_path / "e.csv").write_text(
        "id,pos,ref,alt,variant\none,3,GT,A,first\ntwo,5,T,TGG,\none,2,-,G,\nsix,1,A,C,\n"
        "two,5,TT,T,\n"
    )
    named = read_named_sequences(tmp_path / "s.fa")
    assert named == {"one": "ACGTACGTAC", "two": "TTTTT"}
    found = list(edited_windows(read_edits(tmp_path / "e.csv"), named, "error"))
    assert [w.status for w in found] == [*["ok"] * 3, "unknown_sequence", "outside_sequence"]
    assert [sequences(w, w.variant.alt, "+") for w in found[:3]] == [
        ["ACAACGTAC"],
        ["TTTTTGG"],
        ["AGCGTACGTAC"],
    ]
    assert found[0].variant.id == "first"
    (tmp_path / "s.csv").write_text('name,seq\n"one",ACGTACGTAC\ntwo,TTTTT\n')
    assert read_named_sequences(tmp_path / "s.csv") == named
    (tmp_path / "zero.csv").write_text("id,pos,ref,alt\none,2,GT,A\n")
    (zero,) = edited_windows(read_edits(tmp_path / "zero.csv", True), named, "error")
    assert sequences(zero, "A", "+") == ["ACAACGTAC"]


def test_pairs_are_taken_whole_and_their_difference_is_found(tmp_path):
    (tmp_path / "pairs.tsv").write_text(
        "id\tref_sequence\talt_sequence\na\tACGTT\tACCTT\nb\tAAAA\tAAAAA\nc\tAC\tAC\nd\tAXC\tAC\n"
    )
    found = list(pair_windows(read_pairs(tmp_path / "pairs.tsv")))
    assert [window.status for window in found] == ["ok", "ok", "same_alleles", "other_letters"]
    first, second = (window.variant for window in found[:2])
    assert (first.pos, first.ref, first.alt) == (3, "G", "C")
    assert (second.pos, second.ref, second.alt) == (5, "", "A")
    for window, pair in zip(found, [("ACGTT", "ACCTT"), ("AAAA", "AAAAA")], strict=False):
        alleles = (window.variant.ref, window.variant.alt)
        assert tuple(sequences(window, allele, "+")[0] for allele in alleles) == pair


VCF = (
    "##fileformat=VCFv4.2\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    '1\t7\trs1\ta\tc,GG\t.\t.\t"a;,b\n1\t9\t.\tA\t.\t.\t.\t.\n1\t11\t.\tT\t<DEL>\t.\t.\t.\n'
)
FOUND = [("rs1", 7, "A", "C"), ("rs1", 7, "A", "GG"), ("", 9, "A", "."), ("", 11, "T", "<DEL>")]


@pytest.mark.parametrize("form", ["plain", "gzip", "bgzip", "table"])
def test_positions_from_vcf_and_tables(tmp_path, form):
    path = tmp_path / "variants.txt"
    if form == "table":
        rows = ("1;7;A;C,GG;rs1", "1;9;a;.;", "1;11;T;<DEL>;.")
        path.write_text("\n".join(["CHROM;POS;REF;ALT;ID", *rows]) + "\n")
    else:
        path.write_text(VCF)
        if form == "gzip":
            path.write_bytes(gzip.compress(path.read_bytes()))
        elif form == "bgzip":
            import pysam

            pysam.tabix_compress(str(path), str(path) + ".gz")
            path = tmp_path / "variants.txt.gz"
    found = [(v.id, v.pos, v.ref, v.alt) for v in read_positions(path)]
    assert found == FOUND


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chrom\tpos\tref\n1\t7\tA\n", r"v:1: no column alt or .*; the header has chrom, pos, ref"),
        ("chrom\tpos\tref\talt\n1\t7.5\tA\tC\n", r'v:2: position "7\.5" is no whole number'),
        ("chrom\tpos\tref\talt\n1\t0\tA\tC\n", r"v:2: position 0: positions are counted from 1"),
        ("chrom\tpos\tref\talt\n1\t7\tA\n", r"v:2: 3 columns; the header has 4"),
        (VCF.replace("\t7\t", "\tx\t"), r'v:4: position "x" is no whole number'),
    ],
)
def test_mistakes_in_tables(tmp_path, text, said):
    (tmp_path / "v").write_text(text)
    with pytest.raises(UserError, match=said):
        list(read_positions(tmp_path / "v"))


def test_the_ends_of_a_construct_stay_in_place(chromosome):
    window = Window(variant(5, "C", "T"), (Placed("TTTT", "GAACC"),))
    assert window.views("C", "-", (3, 2)) == [("TTT" + "TTCGA" + "CC", True)]
    assert window.views("C", "+", (3, 2)) == [("TTTTCGAACC", False)]


@pytest.mark.parametrize("packed", ["plain", "bgzip", "gzip"])
def test_compressed_genomes(tmp_path, packed):
    path = tmp_path / "g.fa"
    path.write_text(">chr1\nACGTRYacgt\n")
    if packed != "plain":
        pysam = pytest.importorskip("pysam")
        pytest.importorskip("Bio")
        packed_path = tmp_path / "g.fa.gz"
        if packed == "bgzip":
            pysam.tabix_compress(str(path), str(packed_path))
        else:
            packed_path.write_bytes(gzip.compress(path.read_bytes()))
        path = packed_path
    if packed == "gzip":
        with pytest.raises(UserError, match=r"g\.fa\.gz"):
            Genome(path)
    else:
        assert Genome(path).fetch("chr1", 2, 9) == "GTNNACG"
        assert Genome(path).fetch("chr1", 8, 99) == "GT"


def test_any_stretch_is_what_stands_there(genome, chromosome, monkeypatch):
    """Whichever block was read before, and at the chromosome's ends."""
    monkeypatch.setattr(genome_module, "BLOCK", 32)
    random = np.random.default_rng(5)
    for start in random.integers(0, 400, 300):
        end = int(start + random.integers(0, 60))
        assert genome.fetch("chr1", int(start), end) == chromosome[start:end]
        assert genome.fetch("2", int(start) % 90, 100) == ("N" * 20 + "ACGT" * 20)[start % 90 :]


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyfaidx", None)
    with pytest.raises(UserError, match=r'pip install "dream-keras\[genome\]"'):
        Genome(tmp_path / "genome.fa")
