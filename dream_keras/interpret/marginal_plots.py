"""Pictures of the effects of inserted motifs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from dream_keras.interpret.marginal import Marginal
from dream_keras.interpret.marginal_plan import DIFFERENCE, STRANDS
from dream_keras.runs.plots import BLUE, GREY, ORANGE, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLOURS = (BLUE, ORANGE, "#3f8f4f", "#a3477f", "#7a5bb5", "#8c6d3f", "#3a9fa8", "#c2453e")
"""Of motifs, or of the four orientations of a pair."""
MOST_OUTPUTS = 4
"""Tasks that are drawn."""
MOST_PAIRS = 12
"""Pairs that are drawn: those with the largest interactions."""
COLUMNS = 3
MOST_COLUMNS = 6
"""Of the legend."""
LINES: dict[str, Literal["-", "--"]] = {"+": "-", "-": "--"}
MARKERS = {"+": "o", "-": "s"}
Rows = npt.NDArray[np.intp]


def curves(found: Marginal) -> "Figure":
    """Draw effects by position, orientation and number of copies, and interactions of pairs.

    Motifs beyond the number of colours, pairs beyond ``MOST_PAIRS`` and tasks beyond
    ``MOST_OUTPUTS`` are left out: those with the largest effects are drawn.
    """
    from matplotlib.figure import Figure

    outputs = found.outputs[:MOST_OUTPUTS]
    pairs = _largest(found, "spacing", MOST_PAIRS)
    lines = 1 + -(-len(pairs) // COLUMNS)
    figure = Figure(
        figsize=(4.3 * COLUMNS, 3.5 * lines * len(outputs)), dpi=110, layout="constrained"
    )
    parts = figure.subfigures(len(outputs), 1, squeeze=False)[:, 0]
    for output, (name, part) in enumerate(zip(outputs, parts, strict=True)):
        _draw(part, found, output, lines, pairs)
        if len(found.outputs) > 1:
            part.suptitle(name, fontsize=12, fontweight="bold")
    return figure


def _draw(
    part: "SubFigure", found: Marginal, output: int, lines: int, pairs: Sequence[tuple[str, str]]
) -> None:
    panels = part.subplots(lines, COLUMNS, squeeze=False).ravel()
    motifs = [motif for motif, _ in _largest(found, "position", len(COLOURS))]
    colours = dict(zip(motifs, COLOURS, strict=False))
    _positions(panels[0], found, output, colours)
    _orientations(panels[1], found, output, colours)
    _copies(panels[2], found, output, colours)
    _strands_legend(part, colours)
    for axes, pair in zip(panels[COLUMNS:], pairs, strict=False):
        _spacing(axes, found, output, pair)
        axes.sharey(panels[COLUMNS])
    for axes in panels[COLUMNS + len(pairs) :]:
        axes.set_visible(False)
    for axes in panels:
        plain(axes)
        axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)


def _largest(found: Marginal, kind: str, most: int) -> list[tuple[str, str]]:
    """Return the motifs, or pairs, of a kind of rows with the largest effects, in their order."""
    size: dict[tuple[str, str], float] = {}
    for row, effects in zip(found.rows, found.effects, strict=True):
        if row.kind == kind:
            names = (row.motif, row.second)
            size[names] = max(size.get(names, 0.0), float(np.abs(effects).max()))
    kept = sorted(size, key=lambda names: -size[names])[:most]
    return [names for names in size if names in kept]


def _rows(found: Marginal, kind: str, motif: str, second: str, strand: str) -> Rows:
    wanted = (kind, motif, second, strand)
    return np.flatnonzero(
        [(row.kind, row.motif, row.second, row.strand) == wanted for row in found.rows]
    )


def _curve(
    axes: "Axes",
    found: Marginal,
    output: int,
    rows: Rows,
    x: Sequence[float],
    colour: str,
    strand: str = "+",
    label: str | None = None,
) -> None:
    """Draw effects with their intervals as a band."""
    effects, low, high = (values[rows, output] for values in (found.effects, found.low, found.high))
    few = len(x) < 40
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(
        x,
        effects,
        color=colour,
        linestyle=LINES[strand],
        linewidth=1.5,
        marker=MARKERS[strand] if few else None,
        markersize=3.5,
        label=label,
    )


def _positions(axes: "Axes", found: Marginal, output: int, colours: dict[str, str]) -> None:
    for motif, colour in colours.items():
        for _, strand in STRANDS:
            rows = _rows(found, "position", motif, "", strand)
            x = [found.rows[row].position or 0 for row in rows]
            _curve(axes, found, output, rows, x, colour, strand)
    axes.set(
        title="position",
        xlabel="first base in the insert",
        ylabel="effect, 95 % interval",
    )


def _strands_legend(part: "SubFigure", colours: dict[str, str]) -> None:
    """Name the motifs by their colours, and the strands by their lines."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, linewidth=1.5, label=motif[:24])
        for motif, colour in colours.items()
    ]
    handles += [
        Line2D(
            [],
            [],
            color=GREY,
            linewidth=1.5,
            linestyle=LINES[strand],
            marker=MARKERS[strand],
            markersize=3.5,
            label="as given" if strand == "+" else "reverse complement",
        )
        for _, strand in STRANDS
    ]
    part.legend(
        handles=handles,
        frameon=False,
        fontsize=9,
        loc="outside lower center",
        ncols=min(len(handles), MOST_COLUMNS),
    )


