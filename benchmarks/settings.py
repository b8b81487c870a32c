"""What a benchmark's processes work on, and the table of random rows that they read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dream_keras.data.yeast import LEFT_ADAPTER, RIGHT_ADAPTER

LENGTH = 150
"""Input length of the DREAM networks, bp."""
INSERT = 80
"""Random bases in a row, bp."""
FIRST = {"first": {"out_channels": 16}}
SLIM: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]] = {
    "dream_cnn": (
        {"first": {"out_channels": 4}, "core": {"widths": (), "out_channels": 4}},
        {"first": 4, "sizes": (), "outputs": 4},
    ),
    "dream_rnn": (
        {**FIRST, "core": {"units": 8, "out_channels": 16}},
        {"first": 16, "hidden": 8, "outputs": 16},
    ),
    "dream_attn": (
        {**FIRST, "core": {"layers": 2}},
        {"first": 16, "layers": 2, "heads": 4},
    ),
}
"""Options of our blocks, and the twin's widths, that make a network tiny."""
PRESETS = tuple(SLIM)


@dataclass(frozen=True)
class Settings:
    """What one process works on.

    Attributes:
        preset: The network.
        batch: Rows in a training step and in a prediction call.
        calls: Steps, or prediction calls, in one repeat.
        precision: Keras's policy; the twin uses autocast for ``mixed_bfloat16``.
        slim: Whether the network is a tiny one.
        compiled: Whether the twin goes through ``torch.compile``.
        strategy: Devices that share each batch, ours only.
        table: Table of rows to read, or (ours only) a prepared folder.
    """

    preset: str
    batch: int = 64
    calls: int = 1
    precision: str = "float32"
    slim: bool = False
    compiled: bool = False
    strategy: str = "none"
    table: str = ""


def write_table(path: Path, rows: int, seed: int = 0) -> Path:
    """Write rows of random inserts between the adapters, and random labels, in the official format.

    Args:
        path: File to write.
        rows: Rows.
        seed: Of the bases and labels.
    """
    random = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", np.uint8)
    with path.open("w") as file:
        for start in range(0, rows, 100_000):
            inserts = letters[random.integers(0, 4, (min(100_000, rows - start), INSERT))]
            labels = random.integers(0, 171, len(inserts)) / 10
            file.writelines(
                f"{LEFT_ADAPTER}{insert.tobytes().decode()}{RIGHT_ADAPTER}\t{label}\n"
                for insert, label in zip(inserts, labels, strict=True)
            )
    return path
