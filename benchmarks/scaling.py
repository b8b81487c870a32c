"""Time per epoch and peak memory against rows; time per step against replicas.

    python -m benchmarks.scaling [--rows 10000 100000 1000000]

Rows are read from a table into memory, or streamed from a prepared folder. The network is a tiny
DREAM-CNN, so that the largest table takes minutes: times are the input side's and the engine's
more than a real network's, memory is that of the data. Replicas are parts of the CPU, which share
its cores: their figures show what sharing a batch costs, not what more devices would gain. Writes
its section of ``RESULTS.md`` and ``scaling.png`` beside it.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.results import RESULTS, machine, table, write_section
from benchmarks.settings import Settings, write_table
from benchmarks.turns import Track, in_turns
from benchmarks.worker import Worker

ROWS = (10_000, 100_000, 1_000_000)
WAYS = ("in memory", "streamed")


def measure_rows(rows: int, settings: Settings) -> list[dict[str, float]]:
    """Train one epoch on a table in memory, then streamed from a prepared folder.

    Returns:
        For each way: seconds until the first batch, seconds of the epoch after the first step, and
        the peak memory of the process in GiB.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = write_table(Path(folder) / "rows.txt", rows)
        prepared = Path(folder) / "prepared"
        command = [sys.executable, "-m", "dream_keras.prepare", str(file), "--shards", "1"]
        command += ["--out", str(prepared), "--config", settings.preset]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = []
        for path in (file, prepared):
            worker = Worker("tensorflow", replace(settings, table=str(path)))
            try:
                ready = worker.ask("read")
                worker.ask("step")  # compiles
                epoch = worker.ask("epoch")
            finally:
                worker.close()
            found.append(
                {"ready": ready["seconds"], "epoch": epoch["seconds"], "gib": epoch["gib"]}
            )
        return found


def measure_replicas(settings: Settings, repeats: int) -> list[list[str]]:
    """Time a step on one replica and on two, in turns; return the table's lines."""
    tracks = [
        Track(name, "tensorflow", replace(settings, strategy=name), "step")
        for name in ("mirrored:1", "mirrored:2")
    ]
    found = in_turns(tracks, repeats)
    one = found["mirrored:1"]
    return [
        [
            who,
            f"{1000 * np.median(m.seconds):.0f}",
            f"{np.median(m.against(one)):.2f}",
            f"{m.gib:.2f}",
        ]
        for who, m in found.items()
    ]


def draw(path: Path, rows: list[int], found: list[list[dict[str, float]]]) -> None:
    """Draw epoch time and peak memory against rows, one line for each way."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, key, label in zip(
        axes, ("epoch", "gib"), ("time per epoch, s", "peak memory, GiB"), strict=True
    ):
        for number, way in enumerate(WAYS):
            axis.plot(rows, [both[number][key] for both in found], "o-", label=way)
        axis.set(xscale="log", xlabel="rows", ylabel=label)
        axis.legend(frameon=False)
    axes[0].set_yscale("log")
    axes[1].set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=7, help="of the steps on replicas")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    settings = Settings("dream_cnn", args.batch, slim=True)
    about = machine()
    print(about, flush=True)
    found, lines = [], []
    for rows in args.rows:
        found.append(measure_rows(rows, settings))
        for way, one in zip(WAYS, found[-1], strict=True):
            line = [f"{rows:,}", way, f"{one['ready']:.2f}", f"{one['epoch']:.1f}"]
            lines.append([*line, f"{one['gib']:.2f}"])
            print(" | ".join(lines[-1]), flush=True)
    replicas = measure_replicas(settings, args.repeats)
    draw(args.results.parent / "scaling.png", args.rows, found)
    head = ("rows", "rows come", "ready to train, s", "epoch, s", "peak memory, GiB")
    text = [
        f"Scaling: {about}. A tiny DREAM-CNN, TensorFlow, batches of {args.batch:,}; an epoch is "
        "both strands of each row once, measured once.",
        "",
        *table(head, lines),
        "",
        "Streaming holds two windows of 524,288 strands each; smaller tables do not fill them.",
        "",
        "![time and memory against rows](scaling.png)",
        "",
        f"Replicas that are parts of one CPU, medians of {args.repeats} steps in turns: what it "
        "costs to share a batch, not what devices of their own would gain.",
        "",
        *table(("strategy", "ms per step", "speed", "peak memory, GiB"), replicas),
    ]
    write_section(args.results, "scaling", text)


if __name__ == "__main__":
    main()
