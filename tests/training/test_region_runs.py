"""Runs on regions of a genome: what they leave, that they resume, and the frozen bias model."""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from region_runs import BIAS, MAIN, train
from scipy.special import softmax

import dream_keras
from dream_keras.analyse import regions as region_analysis
from dream_keras.common.errors import UserError
from dream_keras.data import alphabet, region_shards
from dream_keras.data.region_rows import Windows, load_regions
from dream_keras.data.regions import read_regions_file
from dream_keras.data.tracks import Tracks
from dream_keras.interpret.backgrounds import random_backgrounds
from dream_keras.runs.prediction import predict_profiles
from dream_keras.runs.rows import load_data
from dream_keras.runs.run import load_run
from dream_keras.scoring.profiles import jensen_shannon, score_regions
from dream_keras.training.engine import Engine


def test_a_bias_model_is_trained_on_regions_without_peaks(bias_run):
    run = load_run(bias_run)
    rows, validation = load_data(run)
    assert not rows.regions.is_peak.any()
    assert not validation.regions.is_peak.any()
    assert not run.folder.bias.exists()


def test_a_run_keeps_what_belongs_to_it(main_run, bias_run, regions):
    config = yaml.safe_load((main_run / "config.yaml").read_text())
    assert config["data"]["train"] == str(regions)
    assert config["regions"]["bias"] == str(bias_run)
    weight = config["model"]["processor"]["counts_weight"]
    history = pd.read_csv(main_run / "history.csv")
    assert len(history) == 3
    assert history.loss.iloc[-1] < history.loss.iloc[0]
    run = load_run(main_run)
    rows, validation = load_data(run)
    assert weight == max(1.0, round(np.median(np.expm1(rows.statistics_labels)) / 10, 2))
    # The scores of the best epoch, from the files that are left.
    logits, counts = predict_profiles(run.steps, validation.tokens, joint=True)
    found = score_regions(validation.profiles[:, 0], logits[:, 0], counts[:, 0])
    best = history.loc[history.val_loss.idxmin()]
    assert found.loss(weight) == pytest.approx(best.val_loss, rel=1e-5)
    assert found.summary()["jsd"] == pytest.approx(best.val_jsd, rel=1e-5)
    assert found.summary()["mse"] == pytest.approx(best.val_mse, rel=1e-4)


def test_log_counts_start_from_their_mean(main_run):
    run = load_run(main_run)
    rows, _ = load_data(run)
    mean = rows.statistics_labels.mean()
    assert run.processor.counts_start == pytest.approx(mean, abs=1e-4)
    # Adam moves a weight by about the rate in each of the 12 steps.
    bias = float(run.network.get_layer("final_counts").bias[0])
    assert bias == pytest.approx(mean, abs=2 * 12 * run.experiment.make_trainer().learning_rate)
    assert mean > 1


def test_test_regions_are_scored(main_run, bias_run, regions):
    saved = json.loads((main_run / "metrics.json").read_text())
    assert set(saved["scores"]) == {"joint", "network"}
    card = dream_keras.evaluate(main_run, bootstrap=20, progress=False)
    assert card.scores["joint"] == pytest.approx(saved["scores"]["joint"], rel=1e-6)
    for metric, (low, high) in card.intervals["joint"].items():
        assert low <= card.scores["joint"][metric] <= high, metric
    assert card.baselines == pytest.approx(saved["baselines"])
    # Two replicates of few counts are further apart than their sum is from the truth.
    assert 0 < card.baselines["replicate_jsd"] < 1
    assert card.baselines["replicate_pearson"] > 0.5
    table = pd.read_csv(main_run / "regions.tsv", sep="\t")
    assert len(table) == card.regions
    assert set(table.chrom) == {"chr3"}
    assert table["joint.jsd"].median() == pytest.approx(saved["scores"]["joint"]["jsd"], rel=1e-5)
    r = np.corrcoef(table.log_counts, table["joint.log_counts"])[0, 1]
    assert r == pytest.approx(saved["scores"]["joint"]["pearson"], rel=1e-4)
    assert set(dream_keras.evaluate(bias_run, suite=regions, progress=False).scores) == {"network"}
    with pytest.raises(UserError, match="--part"):
        dream_keras.evaluate(main_run, part="private", progress=False)
    assert "Pearson r of log counts" in card.table()
    assert "Test regions" in (main_run / "report.md").read_text()


