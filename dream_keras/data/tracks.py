"""Counts at each base of a genome, in bigWig files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason

Counts = npt.NDArray[np.float64]
Places = tuple[npt.NDArray[np.int64], Counts]
"""Positions, ascending, and their values."""
NOWHERE: Places = (np.zeros(0, np.int64), np.zeros(0))


class Tracks:
    """One or more bigWigs, added; what they do not cover is 0.

    Args:
        paths: The files.

    Raises:
        UserError: If a file, or pybigtools, is missing.
    """

    def __init__(self, paths: Sequence[Path]):
        pybigtools = _library()
        self.paths = tuple(paths)
        self._files = []
        for path in self.paths:
            try:
                self._files.append(pybigtools.open(str(path)))
                self._files[-1].chroms()
            except Exception as error:  # the library's own types vary
                raise UserError(f"{path}: not a readable bigWig file: {reason(error)}") from None
        self._names = [dict(file.chroms()) for file in self._files]

    def values(self, chrom: str, start: int, end: int) -> Counts:
        """Return the sum at each base from ``start`` to before ``end``, counted from 0.

        Raises:
            UserError: If a file has no such chromosome, or does not reach to the end.
        """
        total = np.zeros(end - start)
        for path, file, names in zip(self.paths, self._files, self._names, strict=True):
            other = chrom.removeprefix("chr") if chrom.startswith("chr") else f"chr{chrom}"
            name = next((each for each in (chrom, other) if each in names), None)
            if name is None:
                raise UserError(f"{path} has no chromosome {chrom}: it has {_some(names)}")
            if end > names[name] or start < 0:
                raise UserError(
                    f"{path}: {chrom} has {names[name]:,} bp, and {start:,} to {end:,} are asked "
                    "for: it belongs to another genome"
                )
            total += np.nan_to_num(file.values(name, start, end, fillna=0))
        return total


def write_track(
    path: Path, lengths: Mapping[str, int], counts: Callable[[str], npt.NDArray | None]
) -> None:
    """Write counts as a bigWig; 0 is left out.

    Args:
        path: The file.
        lengths: Of all chromosomes, in bp.
        counts: Returns those of a chromosome, (length,), or None; it is called for one at a time.

    Raises:
        UserError: If pybigtools is missing.
    """

    def places(chrom: str) -> Places:
        values = counts(chrom)
        if values is None:
            return NOWHERE
        at = np.flatnonzero(values)
        return at, values[at].astype(np.float64)

    _write(path, lengths, places)


def write_cuts(path: Path, lengths: Mapping[str, int], cuts: Mapping[str, npt.NDArray]) -> None:
    """Write how many cuts there are at each base as a bigWig.

    Args:
        path: The file.
        lengths: Of all chromosomes, in bp.
        cuts: Positions of the cuts on some or all of them, (cuts,) each, in any order.

    Raises:
        UserError: If pybigtools is missing.
    """

    def places(chrom: str) -> Places:
        if chrom not in cuts:
            return NOWHERE
        at, number = np.unique(cuts[chrom], return_counts=True)
        return at.astype(np.int64), number.astype(np.float64)

    _write(path, lengths, places)


def _write(path: Path, lengths: Mapping[str, int], places: Callable[[str], Places]) -> None:
    """Write values at some positions, ascending; neighbours with the same value are joined."""
    pybigtools = _library()

    def intervals() -> Iterator[tuple[str, int, int, float]]:
        for chrom in sorted(lengths):
            at, values = places(chrom)
            if not len(at):  # a chromosome without any would be missing
                at, values = np.zeros(1, np.int64), np.zeros(1)
            first = np.flatnonzero(
                np.diff(at, prepend=-2) + 2 * (np.diff(values, prepend=np.nan) != 0) != 1
            )
            last = np.append(first[1:], len(at)) - 1
            columns = (at[first].tolist(), (at[last] + 1).tolist(), values[first].tolist())
            for start, end, value in zip(*columns, strict=True):
                yield chrom, start, end, value

    writer = pybigtools.open(str(path), "w")
    writer.write({chrom: int(length) for chrom, length in lengths.items()}, intervals())


def _library() -> ModuleType:
    try:
        import pybigtools
    except ImportError:
        raise UserError('bigWig files need pybigtools: pip install "dream-keras[genome]"') from None
    return pybigtools


def _some(names: dict[str, int]) -> str:
    return ", ".join(list(names)[:5]) + (" and others" if len(names) > 5 else "")
