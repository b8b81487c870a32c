"""Attributions against brute force, closed forms and planted motifs; the command and its files."""

import importlib.util
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.interpret import attribution_files, attribution_plots, motif_discovery
from dream_keras.interpret.attribution import Attributor, find_region
from dream_keras.interpret.choices import METHODS
from dream_keras.interpret.gradients import one_hot
from dream_keras.interpret.planted import (
    average_precision,
    plant_sites,
    score,
    score_methods,
    simulator,
)
from dream_keras.interpret.predictor import Predictor, run_predictor
from dream_keras.interpret.tasks import task_weights
from dream_keras.runs import plots

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
ONE = np.ones(1)


def promoters(random, *lengths):
    letters = list("ACGT")
    return [LEFT + "".join(random.choice(letters, length)) + RIGHT for length in lengths]


@pytest.fixture(scope="module")
def of_run(run):
    return run_predictor(run.folder)


def test_mutagenesis_is_brute_force(predictor, counting, random):
    """Of two tasks at once, unequal lengths, lower case and unknown bases; nothing twice."""
    sequences = ["".join(random.choice(list("ACGTN"), n)) for n in (12, 9, 12)]
    weights = np.array([1.0, -1.0])
    for region, places in (("all", None), ("3-7", range(2, 7))):
        counting.asked.clear()
        found = Attributor(predictor, weights, "ism", region)([s.lower() for s in sequences])
        asked = list(counting.asked)
        expected = 0
        for sequence, each in zip(sequences, found, strict=True):
            columns = range(len(sequence)) if places is None else places
            reference = predictor([sequence])[0] @ weights
            assert each.prediction == pytest.approx(reference)
            effects = np.array(
                [
                    [
                        predictor([sequence[:i] + base + sequence[i + 1 :]])[0] @ weights
                        - reference
                        for base in "ACGT"
                    ]
                    for i in columns
                ]
            )
            np.testing.assert_allclose(each.effects, effects, atol=1e-9)
            centred = effects - effects.mean(axis=1, keepdims=True)
            np.testing.assert_allclose(each.scores, centred, atol=1e-9)
            known = [sequence[i] != "N" for i in columns]
            expected += 1 + sum(3 if base else 4 for base in known)
        assert len(asked) == expected


def test_many_sequences_are_predicted_in_parts(predictor, counting, random, monkeypatch):
    monkeypatch.setattr("dream_keras.interpret.attribution.AT_A_TIME", 100)
    sequences = ["".join(random.choice(list("ACGT"), n)) for n in (10, 12, 10, 12, 10, 10, 10)]
    together = Attributor(predictor, np.ones(2))(sequences)
    for sequence, each in zip(sequences, together, strict=True):
        (alone,) = Attributor(predictor, np.ones(2))([sequence])
        assert each.sequence == sequence
        np.testing.assert_allclose(each.scores, alone.scores, atol=1e-9)


def test_integrated_gradients_are_complete(of_run, random):
    """They add up to the difference from the baseline, within 1 % at 50 steps."""
    sequences = promoters(random, 80, 78)
    sequences[1] = sequences[1][:40] + "NN" + sequences[1][42:]
    for sequence in sequences:
        bases = one_hot([sequence])
        even = bases.copy()
        even[:, 17:-13] = bases[:, 17:-13].sum(axis=-1, keepdims=True) / 4
        (value, of_even), _ = of_run.gradients(np.concatenate([bases, even]), ONE)
        (found,) = Attributor(of_run, ONE, "integrated_gradients")([sequence])
        total = found.contributions.sum()
        assert abs(total - (value - of_even)) <= 0.01 * abs(value - of_even)
        assert found.prediction == pytest.approx(value, abs=1e-5)


def test_shuffled_baselines_are_complete_and_of_the_sequence_alone(of_run, random, monkeypatch):
    shuffled = []
    import dream_keras.interpret.attribution as module

    shuffle = module.dinucleotide_shuffle
    monkeypatch.setattr(
        module, "dinucleotide_shuffle", lambda *a: shuffled.append(shuffle(*a)) or shuffled[-1]
    )
    sequence, other = promoters(random, 80, 80)
    attributor = Attributor(of_run, ONE, "shuffled_integrated_gradients", shuffles=3, steps=50)
    (found,) = attributor([sequence])
    values = of_run([sequence, *(LEFT + insert + RIGHT for insert in shuffled)])[:, 0]
    difference = values[0] - values[1:].mean()
    spread = np.abs(values[0] - values[1:]).max()
    assert abs(found.contributions.sum() - difference) <= 0.01 * spread
    again = attributor([other, sequence])[1]
    np.testing.assert_allclose(again.scores, found.scores, atol=1e-5)


