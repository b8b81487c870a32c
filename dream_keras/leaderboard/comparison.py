"""Comparison of two submissions, runs or files of predictions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.errors import UserError, did_you_mean
from dream_keras.common.text import align
from dream_keras.leaderboard.entry import LOWER_IS_BETTER, REGION_SCORES, SCORE_NAMES
from dream_keras.leaderboard.regions import region_run, region_samples, region_values
from dream_keras.leaderboard.samples import PairedDifferences, Samples
from dream_keras.leaderboard.source import config_of, is_run, predictions_of, suite_of
from dream_keras.scoring.bootstrap import RESAMPLES, PairedDifference, Sampled, bootstrap
from dream_keras.scoring.suite import load_suite

if TYPE_CHECKING:
    from dream_keras.leaderboard.board import Board

_LABELS = {"r2": "r^2", "rho": "rho"}
_NAMES = {**SCORE_NAMES, **REGION_SCORES}
_LOWER = {REGION_SCORES[name] for name in LOWER_IS_BETTER}


@dataclass(frozen=True)
class Comparison:
    """Two sets of predictions on the same resamples.

    Attributes:
        names: Names of A and B.
        part: The part of the suite.
        samples: The numbers of A and B.
        differences: Differences, A minus B.
    """

    names: tuple[str, str]
    part: str
    samples: tuple[Samples, Samples]
    differences: PairedDifferences

    def text(self) -> str:
        """Return a sentence and a table, without a final line break."""
        resamples = min(samples.resamples for samples in self.samples)
        lines = [f"{letter}: {name}" for letter, name in zip("AB", self.names, strict=True)]
        lines += [f"{self.part} part; {resamples:,} resamples, the same ones for both", ""]
        lines += [
            f"{_NAMES[name]}: {_in_words(difference, name in LOWER_IS_BETTER)}"
            for name, difference in self.differences.totals.items()
        ]
        return "\n".join([*lines, "", *_table(self._rows())])

    def _rows(self) -> list[tuple[str, float, float, PairedDifference]]:
        """One row per number: what it is, that of A, that of B, and the difference."""
        rows = []
        for kind, differences in vars(self.differences).items():
            groups: list[Mapping[str, Sampled]] = [getattr(one, kind) for one in self.samples]
            for name, difference in differences.items():
                label = _NAMES[name] if kind == "totals" else f"{_LABELS[kind]} {name}"
                estimates = [group[name].estimate for group in groups]
                rows.append((label, *estimates, difference))
        return rows

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as plain data for JSON."""
        return {
            "a": self.names[0],
            "b": self.names[1],
            "part": self.part,
            "resamples": min(samples.resamples for samples in self.samples),
            **{
                kind: {name: _plain(difference) for name, difference in differences.items()}
                for kind, differences in vars(self.differences).items()
            },
        }


def compare(
    a: str | Path,
    b: str | Path,
    *,
    board: "Board | None" = None,
    suite: str | Path | None = None,
    phase: str | None = None,
    resamples: int = RESAMPLES,
    progress: bool | None = None,
) -> Comparison:
    """Compare two sets of predictions on the same bootstrap resamples.

    Args:
        a: A team or the number of a submission on the board; or a run folder or file.
        b: What it is compared with, likewise.
        board: The leaderboard; run folders and files need none.
        suite: Folder or YAML file of the suite, or the regions file, when there is no board; the
            runs' own when left out.
        phase: ``"public"`` or ``"private"``, the part of the suite; None is the board's phase, or
            the suite's default part.
        resamples: Bootstrap resamples; a submission that was stored with fewer has only those.
        progress: False shows no progress, see ``dream_keras.common.progress``.

    Raises:
        UserError: One of them is not known or unusable, the private part is asked for in the
            public phase, or there is no suite.
    """
    for word in (a, b):
        check_known(word, board)
    if board is None and (region_run(a) or region_run(b)) is not None:
        return _compare_regions(a, b, suite, resamples, progress)
    if board is None:
        loaded = load_suite(suite or _recorded_suite(a, b))
        part = phase or loaded.default_part
        loaded.check_part(part)
    else:
        part = board.part(phase)
    names, samples = [], []
    for word in (a, b):
        entry = None if board is None else board.find(str(word))
        if board is not None and entry is not None:
            names.append(f"{entry.team}, number {entry.id}")
            samples.append(board.samples(entry, part).first(resamples))
            continue
        names.append(str(word))
        if board is not None:
            values = board.values(word, part, progress)
            samples.append(board.resampled(values, part, resamples, progress))
        else:
            values = predictions_of(word, loaded, part, progress)
            found = bootstrap(loaded, values, part, resamples, progress=progress)
            samples.append(Samples.of(found))
    return Comparison(
        (names[0], names[1]), part, (samples[0], samples[1]), samples[0].against(samples[1])
    )


