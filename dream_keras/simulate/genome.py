"""A simulated genome with ATAC-seq counts, written as the files of a real experiment."""

import csv
import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.nonpeaks import gc_matched
from dream_keras.data.regions import Regions, regions_file, write_narrow_peaks
from dream_keras.data.tracks import write_track
from dream_keras.simulate import chromatin
from dream_keras.simulate.chromatin import CLOSED, FACTORS, Sites
from dream_keras.simulate.motifs import IUPAC
from dream_keras.simulate.truth import FOLDER
from dream_keras.simulate.writer import LARGEST_SEED, MANIFEST, integer, write_json, write_once

VERSION = 1
"""Raised whenever the same arguments give other files."""
FEWEST_BP = 200_000
SHARES = {"chr1": 0.6, "chr2": 0.2, "chr3": 0.2}
"""Chromosomes and their shares of the genome; trained, validated and tested on."""
PARTS = {"train": ["chr1"], "valid": ["chr2"], "test": ["chr3"]}
REPLICATES = 2
GC = 0.42
WAVES = ((53_000, 0.07), (7_100, 0.04))
"""Lengths in bp of the waves of the share of G and C, and their heights."""
SPACING = 8_000
"""bp of the cells that get one cluster of planted motifs each, at most."""
PLANTED_SHARE = 0.9
"""Share of the cells that get one."""
MOST_MOTIFS = 3
SLOT = 26
"""bp from one planted motif of a cluster to the next."""
MISMATCH = 0.15
"""Share of planted motifs with a base that the consensus does not have."""
SUMMIT = 8.0
"""A peak is where chromatin is at least this many times as open as when it is closed."""
MERGED = 700
"""Summits closer than this in bp are one peak."""
HALF_PEAK = 250
"""bp that a peak in the file has on either side of its summit."""
WINDOW = 2114
"""bp around a centre whose share of G and C is matched."""


class Chromosome(NamedTuple):
    """A simulated chromosome and its truth.

    Attributes:
        tokens: (length,).
        sites: What is bound where.
        accessibility: Expected cuts without the enzyme's bias, (length,).
        bias: The enzyme's preferences, (length,).
    """

    tokens: Tokens
    sites: Sites
    accessibility: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]


def write_genome(out: Path | str, bp: int, seed: int) -> Path:
    """Write a simulated genome; ``simulate_genome`` says what the arguments mean."""
    arguments = {
        "bp": integer("bp", bp, FEWEST_BP, 2**31),
        "seed": integer("seed", seed, 0, LARGEST_SEED),
    }
    manifest = {"genome": VERSION, **arguments}
    return write_once(out, manifest, lambda folder: _write_all(folder, manifest))


def simulate_chromosome(length: int, seed: int, number: int) -> Chromosome:
    """Draw a chromosome: waves of G and C, clusters of motifs, and what follows from them."""
    random = np.random.default_rng([seed, number, 0])
    tokens = _background(length, random)
    _plant(tokens, random)
    sites = chromatin.find_sites(tokens)
    opened = chromatin.accessibility(tokens, sites)
    return Chromosome(tokens, sites, opened, chromatin.enzyme_bias(tokens))


def _background(length: int, random: np.random.Generator) -> Tokens:
    position = np.arange(length)
    share = np.full(length, GC)
    for period, height in WAVES:
        share += height * np.sin(2 * np.pi * (position / period + random.random()))
    strong = random.random(length) < share
    first = random.random(length) < 0.5
    pairs = np.where(first, alphabet.G, alphabet.C), np.where(first, alphabet.A, alphabet.T)
    return np.where(strong, *pairs).astype(np.uint8)


