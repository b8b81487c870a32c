"""What a motif does to a predicted profile: the mean over backgrounds, with and without it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.common.files import write_rows
from dream_keras.data import alphabet
from dream_keras.interpret.backgrounds import Backgrounds
from dream_keras.interpret.marginal import predict_constructs
from dream_keras.interpret.marginal_plan import Site
from dream_keras.interpret.motif_file import Motif
from dream_keras.interpret.predictor import Floats, Predictor


def footprints(
    predictor: Predictor,
    motifs: Sequence[Motif],
    backgrounds: Backgrounds,
    seed: int = 0,
    progress: bool | None = False,
) -> Floats:
    """Predict mean profiles of backgrounds, without motifs and with each in the middle.

    Args:
        predictor: Predicts profiles.
        motifs: The motifs.
        backgrounds: What they are inserted into.
        seed: Seed of the sites; see ``predict_constructs``.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        Shares of the counts, (1 + motifs, positions), the first without a motif.

    Raises:
        UserError: If the predictor predicts no profiles.
    """
    predict = predictor.profiles
    if predict is None:
        raise UserError(f"{predictor.name} predicts no profiles, so motifs leave no footprints")

    def function(sequences: Sequence[str]) -> Floats:
        return predict(sequences)[1][:, 0]

    example = alphabet.decode(backgrounds.tokens[0])[: int(backgrounds.lengths[0])]
    tasks = tuple(map(str, range(function([example]).shape[1])))
    of_positions = replace(predictor, function=function, tasks=tasks, flagged=None, members=())
    sites = [
        (Site(number, (backgrounds.insert - motif.width) // 2, False),)
        for number, motif in enumerate(motifs)
    ]
    values = predict_constructs(
        of_positions, motifs, backgrounds, [(), *sites], np.eye(len(tasks)), seed, progress
    )
    return values.mean(axis=1)


def write_footprints(path: Path, motifs: Sequence[Motif], found: Floats, description: str) -> None:
    """Write mean shares of the counts at each position, with and without each motif.

    Args:
        path: The table.
        motifs: The motifs.
        found: What ``footprints`` returned.
        description: How they were made, for the first line.
    """
    rows: list[list[object]] = [["motif", "position", "without", "with"]]
    middle = found.shape[1] // 2
    for motif, profile in zip(motifs, found[1:], strict=True):
        for at, (before, after) in enumerate(zip(found[0], profile, strict=True)):
            rows.append([motif.name, at - middle, f"{before:.7g}", f"{after:.7g}"])
    write_rows(path, rows, description)
