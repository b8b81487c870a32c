"""Writing of prepared folders; ``dream_keras.data.shards`` documents their content."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dream_keras._version import __version__
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.data.parse import BadRow
from dream_keras.data.region_rows import RegionRows
from dream_keras.data.shards import COUNT, FORMAT, LABEL, MANIFEST, Manifest
from dream_keras.data.table import Rows
from dream_keras.data.tfrecord import frame

BLOCK_ROWS = 1_024
"""Rows in a block: 158 kB at 150 bp, enough for a disk to read at its full speed."""
MOST_SHARDS = 512
"""All are open while they are written; systems allow about 1,000 open files."""


def check_out(out: Path, shards: int) -> None:
    """Refuse a folder that holds something, and a number of shards that cannot be written.

    Raises:
        UserError: Names it.
    """
    if not 1 <= shards <= MOST_SHARDS:
        raise UserError(f"--shards {shards}: allowed are 1 to {MOST_SHARDS}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: choose another folder with --out")


def write_shards(
    parts: Iterable[Rows], out: Path, shards: int, source: str, processor: Mapping[str, object]
) -> Manifest:
    """Write a prepared folder atomically.

    Args:
        parts: The rows, in pieces of any size.
        out: The folder to make.
        shards: Files to deal the blocks to, 1 to ``MOST_SHARDS``.
        source: Name of the table.
        processor: Name and options of the processor that encoded the rows.

    Raises:
        UserError: If the folder holds something, or there are fewer blocks than shards.
    """
    with unfinished_folder(out, shards) as folder:
        writer = write_blocks(parts, folder, shards, BLOCK_ROWS)
        manifest = writer.manifest(source, processor)
        if writer.skipped:
            import pandas as pd

            table = pd.DataFrame([vars(row) for row in writer.skipped])
            table.to_csv(folder / "skipped_rows.tsv", sep="\t", index=False)
        write_manifest(folder, manifest)
    return manifest


@contextmanager
def unfinished_folder(out: Path, shards: int) -> Iterator[Path]:
    """Give a temporary folder that becomes ``out`` when the block succeeds.

    Raises:
        UserError: As for ``check_out``.
    """
    check_out(out, shards)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        try:
            folder.replace(out)
        except OSError:
            check_out(out, shards)  # another process may have been faster
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_blocks(parts: Iterable[Rows], folder: Path, shards: int, block_rows: int) -> "Writer":
    """Write the shards of a folder; return what has written them.

    Args:
        parts: The rows, in pieces of any size.
        folder: The folder.
        shards: Files to deal the blocks to.
        block_rows: Rows in a block.

    Raises:
        UserError: If there are fewer blocks than shards.
    """
    with Writer(folder, shards, block_rows) as writer:
        for part in parts:
            writer.add(part)
        writer.finish()
    return writer


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write what a folder says of itself."""
    (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(manifest)), encoding="utf-8")


class Writer(ExitStack):
    """Cuts rows into blocks and distributes these among shards."""

    def __init__(self, folder: Path, shards: int, block_rows: int):
        super().__init__()
        self.block_rows = block_rows
        names = [f"rows-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
        self.files = [self.enter_context((folder / name).open("wb")) for name in names]
        self.hashes = [hashlib.sha256() for _ in names]
        self.shards: list[dict[str, Any]] = [
            {"file": name, "bytes": 0, "sha256": "", "blocks": []} for name in names
        ]
        self.skipped: list[BadRow] = []
        self.rest: Rows | None = None
        self.rows = self.written = 0
        self.statistics: list[_Statistics] = []

    def add(self, part: Rows) -> None:
        """Take some rows and write the blocks they fill."""
        self.skipped += part.skipped
        if not len(part):
            return
        self._count(part.labels.astype(np.float64))
        if self.rest is not None:
            part = type(part).joined([self.rest, part])
        full = len(part) - len(part) % self.block_rows
        for start in range(0, full, self.block_rows):
            self._write(part.take(np.arange(start, start + self.block_rows)))
        self.rest = part.take(np.arange(full, len(part)))

    def finish(self) -> None:
        """Write the remaining rows, which do not fill a block."""
        if self.rest is not None and len(self.rest):
            self._write(self.rest)
        if self.written < len(self.shards):
            raise UserError(
                f"{self.rows:,} rows fill {self.written} blocks of {self.block_rows:,} rows, too "
                f"few for {len(self.shards)} shards: use --shards {max(self.written, 1)} or less"
            )
        for shard, digest in zip(self.shards, self.hashes, strict=True):
            shard["sha256"] = digest.hexdigest()

    def manifest(self, source: str, processor: Mapping[str, object]) -> Manifest:
        """Return the manifest of what was written."""
        assert self.rest is not None
        return Manifest(
            format=FORMAT,
            dream_keras=__version__,
            source=source,
            processor=dict(processor),
            length=self.rest.tokens.shape[1],
            tasks=self.rest.labels.shape[1],
            block_rows=self.block_rows,
            rows=self.rows,
            skipped=len(self.skipped),
            labels={
                "mean": [task.mean for task in self.statistics],
                "std": [float(np.sqrt(task.squares / task.count)) for task in self.statistics],
                "least": [task.least for task in self.statistics],
                "greatest": [task.greatest for task in self.statistics],
            },
            shards=self.shards,
        )

    def _write(self, rows: Rows) -> None:
        number = self.written % len(self.shards)
        labels = rows.labels.astype(LABEL).tobytes()
        payload = rows.tokens.tobytes() + labels + rows.flags.tobytes()
        if isinstance(rows, RegionRows):
            payload += rows.profiles.astype(COUNT).tobytes()
        record = frame(payload)
        self.files[number].write(record)
        self.hashes[number].update(record)
        self.shards[number]["bytes"] += len(record)
        self.shards[number]["blocks"].append(zlib.crc32(payload))
        self.written += 1

    def _count(self, labels: npt.NDArray[np.float64]) -> None:
        """Take labels, (rows, tasks), into the statistics of their tasks."""
        self.statistics = self.statistics or [_Statistics() for _ in range(labels.shape[1])]
        for task, column in zip(self.statistics, labels.T, strict=True):
            task.add(column[np.isfinite(column)])
        self.rows += len(labels)


@dataclass
class _Statistics:
    """Count, mean, sum of squared differences from it, and range of the labels of a task."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float = np.inf
    greatest: float = -np.inf

    def add(self, labels: npt.NDArray[np.float64]) -> None:
        """Merge more labels into the running mean and sum of squares (Chan et al. 1979)."""
        if not len(labels):
            return
        count = self.count + len(labels)
        step = float(labels.mean()) - self.mean
        self.squares += float(np.sum((labels - labels.mean()) ** 2))
        self.squares += step**2 * self.count * len(labels) / count
        self.mean += step * len(labels) / count
        self.least = min(self.least, float(labels.min()))
        self.greatest = max(self.greatest, float(labels.max()))
        self.count = count