def test_the_bias_model_is_shifted_and_otherwise_frozen(main_run, bias_run):
    trained, kept = load_run(bias_run), load_run(main_run).bias
    differ = [
        ours.path
        for ours, theirs in zip(kept.weights, trained.network.weights, strict=True)
        if not np.array_equal(ours, theirs)
    ]
    assert differ == ["final_counts/bias"]
    rows, validation = load_data(load_run(main_run))
    others = [
        part.take(np.flatnonzero(~part.regions.is_peak)).without_jitter()
        for part in (rows, validation)
    ]
    steps = dream_keras.load_run(bias_run).steps
    steps.network.get_layer("final_counts").bias.assign(kept.get_layer("final_counts").bias)
    left = [part.labels - predict_profiles(steps, part.tokens)[1] for part in others]
    assert abs(np.concatenate(left).mean()) < 1e-5


def test_the_network_alone_is_what_predicts(main_run, random):
    """The value of a sequence is its log count without the bias model's."""
    run = load_run(main_run)
    sequences = ["".join(random.choice(list("ACGT"), 120)) for _ in range(3)]
    values = run.predict(sequences, progress=False)
    outputs = run.network.predict(run.encode(sequences), verbose=0)
    np.testing.assert_allclose(values, outputs["counts"][:, 0], rtol=1e-5)
    tokens = run._encoded(sequences)
    joint = predict_profiles(run.steps, tokens, joint=True)[1][:, 0]
    assert (joint > values).all()  # counts are added


def test_variants_have_effects_on_profiles_too(main_run, tmp_path, random):
    sequences = ["".join(random.choice(list("ACGT"), 120)) for _ in range(5)]
    others = [f"{text[:55]}{'TTTTT'}{text[60:]}" for text in sequences]
    pairs = pd.DataFrame({"ref": sequences, "alt": others})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    dream_keras.variants(
        main_run, tmp_path / "effects.tsv", pairs=tmp_path / "pairs.csv", progress=False
    )
    table = pd.read_csv(tmp_path / "effects.tsv", sep="\t", comment="#")
    run = load_run(main_run)
    values = [run.predict(each, progress=False) for each in (sequences, others)]
    np.testing.assert_allclose(
        table.log2_fold_change, (values[1] - values[0]) / np.log(2), atol=1e-5
    )
    shares = [
        softmax(predict_profiles(run.steps, run._encoded(each))[0][:, 0], axis=-1)
        for each in (sequences, others)
    ]
    np.testing.assert_allclose(table.jsd, jensen_shannon(*shares), atol=1e-5)
    product = np.abs(table.log2_fold_change) * table.jsd
    np.testing.assert_allclose(table.abs_log2_fold_change_x_jsd, product, rtol=1e-4)


def test_regions_are_predicted_into_tables_and_tracks(main_run, regions, tmp_path):
    count = dream_keras.predict(main_run, regions, tmp_path / "out.tsv", progress=False)
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert len(table) == count
    run, files = load_run(main_run), read_regions_file(regions)
    rows = load_regions(files, 0, ["train", "valid", "test"], Windows(120, 40), peaks_only=False)
    assert table.centre.tolist() == rows.regions.centres.tolist()
    logits, counts = predict_profiles(run.steps, rows.tokens)
    np.testing.assert_allclose(table.log_counts, counts[:, 0], atol=1e-5)
    assert dream_keras.predict(main_run, regions, tmp_path / "out.bw", progress=False) == count
    track = Tracks([tmp_path / "out.bw"])
    apart = [n for n, c in enumerate(table.centre) if (abs(table.centre - c) < 40).sum() == 1]
    for row in apart[:5]:
        start = int(table.centre[row]) - 20
        found = track.values(table.chrom[row], start, start + 40)
        want = softmax(logits[row, 0].astype(float)) * max(np.expm1(counts[row, 0]), 0)
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-7)
    with pytest.raises(UserError, match="into a file"):
        dream_keras.predict(main_run, regions, progress=False)


