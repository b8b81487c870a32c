"""What the design command writes: sequences, a table, the course of the search and its picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dream_keras.common.files import replacing, write_rows, write_text
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.interpret.design_search import Search
from dream_keras.interpret.predictor import Floats, Predictor
from dream_keras.interpret.simulated_truth import percentiles, true_expression
from dream_keras.runs.plots import BLUE, GREY, ORANGE, mark_simulated, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 200
"""Most designs whose courses are drawn."""


@dataclass(frozen=True)
class Judge:
    """A model that was not optimised.

    Attributes:
        predictor: Predicts.
        weights: Of its tasks, for the number that was optimised.
    """

    predictor: Predictor
    weights: Floats


def edit_list(start: Tokens, design: Tokens) -> str:
    """Return substitutions, with positions from 1.

    Examples:
        >>> edit_list(np.array([0, 1, 2], np.uint8), np.array([0, 3, 4], np.uint8))
        '2C>T,3G>N'
    """
    places = np.flatnonzero(start != design)
    letters = alphabet.LETTERS
    return ",".join(f"{at + 1}{letters[start[at]]}>{letters[design[at]]}" for at in places)


def design_table(
    search: Search, judge: Judge | None = None, flanks: tuple[str, str] | None = None
) -> pd.DataFrame:
    """Return one row for each design; ``docs/design.md`` explains the columns.

    Args:
        search: The search, finished.
        judge: A model that was not optimised.
        flanks: What stands around the sequences, if they are the simulator's promoters.
    """
    starts = search.starts
    begin, found = starts.texts(starts.tokens), starts.texts(search.tokens)
    table: dict[str, Sequence[object] | Floats] = {
        "name": starts.names,
        "start": begin,
        "design": found,
        "edits": [edit_list(*pair) for pair in zip(starts.tokens, search.tokens, strict=True)],
        "n_edits": np.count_nonzero(starts.tokens != search.tokens, axis=1),
    }
    tasks = search.predictors[0].tasks
    members = np.stack([each(found) for each in search.predictors])
    table["start_prediction"] = search.history[0]
    table["prediction"] = (members @ search.weights).mean(axis=0)
    if len(members) > 1:
        table["spread"] = (members @ search.weights).std(axis=0)
    if judge is not None:
        judged = judge.predictor(found)
        table["judge"] = judged @ judge.weights
    if len(tasks) > 1:
        table |= {f"{t}.prediction": members.mean(axis=0)[:, n] for n, t in enumerate(tasks)}
    if len(members) > 1:
        for number, values in enumerate(members, 1):
            table |= {
                _name(task, f"prediction_{number}", tasks): values[:, n]
                for n, task in enumerate(tasks)
            }
    if judge is not None and len(judge.predictor.tasks) > 1:
        names = judge.predictor.tasks
        table |= {f"{task}.judge": judged[:, n] for n, task in enumerate(names)}
    if flanks is not None:
        truth = true_expression([flanks[0] + text + flanks[1] for text in found])
        if truth is not None:
            table["truth"] = truth
            table["truth_percentile"] = percentiles(truth)
    table["status"] = search.status()
    return pd.DataFrame(table)


def _name(task: str, column: str, tasks: Sequence[str]) -> str:
    return f"{task}.{column}" if len(tasks) > 1 else column


def write_designs(
    out: Path,
    search: Search,
    table: pd.DataFrame,
    description: str,
    title: str,
    simulated: bool = False,
) -> None:
    """Write all files into a folder that is there.

    Args:
        out: The folder.
        search: The search, finished.
        table: What ``design_table`` has returned.
        description: How they were made, for the first line of the tables.
        title: Of the picture.
        simulated: Whether the picture says that the data are simulated.
    """
    good = table[table["status"] == "ok"]
    records = zip(good["name"], good["design"], strict=True)
    write_text(out / "designs.fasta", "".join(f">{name}\n{text}\n" for name, text in records))
    shown = table.assign(name=[" ".join(str(name).split()) for name in table["name"]])
    write_text(
        out / "designs.tsv",
        f"# {description}\n" + shown.to_csv(sep="\t", index=False, float_format="%.7g"),
    )
    courses: Iterable[list[object]] = (
        [number, shown["name"][design], f"{value:.7g}"]
        for number, values in enumerate(search.history)
        for design, value in enumerate(values)
    )
    header = ["round", "name", "prediction"]
    write_rows(out / "trajectory.tsv", [header, *courses], description)
    figure = trajectory_figure(search, title)
    if simulated:
        mark_simulated(figure)
    with replacing(out / "trajectory.png") as temporary:
        figure.savefig(temporary)


def trajectory_figure(search: Search, title: str) -> "Figure":
    """Draw the predictions of the designs by round, and their median."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    courses = np.array(search.history)
    figure = Figure(figsize=(6, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    few = len(courses) < 30
    lines = axes.plot(courses[:, :DRAWN], color=GREY, linewidth=0.8, alpha=0.5)
    lines[0].set_label("a design")
    axes.plot(
        np.median(courses, axis=1),
        color=BLUE,
        linewidth=2,
        marker="o" if few else None,
        markersize=4,
        label="median",
    )
    if not isinstance(search.goal.kind, str):
        axes.axhline(search.goal.kind, color=ORANGE, linewidth=1, linestyle="--", label="goal")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name = search.goal.task or search.predictors[0].tasks[0]
    axes.set(xlabel="round", ylabel=f"predicted {name}", title=title)
    axes.legend(frameon=False)
    plain(axes)
    return figure


def summary(table: pd.DataFrame) -> list[str]:
    """Return what is said of the designs at the end, line by line.

    Args:
        table: What ``design_table`` has returned.
    """
    good = table[table["status"] == "ok"]
    before, after = good["start_prediction"].median(), good["prediction"].median()
    lines = [
        f"{len(good):,} designs; median prediction {before:.3f} at the start, {after:.3f} now; "
        f"median number of edits {good['n_edits'].median():g}"
    ]
    if len(good) < len(table):
        reasons = table["status"][table["status"] != "ok"].value_counts()
        named = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
        lines.append(f"{len(table) - len(good):,} starts could not be repaired: {named}")
    if "judge" in good:
        line = f"judge: median {good['judge'].median():.3f}"
        if len(good) > 2 and good["judge"].nunique() > 1 and good["prediction"].nunique() > 1:
            r = good["judge"].corr(good["prediction"])
            rho = good["judge"].rank().corr(good["prediction"].rank())
            line += f"; with the predictions Pearson r {r:.3f}, Spearman rho {rho:.3f}"
        lines.append(line)
    if "truth" in good:
        lines.append(
            f"noise-free expression: median {good['truth'].median():.3f} bins, percentile "
            f"{good['truth_percentile'].median():.2f} of random promoters "
            f"(lowest {good['truth_percentile'].min():.2f})"
        )
    return lines
