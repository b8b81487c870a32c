"""Rows per second of the augmentation, alone and within the stream of batches.

    python -m benchmarks.augmenting [--rows 100000]

Six operations as in EvoAug, two on each row, batches of 1,024, one thread; the cases take turns.
Other load on the machine slows the clock more than the processor time. Writes its section of
``RESULTS.md``.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.results import RESULTS, machine, rate_cells, table, write_section
from dream_keras import menu
from dream_keras.data.augment import Augmentation, AugmentSettings
from dream_keras.data.stream import StreamSettings, TrainingStream
from dream_keras.data.table import Rows

BATCH = 1024
SETTINGS = AugmentSettings(
    per_row=2,
    deletion=20,
    insertion=20,
    inversion=20,
    translocation=20,
    mutation=0.05,
    reverse_complement=0.5,
)


def make_stream(length: int, rows: int) -> TrainingStream:
    """Return augmented batches of random rows without adapters."""
    processor = menu.get("processor", "plain").build(length=length)
    tokens = np.random.default_rng(0).integers(0, 4, (rows, length), np.uint8)
    numbers = np.arange(rows, dtype=np.float32)
    content = Rows(tokens, numbers[:, None], np.zeros(rows, np.uint8), np.ones_like(numbers))
    change = Augmentation(SETTINGS, processor)
    return TrainingStream(content, StreamSettings(BATCH, augment=change, augmented_steps=rows))


def measure(stream: TrainingStream, alone: bool) -> tuple[float, float]:
    """Make as many rows as there are; return those per second of clock and of processor time."""
    steps = max(len(stream.rows) // BATCH, 1)
    tokens, random = stream.rows.tokens[:BATCH], np.random.default_rng(0)
    clock, used = time.perf_counter(), time.process_time()
    for step in range(steps):
        if alone:
            stream.settings.augment(tokens, random)
        else:
            stream.batch(step)
    rows = steps * BATCH
    return rows / (time.perf_counter() - clock), rows / (time.process_time() - used)


def main(argv: list[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    about = machine()
    streams = {length: make_stream(length, args.rows) for length in (110, 230)}
    cases = [(length, alone) for length in streams for alone in (True, False)]
    turns = [
        [measure(streams[length], alone) for length, alone in cases] for _ in range(args.repeats)
    ]
    lines = []
    for number, (length, alone) in enumerate(cases):
        what = "augmentation alone" if alone else "batches of the stream"
        rates = rate_cells([turn[number] for turn in turns])
        lines.append([f"{length} bp", what, *rates])
        print(" | ".join(lines[-1]), flush=True)
    head = ("rows", "what", "rows/s, median", "rows/s, best", "rows per processor second, median")
    text = [
        f"Augmentation: {about}. Two of six operations on each row, batches of {BATCH:,}, "
        f"{args.repeats} turns, one thread.",
        "",
        *table(head, lines),
    ]
    write_section(args.results, "augmenting", text)


if __name__ == "__main__":
    main()
