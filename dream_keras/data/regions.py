"""Regions of a genome: the files that a base-resolution experiment consists of.

They are named in a YAML file, its *regions file*, with paths from where it stands::

    genome: hg38.fa
    counts: [replicate1.bw, replicate2.bw]   # counts at each base; replicates are added
    peaks: peaks.narrowPeak
    nonpeaks: nonpeaks.narrowPeak            # regions without peaks, of about the same GC
    folds: fold_0.json                       # chromosomes: {"train": [...], "valid": [...], ...}
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, at_least, within
from dream_keras.common.text import reason
from dream_keras.data.text import numbered_lines

PARTS = ("train", "valid", "test")
Part = Literal["train", "valid", "test"]
KEYS = ("genome", "counts", "peaks", "nonpeaks", "folds")
OPTIONAL = ("nonpeaks",)
SUFFIXES = (".yaml", ".yml")
NAMES_GENOME = re.compile(rb"^genome\s*:", re.MULTILINE)


@dataclass(frozen=True)
class RegionSettings:
    """Which regions of a genome are trained on; defaults as published for ChromBPNet.

    Attributes:
        rows: ``"all"`` trains on peaks and regions without, ``"nonpeaks"`` on the latter alone, of
            which only those count whose totals say that there is no peak: a bias model.
        nonpeak_share: Regions without peaks in an epoch, as a share of the peaks.
        outliers: Share at either end of the totals whose training and validation regions are left
            out.
        nonpeak_limit: Largest total of a region that a bias model is trained on, as a share of the
            peaks' first percentile.
        fold: Number of the file of folds, counted from 0, where several are named.
        bias: Run of a bias model, whose predictions are joined to the network's in training.
    """

    rows: Literal["all", "nonpeaks"] = "all"
    nonpeak_share: float = 0.1
    outliers: float = 0.0001
    nonpeak_limit: float = 0.5
    fold: int = 0
    bias: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        at_least(
            0,
            nonpeak_share=self.nonpeak_share,
            outliers=self.outliers,
            nonpeak_limit=self.nonpeak_limit,
            fold=self.fold,
        )
        if self.outliers >= 0.5:
            with within("outliers"):
                raise UserError(f"outliers={self.outliers}: expected a share below 0.5")


@dataclass(frozen=True)
class Regions:
    """Some regions, each a point of a genome around which windows are taken.

    Attributes:
        chroms: Names of their chromosomes, (regions,).
        centres: Positions counted from 0, (regions,).
        is_peak: Whether they are peaks, (regions,).
    """

    chroms: npt.NDArray[np.str_]
    centres: npt.NDArray[np.int64]
    is_peak: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.centres)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Regions":
        """Return some of the regions."""
        return Regions(self.chroms[rows], self.centres[rows], self.is_peak[rows])

    @classmethod
    def joined(cls, parts: "Sequence[Regions]") -> "Regions":
        """Return some regions one after the other."""
        return cls(
            np.concatenate([part.chroms for part in parts]),
            np.concatenate([part.centres for part in parts]),
            np.concatenate([part.is_peak for part in parts]),
        )

    def by_chrom(self) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
        """Yield each chromosome and the numbers of its regions, ordered by their centres."""
        for chrom in np.unique(self.chroms):
            rows = np.flatnonzero(self.chroms == chrom)
            yield str(chrom), rows[np.argsort(self.centres[rows], kind="stable")]

    def inside(self, lengths: Mapping[str, int], width: int) -> npt.NDArray[np.bool_]:
        """Return whether windows around the centres lie within their chromosomes, (regions,).

        Args:
            lengths: Of the chromosomes, in bp; a region of another one lies within none.
            width: Of the windows in bp; the centre is the first base of the second half.

        Examples:
            >>> regions = Regions(np.array(["a", "a"]), np.array([2, 3]), np.array([True, True]))
            >>> regions.inside({"a": 5}, width=4).tolist()
            [True, True]
            >>> regions.inside({"a": 5}, width=6).tolist()
            [False, False]
        """
        ends = np.array([lengths.get(str(chrom), 0) for chrom in self.chroms], np.int64)
        starts = self.centres - width // 2
        return (starts >= 0) & (starts + width <= ends)


@dataclass(frozen=True)
class RegionFiles:
    """The files that a regions file names.

    Attributes:
        path: The regions file.
        genome: FASTA.
        counts: bigWigs of counts, which are added.
        peaks: narrowPeak.
        nonpeaks: narrowPeak of regions without peaks, if there are any.
        folds: JSON files of chromosomes.
    """

    path: Path
    genome: Path
    counts: tuple[Path, ...]
    peaks: Path
    nonpeaks: Path | None
    folds: tuple[Path, ...]

    def chroms(self, fold: int) -> dict[str, tuple[str, ...]]:
        """Return the chromosomes of each part of a fold.

        Raises:
            UserError: If there is no such fold, or its file is none.
        """
        if fold >= len(self.folds):
            raise UserError(
                f"regions.fold={fold}: {self.path} names {len(self.folds)} files of folds, which "
                "are counted from 0"
            )
        return read_folds(self.folds[fold])

    def regions(self) -> Regions:
        """Read all regions, peaks first."""
        parts = [read_narrow_peaks(self.peaks, is_peak=True)]
        if self.nonpeaks is not None:
            parts.append(read_narrow_peaks(self.nonpeaks, is_peak=False))
        return Regions.joined(parts)


def is_regions_file(path: str | Path | None) -> bool:
    """Whether a path is that of a regions file: YAML, and if it is there it names a genome.

    Examples:
        >>> is_regions_file("regions.yaml"), is_regions_file("train.txt")
        (True, False)
    """
    if path is None or not str(path).endswith(SUFFIXES):
        return False
    file = Path(path)
    return not file.is_file() or bool(NAMES_GENOME.search(file.read_bytes()))


def read_regions_file(path: str | Path) -> RegionFiles:
    """Read a regions file; the files that it names must be there.

    Raises:
        UserError: Names what is missing, unknown or of the wrong kind.
    """
    import yaml

    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from None
    known = content if isinstance(content, dict) else {}
    wrong = [f'"{key}" is unknown' for key in known if key not in KEYS]
    wrong += [f'"{key}" is missing' for key in KEYS if key not in {*known, *OPTIONAL}]
    if wrong:
        raise UserError(
            f"{path} is no regions file: {', '.join(wrong)}. It names {', '.join(KEYS)}; "
            "docs/atac.md shows one."
        )
    files = {key: _paths(path, key, value) for key, value in known.items()}
    for key in ("genome", "peaks", "nonpeaks"):
        if len(files.get(key, ())) > 1:
            raise UserError(f"{path}: {key} names {len(files[key])} files; expected one")
    nonpeaks = files.get("nonpeaks", (None,))[0]
    return RegionFiles(
        path, files["genome"][0], files["counts"], files["peaks"][0], nonpeaks, files["folds"]
    )


def regions_file(
    genome: str | Path,
    counts: Sequence[str | Path],
    peaks: str | Path,
    nonpeaks: str | Path,
    folds: Sequence[str | Path],
) -> str:
    """Return the text of a regions file; arguments are what stands at its keys."""
    import yaml

    content = {
        "genome": str(genome),
        "counts": list(map(str, counts)),
        "peaks": str(peaks),
        "nonpeaks": str(nonpeaks),
        "folds": list(map(str, folds)),
    }
    return yaml.safe_dump(content, sort_keys=False)


def _paths(path: Path, key: str, value: object) -> tuple[Path, ...]:
    """Return the file or files at a key, from where the regions file stands."""
    given = value if isinstance(value, list) else [value]
    if not given or not all(isinstance(name, str) and name for name in given):
        raise UserError(f"{path}: {key}: expected a file or a list of files, not {value!r}")
    found = tuple(path.parent / Path(str(name)).expanduser() for name in given)
    for file in found:
        if not file.is_file():
            raise UserError(f"{path}: {key}: no file {file}")
    return found


def read_folds(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the chromosomes of each part: a JSON object with the lists train, valid and test.

    Raises:
        UserError: If it is none, a part is missing, or a chromosome belongs to two.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "fold.json")
        ...     _ = path.write_text('{"train": ["chr1"], "valid": ["chr2"], "test": ["chr3"]}')
        ...     read_folds(path)["valid"]
        ('chr2',)
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a JSON file: {reason(error)}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), list) for part in PARTS
    ):
        raise UserError(f"{path}: expected an object with the lists {', '.join(PARTS)}")
    folds = {part: tuple(map(str, content[part])) for part in PARTS}
    named = [chrom for part in PARTS for chrom in folds[part]]
    twice = sorted({chrom for chrom in named if named.count(chrom) > 1})
    if twice:
        raise UserError(f"{path}: {', '.join(twice)} stands in two parts; each belongs to one")
    return folds


def read_narrow_peaks(path: Path, is_peak: bool) -> Regions:
    """Read the centres of regions: second column plus tenth, of ten without a header.

    Raises:
        UserError: If the file has other columns, or a row has no summit; names the line.
    """
    chroms, centres = list[str](), list[int]()
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        if len(columns) < 10:
            raise UserError(
                f"{path}:{number} has {len(columns)} columns separated by tabs; expected the ten "
                "of narrowPeak"
            )
        start, summit = columns[1], columns[9]
        if not (start.strip().isdecimal() and summit.strip().isdecimal()):
            raise UserError(
                f"{path}:{number}: start {start!r} and summit {summit!r} (columns 2 and 10) "
                "must be whole numbers, 0 or more; a summit of -1 stands for none"
            )
        chroms.append(columns[0])
        centres.append(int(start) + int(summit))
    if not chroms:
        raise UserError(f"{path} is empty: expected regions, ten columns separated by tabs")
    return Regions(np.array(chroms), np.array(centres, np.int64), np.full(len(chroms), is_peak))


def write_narrow_peaks(path: Path, regions: Regions, half: int, lengths: Mapping[str, int]) -> None:
    """Write regions as narrowPeak, their centres as summits.

    Args:
        path: The file.
        regions: The regions.
        half: bp on either side of a centre, where the chromosome has so many.
        lengths: Of the chromosomes.
    """
    with path.open("w") as file:
        for chrom, centre in zip(regions.chroms.tolist(), regions.centres.tolist(), strict=True):
            start, end = max(centre - half, 0), min(centre + half, lengths[chrom])
            file.write(f"{chrom}\t{start}\t{end}\t.\t0\t.\t0\t-1\t-1\t{centre - start}\n")
