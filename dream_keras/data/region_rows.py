"""Regions read for training: bytes of sequence and counts at each base, in memory."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import Tokens
from dream_keras.data.genome import Genome
from dream_keras.data.processor import Labels
from dream_keras.data.regions import Part, RegionFiles, Regions, RegionSettings
from dream_keras.data.table import Rows
from dream_keras.data.tracks import Tracks

VALIDATION_SEED = 1234
"""Of the regions without peaks that are validated on; published."""
NONPEAK_SEED = 1
"""Of those that are kept where there are more than peaks; published."""
PEAK_PERCENTILE = 0.01
"""Quantile of the peaks' totals that a bias model's regions stay below; published."""
MOST = np.iinfo(np.uint16).max
"""Largest count at one base; larger ones are cut to it."""

Profiles = npt.NDArray[np.uint16]
Totals = npt.NDArray[np.int64]
Done = Callable[[int], object]
"""Called with the number of regions that have just been read."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Windows:
    """Sizes of the windows around a region's centre.

    Attributes:
        length: bp of sequence.
        positions: bp in its middle whose counts are read.
        jitter: bp that training rows have beyond both on either side.
    """

    length: int
    positions: int
    jitter: int = 0


@dataclass(frozen=True, kw_only=True)
class RegionRows(Rows):
    """Regions ready for training, with the counts at their bases.

    Tokens and profiles are ``jitter`` bp wider on either side than what the network gets. Labels
    are log(1 + total count) of the middle.

    Attributes:
        profiles: (rows, 1, positions + 2 * jitter).
        regions: Where they are.
        jitter: How much wider they are on either side, in bp.
        typical_labels: Labels that statistics are taken from, (some rows, 1): of training and
            validation regions, with as many without peaks as an epoch has in proportion.
    """

    profiles: Profiles
    regions: Regions
    jitter: int = 0
    typical_labels: Labels

    @property
    def contents(self) -> list[npt.NDArray]:
        """What a checksum of the rows is computed on."""
        return [*super().contents, self.profiles]

    @property
    def statistics_labels(self) -> Labels:
        """Labels that statistics are taken from, (some rows, 1)."""
        return self.typical_labels

    def take(self, rows: npt.NDArray[np.int64]) -> "RegionRows":
        """Return some of the rows."""
        return dataclasses.replace(
            self,
            tokens=self.tokens[rows],
            labels=self.labels[rows],
            flags=self.flags[rows],
            weights=self.weights[rows],
            profiles=self.profiles[rows],
            regions=self.regions.take(rows),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return some rows one after the other, as wide as each other."""
        return cls(
            **vars(Rows.joined(parts)),
            profiles=np.concatenate([part.profiles for part in parts]),
            regions=Regions.joined([part.regions for part in parts]),
            jitter=parts[0].jitter,
            typical_labels=parts[0].typical_labels,
        )

    def without_jitter(self) -> "RegionRows":
        """Return the rows as they are predicted: their middle alone."""
        return dataclasses.replace(
            self,
            tokens=np.ascontiguousarray(middle(self.tokens, self.jitter)),
            profiles=np.ascontiguousarray(middle(self.profiles, self.jitter)),
            jitter=0,
        )


@dataclass(frozen=True)
class Source:
    """Genome and counts, opened.

    Attributes:
        genome: The genome.
        tracks: The counts.
    """

    genome: Genome
    tracks: Tracks

    @classmethod
    def open(cls, files: RegionFiles) -> "Source":
        """Open the files that a regions file names."""
        return cls(Genome(files.genome), Tracks(files.counts))

    def lengths(self, regions: Regions) -> dict[str, int]:
        """Return the lengths of the regions' chromosomes; those that are not there are left out."""
        found = {}
        for chrom in map(str, np.unique(regions.chroms)):
            name = self.genome.find(chrom)
            if name is not None:
                found[chrom] = self.genome.length(name)
        return found

    def tokens(self, regions: Regions, width: int) -> Tokens:
        """Read the sequences of windows around the centres, (regions, width)."""
        tokens = np.empty((len(regions), width), np.uint8)
        for chrom, rows in regions.by_chrom():
            whole = self.genome.tokens(str(self.genome.find(chrom)))
            windows = np.lib.stride_tricks.sliding_window_view(whole, width)
            tokens[rows] = windows[regions.centres[rows] - width // 2]
        return tokens

    def profiles(self, regions: Regions, width: int, done: Done = lambda count: None) -> Profiles:
        """Read the counts of windows around the centres, (regions, width).

        Raises:
            UserError: If a count is no whole number.
        """
        profiles = np.empty((len(regions), width), np.uint16)
        cut = 0
        for chrom, rows in regions.by_chrom():
            for row in rows.tolist():
                start = int(regions.centres[row]) - width // 2
                values = self.tracks.values(chrom, start, start + width)
                whole = np.rint(values)
                if (whole != values).any() or whole.min(initial=0) < 0:
                    at = int(np.argmax((whole != values) | (whole < 0)))
                    raise UserError(
                        f"{self.tracks.paths[0]}: {values[at]:g} at {chrom}:{start + at + 1:,} is "
                        "no count. Give counts as they are, not scaled or smoothed: "
                        "python -m dream_keras.regions makes them."
                    )
                cut += int((whole > MOST).sum())
                profiles[row] = np.minimum(whole, MOST)
                done(1)
        if cut:
            log.warning("%d counts above %d were cut to that", cut, MOST)
        return profiles


def load_training_regions(
    files: RegionFiles, settings: RegionSettings, windows: Windows, done: Done = lambda count: None
) -> tuple[RegionRows, RegionRows]:
    """Read the regions to train and to validate on.

    Left out are regions that reach over the end of a chromosome, and outliers; see
    ``RegionSettings``. ``done`` is called after each region.

    Returns:
        Rows to train on, with ``windows.jitter``; and rows to validate on, without: all peaks, and
        as many regions without as an epoch has in proportion, drawn once.

    Raises:
        UserError: If a file cannot be used, or no regions are left of a part.
    """
    source, chroms = Source.open(files), files.chroms(settings.fold)
    known = _inside(source, files, chroms["train"] + chroms["valid"], windows)
    profiles = source.profiles(known, windows.positions + 2 * windows.jitter, done)
    totals = middle(profiles, windows.jitter).sum(axis=1, dtype=np.int64)
    kept, reference = choose(known.is_peak, totals, settings)
    profiles = profiles[kept]  # those of all regions are many: they are not held any longer
    rows = _rows(source, known.take(kept), profiles, windows, reference)
    is_train = np.isin(rows.regions.chroms, chroms["train"])
    for part, here in (("train", is_train), ("valid", ~is_train)):
        if not here.any():
            raise UserError(
                f"{files.path}: no regions of the part {part} are left, whose chromosomes are "
                f"{', '.join(chroms[part]) or 'none'}"
            )
    validation = rows.take(validation_rows(~is_train, rows.regions.is_peak, settings))
    return rows.take(np.flatnonzero(is_train)), validation.without_jitter()


def load_regions(
    files: RegionFiles,
    fold: int,
    parts: Sequence[Part],
    windows: Windows,
    peaks_only: bool = True,
    done: Done = lambda count: None,
) -> RegionRows:
    """Read the regions of some parts of a fold as they are: no outlier is left out.

    Args:
        files: The files.
        fold: Number of the file of folds.
        parts: The parts.
        windows: Sizes, without jitter.
        peaks_only: Leave out regions without peaks, as the published evaluation does.
        done: Called after each region.

    Raises:
        UserError: If a file cannot be used, or there are none.
    """
    source, chroms = Source.open(files), files.chroms(fold)
    known = _inside(source, files, [c for part in parts for c in chroms[part]], windows)
    known = known.take(known.is_peak) if peaks_only else known
    if not len(known):
        raise UserError(f"{files.path}: there are no regions of the part {' and '.join(parts)}")
    profiles = source.profiles(known, windows.positions, done)
    return _rows(source, known, profiles, windows, profiles.sum(axis=1, dtype=np.int64))


def middle(wide: npt.NDArray, jitter: int) -> npt.NDArray:
    """Return the last axis without ``jitter`` positions on either side."""
    return wide[..., jitter : wide.shape[-1] - jitter]


def choose(
    is_peak: npt.NDArray[np.bool_], totals: Totals, settings: RegionSettings
) -> tuple[npt.NDArray[np.int64], Totals]:
    """Choose the regions to train and to validate on by their totals.

    Args:
        is_peak: Whether regions are peaks, (regions,).
        totals: Their total counts, (regions,).
        settings: Which are wanted.

    Returns:
        Numbers of the regions, ascending, and the totals that statistics are taken from.

    Raises:
        UserError: If there are no peaks, or none is left.

    Examples:
        >>> kept, reference = choose(np.ones(5, bool), np.array([1, 4, 2, 9, 3]), RegionSettings())
        >>> kept.tolist(), reference.tolist()
        ([1, 2, 4], [4, 2, 3])
    """
    peaks, others = np.flatnonzero(is_peak), np.flatnonzero(~is_peak)
    if not len(peaks):
        raise UserError("there are no peaks on the chromosomes of the parts train and valid")
    random = np.random.default_rng(NONPEAK_SEED)
    if settings.rows == "nonpeaks":
        limit = np.quantile(totals[peaks], PEAK_PERCENTILE) * settings.nonpeak_limit
        candidates = others[totals[others] < limit]
        reference = totals[candidates]
    else:
        candidates = np.arange(len(totals))
        drawn = nonpeaks_in_epoch(len(peaks), len(others), settings)
        chosen = random.choice(others, drawn, replace=False) if drawn else others[:0]
        reference = totals[np.concatenate([peaks, chosen])]
    if not len(reference):
        raise UserError(
            f"no region without a peak has a total below {limit:g}, regions.nonpeak_limit="
            f"{settings.nonpeak_limit:g} of the peaks' first percentile: raise it, or give more "
            "regions without peaks"
        )
    low, high = np.quantile(reference, [1 - (1 - settings.outliers), 1 - settings.outliers])
    if settings.outliers:
        candidates = candidates[(totals[candidates] > low) & (totals[candidates] < high)]
        reference = reference[(reference >= low) & (reference <= high)]
    if not len(candidates):
        raise UserError(f"all totals are {low:g}: there is nothing to learn")
    left = candidates[~is_peak[candidates]]
    most = len(candidates) - len(left)
    if settings.rows == "all" and len(left) > most:
        left = random.choice(left, most, replace=False)
        candidates = np.sort(np.concatenate([candidates[is_peak[candidates]], left]))
    return candidates, reference


def nonpeaks_in_epoch(peaks: int, nonpeaks: int, settings: RegionSettings) -> int:
    """Return how many regions without peaks an epoch has beside the peaks.

    Examples:
        >>> nonpeaks_in_epoch(105, 200, RegionSettings())
        10
    """
    if settings.rows == "nonpeaks":
        return nonpeaks
    return min(int(settings.nonpeak_share * peaks), nonpeaks)


def validation_rows(
    is_validation: npt.NDArray[np.bool_],
    is_peak: npt.NDArray[np.bool_],
    settings: RegionSettings,
) -> npt.NDArray[np.int64]:
    """Return the rows to validate on, peaks first: those without peaks are drawn once."""
    peaks, others = (np.flatnonzero(is_validation & each) for each in (is_peak, ~is_peak))
    drawn = nonpeaks_in_epoch(len(peaks), len(others), settings)
    if drawn < len(others):
        random = np.random.default_rng(VALIDATION_SEED)
        others = np.sort(random.choice(others, drawn, replace=False))
    return np.concatenate([peaks, others])


def _inside(source: Source, files: RegionFiles, chroms: Sequence[str], windows: Windows) -> Regions:
    """Return the regions on some chromosomes whose windows do not reach over their ends."""
    regions = files.regions()
    regions = regions.take(np.isin(regions.chroms, chroms))
    wide = windows.length + 2 * windows.jitter
    inside = regions.inside(source.lengths(regions), wide)
    if not inside.all():
        log.info("%d regions reach over the end of a chromosome: left out", (~inside).sum())
    return regions.take(inside)


def _rows(
    source: Source, regions: Regions, profiles: Profiles, windows: Windows, reference: Totals
) -> RegionRows:
    """Read the sequences of regions whose counts, (regions, positions), are known."""
    totals = middle(profiles, windows.jitter).sum(axis=1, dtype=np.int64)
    return RegionRows(
        source.tokens(regions, windows.length + 2 * windows.jitter),
        log_totals(totals),
        np.zeros(len(regions), np.uint8),
        np.ones(len(regions), np.float32),
        profiles=profiles[:, None],
        regions=regions,
        jitter=windows.jitter,
        typical_labels=log_totals(reference),
    )


def log_totals(totals: Totals) -> Labels:
    """Return log(1 + total), (rows, 1), natural logarithms."""
    return np.log1p(totals.astype(np.float64)).astype(np.float32)[:, None]