def test_counts_and_profiles_are_explained(main_run, random):
    sequences = ["".join(random.choice(list("ACGT"), 120)) for _ in range(2)]
    run = load_run(main_run)
    channels = run.encode(sequences)
    outputs = run.network.predict(channels, verbose=0)
    logits, counts = outputs["profile"][:, 0].astype(float), outputs["counts"][:, 0]
    shares = softmax(logits, axis=-1)

    def explained(rows):
        """The numbers as functions of the channels, the profiles fixed where they are weights."""
        found = run.network.predict(rows, verbose=0)
        said = found["profile"][:, 0].astype(float)
        return found["counts"][:, 0], (shares * (said - said.mean(1, keepdims=True))).sum(1)

    direction = random.normal(size=channels.shape).astype("float32")
    step = np.float32(1e-3)
    ahead, behind = explained(channels + step * direction), explained(channels - step * direction)
    for number in range(2):
        values, gradients = run.steps.gradient(channels, number)
        np.testing.assert_allclose(values[:, number], explained(channels)[number], rtol=1e-4)
        slope = (ahead[number] - behind[number]) / (2 * step)
        np.testing.assert_allclose((gradients * direction).sum((1, 2)), slope, rtol=0.02, atol=0.02)
    method = {"method": "gradient", "progress": False, "region": "all"}
    of_counts = dream_keras.attribute(main_run, sequences, **method)
    of_profile = dream_keras.attribute(main_run, sequences, task="profile", **method)
    np.testing.assert_allclose([each.prediction for each in of_counts], counts, rtol=1e-4)
    assert not np.allclose(of_counts[0].scores, of_profile[0].scores)
    ism = dream_keras.attribute(main_run, sequences[:1], region="50-55", progress=False)
    assert ism[0].scores.shape == (6, 4)
    with pytest.raises(UserError, match="explained by gradients"):
        dream_keras.attribute(main_run, sequences, task="profile", progress=False)


def test_motifs_leave_footprints(main_run, tmp_path):
    dream_keras.marginalise(
        main_run,
        tmp_path / "out",
        motifs="CCACCAGGTGGCA",
        backgrounds=3,
        positions=[50],
        copies=[1],
        progress=False,
    )
    table = pd.read_csv(tmp_path / "out" / "footprints.tsv", sep="\t", comment="#")
    assert table.position.tolist() == list(range(-20, 20))
    assert table["without"].sum() == pytest.approx(1, abs=1e-5)
    run = load_run(main_run)
    texts = alphabet.decode_rows(random_backgrounds(3, 120).tokens)
    start = (120 - 13) // 2
    others = [text[:start] + "CCACCAGGTGGCA" + text[start + 13 :] for text in texts]
    for column, sequences in (("without", texts), ("with", others)):
        logits, _ = predict_profiles(run.steps, run._encoded(sequences))
        want = softmax(logits[:, 0].astype(float), axis=-1).mean(axis=0)
        np.testing.assert_allclose(table[column], want, rtol=1e-4)


def train_with_a_break(regions, out, bias):
    """Train the main network, stopped after an epoch and resumed."""
    epoch = Engine._epoch

    def stopped(engine, number, *arguments):
        if number == 2:
            raise KeyboardInterrupt
        epoch(engine, number, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train("atac_dream_cnn", MAIN, regions, out, bias=bias)
    assert len(pd.read_csv(out / "history.csv")) == 1
    dream_keras.train(out=out, resume=True, progress=False)


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        ("atac_dream_cnn", {"validation": "x.txt"}, "the file of folds"),
        ("atac_dream_cnn", {"overrides": ["augment.mutation=0.1"]}, "are not augmented"),
        ("any_dream_cnn", {"overrides": ["trainer.best=loss"]}, "networks that predict profiles"),
        ("any_dream_cnn", {"overrides": ["regions.bias=x"]}, "joined to networks"),
        ("atac_dream_cnn", {"overrides": ["regions.fold=3"]}, "names 1 files of folds"),
    ],
)
def test_what_does_not_go_together_is_refused(regions, tmp_path, config, settings, said):
    table = tmp_path / "table.txt"
    table.write_text("ACGTACGT\t1\nACGTACGA\t2\nACGTACGC\t3\n")
    settings = dict(settings)
    if "validation" in settings:
        (tmp_path / "x.txt").write_text("ACGT\t1\n")
        settings["validation"] = tmp_path / "x.txt"
    options = settings.pop("overrides", [])
    train_file = regions if config == "atac_dream_cnn" else table
    overrides = [*(MAIN if config == "atac_dream_cnn" else []), *options]
    with pytest.raises(UserError, match=said):
        train(config, overrides, train_file, tmp_path / "run", **settings)