def _plant(tokens: Tokens, random: np.random.Generator) -> None:
    """Write clusters of motifs into a chromosome, in place."""
    for cell in range(SPACING, len(tokens) - 2 * SPACING, SPACING):
        if random.random() >= PLANTED_SHARE:
            continue
        centre = cell + int(random.integers(SPACING // 4, 3 * SPACING // 4))
        for slot in range(int(random.integers(1, MOST_MOTIFS, endpoint=True))):
            factor = FACTORS[int(random.integers(len(FACTORS)))]
            motif = _draw_motif(factor.consensus, random)
            start = centre + SLOT * slot + int(random.integers(SLOT - len(motif), endpoint=True))
            tokens[start : start + len(motif)] = motif


def _draw_motif(consensus: str, random: np.random.Generator) -> Tokens:
    """Draw one of the sequences that a consensus allows, on one of both strands."""
    motif = np.array([random.choice(alphabet.encode(IUPAC[letter])) for letter in consensus])
    if random.random() < MISMATCH:
        motif[random.integers(len(motif))] = random.integers(4)
    motif = motif.astype(np.uint8)
    return motif if random.random() < 0.5 else alphabet.reverse_complement(motif)


def find_peaks(chrom: str, opened: npt.NDArray[np.float64]) -> Regions:
    """Return the summits of open chromatin; of those close to each other the most open one."""
    smooth = np.convolve(opened, np.full(101, 1 / 101), "same")
    higher = np.diff(smooth, prepend=0, append=0) > 0
    tops = np.flatnonzero(higher[:-1] & ~higher[1:] & (smooth >= SUMMIT * CLOSED))
    centres: list[int] = []
    for top in tops[np.argsort(-smooth[tops], kind="stable")].tolist():
        if all(abs(top - other) > MERGED for other in centres):
            centres.append(top)
    return Regions(
        np.full(len(centres), chrom),
        np.array(sorted(centres), np.int64),
        np.ones(len(centres), bool),
    )


def _write_all(folder: Path, manifest: dict[str, int]) -> None:
    seed = manifest["seed"]
    lengths = {chrom: round(share * manifest["bp"]) for chrom, share in SHARES.items()}
    genome = {
        chrom: simulate_chromosome(length, seed, number)
        for number, (chrom, length) in enumerate(lengths.items())
    }
    write_fasta(folder / "genome.fa", {chrom: each.tokens for chrom, each in genome.items()})
    for replicate in range(REPLICATES):
        counts = {}
        for number, (chrom, each) in enumerate(genome.items()):
            random = np.random.default_rng([seed, number, 1 + replicate])
            counts[chrom] = random.poisson(each.accessibility * each.bias / REPLICATES)
        write_track(folder / f"replicate{replicate + 1}.bw", lengths, counts.get)
    peaks = Regions.joined([find_peaks(c, each.accessibility) for c, each in genome.items()])
    if len(set(peaks.chroms.tolist())) < len(SHARES):
        raise UserError(f"bp={manifest['bp']}: a chromosome got no peak; ask for a larger genome")
    tokens = {chrom: each.tokens for chrom, each in genome.items()}
    write_narrow_peaks(folder / "peaks.narrowPeak", peaks, HALF_PEAK, lengths)
    nonpeaks = gc_matched(tokens.__getitem__, peaks, WINDOW, seed)
    write_narrow_peaks(folder / "nonpeaks.narrowPeak", nonpeaks, WINDOW // 2, lengths)
    write_json(folder / "fold_0.json", PARTS)
    tracks = [f"replicate{number + 1}.bw" for number in range(REPLICATES)]
    names = ("peaks.narrowPeak", "nonpeaks.narrowPeak", ["fold_0.json"])
    (folder / "regions.yaml").write_text(regions_file("genome.fa", tracks, *names))
    (folder / FOLDER).mkdir()
    _write_truth(folder / FOLDER, genome)
    write_json(folder / MANIFEST, manifest)


def _write_truth(folder: Path, genome: dict[str, Chromosome]) -> None:
    """Write what the counts were drawn from: rates, preferences, sites."""
    for chrom, each in genome.items():
        np.save(folder / f"{chrom}.accessibility.npy", each.accessibility.astype(np.float32))
        np.save(folder / f"{chrom}.bias.npy", each.bias.astype(np.float32))
    with (folder / "sites.tsv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["chrom", "start", "end", "factor", "strand", "occupancy"])
        for chrom, each in genome.items():
            for number, start, strand, occupancy in zip(
                *map(np.ndarray.tolist, each.sites), strict=True
            ):
                factor = FACTORS[number]
                sign = "+" if strand == 1 else "-"
                end = start + len(factor.consensus)
                table.writerow([chrom, start, end, factor.name, sign, f"{occupancy:.4f}"])
    factors = [dataclasses.asdict(factor) for factor in FACTORS]
    bias = {"offsets": list(range(-chromatin.BIAS_REACH, chromatin.BIAS_REACH + 1))}
    weights = chromatin.bias_weights().round(6).tolist()
    write_json(folder / "factors.json", factors)
    write_json(folder / "bias.json", {**bias, "log_preferences": weights})


def write_fasta(path: Path, genome: dict[str, Tokens], width: int = 80) -> None:
    """Write chromosomes as FASTA."""
    with path.open("w") as file:
        for chrom, tokens in genome.items():
            text = alphabet.decode(tokens)
            file.write(f">{chrom}\n")
            file.writelines(f"{text[at : at + width]}\n" for at in range(0, len(text), width))


def read_truth(folder: Path, chrom: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return expected cuts without the enzyme's bias, and its preferences, both (length,).

    Args:
        folder: What ``simulate_genome`` wrote.
        chrom: The chromosome.
    """
    both = (np.load(folder / FOLDER / f"{chrom}.{name}.npy") for name in ("accessibility", "bias"))
    return next(both), next(both)
