"""Prepared folders: encoded rows in TFRecord shards, for tables larger than memory.

A folder holds ``manifest.json`` and ``rows-00000-of-00008.tfrecord`` and so on. Each record is a
block of 1,024 rows (the very last one may have fewer), so that framing costs nothing and every
block stands where arithmetic says:

    tokens   rows * length bytes, uint8, row by row, as the processor encodes them
    labels   rows * tasks * 4 bytes, float32, little-endian, row by row
    flags    rows bytes, uint8, as the processor defines them

Block ``b`` of the table is record ``b // shards`` of shard ``b % shards``: in this order the rows
are those of the table. The manifest has the counts, the processor with all its settings, the
labels' statistics, each shard's size and SHA-256, and a CRC-32 of each block, which is compared
whenever a block is read. ``dream_keras.data.region_shards`` documents what differs for regions of
a genome.
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data.parse import BadRow
from dream_keras.data.processor import Labels, Processor
from dream_keras.data.regions import is_regions_file
from dream_keras.data.table import Rows
from dream_keras.data.tfrecord import FOOTER, HEADER

VALIDATION_BLOCKS = 512
"""Most blocks that are held out: they are kept in memory and predicted after each epoch."""
FORMAT = "dream_keras rows 2"
FIRST_FORMAT = "dream_keras rows 1"
"""One task and no flags; still read, the flags made of the labels."""
REGIONS_FORMAT = "dream_keras regions 1"
"""Regions of a genome, with counts behind the flags."""
MANIFEST = "manifest.json"
LABEL = np.dtype("<f4")
COUNT = np.dtype("<u2")

Blocks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Manifest:
    """Manifest of a prepared folder; read and written as JSON.

    Attributes:
        format: Version of the layout.
        dream_keras: Version of the package that wrote it.
        source: Name of the table or regions file, and that it is simulated if it is.
        processor: Name of the processor and all its options.
        length: Tokens in a row.
        tasks: Labels of a row.
        block_rows: Rows in a block.
        rows: Rows in all.
        skipped: Bad rows that were left out.
        labels: Mean, standard deviation (over n), least and greatest label of each task.
        shards: For each shard its file, size in bytes, SHA-256 and the CRC-32 of its blocks.
    """

    format: str
    dream_keras: str
    source: str
    processor: Mapping[str, object]
    length: int
    tasks: int
    block_rows: int
    rows: int
    skipped: int
    labels: Mapping[str, Sequence[float]]
    shards: list[dict[str, Any]]

    @property
    def blocks(self) -> int:
        """Blocks in all."""
        return -(-self.rows // self.block_rows)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        has_flags = self.format != FIRST_FORMAT
        return self.length + self.tasks * LABEL.itemsize + has_flags

    def rows_in(self, block: int) -> int:
        """Return the rows of a block."""
        return min(self.block_rows, self.rows - block * self.block_rows)

    def place(self, block: int) -> tuple[int, int, int]:
        """Return a block's shard, its record there, and the byte where its payload begins."""
        record, shard = divmod(block, len(self.shards))
        full = HEADER + self.block_rows * self.row_bytes + FOOTER
        return shard, record, record * full + HEADER


@dataclass(frozen=True)
class RegionManifest(Manifest):
    """Manifest of a prepared folder of regions; lengths and positions include the jitter.

    Attributes:
        positions: Counts of a row.
        jitter: How much wider rows are on either side than the network's input, in bp.
        parts: Rows of each part, in their order; no test without test chromosomes.
        regions: SHA-256 of the file that says where the rows are.
        baselines: Of the part test, as scores compare with.
    """

    positions: int
    jitter: int
    parts: Mapping[str, int]
    regions: str
    baselines: Mapping[str, float]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return super().row_bytes + self.positions * COUNT.itemsize


KINDS = {FORMAT: Manifest, FIRST_FORMAT: Manifest, REGIONS_FORMAT: RegionManifest}