def test_a_fold_without_test_peaks_is_found_before_the_first_step(regions, tmp_path):
    fold = json.loads((regions.parent / "fold_0.json").read_text())
    (tmp_path / "fold.json").write_text(json.dumps({**fold, "test": ["chrY"]}))
    content = yaml.safe_load(regions.read_text())
    files = {
        key: [str(regions.parent / each) for each in value]
        if isinstance(value, list)
        else str(regions.parent / value)
        for key, value in content.items()
    }
    files["folds"] = str(tmp_path / "fold.json")
    (tmp_path / "regions.yaml").write_text(yaml.safe_dump(files))
    with pytest.raises(UserError, match="no regions of the part test"):
        train("atac_dream_cnn", MAIN, tmp_path / "regions.yaml", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_bias_model_that_knows_peaks_or_test_regions_is_named(
    main_run, regions, tmp_path, monkeypatch, caplog
):
    other = shutil.copytree(main_run, tmp_path / "other")
    environment = json.loads((other / "environment.json").read_text())
    environment["rows"]["chroms"].append("chr3")
    (other / "environment.json").write_text(json.dumps(environment))
    monkeypatch.setattr(Engine, "run", lambda engine: raise_interrupt())
    with pytest.raises(KeyboardInterrupt):
        train("atac_dream_cnn", MAIN, regions, tmp_path / "run", bias=other)
    assert "other was trained on peaks, too" in caplog.text
    assert "other was trained or validated on chr3" in caplog.text


def raise_interrupt():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def prepared(regions, tmp_path_factory):
    """Folders of regions, for the main network and for the bias model; blocks of 8 rows."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_shards, "BLOCK_ROWS", 8)
        for name, config, overrides in (
            ("main", "atac_dream_cnn", MAIN),
            ("bias", "bpnet_bias", BIAS),
        ):
            settings = {"overrides": overrides, "progress": False}
            dream_keras.prepare(regions, folder / name, 2, config, **settings)
    return folder


def variables(path):
    """Return what a file of weights holds, by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, at: found.update({name: at[()]} if hasattr(at, "dtype") else {})
        )
    return found


def check_same(run, wanted):
    """Compare two runs to the bit: rows, statistics, losses, weights and scores."""
    columns = ["loss", "val_loss", "val_pearson", "val_jsd", "learning_rate"]
    ours, theirs = (pd.read_csv(folder / "history.csv")[columns] for folder in (run, wanted))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    states = [np.load(folder / "state.npz") for folder in (run, wanted)]
    assert len({json.loads(str(state["state"]))["data"] for state in states}) == 1
    for name in ("best.weights.h5", "last.weights.h5"):
        ours, theirs = variables(run / name), variables(wanted / name)
        assert ours
        assert ours.keys() == theirs.keys()
        for place, values in ours.items():
            np.testing.assert_array_equal(values, theirs[place], place)
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run, wanted)]
    assert configs[0]["model"] == configs[1]["model"]  # with the weight of the counts
    scores = [json.loads((folder / "metrics.json").read_text()) for folder in (run, wanted)]
    assert scores[0] == {**scores[1], "source": scores[0]["source"]}
    assert (run / "regions.tsv").read_text() == (wanted / "regions.tsv").read_text()


