"""The command in fresh processes, against a slow scorer that reads the files by itself."""

import csv
import json
import math
import resource
import shutil
import subprocess
import sys

import pytest

from dream_keras.common.errors import UserError
from dream_keras.evaluate import evaluate, main
from dream_keras.scoring.bootstrap import bootstrap
from dream_keras.scoring.metrics import score
from dream_keras.scoring.submission import read_submission
from dream_keras.scoring.suite import load_suite

SINGLES = [
    ("high", "high_exp_seqs.csv", 0.3),
    ("low", "low_exp_seqs.csv", 0.3),
    ("yeast", "yeast_seqs.csv", 0.3),
    ("random", "all_random_seqs.csv", 0.3),
    ("challenging", "challenging_seqs.csv", 0.5),
]
PAIRS = [
    ("SNVs", "all_SNVs_seqs.csv", 1.25),
    ("motif_perturbation", "motif_perturbation_seqs.csv", 0.3),
    ("motif_tiling", "motif_tiling_seqs.csv", 0.4),
]


def command(*arguments):
    words = [sys.executable, "-m", "dream_keras.evaluate", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True)


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def slow_pearson(x, y):
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    products = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    squares_x = math.fsum((a - mean_x) ** 2 for a in x)
    squares_y = math.fsum((b - mean_y) ** 2 for b in y)
    return products / math.sqrt(squares_x * squares_y)


def slow_ranks(values):
    """One for each smaller value, half for each equal one (itself included)."""
    return [sum(o < v for o in values) + sum(o == v for o in values) / 2 for v in values]


def slow_score(folder, predictions, part):
    """Score by the rule's words: only csv, json and loops."""
    with (folder / "filtered_test_data_with_MAUDE_expression.txt").open() as file:
        measured = [float(line.split("\t")[1]) for line in file]
    lists = folder / "public_leaderboard_ids"
    files = {name: lists / f"{name}_exp_indices.json" for name, _, _ in SINGLES + PAIRS}
    files["all"] = lists / "ground.json"
    public = {name: json.loads(file.read_text()) for name, file in files.items()}
    anywhere = set()
    for content in public.values():
        for key in content:
            for position in key.split(","):
                anywhere.add(int(position))

    chosen = {}
    members = {"all": list(range(len(measured)))}
    for name, file_name, _ in SINGLES:
        members[name] = []
        for row in read_csv(folder / "test_subset_ids" / file_name):
            if int(row["pos"]) not in members[name]:
                members[name].append(int(row["pos"]))
    for name, positions in members.items():
        if part == "private":
            positions = [position for position in positions if position not in anywhere]
        if part == "public":
            positions = [int(key) for key in public[name]]
        chosen[name] = (
            [predictions[position] for position in positions],
            [measured[position] for position in positions],
        )
    for name, file_name, _ in PAIRS:
        keys = []
        for row in read_csv(folder / "test_subset_ids" / file_name):
            key = f"{row['alt_pos']},{row['ref_pos']}"
            if key not in keys:
                keys.append(key)
        if part == "private":
            keys = [key for key in keys if key not in public[name]]
        if part == "public":
            keys = list(public[name])
        pairs = [tuple(map(int, key.split(","))) for key in keys]
        chosen[name] = (
            [predictions[alt] - predictions[ref] for alt, ref in pairs],
            [measured[alt] - measured[ref] for alt, ref in pairs],
        )

    subsets, pearson_sum, spearman_sum = {}, 0, 0
    for name, _, weight in [("all", None, 1), *SINGLES, *PAIRS]:
        predicted, wanted = chosen[name]
        r = slow_pearson(predicted, wanted)
        rho = slow_pearson(slow_ranks(predicted), slow_ranks(wanted))
        subsets[name] = {"n": len(wanted), "pearson": r, "r2": r * r, "spearman": rho}
        pearson_sum += weight * r * r
        spearman_sum += weight * rho
    return {
        "part": part,
        "pearson_score": pearson_sum / 4.65,
        "spearman_score": spearman_sum / 4.65,
        "subsets": subsets,
    }


