"""Make what training on a genome needs: regions without peaks, count tracks, and a regions file."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from dream_keras.common.cli import make_callable, run
from dream_keras.common.errors import UserError, at_least

WIDTH = 2114
"""bp of sequence whose G and C are matched; the published networks' input."""

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""
log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.regions", description=SUMMARY)
    p.add_argument("out", metavar="OUT", help="folder to create")
    p.add_argument("--genome", metavar="FASTA", required=True, help="the genome")
    p.add_argument(
        "--peaks", metavar="FILE", required=True, help="narrowPeak, summits in column 10"
    )
    p.add_argument(
        "--reads",
        metavar="FILE",
        nargs="+",
        default=(),
        help="BAM or fragment files, one for each replicate: a track of Tn5 cuts is made of each",
    )
    p.add_argument(
        "--counts", metavar="FILE", nargs="+", default=(), help="bigWigs of cuts, if there are any"
    )
    p.add_argument("--folds", metavar="FILE", nargs="+", required=True, help="JSON of chromosomes")
    p.add_argument(
        "--shifted",
        metavar="BP",
        nargs=2,
        type=int,
        help="shift that forward and reverse ends have already (default: 0 0 of a BAM, 4 -5 of a "
        "fragment file); tracks have 4 and -4",
    )
    p.add_argument(
        "--per-peak", metavar="N", type=int, default=1, help="regions without peak for each peak"
    )
    p.add_argument(
        "--width", metavar="BP", type=int, default=WIDTH, help="window that is matched in GC"
    )
    p.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    print(regions(**vars(parser().parse_args(argv))))


def regions(
    out: str | Path,
    *,
    genome: str | Path,
    peaks: str | Path,
    folds: Sequence[str | Path],
    reads: Sequence[str | Path] = (),
    counts: Sequence[str | Path] = (),
    shifted: Sequence[int] | None = None,
    per_peak: int = 1,
    width: int = WIDTH,
    seed: int = 0,
) -> Path:
    """Make regions without peaks, count tracks and the regions file that names all.

    Args:
        out: Folder to create, for ``nonpeaks.narrowPeak``, ``counts1.bw`` and so on, and
            ``regions.yaml``, which ``dream_keras.train`` takes.
        genome: FASTA.
        peaks: narrowPeak, ten columns, the last one the summit.
        folds: JSON files of chromosomes, ``{"train": [...], "valid": [...], "test": [...]}``.
        reads: BAM or fragment files, one for each replicate; the enzyme's cuts, shifted by +4 and
            -4, are counted at each base.
        counts: bigWigs of such counts, if there are any already.
        shifted: bp by which forward and reverse ends of the reads are shifted already; by default
            0 and 0 for a BAM, and 4 and -5 for a fragment file.
        per_peak: Regions without peaks for each peak; each has as much G and C as its peak, as far
            as there are such.
        width: bp of the window whose G and C are counted.
        seed: Of the draw.

    Returns:
        The regions file.

    Raises:
        UserError: If a file cannot be used, ``out`` holds something, or neither reads nor counts
            are given.
    """
    from dream_keras.common.files import new_folder, write_text
    from dream_keras.data.cuts import read_cuts
    from dream_keras.data.genome import Genome
    from dream_keras.data.nonpeaks import gc_matched
    from dream_keras.data.regions import (
        read_folds,
        read_narrow_peaks,
        read_regions_file,
        regions_file,
        write_narrow_peaks,
    )
    from dream_keras.data.tracks import write_cuts

    at_least(1, per_peak=per_peak, width=width)
    if bool(reads) == bool(counts):
        raise UserError(
            "give --reads, BAM or fragment files to count cuts of, or --counts, bigWigs"
        )
    missing = [f for f in (genome, peaks, *folds, *reads, *counts) if not Path(f).is_file()]
    if missing:
        raise UserError(f"no file {missing[0]}")
    for each in folds:
        read_folds(Path(each))
    opened, found = Genome(genome), read_narrow_peaks(Path(peaks), is_peak=True)
    names = {chrom: opened.find(chrom) for chrom in dict.fromkeys(found.chroms.tolist())}
    lengths = {chrom: opened.length(name) for chrom, name in names.items() if name is not None}
    found = found.take(found.inside(lengths, 1))
    if not len(found):
        raise UserError(f"{peaks}: no peak lies on a chromosome of {genome}")
    pair = None if shifted is None else (int(shifted[0]), int(shifted[1]))
    with new_folder(Path(out)) as folder:
        tracks = [Path(file).resolve() for file in counts]
        for number, file in enumerate(reads, 1):
            tracks.append(folder / f"counts{number}.bw")
            everything = {name: opened.length(name) for name in opened.chroms}
            write_cuts(tracks[-1], everything, read_cuts(Path(file), everything, pair))
        matched = gc_matched(
            lambda chrom: opened.tokens(str(opened.find(chrom))), found, width, seed, per_peak
        )
        if len(matched) < per_peak * len(found):
            log.warning(
                "%d regions without peaks for %d peaks: no more are left of the genome",
                len(matched),
                len(found),
            )
        write_narrow_peaks(folder / "nonpeaks.narrowPeak", matched, width // 2, lengths)
        text = regions_file(
            Path(genome).resolve(),
            [track.name if track.parent == folder else track for track in tracks],
            Path(peaks).resolve(),
            "nonpeaks.narrowPeak",
            [Path(file).resolve() for file in folds],
        )
        write_text(folder / "regions.yaml", text)
        read_regions_file(folder / "regions.yaml")
    return Path(out) / "regions.yaml"


make_callable(__name__, regions)

if __name__ == "__main__":
    run(main)