def test_stopped_training_from_a_prepared_folder_is_the_same(
    prepared, bias_run, main_run, tmp_path, monkeypatch
):
    """As from the files and without a break; the bias model is not shifted once more."""
    out = tmp_path / "run"
    train_with_a_break(prepared / "main", out, bias_run)
    check_same(out, main_run)
    saved = json.loads((out / "metrics.json").read_text())
    assert saved["source"] == "main"
    card = dream_keras.evaluate(out, progress=False)
    assert card.scores == dream_keras.evaluate(main_run, progress=False).scores
    assert card.baselines == pytest.approx(saved["baselines"], abs=0)
    assert dream_keras.evaluate(main_run, suite=prepared / "main", progress=False).scores == (
        card.scores
    )
    monkeypatch.setattr(region_analysis, "write_region_analysis", lambda analysis: analysis)
    analysis = dream_keras.analyse(out, suite=prepared / "main", progress=False)
    assert analysis.card.scores == card.scores
    assert "main" in (out / "MODEL.md").read_text()
    assert str(prepared) not in (out / "MODEL.md").read_text()
    with pytest.raises(UserError, match="give the table, or the regions file"):
        dream_keras.predict(out, prepared / "main", tmp_path / "out.bw", progress=False)


def test_a_prepared_folder_needs_no_genome(prepared, bias_run, tmp_path):
    """In a fresh process that has none of the libraries for one, a bias model is the same."""
    out = tmp_path / "run"
    script = (
        "import sys\n"
        "for name in ('pybigtools', 'pyfaidx', 'pysam'): sys.modules[name] = None\n"
        "import dream_keras\n"
        f"dream_keras.train('bpnet_bias', train={str(prepared / 'bias')!r}, out={str(out)!r},"
        f" overrides={BIAS!r}, progress=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_same(out, bias_run)


def test_a_run_goes_on_from_what_was_prepared(prepared, regions, main_run, tmp_path):
    """The rows are the same, so a run may move from the files to the folder."""
    out = tmp_path / "run"
    shutil.copytree(main_run, out)
    dream_keras.train(out=out, resume=True, train=prepared / "main", progress=False)
    assert yaml.safe_load((out / "config.yaml").read_text())["data"]["train"] == str(
        prepared / "main"
    )
    check_same(out, main_run)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("regions.fold=1", r"with regions\.fold=0, but this one has regions\.fold=1"),
        (
            "regions.outliers=0.1",
            r"regions\.outliers=0\.0001, but this one has regions\.outliers=0",
        ),
        ("regions.rows=nonpeaks", r"regions\.rows=all, but this one has regions\.rows=nonpeaks"),
        ("model.processor.jitter=9", "jitter=10, but this one has jitter=9"),
    ],
)
def test_regions_chosen_by_other_settings_are_refused(prepared, tmp_path, override, said):
    with pytest.raises(UserError, match=said):
        train("atac_dream_cnn", [*MAIN, override], prepared / "main", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_damage_is_found_before_the_first_step(prepared, tmp_path):
    shutil.copytree(prepared / "main", tmp_path / "rows")
    file = tmp_path / "rows" / "rows-00001-of-00002.tfrecord"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        UserError, match=r"00001-of-00002\.tfrecord: record 0 of \d+ does not match"
    ):
        train("atac_dream_cnn", MAIN, tmp_path / "rows", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_table_and_regions_have_configs_of_their_own(regions, prepared, tmp_path):
    with pytest.raises(UserError, match="config with name=profile"):
        train("any_dream_cnn", [], prepared / "main", tmp_path / "run")
    table = tmp_path / "table.txt"
    table.write_text("ACGT\t1\n")
    for source, config in ((regions, "any_dream_cnn"), (table, "atac_dream_cnn")):
        with pytest.raises(UserError, match=r"are trained on a regions file.*others on a table"):
            dream_keras.prepare(source, tmp_path / "out", config=config)
    with pytest.raises(UserError, match=r"data\.max_rows=5: which regions"):
        dream_keras.prepare(
            regions, tmp_path / "out", config="atac_dream_cnn", overrides=["data.max_rows=5"]
        )


def test_a_table_is_no_regions_file(tmp_path):
    table = tmp_path / "table.txt"
    table.write_text("ACGT\t1\n")
    with pytest.raises(UserError, match="trained and scored on a regions file"):
        train("atac_dream_cnn", MAIN, table, tmp_path / "run")


def test_a_bias_model_of_another_size_is_refused(regions, bias_run, tmp_path):
    longer = [option for option in MAIN if "processor" not in option]
    longer.append("model.processor={name: profile, length: 140, positions: 40, jitter: 10}")
    with pytest.raises(UserError, match=r"processor\.length=120, this run has 140"):
        train("atac_dream_cnn", longer, regions, tmp_path / "run", bias=bias_run)