def _orientations(axes: "Axes", found: Marginal, output: int, colours: dict[str, str]) -> None:
    shown = [strand for _, strand in STRANDS]
    differ = False
    for number, (motif, colour) in enumerate(colours.items()):
        for offset, strand in zip((-0.15, 0.15), shown, strict=True):
            row = _rows(found, "orientation", motif, "", strand)[0]
            effect = found.effects[row, output]
            low, high = found.low[row, output], found.high[row, output]
            axes.errorbar(
                number + offset,
                effect,
                [[effect - low], [high - effect]],
                color=colour,
                marker=MARKERS[strand],
                markerfacecolor=colour if strand == "+" else "white",
                capsize=3,
            )
        row = _rows(found, "orientation", motif, "", DIFFERENCE)[0]
        # Stars where the interval of the paired difference leaves 0 out.
        if found.low[row, output] > 0 or found.high[row, output] < 0:
            differ = True
            axes.annotate(
                "*",
                (number, 0.97),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=13,
            )
    axes.set(
        title="orientation, mean of the positions",
        xlabel="* the orientations differ" if differ else "",
        ylabel="effect, 95 % interval",
    )
    many = len(colours) > 3
    axes.set_xticks(
        range(len(colours)),
        [motif[:24] for motif in colours],
        rotation=30 if many else 0,
        ha="right" if many else "center",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.6, len(colours) - 0.4)


def _copies(axes: "Axes", found: Marginal, output: int, colours: dict[str, str]) -> None:
    counts = set()
    for motif, colour in colours.items():
        for _, strand in STRANDS:
            rows = _rows(found, "copies", motif, "", strand)
            x = [found.rows[row].copies for row in rows]
            counts |= set(x)
            _curve(axes, found, output, rows, x, colour, strand)
    axes.set(title="number of copies", xlabel="copies", ylabel="effect, 95 % interval")
    axes.set_xticks(sorted(counts))


def _spacing(axes: "Axes", found: Marginal, output: int, pair: tuple[str, str]) -> None:
    strands = [one + other for _, one in STRANDS for _, other in STRANDS]
    for strand, colour in zip(strands, COLOURS, strict=False):
        rows = _rows(found, "spacing", *pair, strand)
        x = [found.rows[row].spacing or 0 for row in rows]
        _curve(axes, found, output, rows, x, colour, label=strand.replace("-", "\N{MINUS SIGN}"))
    axes.set(
        title=f"{pair[0][:20]}, then {pair[1][:20]}",
        xlabel="bp between the two",
        ylabel="interaction, 95 % interval",
    )
    axes.legend(frameon=False, fontsize=8, ncols=4, handlelength=1.2, columnspacing=0.9)
