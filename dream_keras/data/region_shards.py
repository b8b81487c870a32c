"""Prepared folders of regions: what training on a genome needs, without the genome.

As of tables (``dream_keras.data.shards``), with blocks of ``BLOCK_ROWS`` rows, in which

    counts   rows * positions * 2 bytes, uint16, little-endian, row by row

stand behind the flags. The rows are those to train on, to validate on, and the peaks to test on, in
this order. Those to train on are wider by the jitter on either side; the others are filled up to
that width. ``regions.npz`` holds where they are (``chroms``, ``centres``, ``is_peak``) and
``typical_labels``, which statistics are taken from; the manifest has its SHA-256, the rows of each
part, the settings that have chosen the regions, and the baselines of the part test.
"""

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.processor import Labels, Processor
from dream_keras.data.region_rows import Done, RegionRows
from dream_keras.data.regions import Part, Regions
from dream_keras.data.shard_writer import unfinished_folder, write_blocks, write_manifest
from dream_keras.data.shards import (
    COUNT,
    MANIFEST,
    REGIONS_FORMAT,
    RegionManifest,
    ShardedRows,
    open_shards,
)

BLOCK_ROWS = 64
"""Rows in a block: 457 kB at the published widths."""
REGIONS = "regions.npz"


@dataclass(frozen=True, eq=False)
class ShardedRegions(ShardedRows):
    """The rows of a prepared folder of regions.

    Attributes:
        regions: Where the rows are, of all blocks.
        typical_labels: Labels that statistics are taken from, (some rows, 1).
    """

    manifest: RegionManifest = field(repr=False)
    regions: Regions = field(repr=False)
    typical_labels: Labels = field(repr=False)

    def decode(self, payload: bytes, block: int) -> RegionRows:
        """Return the rows of a block from its record, with the jitter."""
        rows, positions = self.manifest.rows_in(block), self.manifest.positions
        behind = len(payload) - rows * positions * COUNT.itemsize
        counts = np.frombuffer(payload, COUNT, offset=behind)
        first = block * self.manifest.block_rows
        return RegionRows(
            **vars(super().decode(payload, block)),
            profiles=counts.astype(np.uint16, copy=False).reshape(rows, 1, positions),
            regions=self.regions.take(np.arange(first, first + rows)),
            jitter=self.manifest.jitter,
            typical_labels=self.typical_labels,
        )

    def part(self, name: Part) -> RegionRows:
        """Read the rows of a part, those to train on with the jitter.

        Raises:
            UserError: If there are none, or a block is not what the manifest says.
        """
        parts, size = self.manifest.parts, self.manifest.block_rows
        if name not in parts:
            raise UserError(f"{self.folder}: there are no regions of the part {name}")
        first = sum(list(parts.values())[: list(parts).index(name)])
        numbers = np.arange(first, first + parts[name])
        of_part = dataclasses.replace(self, blocks=np.unique(numbers // size))
        rows = of_part.load()
        assert isinstance(rows, RegionRows)
        rows = rows.take(numbers - first // size * size)
        return rows if name == "train" else rows.without_jitter()


def write_region_shards(
    parts: Mapping[Part, RegionRows],
    out: Path,
    shards: int,
    source: str,
    processor: Mapping[str, object],
    baselines: Mapping[str, float],
    done: Done = lambda count: None,
) -> RegionManifest:
    """Write a prepared folder of regions atomically.

    Args:
        parts: The rows of train, valid and perhaps test; only the first with jitter.
        out: The folder to make.
        shards: Files to deal the blocks to.
        source: Name of the regions file.
        processor: Name and options of the processor, and the settings that chose the regions.
        baselines: Of the part test, as scores compare with.
        done: Called with the number of regions after each block.

    Raises:
        UserError: If the folder holds something, or there are fewer blocks than shards.
    """
    train = parts["train"]
    regions = Regions.joined([rows.regions for rows in parts.values()])

    def pieces() -> Iterator[RegionRows]:
        for rows in parts.values():
            for start in range(0, len(rows), BLOCK_ROWS):
                piece = rows.take(np.arange(start, min(start + BLOCK_ROWS, len(rows))))
                yield _widened(piece, train.jitter)
                done(len(piece))

    table = io.BytesIO()
    np.savez(table, **vars(regions), typical_labels=train.typical_labels)
    with unfinished_folder(out, shards) as folder:
        written = write_blocks(pieces(), folder, shards, BLOCK_ROWS).manifest(source, processor)
        (folder / REGIONS).write_bytes(table.getvalue())
        manifest = RegionManifest(
            **{**vars(written), "format": REGIONS_FORMAT},
            positions=train.profiles.shape[-1],
            jitter=train.jitter,
            parts={name: len(rows) for name, rows in parts.items()},
            regions=hashlib.sha256(table.getvalue()).hexdigest(),
            baselines=dict(baselines),
        )
        write_manifest(folder, manifest)
    return manifest


def open_region_shards(
    folder: Path, processor: Processor, settings: Mapping[str, object]
) -> ShardedRegions:
    """Open a prepared folder of regions; arguments are those of ``open_shards``.

    Raises:
        UserError: As there, or if it holds other regions than the manifest says.
    """
    opened = open_shards(folder, processor, settings)
    manifest, path = opened.manifest, folder / REGIONS
    assert isinstance(manifest, RegionManifest), "no table is prepared for processors of profiles"
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != manifest.regions:
        raise UserError(
            f"{path} is missing, damaged or of another folder: it does not match {MANIFEST}. Copy "
            "it again, or prepare it again."
        )
    with np.load(io.BytesIO(content)) as table:
        regions = Regions(table["chroms"], table["centres"], table["is_peak"])
        return ShardedRegions(
            **vars(opened), regions=regions, typical_labels=table["typical_labels"]
        )


def _widened(rows: RegionRows, jitter: int) -> RegionRows:
    """Return rows with jitter: those without are filled up with N and with counts of 0."""
    if rows.jitter == jitter:
        return rows
    sides = (jitter, jitter)
    return dataclasses.replace(
        rows,
        tokens=np.pad(rows.tokens, ((0, 0), sides), constant_values=alphabet.encode("N")[0]),
        profiles=np.pad(rows.profiles, ((0, 0), (0, 0), sides)),
        jitter=jitter,
    )
