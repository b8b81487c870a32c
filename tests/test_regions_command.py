"""``python -m dream_keras.regions``: cuts that sum to the reads, matched regions, all in a file."""

import gzip
import json

import numpy as np
import pysam
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data.cuts import read_cuts
from dream_keras.data.region_rows import Windows, load_training_regions
from dream_keras.data.regions import RegionSettings, read_regions_file
from dream_keras.data.tracks import Tracks
from dream_keras.simulate import simulate_genome

LENGTHS = {"chr1": 1_000, "chr2": 500}


def write_bam(path, reads):
    """Write reads: chromosome, start, length, reverse, and further flags."""
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": c, "LN": n} for c, n in LENGTHS.items()]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as file:
        for number, (chrom, start, length, reverse, flag) in enumerate(reads):
            read = pysam.AlignedSegment()
            read.query_name = f"read{number}"
            read.query_sequence = "A" * length
            read.flag = flag | (16 if reverse else 0)
            read.reference_id = list(LENGTHS).index(chrom)
            read.reference_start = start
            read.mapping_quality = 60
            read.cigarstring = f"{length}M"
            file.write(read)


def test_cuts_are_the_shifted_ends_of_reads(tmp_path):
    unmapped, secondary, failed, duplicate, supplementary = 4, 256, 512, 1024, 2048
    reads = [("chr1", 100, 50, False, 0), ("chr1", 100, 50, True, 0), ("chr2", 10, 20, True, 0)]
    reads += [
        ("chr1", 7, 30, False, flag)
        for flag in (unmapped, secondary, failed, duplicate, supplementary)
    ]
    write_bam(tmp_path / "reads.bam", reads)
    cuts = read_cuts(tmp_path / "reads.bam", LENGTHS)
    # The last base of a reverse read is at start + length - 1.
    assert {chrom: found.tolist() for chrom, found in cuts.items()} == {
        "chr1": [104, 145],
        "chr2": [25],
    }
    other = read_cuts(tmp_path / "reads.bam", LENGTHS, (4, -4))
    assert sorted(other["chr1"].tolist()) == [100, 149]


def test_cuts_are_both_ends_of_fragments(tmp_path):
    text = "# made up\nchr1\t104\t145\tCELL\t3\nchr9\t1\t9\tCELL\t1\nchr2\t499\t500\tCELL\t1\n"
    with gzip.open(tmp_path / "fragments.tsv.gz", "wt") as file:
        file.write(text)
    cuts = read_cuts(tmp_path / "fragments.tsv.gz", LENGTHS)
    # 4 and -5 are there already: 1 is missing from -4.
    assert cuts["chr1"].tolist() == [104, 145]
    assert cuts["chr2"].tolist() == [499]  # the other one is beyond the end
    (tmp_path / "bad.tsv").write_text("chr1\t5\n")
    with pytest.raises(UserError, match=r"bad\.tsv:1: expected chromosome, start and end"):
        read_cuts(tmp_path / "bad.tsv", LENGTHS)
    whole = (tmp_path / "fragments.tsv.gz").read_bytes()
    for name, content in (("cut", whole[:-9]), ("damaged", whole[:30] + b"\xff" + whole[31:])):
        (tmp_path / f"{name}.tsv.gz").write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}\.tsv\.gz"):
            read_cuts(tmp_path / f"{name}.tsv.gz", LENGTHS)
    (tmp_path / "other.tsv").write_text("chr7\t5\t9\n")
    with pytest.raises(UserError, match="no cuts on the genome's chromosomes"):
        read_cuts(tmp_path / "other.tsv", LENGTHS)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return simulate_genome(tmp_path_factory.mktemp("genome") / "g", 300_000)


def test_a_folder_to_train_on_is_made_of_reads(genome, tmp_path, random):
    lengths = {"chr1": 180_000, "chr2": 60_000, "chr3": 60_000}
    starts = {c: np.sort(random.integers(0, n - 200, 4_000)) for c, n in lengths.items()}
    with (tmp_path / "fragments.tsv").open("w") as file:
        for chrom, at in starts.items():
            file.writelines(f"{chrom}\t{start}\t{start + 150}\tx\t1\n" for start in at.tolist())
    files = {
        "genome": genome / "genome.fa",
        "peaks": genome / "peaks.narrowPeak",
        "folds": [genome / "fold_0.json"],
    }
    made = dream_keras.regions(tmp_path / "out", reads=[tmp_path / "fragments.tsv"], **files)
    found = read_regions_file(made)
    tracks = Tracks(found.counts)
    sums = {chrom: tracks.values(chrom, 0, n).sum() for chrom, n in lengths.items()}
    assert sums == dict.fromkeys(lengths, 8_000)
    for chrom, at in starts.items():
        want = np.bincount(np.concatenate([at, at + 150]), minlength=lengths[chrom])
        np.testing.assert_array_equal(tracks.values(chrom, 0, lengths[chrom]), want)
    rows, _ = load_training_regions(found, RegionSettings(outliers=0.0), Windows(2114, 1000, 500))
    assert (~rows.regions.is_peak).any()
    with pytest.raises(UserError, match="exists already"):
        dream_keras.regions(tmp_path / "out", reads=[tmp_path / "fragments.tsv"], **files)


def test_regions_without_peaks_keep_away_from_peaks_at_the_end_of_a_chromosome(genome, tmp_path):
    """Though such peaks are not trained on themselves."""
    place = "chr1\t{}\t{}\t.\t0\t.\t0\t0\t0\t0\n"
    peaks = [900, *range(3_200, 179_000, 6_000), 179_500]
    (tmp_path / "peaks").write_text("".join(place.format(at, at + 9) for at in peaks))
    counts, folds = [genome / "replicate1.bw"], [genome / "fold_0.json"]
    made = dream_keras.regions(
        tmp_path / "out",
        genome=genome / "genome.fa",
        peaks=tmp_path / "peaks",
        counts=counts,
        folds=folds,
        per_peak=4,
    )
    files = read_regions_file(made)
    found = files.regions()
    centres = found.centres[~found.is_peak]
    assert len(centres) > 50
    assert np.abs(centres[:, None] - np.array(peaks)).min() >= 2114


def test_tracks_that_are_there_are_named(genome, tmp_path):
    files = {"genome": genome / "genome.fa", "peaks": genome / "peaks.narrowPeak"}
    counts, folds = [genome / "replicate1.bw"], [genome / "fold_0.json"]
    made = dream_keras.regions(tmp_path / "out", counts=counts, folds=folds, **files)
    assert read_regions_file(made).counts == (genome / "replicate1.bw",)
    with pytest.raises(UserError, match="give --reads"):
        dream_keras.regions(tmp_path / "none", folds=folds, **files)
    with pytest.raises(UserError, match="no file nowhere"):
        dream_keras.regions(tmp_path / "none", reads=["nowhere"], folds=folds, **files)
    (tmp_path / "fold.json").write_text(json.dumps({"train": []}))
    with pytest.raises(UserError, match="lists train, valid, test"):
        dream_keras.regions(
            tmp_path / "none", counts=counts, folds=[tmp_path / "fold.json"], **files
        )
    assert not (tmp_path / "none").exists()
