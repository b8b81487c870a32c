"""Submissions for the tests of leaderboards, without a suite."""

import datetime

import numpy as np

from dream_keras.leaderboard.entry import Estimate, Scores
from dream_keras.leaderboard.store import Submission

NOW = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
PARTS = ("public", "private")


def make_scores(value):
    estimate = Estimate(value, value - 0.01, value + 0.01)
    totals = {"pearson_score": estimate, "spearman_score": estimate}
    return Scores(totals, {"all": estimate}, {"all": Estimate(None)})


def make_submission(team, seed=0, value=0.5, rows=50):
    """A submission with predictions, shape (rows,), that depend on the seed."""
    resamples = {"pearson_score": np.linspace(0, 1, 11, dtype=np.float32)}
    return Submission(
        team=team,
        note="",
        source="predictions.tsv",
        versions={"numpy": "2"},
        config=None,
        checksum=f"{team}-{seed}",
        predictions=np.random.default_rng(seed).normal(size=rows),
        scores=dict.fromkeys(PARTS, make_scores(value)),
        resampled=dict.fromkeys(PARTS, resamples),
    )
