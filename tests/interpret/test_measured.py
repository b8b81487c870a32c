"""Scores of predicted effects, against scipy and scikit-learn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from dream_keras.common.errors import UserError
from dream_keras.evaluate import main
from dream_keras.interpret.measured import LARGE, auroc, score_effects, score_table


@pytest.mark.parametrize("ties", [False, True])
def test_numbers_against_other_libraries(random, ties):
    measured = random.normal(size=400)
    predicted = 0.5 * measured + random.normal(size=400)
    if ties:
        predicted, measured = predicted.round(), measured.round(1)
    large = np.abs(measured) >= np.quantile(np.abs(measured), 1 - LARGE)
    moved = measured != 0
    score = score_effects(
        np.append(predicted, [np.nan, 1]), np.append(measured, [1, np.nan]), resamples=200
    )
    assert score.n == 400
    assert score.values == pytest.approx(
        {
            "pearson": scipy.stats.pearsonr(predicted, measured).statistic,
            "spearman": scipy.stats.spearmanr(predicted, measured).statistic,
            "sign_accuracy": np.mean(np.sign(predicted[moved]) == np.sign(measured[moved])),
            "auroc_large": roc_auc_score(large, np.abs(predicted)),
        },
        abs=1e-12,
    )
    for name, interval in score.intervals.items():
        assert interval.low < score.values[name] < interval.high


def test_intervals_cover_the_truth():
    """The 95 % interval of r = .5 holds it in about 95 % of samples."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        x = random.normal(size=150)
        y = 0.5 * x + np.sqrt(0.75) * random.normal(size=150)
        low, high = score_effects(x, y, resamples=100).intervals["pearson"]
        held += low < 0.5 < high
    assert 51 <= held <= 60


def test_too_few():
    with pytest.raises(UserError, match="2 variants have both effects"):
        score_effects(np.array([1.0, 2, np.nan]), np.array([1.0, 2, 3]))
    assert np.isnan(auroc(np.array([1.0, 2]), np.array([True, True])))


def test_a_table_of_pairs_with_measured_effects(predictor, counting, tmp_path, random):
    rows = ["".join(random.choice(list("ACGT"), 30)) for _ in range(60)]
    pairs = [(row, "A" + row[1:] if row[0] != "A" else "C" + row[1:]) for row in rows]
    effects = counting([alt for _, alt in pairs]) - counting([ref for ref, _ in pairs])
    table = pd.DataFrame(pairs, columns=["ref", "alt"])
    table["brain.effect"] = effects[:, 1]
    table.loc[3, "brain.effect"] = np.nan
    path = tmp_path / "pairs.csv"
    table.to_csv(path, index=False)
    (score,) = score_table(path, predictor).values()
    assert score.n == 59
    assert score.values == pytest.approx(dict.fromkeys(score.values, 1.0))
    table.rename(columns={"brain.effect": "effect"}).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"column effect belongs to no task .* liver.effect, brain"):
        score_table(path, predictor)
    table.drop(columns="brain.effect").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"no column effect \(or TASK.effect\)"):
        score_table(path, predictor)


def test_pairs_without_their_adapters_are_refused(predictor, tmp_path):
    def check(sequences):
        assert sequences == ["ACGT", "CCGT", "GCGT"]
        raise UserError("adapters")

    path = tmp_path / "pairs.csv"
    path.write_text("ref,alt,liver.effect\nACGT,ACGA,1\nCCGT,ACGT,2\nGCGT,ACGT,3\n")
    with pytest.raises(UserError, match="adapters"):
        score_table(path, dataclasses.replace(predictor, check=check))


def test_a_scored_table_with_measured_effects(tmp_path, capsys):
    path = tmp_path / "effects.tsv"
    path.write_text(
        "# dream_keras.variants\nid\tdelta\teffect\na\t1\t2\nb\t2\t3\nc\t-1\t-3\nd\t\t1\ne\t1\tNA\n"
    )
    (score,) = score_table(path, None).values()
    assert (score.n, score.values["sign_accuracy"]) == (3, 1.0)
    main(["--variants", str(path)])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == [
        "task",
        "n",
        *(word for name in score.values for word in (name, "[95", "%", "interval]")),
    ]
    assert shown[1].split()[:3] == ["expression", "3", f"{score.values['pearson']:.4f}"]
    path.write_text("delta\teffect\n1\t2\nhigh\t2\n1\t1\n1\t3\n")
    with pytest.raises(UserError, match=r'effects.tsv:3: "high" in column delta is no number'):
        score_table(path, None)