def assert_same(found, expected):
    """All keys, and numbers to 12 digits."""
    assert found.keys() == expected.keys()
    assert found["subsets"].keys() == expected["subsets"].keys()
    for key in ("pearson_score", "spearman_score"):
        assert found[key] == pytest.approx(expected[key], abs=1e-12)
    assert found["part"] == expected["part"]
    for name, subset in expected["subsets"].items():
        assert found["subsets"][name] == pytest.approx(subset, abs=1e-12), name


@pytest.mark.parametrize("part", ["private", "public", "all"])
@pytest.mark.parametrize("form", ["json", "tsv"])
def test_scores_of_a_submission(suite_files, tmp_path, part, form):
    submission, scores = tmp_path / f"submission.{form}", tmp_path / "scores.json"
    lines = ["sequence\tprediction", *suite_files.tsv_lines(), ""]
    submission.write_text(suite_files.json_text() if form == "json" else "\n".join(lines))
    arguments = ["--predictions", submission, "--suite", suite_files.folder, "--json", scores]
    done = command(*arguments, *([] if part == "private" else ["--part", part]))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = slow_score(suite_files.folder, suite_files.predictions.tolist(), part)
    assert_same(json.loads(scores.read_text()), expected)
    shown = {words[0]: words for words in map(str.split, done.stdout.splitlines()[2:-1]) if words}
    for name, subset in expected["subsets"].items():
        values = [f"{subset[key]:.6f}" for key in ("pearson", "r2", "spearman")]
        assert shown[name][2:] == [f"{subset['n']:,}", *values]
    assert shown["Pearson"][2] == f"{expected['pearson_score']:.6f}"
    assert shown["Spearman"][2] == f"{expected['spearman_score']:.6f}"


@pytest.mark.parametrize("part", ["private", "public", "all"])
def test_pair_differences_with_ties(suite_files, part):
    """The predictions have one decimal; their differences tie only up to rounding.

    With whole numbers the differences are exact, and so are their ties.
    """
    suite = load_suite(suite_files.folder)
    predictions = suite_files.predictions.round()
    assert len({*suite.subsets["SNVs"].pick(predictions, "all")}) < 20
    found = score(suite, predictions, part).to_dict()
    assert_same(found, slow_score(suite_files.folder, predictions.tolist(), part))


def test_undefined_correlations_are_null(suite_files, tmp_path, capsys):
    scores, submission = tmp_path / "scores.json", tmp_path / "submission.json"
    submission.write_text(suite_files.json_text([2.5] * 300))
    files = ["--predictions", submission, "--suite", suite_files.folder, "--json", scores]
    main(list(map(str, files)))
    assert "SNVs is undefined: constant predictions; it counts as 0" in capsys.readouterr().out
    found = json.loads(scores.read_text())
    assert found["pearson_score"] == found["spearman_score"] == 0
    assert found["subsets"]["high"] == {"n": 14, "pearson": None, "r2": None, "spearman": None}


def test_bootstrap(suite_files, tmp_path):
    submission, scores = tmp_path / "submission.json", tmp_path / "scores.json"
    submission.write_text(suite_files.json_text())
    arguments = ["--predictions", submission, "--suite", suite_files.folder, "--json", scores]
    done = command(*arguments, "--bootstrap", 50)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    resampled = bootstrap(load_suite(suite_files.folder), suite_files.predictions, resamples=50)
    assert json.loads(scores.read_text()) == resampled.card_with_intervals().to_dict()
    low, high = resampled.scores["pearson_score"].interval()
    assert f"95 % interval [{low:.4f}, {high:.4f}]" in done.stdout
    assert "percentiles of 50 bootstrap resamples" in done.stdout
    assert "interval" not in command(*arguments).stdout
    done = command(*arguments, "--bootstrap", -1)
    assert (done.returncode, done.stderr) == (2, "error: bootstrap=-1: at least 0 is needed\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"0": 1.5}', "missing positions: 1, 2, 3 and 296 more"),
        ('{"0": 1.5, "0": 1.5}', 'named more than once: "0"'),
        ("ACGT\tnan", 'not finite numbers: line 1 ("nan")'),
        ("\udcff", "is not a text file"),
    ],
)
def test_bad_submission(suite_files, tmp_path, text, said):
    submission, scores = tmp_path / "submission", tmp_path / "scores.json"
    submission.write_bytes(text.encode(errors="surrogateescape"))
    done = command("--predictions", submission, "--suite", suite_files.folder, "--json", scores)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {submission}")
    assert said in line
    assert not scores.exists()


