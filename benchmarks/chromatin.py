"""Profile networks of a simulated genome, against the truth that its counts were drawn from.

    python -m benchmarks.chromatin GENOME RUN [RUN ...]

GENOME is a folder that ``dream_keras.simulate --genome`` has written; the runs predict the same
windows. Prints the tables of ``docs/atac.md`` and draws its picture: test peaks alone are scored.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import softmax

from dream_keras.common.cli import load_backend
from dream_keras.data import alphabet
from dream_keras.data.region_rows import RegionRows, Windows, load_regions
from dream_keras.data.regions import read_regions_file
from dream_keras.interpret.attribution import Attributor
from dream_keras.interpret.backgrounds import Backgrounds, random_backgrounds
from dream_keras.interpret.footprints import footprints
from dream_keras.interpret.measured import auroc
from dream_keras.interpret.motif_file import Motif, letters_motif
from dream_keras.interpret.planted import LEAST_INFORMATION, average_precision, information
from dream_keras.interpret.predictor import Floats, Predictor, run_predictor
from dream_keras.runs.plots import BLUE, GREY, ORANGE, mark_simulated, plain
from dream_keras.runs.prediction import predict_profiles
from dream_keras.runs.region_scores import windows_of
from dream_keras.runs.run import Run, load_run
from dream_keras.scoring.bootstrap import percentile_interval
from dream_keras.scoring.profiles import RegionScores, jensen_shannon, score_regions
from dream_keras.scoring.region_card import bootstrap_regions
from dream_keras.simulate.chromatin import (
    FACTORS,
    accessibility,
    bias_weights,
    enzyme_bias,
    find_sites,
)
from dream_keras.simulate.genome import GC, read_truth
from dream_keras.simulate.motifs import matrix_of

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "atac.png"
RESAMPLES = 1000
EXPLAINED = 50
"""Peaks whose predictions are attributed."""
EXPLAINED_BP = 400
"""In their middle."""
STEPS = 20
"""Of integrated gradients."""
BOUND = 0.25
"""Occupancy from which a site counts as planted; weaker ones are left out."""
BACKGROUNDS = 200
"""Random sequences that motifs are inserted into."""
ENZYME = "Tn5"
DEEP = tuple(number for number, each in enumerate(FACTORS) if each.footprint >= 0.6)
"""Factors whose footprints are deep enough to be measured."""
SHOWN = 120
"""bp on either side of the middle that the picture shows."""


@dataclass(frozen=True)
class Truth:
    """Test peaks, and what their counts were drawn from.

    Attributes:
        rows: The peaks.
        accessibility: Expected cuts without the enzyme's bias, (peaks, positions).
        bias: The enzyme's preferences, likewise.
    """

    rows: RegionRows
    accessibility: Floats
    bias: Floats

    @classmethod
    def read(cls, genome: Path, windows: Windows, fold: int = 0) -> "Truth":
        """Read the test peaks of a simulated genome.

        Args:
            genome: Its folder.
            windows: Sizes of the windows around the peaks.
            fold: Number of the file of folds.
        """
        rows = load_regions(read_regions_file(genome / "regions.yaml"), fold, ["test"], windows)
        found = np.empty((2, len(rows), windows.positions))
        for chrom, numbers in rows.regions.by_chrom():
            starts = rows.regions.centres[numbers] - windows.positions // 2
            for kind, whole in enumerate(read_truth(genome, chrom)):
                view = np.lib.stride_tricks.sliding_window_view(whole, windows.positions)
                found[kind, numbers] = view[starts]
        return cls(rows, *found)

    @property
    def counts(self) -> npt.NDArray[np.uint16]:
        """Drawn cuts, (peaks, positions)."""
        return self.rows.profiles[:, 0]

    @cached_property
    def sequences(self) -> list[str]:
        """Of the windows."""
        return alphabet.decode_rows(self.rows.tokens)

    def labels(self, peak: int) -> npt.NDArray[np.int8]:
        """Return 1 where a bound site's base matters, 0 elsewhere, -1 in doubt, (length,)."""
        tokens = self.rows.tokens[peak]
        labels = np.zeros(len(tokens), np.int8)
        sites = find_sites(tokens)
        for number in np.argsort(sites.occupancy):
            matrix = matrix_of(FACTORS[sites.factor[number]].consensus)[:: sites.strand[number]]
            columns = slice(sites.start[number], sites.start[number] + len(matrix))
            matters = information(matrix) > LEAST_INFORMATION
            is_bound = sites.occupancy[number] >= BOUND
            labels[columns] = np.where(matters & is_bound, 1, -1)
        return labels