def _compare_regions(
    a: str | Path,
    b: str | Path,
    regions: str | Path | None,
    resamples: int,
    progress: bool | None,
) -> Comparison:
    """Compare two runs on their test peaks; arguments as for ``compare``."""
    checksum, first = region_values(a, regions, None, progress)
    _, second = region_values(b, regions, checksum, progress)
    samples = [region_samples(values, resamples) for values in (first, second)]
    return Comparison(
        (str(a), str(b)), "all", (samples[0], samples[1]), samples[0].against(samples[1])
    )


def check_known(word: str | Path, board: "Board | None") -> None:
    """Refuse what is no set of predictions, before any long computation.

    Raises:
        UserError: It is neither on the board nor a run folder nor a file.
    """
    if board is not None and board.find(str(word)) is not None:
        return
    if is_run(word):
        config_of(word)
    if is_run(word) or Path(word).exists():
        return
    where, near = "", ""
    if board is not None:
        teams = {entry.team for entry in board.store.entries()}
        where = f" neither a team nor the number of a submission on {board.store.path},"
        near = did_you_mean(str(word), teams)
    raise UserError(f'"{word}" is{where} no run folder and no file of predictions.{near}')


def _recorded_suite(a: str | Path, b: str | Path) -> Path:
    """Return the suite that the run folders record."""
    recorded = {found for word in (a, b) if (found := suite_of(word)) is not None}
    if len(recorded) != 1:
        problem = "record different ones" if recorded else "record none"
        raise UserError(
            f"no suite to compare {a} and {b} on: they {problem}. Give its folder with "
            "--suite PATH, or the leaderboard with --board FILE."
        )
    return recorded.pop()


def _in_words(difference: PairedDifference, lower_is_better: bool) -> str:
    numbers = f"A - B = {difference.estimate:+.4f}, 95 % interval {_interval(difference)}"
    if difference.wins == difference.losses:
        return f"A and B are equally good ({numbers})."
    best = ("B", "A") if lower_is_better else ("A", "B")
    shares = zip(best, (difference.wins, difference.losses), strict=True)
    winner, share = max(shares, key=lambda pair: pair[1])
    apart = difference.low > 0 or difference.high < 0
    doubt = "" if apart else " The interval contains 0: the difference is not significant."
    return f"{winner} is better in {100 * share:.1f} % of the resamples ({numbers}).{doubt}"


def _table(rows: list[tuple[str, float, float, PairedDifference]]) -> list[str]:
    lines = [("", "A", "B", "A - B", "95 % interval", "A better in")]
    for label, a, b, difference in rows:
        numbers = (f"{a:.4f}", f"{b:.4f}", f"{difference.estimate:+.4f}")
        better = difference.losses if label in _LOWER else difference.wins
        share = f"{100 * better:.1f} %"
        undefined = math.isnan(difference.estimate)
        lines.append(
            (label, *numbers, *(("", "") if undefined else (_interval(difference), share)))
        )
    return align(lines)


def _interval(difference: PairedDifference) -> str:
    return f"{difference.low:+.4f} to {difference.high:+.4f}"


def _plain(difference: PairedDifference) -> dict[str, float | None]:
    return {
        name: None if math.isnan(number) else number
        for name, number in difference._asdict().items()
    }
