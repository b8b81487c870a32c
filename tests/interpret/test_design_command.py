"""The design command: its files, what it optimises, and its mistakes."""

import functools
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import change
from dream_keras.data import alphabet
from dream_keras.data.yeast import LEFT_ADAPTER, RIGHT_ADAPTER
from dream_keras.design import main
from dream_keras.interpret import design_plan
from dream_keras.interpret.predictor import run_predictor
from dream_keras.interpret.simulated_truth import percentiles, true_expression
from dream_keras.simulate.expression import HIGHEST, LOWEST, noise_free_expression


def read(path):
    return pd.read_csv(path, sep="\t", comment="#")


@pytest.fixture(scope="module", autouse=True)
def _opened_once():
    """Open each run once for all tests, which is quicker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(design_plan, "run_predictor", functools.cache(run_predictor))
        yield


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starts")
    inserts = np.random.default_rng(1).integers(0, 4, (2, 50)).astype(np.uint8)
    texts = [LEFT_ADAPTER + text + RIGHT_ADAPTER for text in alphabet.decode_rows(inserts)]
    (folder / "starts.fa").write_text("".join(f">p{n}\n{t}\n" for n, t in enumerate(texts)))
    (folder / "bare.fa").write_text(f">p\n{texts[0][17:-13]}\n")
    (folder / "long.fa").write_text(f">p\n{LEFT_ADAPTER}{'ACGT' * 80}{RIGHT_ADAPTER}\n")
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("")
    return folder, texts


def test_the_files(run, starts, tmp_path, capsys):
    """One command with most options, and what stands in its files."""
    folder, texts = starts
    out = tmp_path / "new" / "out"
    path = str(run.folder.path)
    words = ["--goal", "max", "--start", str(folder / "starts.fa"), "--rounds", "2"]
    words += ["--method", "beam", "--beam", "2"]
    limits = ["--max-edits", "2", "--protect", "18-40", "--gc", "20-80", "--forbid", "GAATTC"]
    main([path, path, *words, *limits, "--cautious", "--judge", path, "--out", str(out)])
    said = capsys.readouterr().err
    assert "2 designs; median prediction" in said
    assert "judge: median" in said
    assert "noise-free expression: median" in said
    assert {file.name for file in out.iterdir()} == {
        *("designs.fasta", "designs.tsv", "trajectory.tsv", "trajectory.png")
    }
    table = read(out / "designs.tsv")
    assert table["start"].tolist() == texts
    designs = table["design"].tolist()
    assert (out / "designs.fasta").read_text() == f">p0\n{designs[0]}\n>p1\n{designs[1]}\n"
    np.testing.assert_allclose(table["start_prediction"], run.predict(texts), atol=3e-6)
    for column in ("prediction", "prediction_1", "prediction_2", "judge"):
        np.testing.assert_allclose(table[column], run.predict(designs), atol=3e-6)
    assert (table["spread"] == 0).all()
    assert (table["prediction"] > table["start_prediction"]).all()
    tokens = np.stack([alphabet.encode(text) for text in designs])
    np.testing.assert_allclose(table["truth"], noise_free_expression(tokens), rtol=1e-6)
    assert table["status"].tolist() == ["ok", "ok"]
    for row in table.to_dict("records"):
        places = [n for n, pair in enumerate(zip(row["start"], row["design"], strict=True), 1)
                  if len({*pair}) > 1]  # fmt: skip
        assert len(places) == row["n_edits"] <= 2
        assert all(40 < place <= 67 for place in places)
        shown = (f"{n}{row['start'][n - 1]}>{row['design'][n - 1]}" for n in places)
        assert row["edits"] == ",".join(shown)
    course = read(out / "trajectory.tsv")
    last = course[course["round"] == course["round"].max()]
    np.testing.assert_allclose(last["prediction"], table["prediction"], atol=3e-6)
    first = (out / "designs.tsv").read_text().splitlines()[0]
    assert first == (out / "trajectory.tsv").read_text().splitlines()[0]
    assert first.startswith(f"# dream_keras.design; model={path},{path}; goal=max; ")
    assert "; rounds=2; protect=18-40; gc=20-80; forbid=GAATTC; max_edits=2; " in first
    assert (out / "trajectory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["anneal", "gradient"])
def test_random_starts_get_the_adapters(run, tmp_path, method):
    settings = {"goal": "max", "random": 3, "rounds": 12, "progress": False}
    settings |= {"length": 60, "base_shares": "0,1,1,0", "method": method, "min_distance": 2}
    table = dream_keras.design(run.folder.path, tmp_path / "out", **settings)
    for row in table.to_dict("records"):
        for text in (row["start"], row["design"]):
            assert text.startswith(LEFT_ADAPTER)
            assert text.endswith(RIGHT_ADAPTER)
            assert len(text) == 60 + 30
        assert not set(row["start"][17:-13]) & set("AT")
    assert (table["prediction"] > table["start_prediction"]).all()


def test_adapters_that_are_put_on(run, tmp_path):
    """Designs are without them then, and sites that reach into them are avoided all the same."""
    experiment = change(run.experiment, ["data.adapters=add"])
    shutil.copytree(run.folder.path, tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(experiment.plain()))
    settings = {"goal": 11, "random": 2, "rounds": 1, "forbid": "CACATCN", "progress": False}
    with pytest.raises(UserError, match=r"no start could be edited.*\(forbidden_site\)"):
        dream_keras.design(tmp_path / "run", tmp_path / "out", **settings)
    settings["forbid"] = "CACATCA,CACATCG"
    table = dream_keras.design(tmp_path / "run", tmp_path / "out", **settings)
    assert table["start"].str.len().tolist() == [80, 80]
    assert set(table["design"].str[0]) <= set("CT")
    whole = [LEFT_ADAPTER + text + RIGHT_ADAPTER for text in table["design"]]
    np.testing.assert_allclose(table["prediction"], run.predict(whole), atol=3e-6)
    np.testing.assert_allclose(table["truth"], true_expression(whole))


def test_truth():
    assert true_expression(["ACGT" * 20]) is None
    unequal = [LEFT_ADAPTER + "ACGT" * n + RIGHT_ADAPTER for n in (20, 15)]
    apart = [noise_free_expression(alphabet.encode(text)[None])[0] for text in unequal]
    np.testing.assert_allclose(true_expression(unequal), apart, rtol=1e-6)
    assert percentiles(np.array([LOWEST, HIGHEST])).tolist() == [0, 100]
    assert 45 < percentiles(np.array([10.63]))[0] < 55


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say where designs start: --start FILE, or --random N"),
        ({"start": "starts.fa", "random": 3}, "say where designs start"),
        (
            {"start": "starts.fa", "length": 30},
            "--length and --base-shares are those of random",
        ),
        ({"start": "nothing.fa"}, "no file .*nothing.fa"),
        ({"start": "-"}, "standard input"),
        ({"start": "bare.fa"}, "most sequences do not begin with the adapter"),
        ({"start": "long.fa"}, "p has 350 bp"),
        ({"random": 1, "length": 300}, "random1 has 330 bp"),
        ({"random": 0}, "random=0: at least 1"),
        ({"random": 1, "goal": "high"}, 'goal "high": expected max, min'),
        ({"random": 1, "task": "liver"}, 'unknown task "liver"'),
        ({"random": 1, "method": "evolv"}, 'unknown method "evolv". Did you mean "evolve"'),
        ({"random": 1, "cautious": True}, "--cautious needs several runs"),
        ({"random": 1, "judge": "nowhere"}, "nowhere is not a run folder"),
        ({"random": 1, "protect": "100-120"}, "protect 100-120: random1 has 110 bp"),
        ({"random": 1, "protect": "18-97"}, "random1: no base may change"),
        ({"random": 1, "protect": "x"}, "expected START-END"),
        ({"random": 1, "gc": "60-40"}, "expected LOW-HIGH"),
        ({"random": 1, "forbid": "E?"}, 'enzyme "E[?]"'),
        ({"random": 1, "forbid": "N"}, r"no start could be edited.*\(forbidden_site\)"),
        ({"random": 1, "max_homopolymer": 0}, "max_homopolymer=0: at least 1"),
        ({"random": 1, "designs": 3}, "those of one start would be equal"),
        (
            {"random": 1, "designs": 3, "min_distance": 5, "max_edits": 2},
            "min_distance=5: designs of one start",
        ),
        ({"random": 1, "adapters": "foo"}, "adapters=foo: expected present, add"),
        ({"random": 1, "out": "full"}, "full exists already"),
    ],
)
def test_mistakes(run, starts, tmp_path, given, said):
    folder, _ = starts
    given = {"goal": "max", **given}
    out = folder / given.pop("out") if "out" in given else tmp_path / "out"
    if given.get("start", "-") != "-":
        given["start"] = folder / given["start"]
    with pytest.raises(UserError, match=said):
        dream_keras.design(run.folder.path, out, progress=False, **given)
    assert not (tmp_path / "out").exists()