def test_bad_arguments(suite_files, tmp_path):
    submission = tmp_path / "submission.json"
    submission.write_text(suite_files.json_text())
    given = ["--predictions", submission, "--suite", suite_files.folder]
    for arguments, said in (
        ([], "give either a run folder or a file of predictions"),
        (["run", *given], "give either a run folder or a file of predictions"),
        (given[:2], "no suite to score on"),
        ([*given[:2], "--suite", tmp_path / "nowhere"], "nowhere does not exist"),
        ([*given, "--json", tmp_path / "nowhere" / "scores.json"], "nowhere does not exist"),
        ([*given, "--json", tmp_path], "exists and is no ordinary file"),
        ([*given, "--ceiling", tmp_path / "nowhere"], "no file .*nowhere"),
        ([*given, "--ceiling", tmp_path], "is not a run folder"),
        ([*given, "--ceiling", submission], "only 13 pairs of expression in the private part"),
        (["--variants", submission, "--ceiling", submission], "takes no --ceiling"),
        ([*given, "--interval", "0.9"], "a file of predictions has no intervals"),
    ):
        with pytest.raises(UserError, match=said):
            main(list(map(str, arguments)))


@pytest.mark.parametrize("part", ["private", "public"])
def test_suite_without_public_lists(suite_files, tmp_path, part):
    submission = tmp_path / "submission.json"
    submission.write_text(suite_files.json_text())
    shutil.rmtree(suite_files.folder / "public_leaderboard_ids")
    arguments = {"predictions": submission, "suite": suite_files.folder}
    with pytest.raises(UserError, match=r'has no public lists.* Score the part "all"'):
        evaluate(**arguments, part=part)
    assert evaluate(**arguments, part="all").subsets["all"].n == 300


def test_an_older_json_file_is_replaced_only_by_scores(suite_files, tmp_path):
    submission, scores = tmp_path / "submission.json", tmp_path / "scores.json"
    submission.write_text("{}")
    scores.write_text("older")
    files = ["--predictions", submission, "--suite", suite_files.folder, "--json", scores]
    arguments = list(map(str, files))
    with pytest.raises(UserError, match="missing positions"):
        main(arguments)
    assert scores.read_text() == "older"
    submission.write_text(suite_files.json_text())
    main(arguments)
    assert json.loads(scores.read_text())["part"] == "private"


@pytest.mark.data
def test_public_figures_of_the_winner(real_data, tmp_path):
    scores = tmp_path / "scores.json"
    folder = real_data / "dream"
    submission = folder / "autosome_submission.json"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = command(
        "--predictions", submission, "--suite", folder, "--part", "public", "--json", scores
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    found = json.loads(scores.read_text())
    assert f"{found['pearson_score']:.6f}" == "0.829027"
    assert f"{found['spearman_score']:.6f}" == "0.859637"
    assert f"{found['subsets']['all']['r2']:.6f}" == "0.952434"
    assert f"{found['subsets']['all']['spearman']:.6f}" == "0.979033"
    sizes = {name: subset["n"] for name, subset in found["subsets"].items()}
    assert sizes["all"] == 9_045
    assert (sizes["SNVs"], sizes["motif_perturbation"], sizes["motif_tiling"]) == (4_670, 328, 263)
    # 71,103 rows in under 10 s; processor time, since the machine may be busy.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 10


@pytest.mark.data
def test_private_sizes_of_the_official_suite(real_data):
    suite = load_suite(real_data / "dream")
    predictions = read_submission(real_data / "dream" / "autosome_submission.json", suite)
    sizes = {name: subset.n for name, subset in score(suite, predictions).subsets.items()}
    del sizes["SNVs"]  # No public repository holds its official list.
    assert sizes == {
        "all": 62_058,
        "high": 872,
        "low": 898,
        "yeast": 370,
        "random": 5_616,
        "challenging": 1_758,
        "motif_perturbation": 2_959,
        "motif_tiling": 2_361,
    }