@dataclass(frozen=True)
class Predicted:
    """What is said of the test peaks.

    Attributes:
        name: Who says it.
        scores: Against the counts.
        shares: Of the counts at each position, without the enzyme's bias, (peaks, positions).
    """

    name: str
    scores: RegionScores
    shares: Floats

    def row(self, truth: Truth) -> str:
        """Return the line of the table, with 95 % intervals over peaks."""
        summary, intervals = self.scores.summary(), bootstrap_regions(self.scores, RESAMPLES)
        cells = [_cell(summary[each], intervals[each]) for each in ("pearson", "jsd")]
        open_shares = truth.accessibility / truth.accessibility.sum(axis=1, keepdims=True)
        r = _row_pearson(self.shares, open_shares)
        cells += map(_median, (r, jensen_shannon(self.shares, open_shares)))
        return _line(self.name, *cells)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _median(values: Floats) -> str:
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(values), (RESAMPLES, len(values)))
    return _cell(float(np.median(values)), percentile_interval(np.median(values[drawn], axis=1)))


def _row_pearson(first: Floats, second: Floats) -> Floats:
    """Return Pearson's r of each row of two arrays, (rows,)."""
    x, y = (each - each.mean(axis=1, keepdims=True) for each in (first, second))
    return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def of_truth(truth: Truth, biased: bool) -> Predicted:
    """Score the truth as if it were predicted: what counting noise leaves to be had."""
    expected = truth.accessibility * truth.bias if biased else truth.accessibility
    scores = score_regions(truth.counts, np.log(expected), np.log1p(expected.sum(axis=1)))
    shares = expected / expected.sum(axis=1, keepdims=True)
    return Predicted("the truth" + ("" if biased else " without the bias"), scores, shares)


def of_run(run: Run, truth: Truth) -> Predicted:
    """Score a run; with a bias model its joint prediction is what the counts are compared with."""
    tokens = truth.rows.tokens
    logits, counts = predict_profiles(run.steps, tokens, joint=run.bias is not None)
    scores = score_regions(truth.counts, logits[:, 0], counts[:, 0])
    own, _ = predict_profiles(run.steps, tokens)
    return Predicted(_name(run), scores, softmax(own[:, 0].astype(np.float64), axis=-1))


def _name(run: Run) -> str:
    return f"`{run.folder.path.name}`"


def attribution_row(run: Run, truth: Truth) -> str:
    """Score attributions of the count and of the profile for the bases of bound sites."""
    predictor = run_predictor(run.folder.path)
    number = min(EXPLAINED, len(truth.rows))
    length = truth.rows.tokens.shape[1]
    start = (length - EXPLAINED_BP) // 2
    cells = []
    for weights in (np.array([1.0]), np.array([0.0, 1.0])):
        region = f"{start + 1}-{start + EXPLAINED_BP}"
        attributor = Attributor(predictor, weights, "integrated_gradients", region, STEPS)
        scores = []
        for peak, each in enumerate(attributor(truth.sequences[:number])):
            labels = truth.labels(peak)[start : start + EXPLAINED_BP]
            known = labels >= 0
            found = np.abs(each.contributions[known]), labels[known] == 1
            scores.append((auroc(*found), average_precision(*found)))
        cells += [_mean(column) for column in np.array(scores).T]
    return _line(_name(run), *cells)


def _mean(values: Floats) -> str:
    values = values[np.isfinite(values)]
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(values), (RESAMPLES, len(values)))
    return _cell(float(values.mean()), percentile_interval(values[drawn].mean(axis=1)))


def true_predictor(positions: int, biased: bool) -> Predictor:
    """Return the simulator as a predictor of profiles.

    Args:
        positions: In the middle of a sequence.
        biased: Whether the enzyme's preferences are in them.
    """

    def expected(sequence: str) -> Floats:
        tokens = alphabet.encode(sequence)
        cuts = accessibility(tokens) * (enzyme_bias(tokens) if biased else 1)
        start = (len(cuts) - positions) // 2
        return cuts[start : start + positions]

    def profiles(sequences: Sequence[str]) -> tuple[Floats, Floats]:
        cuts = np.stack([expected(sequence) for sequence in sequences])
        totals = cuts.sum(axis=1, keepdims=True)
        return np.log1p(totals), (cuts / totals)[:, None]

    def counts(sequences: Sequence[str]) -> Floats:
        return np.log1p([expected(sequence).sum() for sequence in sequences])

    return Predictor(counts, name="simulator", profiles=profiles)


def inserted() -> list[Motif]:
    """Return the sequence that the enzyme prefers most, and the consensus of each factor."""
    preferred = "".join("ACGT"[base] for base in bias_weights().argmax(axis=1))
    factors = [letters_motif(each.consensus, each.name) for each in FACTORS]
    return [letters_motif(preferred, ENZYME), *factors]


def changes(profiles: Floats) -> Floats:
    """Return log2 of the share with a motif over that without, (motifs, positions)."""
    return np.log2(profiles[1:] / profiles[0])


