"""The picture of an attribution: a sequence logo above a heat map."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from dream_keras.common.files import replacing
from dream_keras.interpret.attribution import Attribution
from dream_keras.interpret.gradients import BASES
from dream_keras.runs.plots import mark_simulated, plain

INCHES_PER_BASE = 0.14
DPI = 80


def draw(attribution: Attribution, name: str, path: Path, simulated: bool = False) -> None:
    """Draw the contributions as letters, and above every base what another one would change.

    Args:
        attribution: What to draw. The heat map has the effects of mutations where there are any,
            and hypothetical scores otherwise.
        name: Of the sequence.
        path: PNG to write.
        simulated: Whether the picture says that the data are simulated.
    """
    import logomaker
    import pandas as pd

    width = len(attribution.scores)
    figure = Figure(figsize=(max(INCHES_PER_BASE * width, 4) + 1, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    logo, heat = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    positions = np.arange(attribution.start + 1, attribution.end + 1)
    letters = attribution.bases * attribution.contributions[:, None]
    logomaker.Logo(
        pd.DataFrame(letters, index=positions, columns=list(BASES)), ax=logo, color_scheme="classic"
    )
    logo.axhline(0, color="0.4", linewidth=0.5)
    logo.set_ylabel("contribution")
    logo.set_title(f"{name}   prediction {attribution.prediction:.3f}", fontsize=10, loc="left")
    mutated = attribution.effects is not None
    values = attribution.effects if attribution.effects is not None else attribution.scores
    most = max(float(np.abs(values).max()), 1e-12)
    edges = (positions[0] - 0.5, positions[-1] + 0.5, 3.5, -0.5)
    image = heat.imshow(
        values.T,
        aspect="auto",
        cmap="RdBu_r",
        norm=TwoSlopeNorm(0, -most, most),
        extent=edges,
        interpolation="nearest",
    )
    rows, columns = np.nonzero(attribution.bases.T)
    heat.plot(positions[columns], rows, ".", color="0.3", markersize=2)
    heat.set_yticks(range(4), list(BASES))
    logo.set_xlim(*edges[:2])
    heat.set_xlabel("position in the sequence (bp); dots: its bases")
    for axes in (logo, heat):
        plain(axes)
    label = "effect of the mutation" if mutated else "hypothetical score"
    figure.colorbar(image, ax=heat, label=label, fraction=0.03, pad=0.01)
    if simulated:
        mark_simulated(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
