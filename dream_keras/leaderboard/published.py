"""The published final leaderboard of the challenge, for the suite it was made on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from dream_keras.leaderboard.entry import PEARSON_SCORE, SPEARMAN_SCORE, Entry, Estimate, Scores

_FILE = Path(__file__).parent / "published.yaml"


def published_entries(sequences: Sequence[str]) -> list[Entry]:
    """Return the published rows if these are the sequences of the real test set, or none.

    On any other suite, such as a simulated one, the published numbers do not apply.
    """
    published = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    if hashlib.sha256("\n".join(sequences).encode()).hexdigest() != published["sequences"]:
        return []
    return [
        Entry(
            id=None,
            team=row["team"],
            submitted=None,
            note=row.get("note", ""),
            source="",
            checksum=None,
            versions={},
            config=None,
            scores={
                "private": Scores(
                    {name: Estimate(row[name]) for name in (PEARSON_SCORE, SPEARMAN_SCORE)},
                    r2=dict(zip(published["subsets"], map(Estimate, row["r2"]), strict=True)),
                    rho={},
                )
            },
        )
        for row in published["rows"]
    ]