def test_corrected_gradients_add_up_to_zero(of_run, random):
    (found,) = Attributor(of_run, ONE, "gradient")(promoters(random, 80))
    assert found.scores.shape == (80, 4)
    assert np.abs(found.scores).max() > 1e-5
    np.testing.assert_allclose(found.scores.sum(axis=1), 0, atol=1e-9)


def test_unknown_bases_stay_where_they_are_in_baselines(of_run, random):
    sequence = promoters(random, 80)[0]
    sequence = sequence[:30] + "NNN" + sequence[33:]
    attributor = Attributor(of_run, ONE, "shuffled_integrated_gradients", shuffles=2, steps=1)
    path = attributor._path(sequence, (17, 97))
    assert not path.points[:, 30:33].any()
    assert (path.points[:, :30].sum(axis=-1) == 1).all()


@pytest.mark.parametrize("steps", [1, 7])
def test_the_weights_of_a_path_add_up_to_one(of_run, steps):
    attributor = Attributor(of_run, ONE, "shuffled_integrated_gradients", steps=steps, shuffles=4)
    path = attributor._path("ACGT" * 10, (0, 40))
    assert path.weights.sum() == pytest.approx(1)
    assert len(path.points) == len(path.baselines) == 4 * (steps + 1)


def test_regions():
    assert find_region("insert", 110, (17, 13)) == (17, 97)
    assert find_region("all", 110, (17, 13)) == (0, 110)
    for text, message in (
        ("exon", "expected insert, all, or first and last position"),
        ("0-5", "not in a sequence of 110 bp"),
        ("7-6", "not in a sequence"),
        ("100-111", "not in a sequence"),
    ):
        with pytest.raises(UserError, match=message):
            find_region(text, 110, (0, 0))


def test_tasks():
    tasks = ("liver", "brain - cortex")
    assert task_weights("brain - cortex", tasks).tolist() == [0, 1]
    assert task_weights(None, ("expression",)).tolist() == [1]
    for task, message in (
        (None, 'name a task with --task: liver, brain - cortex, or a difference.*"liver - brain'),
        ("lever", 'unknown task "lever".*liver'),
        ("liver - liver", "is 0"),
        ("liver - brain - cortex", "expected a task, or a difference of two"),
    ):
        with pytest.raises(UserError, match=message):
            task_weights(task, tasks)


def test_planted_positions_are_those_of_the_motifs():
    planted = plant_sites(40, seed=3)
    rows = (planted.sequences, planted.labels, planted.signs, planted.sites)
    for sequence, labels, signs, sites in zip(*rows, strict=True):
        assert sequence[:17] + sequence[-13:] == LEFT + RIGHT
        inside = np.zeros(80, bool)
        for _, start, width in sites:
            inside[start : start + width] = True
        assert (inside[labels == 1]).all()
        assert (labels[inside] != 0).all()
        assert ((signs != 0) == inside).all()
    assert 0.2 < (planted.labels == 1).mean() < 0.5
    assert (planted.labels == 0).mean() > 0.3


def test_scores_of_the_truth_itself_and_of_noise(random):
    planted = plant_sites(40, seed=0)
    truth = Attributor(simulator(), ONE)(planted.sequences)
    own = score(truth, planted, truth)
    assert own.values["cosine"] == own.values["spearman"] == pytest.approx(1)
    assert own.values["auroc_signed"] > 0.9
    words = random.normal(size=(4**3,))

    def noise(sequences):
        codes = np.array([[("ACGT".find(base)) % 4 for base in each] for each in sequences])
        triples = codes[:, :-2] * 16 + codes[:, 1:-1] * 4 + codes[:, 2:]
        return words[triples].sum(axis=1)

    predictor = Predictor(noise, kept=(17, 13))
    chance = score_methods(predictor, planted, truth, ("ism",))["ism"]
    assert 0.4 < chance.values["auroc"] < 0.6
    assert abs(chance.values["cosine"]) < 0.25


