"""Time and memory until the regions of a genome are ready to train on, and rates of batches.

    python -m benchmarks.region_reading [--regions 200000] [--bp 50000000]

Half of the regions are peaks; all lie at random on the training chromosome of a simulated genome,
with two bigWigs of counts, and are read as ``atac_dream_cnn`` does: 3,114 bp and counts at 2,000 of
them. Each turn has a process of its own. Writes its section of ``RESULTS.md``.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.results import RESULTS, machine, table, write_section
from dream_keras.data.region_rows import Windows, load_training_regions
from dream_keras.data.region_stream import RegionStream
from dream_keras.data.regions import Regions, RegionSettings, read_regions_file, write_narrow_peaks
from dream_keras.data.stream import StreamSettings
from dream_keras.simulate import simulate_genome
from dream_keras.simulate.genome import SHARES, WINDOW

WINDOWS = Windows(2114, 1000, 500)
BATCH = 64
BATCHES = 200


def write_regions(folder: Path, regions: int, bp: int) -> Path:
    """Write a genome with as many regions on its first chromosome, and a few to validate on."""
    genome = simulate_genome(folder / "genome", bp)
    lengths = {chrom: round(share * bp) for chrom, share in SHARES.items()}
    random = np.random.default_rng(0)
    numbers = {"chr1": regions // 2, "chr2": max(regions // 100, 2)}
    for name, half in (("peaks", 250), ("nonpeaks", WINDOW // 2)):
        drawn = [
            Regions(
                np.full(number, chrom),
                random.integers(WINDOW, lengths[chrom] - WINDOW, number),
                np.full(number, name == "peaks"),
            )
            for chrom, number in numbers.items()
        ]
        write_narrow_peaks(genome / f"{name}.narrowPeak", Regions.joined(drawn), half, lengths)
    return genome / "regions.yaml"


def measure(path: Path) -> tuple[int, float, float, float, float]:
    """Return rows, seconds by the clock and of processor time, peak memory in GB, and windows/s."""
    began, used = time.perf_counter(), time.process_time()
    settings = RegionSettings(nonpeak_share=1.0)
    rows, _ = load_training_regions(read_regions_file(path), settings, WINDOWS)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    stream = RegionStream(rows, StreamSettings(BATCH), settings)
    stream.batch(0)
    began = time.perf_counter()
    for step in range(1, BATCHES + 1):
        stream.batch(step)
    rate = BATCH * BATCHES / (time.perf_counter() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return len(rows), seconds, used, memory, rate


def main(argv: Sequence[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--regions", type=int, default=200_000)
    parser.add_argument("--bp", type=int, default=50_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        path = write_regions(Path(folder), args.regions, args.bp)
        turns = []
        for _ in range(args.repeats):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                turns.append(pool.apply(measure, (path,)))
            print(*turns[-1], flush=True)
    rows, seconds, used, memory, rate = zip(*turns, strict=True)
    row = [f"{rows[0]:,}", f"{median(seconds):.0f}", f"{median(used):.0f}"]
    row += [f"{max(memory):.1f}", f"{median(rate):,.0f}"]
    head = ("regions", "s until ready", "of processor time", "peak memory, GB", "windows/s")
    text = [
        f"Regions: {about}. A simulated genome of {args.bp:,} bp, {args.repeats} turns; batches of "
        f"{BATCH}.",
        "",
        *table(head, [row]),
    ]
    write_section(args.results, "region_reading", text)


if __name__ == "__main__":
    main()
