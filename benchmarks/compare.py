"""Time ours beside the PyTorch twin, in one run, in turns: training step, prediction, input.

    python -m benchmarks.compare [--parts step predict input] [--rows 200000] [--repeats 7]

Every figure is a median over repeats that alternate between the two, so that a noisy machine slows
both; the ratio is the median of the ratios within a repeat. ``--rows`` at 6700000 measures the
input pipeline at the challenge's full size. Needs the torch extra.
"""

import argparse
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from itertools import islice
from pathlib import Path

import numpy as np

from dream_keras.cli import load_backend

PRESETS = ("dream_cnn", "dream_rnn", "dream_attn")
BATCH = 64
"""Rows in a training step and in a prediction call; the published setting on an accelerator is
1,024, which two CPU cores take minutes for."""
LENGTH = 150

Work = Callable[[], int]
"""Does some work and returns how many rows it was."""


def in_turns(works: dict[str, Work], repeats: int) -> dict[str, list[float]]:
    """Time each piece of work once per repeat, in turns; return rows per second."""
    for work in works.values():
        work()  # compiles, fills caches
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            began = time.perf_counter()
            rows = work()
            rates[name].append(rows / (time.perf_counter() - began))
    return rates


def show(what: str, rates: dict[str, list[float]]) -> None:
    """Print medians, and the ratios of the first to each other."""
    names = list(rates)
    first = np.array(rates[names[0]])
    for name in names:
        ratio = np.median(first / np.array(rates[name]))
        beside = "" if name == names[0] else f"   ours is {ratio:.2f} times as fast"
        print(f"| {what} | {name} | {np.median(rates[name]):,.0f} rows/s |{beside}", flush=True)


def compare_networks(preset: str, repeats: int, parts: list[str]) -> None:
    """Time one network's training step and prediction beside its twin's."""
    import torch

    from benchmarks import torch_twin
    from dream_keras import menu
    from dream_keras.data.stream import Batch
    from dream_keras.menu.processors.autosome import Autosome
    from dream_keras.model import build_network
    from dream_keras.training.steps import Steps

    random = np.random.default_rng(0)
    tokens = random.integers(0, 4, (BATCH, LENGTH)).astype(np.uint8)
    labels = random.uniform(5, 15, BATCH).astype(np.float32)
    forward = np.zeros(BATCH, np.uint8)
    trainer = menu.get("trainer", "autosome").build()
    steps = Steps(build_network(preset), Autosome(), trainer.optimizer(10_000))
    planes = np.asarray(steps.processor.make_planes(tokens, forward, forward))
    twin = torch_twin.build_twin(preset)
    optimizer, schedule = torch_twin.one_cycle(twin, 10_000)
    x = torch.from_numpy(planes.transpose(0, 2, 1).copy())
    target = torch_twin.soft_bins(torch.from_numpy(labels))

    def our_step() -> int:
        steps.train([Batch(tokens, forward, labels)])
        return BATCH

    def twin_step() -> int:
        twin.train()
        torch_twin.train_step(twin, optimizer, schedule, x, target)
        return BATCH

    def our_prediction() -> int:
        steps.predict(tokens)  # both strands of each row
        return 2 * BATCH

    @torch.inference_mode()
    def twin_prediction() -> int:
        twin.eval()
        twin(x)
        twin(x)
        return 2 * BATCH

    @torch.inference_mode()
    def twin_one_by_one() -> int:
        twin.eval()
        for row in x[:8]:
            twin(row[None])
        return 8

    if "step" in parts:
        show(f"{preset} training step", in_turns({"ours": our_step, "twin": twin_step}, repeats))
    if "predict" in parts:
        works = {
            "ours": our_prediction,
            "twin in batches": twin_prediction,
            "twin one by one, as published": twin_one_by_one,
        }
        show(f"{preset} prediction", in_turns(works, repeats))


def compare_input(rows: int) -> None:
    """Time reading, encoding and batching a simulated file beside the per-row way."""
    from benchmarks.per_row_loader import batches
    from dream_keras.data.stream import TrainingStream
    from dream_keras.data.table import load_rows
    from dream_keras.menu.processors.autosome import Autosome

    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, so that its memory does not count as the reader's.
        simulated = Path(folder) / "simulated"
        sizes = ["--train-rows", str(rows), "--test-rows", "600"]
        command = [sys.executable, "-m", "dream_keras.simulate", str(simulated), *sizes]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        file = simulated / "train.txt"
        began = time.perf_counter()
        table = load_rows(file, Autosome())
        read = time.perf_counter() - began
        stream = TrainingStream(table, 1024, 0, both_strands=True)
        stream.batch(0)  # draws the order of the first pass
        ready = time.perf_counter() - began
        steps = min(2_000, stream.rows_per_pass // 1024)
        began = time.perf_counter()
        for _ in stream.batches(0, steps):
            pass
        streamed = steps * 1024 / (time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        began = time.perf_counter()
        plain = sum(len(part[0]) for part in islice(batches(file, 1024), 20))
        per_row = plain / (time.perf_counter() - began)
    print(f"| read and encode {rows:,} rows | ours | {rows / read:,.0f} rows/s |")
    print(f"| ready to train on {rows:,} rows | ours | {ready:.1f} s, peak {peak:.2f} GiB |")
    print(f"| stream training batches | ours | {streamed:,.0f} rows/s |")
    print(
        f"| stream training batches | per row, as published | {per_row:,.0f} rows/s |   "
        f"ours is {streamed / per_row:.0f} times as fast"
    )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["step", "predict", "input"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--rows", type=int, default=200_000, help="rows for the input pipeline")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    load_backend()
    versions = [f"{name} {metadata.version(name)}" for name in ("keras", "tensorflow", "torch")]
    print(f"{platform.machine()}, Python {platform.python_version()}, {', '.join(versions)}")
    print(f"batches of {BATCH} rows; medians of {args.repeats} alternating repeats\n")
    print("| what | who | speed |\n|---|---|---|")
    if "input" in args.parts:
        compare_input(args.rows)
    for preset in args.presets:
        if set(args.parts) & {"step", "predict"}:
            compare_networks(preset, args.repeats, args.parts)


if __name__ == "__main__":
    main()