@dataclass(frozen=True, eq=False)
class ShardedRows:
    """The rows of a prepared folder, or of some of its blocks; they stay on the disk.

    Attributes:
        folder: The folder.
        manifest: Its manifest.
        processor: The processor that encoded them.
        blocks: Numbers of the blocks, ascending.
    """

    folder: Path
    manifest: Manifest = field(repr=False)
    processor: Processor = field(repr=False)
    blocks: Blocks = field(repr=False)
    skipped: ClassVar[tuple[BadRow, ...]] = ()
    """None: they were written when the folder was prepared."""

    def __len__(self) -> int:
        return sum(self.manifest.rows_in(block) for block in self.blocks.tolist())

    @property
    def fingerprint(self) -> str:
        """The number of rows and a checksum of the blocks' checksums."""
        shards = [np.array(shard["blocks"], "<u4") for shard in self.manifest.shards]
        places = [self.manifest.place(block) for block in self.blocks.tolist()]
        checksums = np.array([shards[shard][record] for shard, record, _ in places], "<u4")
        return f"{len(self)}-{zlib.crc32(checksums.tobytes()):08x}"

    @cached_property
    def labels(self) -> Labels:
        """All labels, (rows, tasks). The first use reads every block, and so checks every one."""
        return np.concatenate([self.read(block).labels for block in self.blocks.tolist()])

    @property
    def statistics_labels(self) -> Labels:
        """Labels that statistics are taken from, (rows, tasks)."""
        return self.labels

    def read(self, block: int) -> Rows:
        """Read one block.

        Raises:
            UserError: If it is not what the manifest says.
        """
        shard, record, start = self.manifest.place(block)
        entry = self.manifest.shards[shard]
        path, rows = self.folder / entry["file"], self.manifest.rows_in(block)
        try:
            with path.open("rb") as file:
                file.seek(start)
                payload = file.read(rows * self.manifest.row_bytes)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        if zlib.crc32(payload) != entry["blocks"][record]:
            raise UserError(
                f"{path}: record {record} of {len(entry['blocks'])} does not match {MANIFEST}: "
                "the shard is damaged, or belongs to another folder. Copy it again, or prepare it "
                "again."
            )
        return self.decode(payload, block)

    def decode(self, payload: bytes, block: int) -> Rows:
        """Return the rows of a block from its record."""
        rows = self.manifest.rows_in(block)
        length, tasks = self.manifest.length, self.manifest.tasks
        tokens = np.frombuffer(payload, np.uint8, rows * length).reshape(rows, length)
        labels = np.frombuffer(payload, LABEL, rows * tasks, rows * length).astype(np.float32)
        labels = labels.reshape(rows, tasks)
        if self.manifest.format == FIRST_FORMAT:
            flags = self.processor.row_flags(labels.astype(np.float64))
        else:
            behind = rows * (length + tasks * LABEL.itemsize)
            flags = np.frombuffer(payload, np.uint8, rows, behind)
        return Rows(tokens, labels, flags, np.ones(rows, np.float32))

    def load(self, max_rows: int | None = None) -> Rows:
        """Read all rows, or the first of them, into memory, in the order of the table."""
        enough = None if max_rows is None else -(-max_rows // self.manifest.block_rows)
        parts = [self.read(block) for block in self.blocks[:enough].tolist()]
        rows = type(parts[0]).joined(parts)
        return rows if max_rows is None else rows.take(np.arange(min(max_rows, len(rows))))

    def hold_out(self, share: float, seed: int) -> tuple["ShardedRows", "ShardedRows"]:
        """Split blocks at random into those to train on and those to validate on.

        Args:
            share: Share to validate on; at least one block and at most ``VALIDATION_BLOCKS``.
            seed: Of the draw.

        Raises:
            UserError: If there is one block only.
        """
        if len(self.blocks) < 2:
            raise UserError(
                f"{self.folder} holds one block of rows, which is not split: give a validation "
                "table with --val, or train on the table itself"
            )
        random = np.random.default_rng([seed, 0x5EED])
        count = min(max(round(share * len(self.blocks)), 1), VALIDATION_BLOCKS)
        chosen = np.zeros(len(self.blocks), bool)
        chosen[random.choice(len(self.blocks), count, replace=False)] = True
        return self._only(~chosen), self._only(chosen)

    def of_host(self, host: int, hosts: int) -> "ShardedRows":
        """Return the blocks in the shards of one of several hosts: ``host``, ``host + hosts``, ...

        Raises:
            UserError: If there are fewer shards than hosts, or nothing is left for the host.
        """
        shards = len(self.manifest.shards)
        mine = self._only(self.blocks % shards % hosts == host)
        if shards < hosts or not len(mine.blocks):
            raise UserError(
                f"{self.folder} has {shards} shards, too few for {hosts} hosts: prepare it again "
                f"with --shards {hosts} or a multiple of that"
            )
        return mine

    def _only(self, chosen: npt.NDArray[np.bool_]) -> "ShardedRows":
        return dataclasses.replace(self, blocks=self.blocks[chosen])


def open_shards(folder: Path, processor: Processor, settings: Mapping[str, object]) -> ShardedRows:
    """Open a prepared folder for a processor.

    Args:
        folder: The folder.
        processor: The processor.
        settings: Its name and options, as for ``write_shards``.

    Raises:
        UserError: If it is none, a shard is missing, foreign or of another size (all are named),
            or another processor has encoded the rows (the settings are named).
    """
    manifest = read_manifest(folder)
    theirs = manifest.processor
    differ = [key for key in {**theirs, **settings} if theirs.get(key) != settings.get(key)]
    if differ:
        had, has = (
            ", ".join(f"{k}={options[k]}" if k in options else f"no {k}" for k in differ)
            for options in (theirs, settings)
        )
        raise UserError(
            f"{folder} was prepared for a config with {had}, but this one has {has}. Prepare it "
            "again with this config, or use the settings it was prepared with."
        )
    found = {path.name: path.stat().st_size for path in folder.glob("*.tfrecord")}
    named = {shard["file"]: shard["bytes"] for shard in manifest.shards}
    wrong = [f"{name} is missing" for name in named if name not in found]
    wrong += [
        f"{name} has {found[name]:,} bytes, not {size:,}"
        for name, size in named.items()
        if found.get(name, size) != size
    ]
    wrong += [f"{name} does not belong there" for name in sorted(found) if name not in named]
    if wrong:
        raise UserError(
            f"{folder} does not match {MANIFEST}: {'; '.join(wrong)}. Copy the folder again, or "
            "prepare it again."
        )
    return ShardedRows(folder, manifest, processor, np.arange(manifest.blocks))


def read_manifest(folder: Path) -> Manifest:
    """Read what a prepared folder says of itself.

    Raises:
        UserError: If it is no such folder, or damaged.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} is a folder without {MANIFEST}. Give a table, or a folder made by "
            "python -m dream_keras.prepare"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}): prepare it again") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found == FIRST_FORMAT:
        content = {**content, "tasks": 1}
    kind = KINDS.get(str(found))
    if kind is None or set(content) != {f.name for f in dataclasses.fields(kind)}:
        raise UserError(
            f"{path}: expected the format {FORMAT!r}, found {found!r}: prepare it again"
        )
    return kind(**content)


def is_prepared(path: str | Path) -> bool:
    """Whether a path is that of a prepared folder on this machine.

    Examples:
        >>> is_prepared("train.txt")
        False
    """
    return Path(path, MANIFEST).is_file()


def may_hold_regions(path: str | Path) -> bool:
    """Whether a path is that of a regions file or of a prepared folder, instead of a suite's.

    Examples:
        >>> may_hold_regions("regions.yaml"), may_hold_regions("suite/")
        (True, False)
    """
    return is_prepared(path) or is_regions_file(path)
