"""Attributions as files: arrays for tf-modisco, a table, pictures and a page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.files import replacing, write_rows, write_text
from dream_keras.common.progress import progress_bar
from dream_keras.interpret.attribution import Attribution
from dream_keras.interpret.attribution_page import render
from dream_keras.interpret.gradients import BASES

SEQUENCES, SCORES, TABLE, PAGE = (
    "sequences.npz",
    "attributions.npz",
    "attributions.tsv",
    "index.html",
)
"""Files of a folder of attributions."""
PICTURES = "pictures"
"""Folder in it."""


def write_attributions(
    folder: Path,
    attributions: Mapping[str, Attribution],
    description: str,
    pictures: int,
    simulated: bool = False,
    progress: bool | None = None,
) -> None:
    """Write attributions by the name of their sequence.

    Args:
        folder: An existing folder.
        attributions: By name, in the order of the input.
        description: How they were made.
        pictures: For how many sequences a picture is drawn, the first ones.
        simulated: Whether the pictures say that the data are simulated.
        progress: Whether to show a progress bar; None shows one on a terminal.
    """
    each = list(attributions.values())
    for name, array in ((SEQUENCES, stack(each, "bases")), (SCORES, stack(each, "scores"))):
        with replacing(folder / name) as temporary:
            np.savez_compressed(temporary, array)
    write_rows(folder / TABLE, _rows(attributions), description)
    drawn = {}
    if pictures:
        from dream_keras.interpret.attribution_plots import draw

        (folder / PICTURES).mkdir(exist_ok=True)
        names = list(attributions)[:pictures]
        with progress_bar(progress, total=len(names), desc="draw", unit="seq") as bar:
            for number, name in enumerate(names, 1):
                drawn[name] = f"{PICTURES}/{number:04}.png"
                draw(attributions[name], name, folder / drawn[name], simulated)
                bar.update()
    write_text(folder / PAGE, render(attributions, drawn, description))


def stack(attributions: Sequence[Attribution], part: str) -> npt.NDArray[np.float32]:
    """Return one-hot bases or scores of all, (rows, 4, width), shorter ones filled with 0."""
    width = max(len(each.scores) for each in attributions)
    stacked = np.zeros((len(attributions), 4, width), np.float32)
    for row, each in zip(stacked, attributions, strict=True):
        row[:, : len(each.scores)] = getattr(each, part).T
    return stacked


def _rows(attributions: Mapping[str, Attribution]) -> Iterator[list[object]]:
    """Yield the header and a line for each position."""
    yield ["id", "position", "base", "score", *BASES]
    for name, each in attributions.items():
        region = each.sequence[each.start : each.end]
        columns = zip(region, each.contributions, each.scores, strict=True)
        for position, (base, score, scores) in enumerate(columns, each.start + 1):
            numbers = (f"{value:.6g}" for value in (score, *scores))
            yield [name, position, base, *numbers]
