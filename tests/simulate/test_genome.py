"""The simulated genome: its files, its truth, and counts that follow from it."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.genome import Genome
from dream_keras.data.nonpeaks import gc_matched
from dream_keras.data.region_rows import Windows, load_training_regions
from dream_keras.data.regions import Regions, RegionSettings, read_regions_file
from dream_keras.data.tracks import Tracks
from dream_keras.simulate import chromatin, simulate_genome
from dream_keras.simulate.chromatin import FACTORS
from dream_keras.simulate.genome import read_truth

CHROMS = ("chr1", "chr2", "chr3")


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return simulate_genome(tmp_path_factory.mktemp("genome") / "small", bp=600_000, seed=2)


def tokens_of(genome, chrom):
    return Genome(genome / "genome.fa").tokens(chrom)


def test_its_files_are_read_as_a_real_experiments(genome):
    files = read_regions_file(genome / "regions.yaml")
    windows = Windows(2114, 1000, 500)
    train, validation = load_training_regions(files, RegionSettings(), windows)
    totals = np.expm1(train.labels[:, 0])
    is_peak = train.regions.is_peak
    assert is_peak.sum() >= 20
    assert len(validation) >= 5
    assert np.median(totals[is_peak]) > 3 * np.median(totals[~is_peak])
    bias, _ = load_training_regions(files, RegionSettings(rows="nonpeaks"), windows)
    assert len(bias) > 10
    assert not bias.regions.is_peak.any()
    assert bias.labels.max() < train.labels[is_peak].max()


def test_the_same_arguments_give_the_same_files(genome, tmp_path):
    again = simulate_genome(tmp_path / "again", bp=600_000, seed=2)
    for file in sorted(genome.rglob("*")):
        if file.is_file() and file.suffix != ".fai":
            both = [
                hashlib.sha256(p.read_bytes()).hexdigest()
                for p in (file, again / file.relative_to(genome))
            ]
            assert both[0] == both[1], file
    before = (again / "genome.fa").stat().st_mtime_ns
    simulate_genome(again, bp=600_000, seed=2)
    assert (again / "genome.fa").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="another simulation"):
        simulate_genome(again, bp=600_000, seed=3)
    with pytest.raises(UserError, match="bp = 5 is out of range"):
        simulate_genome(tmp_path / "other", bp=5)


def test_the_truth_follows_from_the_sequence(genome):
    tokens = tokens_of(genome, "chr2")
    opened, bias = read_truth(genome, "chr2")
    np.testing.assert_allclose(chromatin.accessibility(tokens), opened, rtol=1e-6)
    np.testing.assert_allclose(chromatin.enzyme_bias(tokens), bias, rtol=1e-6)
    # Far from its ends, a part of a chromosome has the same truth as the whole.
    part = slice(40_000, 43_000)
    here = chromatin.accessibility(tokens[part])[600:-600]
    np.testing.assert_allclose(here, opened[part][600:-600], rtol=1e-5)


def test_counts_are_poisson_around_the_truth(genome):
    tracks = Tracks([genome / "replicate1.bw", genome / "replicate2.bw"])
    for chrom in CHROMS:
        opened, bias = read_truth(genome, chrom)
        expected = (opened * bias).astype(float)
        counts = tracks.values(chrom, 0, len(opened))
        z = (counts - expected) / np.sqrt(expected)
        assert abs(z.mean()) < 5 / np.sqrt(len(z))
        assert (z**2).mean() == pytest.approx(1, abs=0.05)
        one = Tracks([genome / "replicate1.bw"]).values(chrom, 0, len(opened))
        assert one.sum() == pytest.approx(counts.sum() / 2, rel=0.05)


def test_the_bias_is_recovered_from_closed_chromatin(genome):
    """Mean counts around each base, where nothing is open, are its preference in the table."""
    weights = np.array(json.loads((genome / "truth" / "bias.json").read_text())["log_preferences"])
    np.testing.assert_allclose(weights, weights[::-1, ::-1])  # the same on both strands
    tokens = tokens_of(genome, "chr1")
    _, bias = read_truth(genome, "chr1")
    for offset in (-3, 0, 2):
        shifted = np.roll(tokens, -offset)[20:-20]
        means = np.array([np.log(bias[20:-20][shifted == base].mean()) for base in range(4)])
        found = means - means.mean()
        np.testing.assert_allclose(found, weights[offset + chromatin.BIAS_REACH], atol=0.03)
    assert np.log(bias).std() > 0.4


def test_motifs_open_chromatin_and_leave_footprints():
    random = np.random.default_rng(0)
    tokens = random.integers(0, 4, 4_000).astype(np.uint8)
    before = chromatin.accessibility(tokens)
    motif = alphabet.encode("CCACCAGGTGGCA")  # CTCF
    tokens[2_000 : 2_000 + len(motif)] = motif
    after = chromatin.accessibility(tokens)
    assert after[2_100] > before[2_100] + 1.0
    assert after[2_006] < 0.35 * after[2_030]
    np.testing.assert_allclose(after[:1_400], before[:1_400])
    sites = chromatin.find_sites(tokens)
    (found,) = np.flatnonzero((sites.factor == 0) & (sites.start == 2_000) & (sites.strand == 1))
    assert sites.occupancy[found] == pytest.approx(10 / 11)


def test_both_strands_have_the_same_truth():
    tokens = np.random.default_rng(1).integers(0, 5, 3_000).astype(np.uint8)
    other = alphabet.reverse_complement(tokens)
    for function in (chromatin.accessibility, chromatin.enzyme_bias):
        # The middle of a motif of even width is a base apart on the two strands.
        np.testing.assert_allclose(function(other)[::-1], function(tokens), rtol=0.02, atol=0.02)
    bias = chromatin.enzyme_bias(tokens)
    np.testing.assert_allclose(chromatin.enzyme_bias(other)[::-1], bias, rtol=1e-12)


def test_sites_in_the_table_are_those_of_the_sequence(genome):
    table = pd.read_csv(genome / "truth" / "sites.tsv", sep="\t")
    strong = table[table.occupancy > 0.9]
    assert set(strong.factor) == {factor.name for factor in FACTORS}
    widths = {factor.name: len(factor.consensus) for factor in FACTORS}
    assert ((table.end - table.start) == table.factor.map(widths)).all()
    peaks = read_regions_file(genome / "regions.yaml").regions()
    centres = peaks.centres[peaks.is_peak & (peaks.chroms == "chr1")]
    at = strong[strong.chrom == "chr1"].start.to_numpy()
    near = np.abs(at[:, None] - centres).min(axis=1) < 500
    assert near.mean() > 0.95


def test_regions_without_peaks_match_in_gc(random):
    waves = 0.5 + 0.2 * np.sin(np.arange(400_000) / 9_000)
    strong = random.random(400_000) < waves
    tokens = np.where(strong, random.integers(1, 3, 400_000), 3 * random.integers(0, 2, 400_000))
    tokens = tokens.astype(np.uint8)
    tokens[50_000:60_000] = alphabet.N
    centres = np.array([20_000, 20_100, 90_000, 200_000, 310_000])
    peaks = Regions(np.full(5, "chr1"), centres, np.ones(5, bool))
    found = gc_matched(lambda chrom: tokens, peaks, 2_114, seed=1, per_peak=3)
    assert len(found) == len(set(found.centres.tolist())) == 15
    assert not found.is_peak.any()
    assert (np.abs(found.centres[:, None] - centres) >= 2_114).all()
    assert not ((found.centres > 48_900) & (found.centres < 61_100)).any()

    def shares(at):
        return [np.isin(tokens[c - 1057 : c + 1057], [1, 2]).mean() for c in at]

    wanted, got = np.sort(np.repeat(shares(centres), 3)), np.sort(shares(found.centres))
    assert np.abs(wanted - got).max() < 0.04
    assert (
        found.centres.tolist()
        == gc_matched(lambda chrom: tokens, peaks, 2_114, 1, 3).centres.tolist()
    )
