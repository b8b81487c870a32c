"""The truth beside the simulated files: noise-free expression and motif sites of every row."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, unknown
from dream_keras.simulate.motifs import MOTIFS

SPLITS = ("train", "val", "test")
FOLDER = "truth"
SIMULATED = " (simulated data)"
"""Appended to names of what is simulated."""


@dataclass(frozen=True)
class Truth:
    """Noise-free values of one file, and the motif sites behind them.

    Attributes:
        expression: Noise-free expression in sorting bins (0..17), float32, shape (rows,).
        sites: Motif sites in the order of the rows, fields ``row``, ``motif`` (place in
            ``names``), ``position`` (first base in the sequence as written, from 0), ``strand``
            (+1 or -1) and ``affinity`` (relative to the consensus, 0..1).
        names: Names of the motifs.
    """

    expression: npt.NDArray[np.float32]
    sites: npt.NDArray[np.void]
    names: tuple[str, ...] = tuple(motif.name for motif in MOTIFS)

    def sites_of(self, row: int) -> npt.NDArray[np.void]:
        """Return the sites of one row."""
        rows = self.sites["row"]
        return self.sites[np.searchsorted(rows, row) : np.searchsorted(rows, row, side="right")]


def is_simulated(rows: Path | str) -> bool:
    """Return whether a table, a regions file or a prepared folder was simulated.

    The truth lies beside it, or the folder was prepared where it did.

    Examples:
        >>> is_simulated("measured.tsv")
        False
    """
    from dream_keras.data.shards import is_prepared, read_manifest

    if (Path(rows).parent / FOLDER).is_dir():
        return True
    try:
        return is_prepared(rows) and read_manifest(Path(rows)).source.endswith(SIMULATED)
    except UserError:  # damaged since: those who need the rows say so
        return False


def read_truth(folder: Path | str, split: str = "test") -> Truth:
    """Open the truth of a simulated folder; the arrays stay on disk until they are used.

    Args:
        folder: What ``simulate`` wrote.
        split: ``train``, ``val`` or ``test``: the file whose rows are meant.

    Raises:
        UserError: If the split is unknown or the folder holds no such truth.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    arrays = []
    for kind in ("expression", "sites"):
        path = array_path(Path(folder), split, kind)
        if not path.is_file():
            raise UserError(
                f"{path}: no such file. Only a folder written by python -m dream_keras.simulate "
                "has a truth."
            )
        arrays.append(np.load(path, mmap_mode="r"))
    return Truth(*arrays)


def array_path(folder: Path, split: str, kind: str) -> Path:
    """Where the ``expression`` or the ``sites`` of a split are kept."""
    return folder / FOLDER / f"{split}_{kind}.npy"


class ArrayWriter:
    """Write a one-dimensional ``.npy`` file piece by piece, whatever its final length."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._file = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._length,),
        }
        # numpy leaves room for the length to grow, so the header can be written again in place.
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, values: npt.NDArray) -> None:
        """Append values, converted to the dtype of the file."""
        values.astype(self._dtype).tofile(self._file)
        self._length += len(values)

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()
