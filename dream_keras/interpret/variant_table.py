"""The table of scored variants, written piece by piece and resumed after an interruption."""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing
from dream_keras.common.progress import progress_bar
from dream_keras.interpret.effects import PROFILE_COLUMNS, Effects, Scorer, quantiles
from dream_keras.interpret.predictor import Floats
from dream_keras.interpret.windows import OK, Window

AT_A_TIME = 1024
"""Variants that are predicted and written together."""
PART = ".part"
"""Suffix of a table that is being written."""

log = logging.getLogger(__name__)


def columns(
    tasks: Sequence[str], null: bool, members: bool = False, profiles: bool = False
) -> list[str]:
    """Return the table's header; with several tasks their names stand before a full stop."""
    extra = [*(["delta_sd"] if members else []), *(["null_p"] if null else [])]
    extra += PROFILE_COLUMNS if profiles else ()
    numbers = ["ref_pred", "alt_pred", "delta", *extra, "quantile"]
    names = [""] if len(tasks) == 1 else [f"{task}." for task in tasks]
    of_tasks = [f"{name}{number}" for name in names for number in numbers]
    return ["id", "chrom", "pos", "ref", "alt", "element", *of_tasks, "status", "warnings"]


def write_variants(
    windows: Iterable[Window],
    scorer: Scorer,
    out: Path,
    description: str,
    resume: bool = False,
    progress: bool | None = None,
    total: int | None = None,
) -> int:
    """Score variants and write them, one line each, in order; return how many.

    Memory does not grow with their number, but for one number per task and variant. What has been
    written stands in ``OUT.part`` until all is done.

    Args:
        windows: The variants with their windows.
        scorer: Scores them.
        out: The table.
        description: What the numbers are, for the first line.
        resume: Go on behind the variants that stand in ``OUT.part``.
        progress: Whether to show a progress bar; None shows one on a terminal.
        total: Number of variants if it is known, for the time left.

    Raises:
        UserError: If what stands in ``OUT.part`` was made in another way.
    """
    part = out.with_name(out.name + PART)
    header = f"# {description}\n"
    done = _rows_written(part, header) if resume else 0
    if not done:
        part.write_text(header, encoding="utf-8")
    windows = iter(windows)
    skipped = sum(1 for _ in islice(windows, done))
    if skipped < done:
        raise UserError(f"{part} holds {done:,} variants, the input {skipped:,}: it has changed")
    number = done
    with (
        part.open("a", encoding="utf-8", newline="") as file,
        progress_bar(progress, initial=done, total=total, desc="variants", unit="variant") as bar,
    ):
        while chunk := list(islice(windows, AT_A_TIME)):
            file.write(_text(_cells(chunk, scorer(chunk, number))))
            file.flush()
            number += len(chunk)
            bar.update(len(chunk))
    predictor = scorer.predictor
    profiles = predictor.profiles is not None
    names = columns(predictor.tasks, bool(scorer.null), bool(predictor.members), profiles)
    _finish(part, out, header, names)
    return number


def _cells(windows: Sequence[Window], effects: Effects) -> Iterator[list[str]]:
    kinds = [effects.reference, effects.alternative, effects.delta]
    kinds += [numbers for numbers in (effects.spread, effects.null_p) if numbers is not None]
    kinds += effects.of_profiles
    numbers = np.stack(kinds, axis=2).reshape(len(windows), -1)
    for window, values in zip(windows, numbers, strict=True):
        variant = window.variant
        yield [
            *(" ".join(name.split()) for name in (variant.id, variant.chrom)),
            *(str(variant.pos), variant.ref or "-", variant.alt or "-"),
            " ".join(window.element.split()),
            *("" if np.isnan(value) else f"{value:.7g}" for value in values),
            window.status,
            ";".join(window.warnings),
        ]


def _text(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue()


def _rows_written(part: Path, header: str) -> int:
    """Return how many variants a table holds that was broken off; a line cut short is removed.

    Raises:
        UserError: If there is none, or it was made in another way.
    """
    if not part.exists():
        raise UserError(f"there is no {part} to go on with: leave out --resume")
    with part.open("rb+") as file:
        if file.readline().decode("utf-8", "replace") != header:
            raise UserError(
                f"{part} was made with another run or other settings. Repeat those, or leave out "
                "--resume to start anew."
            )
        rows, end = 0, file.tell()
        for line in file:
            if line.endswith(b"\n"):
                rows, end = rows + 1, end + len(line)
        file.truncate(end)
    return rows


def _finish(part: Path, out: Path, header: str, names: Sequence[str]) -> None:
    """Add the quantiles, which need all variants, and put the table in its place."""
    deltas = [at for at, name in enumerate(names) if name.endswith("delta")]
    # A table in progress lacks the quantiles: every task's other columns stand further left.
    at = [place - task for task, place in enumerate(deltas)]
    ranks = quantiles(_read(part, at))
    width = (len(names) - 8) // len(deltas)
    reasons: Counter[str] = Counter()
    with (
        replacing(out) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
        part.open(encoding="utf-8", newline="") as rows,
    ):
        file.write(header + _text([names]))
        next(rows)
        for cells, rank in zip(csv.reader(rows, delimiter="\t"), ranks, strict=True):
            for task, value in reversed(list(enumerate(rank))):
                cells.insert(
                    6 + (task + 1) * (width - 1), "" if np.isnan(value) else f"{value:.7g}"
                )
            reasons[cells[-2]] += 1
            file.write(_text([cells]))
    part.unlink()
    number = reasons.total() - reasons.pop(OK, 0)
    if number:
        named = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        log.warning("%s variants have no prediction: %s", f"{number:,}", named)


def _read(part: Path, at: Sequence[int]) -> Floats:
    """Return some columns of a table in progress, (variants, columns); NaN for empty cells."""
    with part.open(encoding="utf-8", newline="") as rows:
        next(rows)
        cells = csv.reader(rows, delimiter="\t")
        values = (float(row[place] or "nan") for row in cells for place in at)
        return np.fromiter(values, np.float64).reshape(-1, len(at))
