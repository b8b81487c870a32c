"""Variants, bases and designs of a run on simulated promoters, against the noise-free expression.

    python -m benchmarks.truth RUN DESIGNS

DESIGNS is a folder that ``dream_keras.design`` has written with the run. Prints the table of
effects in ``docs/variants.md`` and draws the picture of the README.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dream_keras.common.cli import load_backend
from dream_keras.data.yeast import LEFT_ADAPTER
from dream_keras.interpret.attribution import Attributor
from dream_keras.interpret.planted import REGION, Planted, plant_sites, simulator
from dream_keras.interpret.planted_report import draw_logos
from dream_keras.interpret.predictor import Floats, Predictor, run_predictor
from dream_keras.runs.plots import BLUE, GREY, ORANGE, mark_simulated, plain
from dream_keras.scoring.bootstrap import percentile_interval
from dream_keras.scoring.metrics import pearson, spearman

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "interpret.png"
PROMOTERS = 500
CHANGES = 10
"""Single-base changes of either kind in each promoter, at most."""
KINDS = {1: "in planted sites", 0: "elsewhere"}
RESAMPLES = 1000
SHOWN = 100
"""Promoters that ``attribute --score`` was run with for the docs: the first one is drawn."""


@dataclass(frozen=True)
class Effects:
    """Effects of single-base changes, (changes,).

    Attributes:
        promoter: Which promoter is changed.
        predicted: Of the run.
        true: Of the simulator.
    """

    promoter: npt.NDArray[np.intp]
    predicted: Floats
    true: Floats

    def row(self, name: str) -> str:
        """Return the line of the table, with intervals over promoters."""
        random = np.random.default_rng(0)
        number = self.promoter.max() + 1
        own = [np.flatnonzero(self.promoter == each) for each in range(number)]
        draws = [
            np.concatenate([own[each] for each in random.integers(0, number, number)])
            for _ in range(RESAMPLES)
        ]
        r = [pearson(self.predicted[rows], self.true[rows]) for rows in draws]
        low, high = percentile_interval(np.array(r))
        sign = (np.sign(self.predicted) == np.sign(self.true))[self.true != 0].mean()
        slope = np.polyfit(self.true, self.predicted, 1)[0]
        return (
            f"| {name} | {len(self.true):,} | {pearson(self.predicted, self.true):.3f} "
            f"[{low:.3f}, {high:.3f}] | {spearman(self.predicted, self.true):.3f} | {sign:.0%} | "
            f"{slope:.2f} |"
        )


def single_changes(predictor: Predictor, planted: Planted, seed: int = 0) -> dict[str, Effects]:
    """Return effects of random changes at planted positions, and at others."""
    random = np.random.default_rng(seed)
    truth = simulator()
    before = [each(planted.sequences)[:, 0] for each in (predictor, truth)]
    found = {}
    for kind, name in KINDS.items():
        rows, changed = [], []
        for row, (text, labels) in enumerate(zip(planted.sequences, planted.labels, strict=True)):
            there = np.flatnonzero(labels == kind)
            for place in random.choice(there, min(CHANGES, len(there)), replace=False):
                at = len(LEFT_ADAPTER) + int(place)
                base = random.choice([base for base in "ACGT" if base != text[at]])
                rows.append(row)
                changed.append(text[:at] + str(base) + text[at + 1 :])
        after = [each(changed)[:, 0] for each in (predictor, truth)]
        found[name] = Effects(
            np.array(rows), *(new - old[rows] for new, old in zip(after, before, strict=True))
        )
    return found


def picture(effects: dict[str, Effects], predictor: Predictor, designs: Path) -> Figure:
    """Draw effects of variants, designs by round, and contributions of bases."""
    figure = Figure(figsize=(9, 6.6), dpi=110, layout="constrained")
    panels = figure.subplot_mosaic(
        [["variants", "designs"], ["true"] * 2, ["run"] * 2], height_ratios=(8, 5, 5)
    )
    _variants(panels["variants"], effects)
    _designs(panels["designs"], designs)
    planted = plant_sites(SHOWN, 0)
    of_run, of_truth = (
        Attributor(each, np.ones(1), "ism", REGION)(planted.sequences[:1])[0]
        for each in (predictor, simulator())
    )
    logos = {"attribution: truth": of_truth, "attribution: in-silico mutagenesis": of_run}
    draw_logos([panels["true"], panels["run"]], logos, planted.sites[0])
    mark_simulated(figure)
    return figure


def _variants(axes: Axes, effects: dict[str, Effects]) -> None:
    for (name, each), colour in zip(effects.items(), (BLUE, GREY), strict=True):
        axes.scatter(each.true, each.predicted, s=3, color=colour, linewidths=0, label=name)
    axes.set(xlabel="true effect (bins)", ylabel="predicted effect (bins)")
    axes.set_title("variants: single-base changes", fontsize=9, loc="left")
    axes.legend(frameon=False, markerscale=3, fontsize=8)
    plain(axes)


def _designs(axes: Axes, folder: Path) -> None:
    table = pd.read_csv(folder / "trajectory.tsv", sep="\t", comment="#")
    courses = table.pivot(index="round", columns="name", values="prediction")
    axes.plot(courses, color=GREY, linewidth=0.8, alpha=0.5)
    axes.plot(courses.median(axis=1), color=BLUE, linewidth=2, label="predicted, median")
    truth = pd.read_csv(folder / "designs.tsv", sep="\t", comment="#")["truth"]
    last = [courses.index[-1]] * len(truth)
    axes.plot(last, truth, "o", color=ORANGE, markersize=3, label="true, of the designs")
    axes.set(xlabel="round", ylabel="expression (bins)")
    axes.set_title(f"design: {len(truth)} promoters towards the maximum", fontsize=9, loc="left")
    axes.legend(frameon=False, fontsize=8)
    plain(axes)


def main(argv: list[str] | None = None) -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("designs", metavar="DESIGNS", type=Path)
    parser.add_argument("--promoters", type=int, default=PROMOTERS)
    parser.add_argument("--out", type=Path, default=PICTURE)
    args = parser.parse_args(argv)
    load_backend()
    predictor = run_predictor(args.run)
    effects = single_changes(predictor, plant_sites(args.promoters, 1))
    print("| changes | n | r | rho | sign right | slope |\n|---|---|---|---|---|---|")
    print("\n".join(each.row(name) for name, each in effects.items()))
    picture(effects, predictor, args.designs).savefig(args.out)


if __name__ == "__main__":
    main()