def test_average_precision_is_that_of_scikit_learn(random):
    metrics = pytest.importorskip("sklearn.metrics")
    for ties in (1, 10):
        scores = np.round(random.normal(size=200) * ties) / ties
        positive = random.random(200) < 0.3
        expected = metrics.average_precision_score(positive, scores)
        assert average_precision(scores, positive) == pytest.approx(expected)


def read_arrays(folder):
    return (np.load(folder / name)["arr_0"] for name in ("sequences.npz", "attributions.npz"))


def test_the_files(run, random, tmp_path, caplog):
    table, out = tmp_path / "some.csv", tmp_path / "out"
    sequences = promoters(random, 80, 79, 80)
    rows = [f"<b>p{n}</b>,{sequence}" for n, sequence in enumerate(sequences)]
    table.write_text("name,sequence\n" + "\n".join(rows) + "\n")
    with caplog.at_level("INFO"):
        found = dream_keras.attribute(
            run.folder.path, table, out, method="gradient", pictures=1, progress=False
        )
    assert "to find motifs: modisco motifs -s" in caplog.text
    assert "-w 80" in caplog.text
    bases, scores = read_arrays(out)
    assert bases.shape == scores.shape == (3, 4, 80)
    assert bases[1].sum() == 79
    np.testing.assert_allclose(scores[0], found[0].scores.T, atol=1e-6)
    written = pd.read_csv(out / "attributions.tsv", sep="\t", comment="#")
    assert len(written) == 239
    first = written.iloc[0]
    assert (first["position"], first["base"]) == (18, sequences[0][17])
    assert first["score"] == pytest.approx(found[0].contributions[0], rel=1e-4)
    assert [path.name for path in (out / "pictures").iterdir()] == ["0001.png"]
    page = (out / "index.html").read_text()
    assert "<b>p1" not in page
    with pytest.raises(UserError, match="exists already: give another folder"):
        dream_keras.attribute(run.folder.path, table, out)


