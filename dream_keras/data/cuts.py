"""Where the enzyme has cut: both ends of ATAC-seq fragments, from a BAM or a fragment file."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.data.text import numbered_lines

PLUS, MINUS = 4, -4
"""Shift in bp of cuts on the forward and on the reverse strand, with which both strands' cuts have
the same surroundings; with 4 and -5, used as well, they have not. Source: ChromBPNet."""
BAM_SHIFT = (0, 0)
"""Shift that the reads of a BAM have already."""
FRAGMENT_SHIFT = (4, -5)
"""Shift that the ends in a fragment file have already, as Cell Ranger writes it."""
CHUNK = 1 << 20
"""Cuts that are collected as Python numbers."""

Positions = npt.NDArray[np.int64]
log = logging.getLogger(__name__)


def read_cuts(
    path: Path, lengths: Mapping[str, int], shifted: tuple[int, int] | None = None
) -> dict[str, Positions]:
    """Return the positions of all cuts on each chromosome, (cuts,), counted from 0.

    Of a BAM the 5' end of each read counts, not of those that are unmapped, secondary,
    supplementary, duplicates or failed; of a fragment file both ends of each line.

    Args:
        path: BAM, or a table of chromosome, start and end, plain or gzipped.
        lengths: Of the chromosomes that are wanted, in bp.
        shifted: bp by which forward and reverse ends are shifted already; None takes 0 and 0 for a
            BAM, and 4 and -5 for a fragment file.

    Raises:
        UserError: If the file, or pysam, is missing, or it holds something else.
    """
    is_bam = path.suffix in (".bam", ".sam", ".cram")
    plus, minus = shifted or (BAM_SHIFT if is_bam else FRAGMENT_SHIFT)
    ends = _bam_ends(path) if is_bam else _fragment_ends(path)
    kept: dict[str, list[Positions]] = defaultdict(list)
    waiting: dict[str, list[int]] = defaultdict(list)
    reads = elsewhere = 0
    for chrom, position, forward in ends:
        if chrom not in lengths:
            elsewhere += 1
            continue
        waiting[chrom].append(position + (PLUS - plus if forward else MINUS - minus))
        reads += 1
        if len(waiting[chrom]) == CHUNK:
            kept[chrom].append(np.array(waiting.pop(chrom), np.int64))
    for chrom, positions in waiting.items():
        kept[chrom].append(np.array(positions, np.int64))
    cuts = {}
    for chrom, parts in kept.items():
        found = np.concatenate(parts)
        cuts[chrom] = found[(found >= 0) & (found < lengths[chrom])]
    inside = sum(map(len, cuts.values()))
    log.info("%s: %s cuts", path, f"{inside:,}")
    if elsewhere:
        log.info("%s: %s cuts on chromosomes that the genome has not", path, f"{elsewhere:,}")
    if reads > inside:
        log.info("%s: %s cuts beyond the end of a chromosome", path, f"{reads - inside:,}")
    if not inside:
        raise UserError(f"{path} has no cuts on the genome's chromosomes")
    return cuts


def _bam_ends(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield chromosome, position and strand of each read's 5' end."""
    try:
        import pysam
    except ImportError:
        raise UserError('a BAM needs pysam: pip install "dream-keras[genome]"') from None
    try:
        with pysam.AlignmentFile(str(path)) as file:
            for read in file.fetch(until_eof=True):
                left_out = read.is_unmapped or read.is_secondary or read.is_supplementary
                if left_out or read.is_duplicate or read.is_qcfail:
                    continue
                at = read.reference_end - 1 if read.is_reverse else read.reference_start
                yield read.reference_name, at, not read.is_reverse
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from None


def _fragment_ends(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield chromosome, position and strand of both ends of each fragment."""
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        try:
            chrom, start, end = columns[0], int(columns[1]), int(columns[2])
        except (IndexError, ValueError):
            raise UserError(
                f"{path}:{number}: expected chromosome, start and end of a fragment, "
                f"separated by tabs, not {line.strip()!r}"
            ) from None
        yield chrom, start, True
        yield chrom, end - 1, False