def footprint_row(name: str, profiles: Floats) -> str:
    """Return how much the enzyme's motif changes the middle, and the depth of footprints."""
    middle = profiles.shape[1] // 2
    change = changes(profiles)
    cells = [f"{change[0, middle - 12 : middle + 12].max():.2f}"]
    for factor in DEEP:
        profile = profiles[2 + factor]
        half = len(FACTORS[factor].consensus) // 2
        inside = profile[middle - half : middle + half].mean()
        around = np.concatenate([np.arange(-60, -25), np.arange(25, 60)]) + middle
        cells.append(f"{1 - inside / profile[around].mean():.2f}")
    return _line(name, *cells)


def picture(truth: Truth, predicted: Sequence[Predicted], marks: dict[str, Floats]) -> Figure:
    """Draw a test peak, what the enzyme's motif does, and a footprint.

    Args:
        truth: The test peaks.
        predicted: Of two runs.
        marks: Profiles of ``footprints`` of the truth and of these runs, by name.
    """
    figure = Figure(figsize=(9, 6.4), dpi=110, layout="constrained")
    panels = figure.subplot_mosaic([["peak", "peak"], ["enzyme", "factor"]])
    colours = (BLUE, ORANGE)
    peak = int(np.argsort(-truth.counts.sum(axis=1))[len(truth.rows) // 20])
    counts, middle = truth.counts[peak], truth.counts.shape[1] // 2
    shown = slice(middle - SHOWN, middle + SHOWN)
    at = np.arange(-SHOWN, SHOWN)
    axes: Axes = panels["peak"]
    axes.bar(at, counts[shown], width=1, color=GREY, alpha=0.4, label="measured")
    total = counts.sum()
    shares = truth.accessibility[peak] / truth.accessibility[peak].sum()
    axes.plot(at, total * shares[shown], color="black", linewidth=1, label="truth, no enzyme bias")
    for each, colour in zip(predicted, colours, strict=True):
        label = each.name.strip("`")
        axes.plot(at, total * each.shares[peak, shown], color=colour, linewidth=1, label=label)
    axes.set(xlabel="bp from the summit", ylabel="cuts")
    axes.set_title("a test peak", fontsize=9, loc="left")
    for key, number, title in (("enzyme", 0, f"{ENZYME}'s own motif"), ("factor", 1, "CTCF")):
        for (name, profiles), colour in zip(marks.items(), ("black", *colours), strict=True):
            change = changes(profiles)[number]
            place = slice(len(change) // 2 - 40, len(change) // 2 + 40)
            panels[key].plot(np.arange(-40, 40), change[place], color=colour, label=name)
        panels[key].set(xlabel="bp from the middle of the motif", ylabel="log2 change of the share")
        panels[key].set_title(f"inserted: {title}", fontsize=9, loc="left")
    for axes in panels.values():
        axes.legend(frameon=False, fontsize=8)
        plain(axes)
    mark_simulated(figure)
    return figure


def main(argv: list[str] | None = None) -> None:
    """Print the tables and draw the picture, of the first and the last run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("genome", metavar="GENOME", type=Path)
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument("--out", type=Path, default=PICTURE)
    args = parser.parse_args(argv)
    load_backend()
    runs = [load_run(each) for each in args.runs]
    truth = Truth.read(args.genome, windows_of(runs[0]), runs[0].experiment.regions.fold)
    predicted = [of_run(run, truth) for run in runs]
    print("| | r of log counts | median JSD | r with the truth | JSD from the truth |")
    print("|---|---|---|---|---|")
    for each in [*predicted, of_truth(truth, biased=False), of_truth(truth, biased=True)]:
        print(each.row(truth))
    print("\n| | AUROC, count | AUPR, count | AUROC, profile | AUPR, profile |")
    print("|---|---|---|---|---|")
    for run in runs:
        print(attribution_row(run, truth), flush=True)
    positions, length = truth.counts.shape[1], truth.rows.tokens.shape[1]
    strong = GC / 2
    around = random_backgrounds(BACKGROUNDS, length, (0.5 - strong, strong, strong, 0.5 - strong))
    marks = {"truth": _footprints(true_predictor(positions, biased=False), around)}
    marks |= {_name(run): _footprints(run_predictor(run.folder.path), around) for run in runs}
    biased = _footprints(true_predictor(positions, biased=True), around)
    deep = [FACTORS[number].name for number in DEEP]
    print(f"\n| | {ENZYME}, log2 | " + " | ".join(f"{name}, depth" for name in deep) + " |")
    print("|---|---|" + "---|" * len(deep))
    for name, profiles in [*marks.items(), ("truth with the bias", biased)]:
        print(footprint_row(name, profiles))
    chosen = [predicted[0], predicted[-1]]
    shown = {name: marks[name] for name in ("truth", *(each.name for each in chosen))}
    shown = {name.strip("`"): profiles for name, profiles in shown.items()}
    picture(truth, chosen, shown).savefig(args.out)


def _footprints(predictor: Predictor, around: Backgrounds) -> Floats:
    return footprints(predictor, inserted(), around)


if __name__ == "__main__":
    main()
