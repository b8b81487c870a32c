"""Ensembles of runs on regions: the mean of their profiles and log counts in every command."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import softmax

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data.tracks import Tracks
from dream_keras.interpret.predictor import run_predictor
from dream_keras.leaderboard.comparison import compare
from dream_keras.runs.prediction import predict_profiles
from dream_keras.runs.run import load_run
from dream_keras.scoring.profiles import jensen_shannon


@pytest.fixture(scope="module")
def opened(region_ensemble):
    return load_run(region_ensemble)


@pytest.fixture
def sequences(random):
    return ["".join(random.choice(list("ACGT"), 120)) for _ in range(5)]


def shares_and_counts(member, sequences):
    """What one network says without its bias model, computed with Keras alone."""
    outputs = member.network.predict(member.encode(sequences), verbose=0)
    return softmax(outputs["profile"].astype(float), axis=-1), outputs["counts"].astype(float)


@pytest.mark.parametrize("joint", [False, True])
def test_profiles_and_log_counts_are_averaged(opened, sequences, joint):
    shares, counts = [], []
    for member in opened.members:
        channels = member.encode(sequences)
        outputs = member.network.predict(channels, verbose=0)
        logits, log_counts = outputs["profile"].astype(float), outputs["counts"].astype(float)
        if joint:
            biased = member.bias.predict(channels, verbose=0)
            logits = logits + biased["profile"]
            log_counts = np.logaddexp(log_counts, biased["counts"])
        shares.append(softmax(logits, axis=-1))
        counts.append(log_counts)
    steps = [member.steps for member in opened.members]
    tokens = opened.members[0]._encoded(sequences)
    logits, log_counts = predict_profiles(steps, tokens, joint)
    np.testing.assert_allclose(softmax(logits.astype(float), axis=-1), np.mean(shares, 0), 2e-5)
    np.testing.assert_allclose(log_counts, np.mean(counts, 0), rtol=1e-5)
    if not joint:  # the value of a sequence is averaged in the same way
        values = opened.predict(sequences, progress=False)
        np.testing.assert_allclose(values, log_counts[:, 0], rtol=1e-6)


def test_a_network_alone_is_predicted_as_before(main_run, sequences):
    run = load_run(main_run)
    tokens = run._encoded(sequences)
    for one, other in zip(
        predict_profiles(run.steps, tokens), predict_profiles([run.steps], tokens), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_test_regions_are_scored(region_ensemble, opened):
    saved = json.loads((region_ensemble / "metrics.json").read_text())
    card = dream_keras.evaluate(region_ensemble, progress=False)
    assert set(card.scores) == {"joint", "network"}
    assert card.scores["joint"] == pytest.approx(saved["scores"]["joint"], rel=1e-6)
    whole = pd.read_csv(region_ensemble / "regions.tsv", sep="\t")
    parts = [pd.read_csv(each.folder.path / "regions.tsv", sep="\t") for each in opened.members]
    for kind in ("joint", "network"):
        each = np.stack([part[f"{kind}.log_counts"] for part in parts])
        np.testing.assert_allclose(whole[f"{kind}.log_counts"], each.mean(0), rtol=1e-5)
        np.testing.assert_allclose(whole[f"{kind}.log_counts_sd"], each.std(0, ddof=1), rtol=1e-3)
    assert "joint.log_counts_sd" not in parts[0]
    text = (region_ensemble / "report.md").read_text()
    assert "seed-1" in text
    assert "Pearson r of log counts" in text
    assert "The mean of 2 networks" in (region_ensemble / "MODEL.md").read_text()


def test_tables_and_tracks_are_means(region_ensemble, opened, regions, tmp_path):
    for name, run in [("both", region_ensemble)] + [
        (str(n), each.folder.path) for n, each in enumerate(opened.members)
    ]:
        dream_keras.predict(run, regions, tmp_path / f"{name}.tsv", progress=False)
    both, *each = (pd.read_csv(tmp_path / f"{n}.tsv", sep="\t") for n in ("both", "0", "1"))
    assert both.columns.tolist() == ["chrom", "centre", "peak", "log_counts", "log_counts_sd"]
    values = np.stack([table.log_counts for table in each])
    np.testing.assert_allclose(both.log_counts, values.mean(0), atol=2e-6)
    np.testing.assert_allclose(both.log_counts_sd, values.std(0, ddof=1), atol=3e-6)
    dream_keras.predict(region_ensemble, regions, tmp_path / "both.bw", progress=False)
    apart = [n for n, c in enumerate(both.centre) if (abs(both.centre - c) < 40).sum() == 1]
    rows = [n for n in apart if both.log_counts[n] > 0.01][:5]  # counts are not negative
    assert rows
    track = Tracks([tmp_path / "both.bw"])
    totals = [
        track.values(both.chrom[n], both.centre[n] - 20, both.centre[n] + 20).sum() for n in rows
    ]
    np.testing.assert_allclose(totals, np.expm1(both.log_counts[rows]), rtol=1e-3)


def test_variants_and_explanations_are_of_the_mean(region_ensemble, opened, sequences, tmp_path):
    others = [f"{text[:55]}TTTTT{text[60:]}" for text in sequences]
    pairs = pd.DataFrame({"ref": sequences, "alt": others})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / "effects.tsv"
    dream_keras.variants(region_ensemble, out, pairs=tmp_path / "pairs.csv", progress=False)
    table = pd.read_csv(out, sep="\t", comment="#")
    found = [[shares_and_counts(m, each) for m in opened.members] for each in (sequences, others)]
    shares = [np.mean([profile[:, 0] for profile, _ in each], axis=0) for each in found]
    deltas = [alt[1] - ref[1] for ref, alt in zip(*found, strict=True)]
    np.testing.assert_allclose(table.jsd, jensen_shannon(*shares), atol=1e-5)
    np.testing.assert_allclose(table.delta, np.mean(deltas, 0)[:, 0], atol=1e-5)
    np.testing.assert_allclose(table.delta_sd, np.std(deltas, 0, ddof=1)[:, 0], atol=1e-5)
    predictor = run_predictor(region_ensemble)
    values, profiles = predictor.profiles(sequences)
    np.testing.assert_allclose(values[:, 0], table.ref_pred, atol=1e-5)
    np.testing.assert_allclose(profiles[:, 0], shares[0], rtol=1e-4)
    settings = {"task": "profile", "method": "gradient", "region": "all", "progress": False}
    runs = [region_ensemble, *(each.folder.path for each in opened.members)]
    both, *each = (dream_keras.attribute(run, sequences[:1], **settings)[0].scores for run in runs)
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-6)


def copied(run, out, change):
    """Copy a run, its config changed."""
    shutil.copytree(run, out)
    config = yaml.safe_load((out / "config.yaml").read_text())
    change(config)
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    return out


def test_runs_that_do_not_fit_are_refused(main_run, bias_run, tmp_path):
    with pytest.raises(UserError, match=r"differ in the bias model \(one; none\)"):
        dream_keras.ensemble([main_run, bias_run], tmp_path / "out", progress=False)
    wider = copied(
        main_run, tmp_path / "wider", lambda c: c["model"]["processor"].update(length=140)
    )
    with pytest.raises(UserError, match="120 bp, of which 40 are predicted; 140 bp"):
        dream_keras.ensemble([main_run, wider], tmp_path / "out", progress=False)


def test_members_of_other_folds_are_not_scored(main_run, regions, tmp_path, caplog):
    """Some of them were trained on the chromosomes that others are tested on."""
    turned = shutil.copytree(main_run, tmp_path / "turned")
    environment = json.loads((turned / "environment.json").read_text())
    assert environment["rows"]["chroms"] == ["chr1", "chr2"]
    environment["rows"]["chroms"] = ["chr2", "chr3"]
    (turned / "environment.json").write_text(json.dumps(environment))
    out = tmp_path / "out"
    assert dream_keras.ensemble([main_run, turned], out, progress=False) is None
    assert "different folds" in caplog.text
    assert "Not scored" in (out / "report.md").read_text()
    with pytest.raises(UserError, match=r"trained or validated on chr3.*Score each"):
        dream_keras.evaluate(out, progress=False)
    assert "if the genome is the same" not in caplog.text
    dream_keras.evaluate(turned, progress=False)
    assert "if the genome is the same" in caplog.text
    with pytest.raises(UserError, match="ranks runs by what they have not seen"):
        compare(main_run, turned)
    assert dream_keras.predict(out, regions, tmp_path / "out.tsv", progress=False)
    moved = copied(
        main_run, tmp_path / "moved", lambda config: config["data"].update(train="gone.yaml")
    )
    assert dream_keras.ensemble([moved, moved], tmp_path / "again", progress=False) is None
    assert "gone.yaml" in (tmp_path / "again/report.md").read_text()