def test_pictures_of_simulated_runs_say_so(run, predictor, random, tmp_path, monkeypatch):
    marked = []
    for module in (attribution_plots, plots):
        monkeypatch.setattr(module, "mark_simulated", marked.append)
    dream_keras.attribute(
        run.folder.path, promoters(random, 80), tmp_path / "a", region="20-21", pictures=1
    )
    assert len(marked) == 1
    few = {"positions": [1], "copies": [1], "backgrounds": 2}
    dream_keras.marginalise(run.folder.path, tmp_path / "b", motifs=["ACGT"], **few)
    assert len(marked) == 2
    found = {"a": Attributor(predictor, np.ones(2))(["ACGT" * 10])[0]}
    attribution_files.write_attributions(tmp_path, found, "", pictures=1, progress=False)
    assert len(marked) == 2


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_the_page_sorts_and_searches(predictor, random, tmp_path):
    names = ["beta <i>", "alpha", "gamma"]
    sequences = ["".join(random.choice(list("ACGT"), 30)) for _ in names]
    found = dict(zip(names, Attributor(predictor, np.ones(2))(sequences), strict=True))
    attribution_files.write_attributions(tmp_path, found, "made by a test", 1, progress=False)
    page = tmp_path / "index.html"
    wanted = sorted(names, key=lambda name: -found[name].prediction)
    script = (
        'order.value = "highest"; order.dispatchEvent(new Event("change"));'
        "const all = [...document.querySelectorAll('h2')].map((e) => e.firstChild.textContent);"
        f'query.value = "{sequences[2][5:20].lower()}"; query.dispatchEvent(new Event("input"));'
        "const some = [...document.querySelectorAll('h2')].map((e) => e.firstChild.textContent);"
        "const image = document.images.length;"
        "document.title = JSON.stringify([all, some, image]);"
    )
    from dream_keras.common.page import policy_hash

    text = page.read_text().replace("script-src ", f"script-src '{policy_hash(script)}' ", 1)
    page.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "dump-dom"]
    flags += ["disable-background-networking", f"user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [BROWSER, *(f"--{flag}" for flag in flags), page.as_uri()],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    assert json.loads(title.replace("&lt;", "<").replace("&gt;", ">")) == [wanted, ["gamma"], 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "shap"}, 'unknown method "shap"'),
        ({"task": "liver"}, 'unknown task "liver"'),
        ({"region": "90-120"}, "region 90-120: not in a sequence of 110 bp"),
        ({"steps": 0}, "steps"),
        ({"motifs": "motifs.meme", "modisco": True}, "motifs.meme"),
        ({"motifs": "motifs.meme"}, "give both"),
        ({"source": "missing.csv"}, "missing.csv"),
        ({"source": ["ACGT" * 100]}, "has 400 bp; the run takes"),
        ({"source": []}, "there are no sequences"),
        ({"source": ["ACGU" * 25]}, "letter|adapter|U"),
    ],
)
def test_mistakes(run, random, tmp_path, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"source": promoters(random, 80), "out": tmp_path / "out"} | options
    with pytest.raises(UserError, match=message):
        dream_keras.attribute(run.folder.path, progress=False, **given)
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(run, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "modisco" in name else find_spec(name)
    )
    with pytest.raises(UserError, match=r'pip install "dream-keras\[motif\]"'):
        dream_keras.attribute(run.folder.path, ["ACGT"], tmp_path / "out", modisco=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_default_is_scored_beside_a_control(run, tmp_path):
    """The whole path, on few promoters: what it says of a good run stands in the docs."""
    out = tmp_path / "scores"
    text = dream_keras.score_attributions(
        run.folder.path, out, sequences=4, steps=2, shuffles=1, progress=False
    )
    assert len(text.splitlines()) == 1 + 1 + 2 * len(METHODS)
    table = pd.read_csv(out / "scores.tsv", sep="\t", comment="#")
    assert set(table["model"]) == {"simulator", str(run.folder.path), "untrained"}
    assert (out / "scores.png").stat().st_size > 10_000
    assert (out / "example.png").stat().st_size > 10_000


@pytest.mark.slow
def test_modisco_finds_the_planted_motif(random, tmp_path):
    """Of attributions that know one motif, with its name from a MEME file."""
    pytest.importorskip("modiscolite")
    site, number = "ATGACTCAT", 300
    noise = random.normal(size=(16, 59))

    def predict(sequences):
        codes = np.array([["ACGT".find(base) for base in sequence] for sequence in sequences])
        found = 0.02 * noise[codes[:, :-1] * 4 + codes[:, 1:], np.arange(59)].sum(axis=1)
        for row, sequence in enumerate(sequences):
            windows = np.lib.stride_tricks.sliding_window_view(np.array(list(sequence)), len(site))
            found[row] += 0.1 ** (len(site) - (windows == list(site)).sum(axis=1)).min()
        return found

    sequences = []
    for _ in range(number):
        bases = random.choice(list("ACGT"), 60)
        start = random.integers(15, 35)
        bases[start : start + len(site)] = list(site)
        sequences.append("".join(bases))
    each = Attributor(Predictor(predict), ONE)(sequences)
    attributions = dict(zip(map(str, range(number)), each, strict=True))
    attribution_files.write_attributions(tmp_path, attributions, "a test", 0, progress=False)
    motifs = tmp_path / "known.meme"
    matrices = {"Gcn4": one_hot([site])[0], "other": one_hot(["CCCGGGTTT"])[0]}
    lines = ["MEME version 4", "", "ALPHABET= ACGT", ""]
    for name, matrix in matrices.items():
        lines += [f"MOTIF {name}", f"letter-probability matrix: alength= 4 w= {len(matrix)}"]
        lines += [" ".join(f"{p:.4f}" for p in row) for row in matrix] + [""]
    motifs.write_text("\n".join(lines))
    patterns = motif_discovery.find_patterns(tmp_path, number, 60, motifs)
    assert patterns[0].raises
    assert site in patterns[0].consensus or "ATGAGTCAT" in patterns[0].consensus
    p = motif_discovery.match(patterns[:1], matrices)[0]
    assert p[0] < 0.01 < p[1]
    assert motif_discovery.recovery(patterns[:1], matrices) == (0.5, 1.0)
    assert (tmp_path / "modisco" / "report.html").exists()
    table = pd.read_csv(tmp_path / "motifs.tsv", sep="\t")
    assert table.loc[0, ["effect", "best_match"]].tolist() == ["raises", "Gcn4"]
