"""Time ours on TensorFlow and on JAX beside the PyTorch twin, in one run, in turns.

    python -m benchmarks.compare [--parts input predict step train] [--repeats 7]

Contestants are processes that take turns, repeat by repeat, so that a noisy machine slows all of
them; figures are medians over the repeats, ratios and shares medians of the repeats' own. A
contestant whose package is not installed stays away. Writes its section of ``RESULTS.md``.
Needs the torch extra. On a GPU: batches of 1,024, and the twin through ``torch.compile`` as well.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.results import RESULTS, machine, table, write_section
from benchmarks.settings import PRESETS, Settings, write_table
from benchmarks.turns import Measured, Track, in_fresh_processes, in_turns
from benchmarks.worker import installed

PARTS = ("input", "predict", "step", "train")
HEAD = ("network", "what", "who", "rows/s", "against the twin", "of the limit", "peak memory, GiB")
OURS = {"tensorflow": "ours, TensorFlow", "jax": "ours, JAX"}
TWIN = "twin"
PER_ROW = "twin, rows encoded one by one as published"
ONE_BY_ONE = "twin, one by one as published"
PEAK = "matrix product"


def ours(settings: Settings, work: str) -> list[Track]:
    """Return a track for each backend of ours that is installed."""
    return [Track(who, name, settings, work) for name, who in OURS.items() if name in installed()]


def twins(settings: Settings, work: str, gpu: bool) -> list[Track]:
    """Return the twin's tracks: as it is, and on a GPU compiled as well."""
    compiled = Track("twin, compiled", "torch", replace(settings, compiled=True), work)
    return [Track(TWIN, "torch", settings, work), *([compiled] if gpu else [])]


def limit(settings: Settings) -> Track:
    """Return the matrix product that sets the limit.

    Another batch gives it a process of its own, where its matrices count as nobody's memory.
    """
    return Track(PEAK, "torch", replace(settings, table="", batch=1), "peak")


def lines(
    settings: Settings,
    what: str,
    found: dict[str, Measured],
    base: str = TWIN,
    passes: float = 0,
) -> list[list[str]]:
    """Return the table's lines for one piece of work.

    Args:
        settings: Of the contestants.
        what: The piece of work, for people.
        found: What each track did.
        base: The track that the others are compared with.
        passes: Operations per row, in forward passes: 1 to predict, 3 to train.
    """
    flops = passes * next((m.facts["flops"] for m in found.values() if "flops" in m.facts), 0)
    name = settings.preset if passes else "any"
    made = []
    for who, measured in found.items():
        if who == PEAK:
            continue
        share = ""
        if flops:
            share = f"{100 * flops * np.median(measured.against(found[PEAK])):.0f} %"
        ratio = np.median(measured.against(found[base])) if base in found else np.nan
        made.append(
            [
                name if settings.precision == "float32" else f"{name}, {settings.precision}",
                what,
                who,
                f"{np.median(measured.rates):,.0f}",
                "1" if who == base else f"{ratio:.2f}" if np.isfinite(ratio) else "",
                share,
                f"{measured.gib:.2f}",
            ]
        )
        print("|", " | ".join(made[-1]), "|", flush=True)
    return made


def compare_input(settings: Settings, rows: int, repeats: int) -> list[list[str]]:
    """Time reading, encoding and batching a table beside the per-row way."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(Path(folder) / "rows.txt", rows)
        here = replace(settings, slim=True, batch=1024, table=str(path))
        mine = ours(here, "")[0]
        read = replace(mine, who="ours", work="read")
        made = lines(
            here, f"read and encode {rows:,} rows", in_turns([read], repeats), base="nothing"
        )
        # One process for both: it streams what it has read.
        tracks = [replace(read, who="ours, reading"), replace(mine, who="ours", work="input")]
        found = in_turns([*tracks, Track("per row, as published", "torch", here, "input")], repeats)
        del found["ours, reading"]
        return made + lines(here, "training batches", found, "per row, as published")


def compare_networks(
    settings: Settings, parts: list[str], repeats: int, gpu: bool
) -> list[list[str]]:
    """Time one network's prediction and training step beside its twin's."""
    made: list[list[str]] = []
    if "predict" in parts:
        tracks = ours(settings, "predict") + twins(settings, "predict", gpu)
        tracks += [Track(ONE_BY_ONE, "torch", settings, "predict_one"), limit(settings)]
        made += lines(settings, "prediction", in_turns(tracks, repeats, gpu), passes=1)
    if "step" in parts:
        tracks = [*ours(settings, "step"), *twins(settings, "step", gpu), limit(settings)]
        made += lines(settings, "training step", in_turns(tracks, repeats, gpu), passes=3)
    return made


def compare_training(settings: Settings, rows: int, repeats: int, gpu: bool) -> list[list[str]]:
    """Time the way from a table to trained weights: one pass over both strands."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(Path(folder) / "rows.txt", rows)
        here = replace(settings, table=str(path))
        tracks = ours(here, "train") + twins(here, "train", gpu)
        tracks.append(Track(PER_ROW, "torch", here, "train_per_row"))
        found = in_fresh_processes(tracks, repeats, gpu)
        found |= in_turns([limit(here)], repeats, gpu)  # warm, unlike the others
        return lines(here, f"{rows:,} rows, table to trained weights", found, PER_ROW, 3)


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    p.add_argument("--rows", type=int, default=200_000, help="rows for the input pipeline")
    p.add_argument("--train-rows", type=int, default=20_000, help="rows to train on, first preset")
    p.add_argument("--repeats", type=int, default=7)
    p.add_argument("--train-repeats", type=int, default=1)
    p.add_argument("--batch", type=int, help="rows in a step (64; on a GPU 1024, as published)")
    p.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto")
    p.add_argument("--precision", nargs="+", help="Keras's policies (float32; on a GPU bf16 too)")
    p.add_argument("--slim", action="store_true", help="tiny networks, to see that it runs")
    p.add_argument("--results", type=Path, default=RESULTS)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the comparison."""
    args = parser().parse_args(argv)
    gpu = args.device == "gpu" or (args.device == "auto" and bool(shutil.which("nvidia-smi")))
    batch = args.batch or (1024 if gpu else 64)
    calls = 20 if gpu else 1
    precisions = args.precision or ["float32", *(["mixed_bfloat16"] if gpu else [])]
    about = machine()
    for name in sorted(set(OURS) - set(installed())):
        about += f"; {OURS[name]}: not installed, left out"
    print(f"{about}\n\n| {' | '.join(HEAD)} |", flush=True)
    made: list[list[str]] = []

    def keep(rows: list[list[str]]) -> None:
        made.extend(rows)
        text = [
            f"{'GPU' if gpu else 'CPU'}: {about}. Batches of {batch} rows, medians of "
            f"{args.repeats} repeats in turns (from table to weights: {args.train_repeats}).",
            "",
            *table(HEAD, made),
        ]
        write_section(args.results, "gpu" if gpu else "cpu", text)

    for precision in precisions:
        base = Settings(args.presets[0], batch, calls, precision, args.slim)
        if "input" in args.parts and precision == precisions[0]:
            keep(compare_input(base, args.rows, args.repeats))
        for preset in args.presets:
            keep(compare_networks(replace(base, preset=preset), args.parts, args.repeats, gpu))
        if "train" in args.parts:
            keep(compare_training(base, args.train_rows, args.train_repeats, gpu))


if __name__ == "__main__":
    main()
