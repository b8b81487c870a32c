"""The files that ``simulate`` writes: official names and shapes, truth, identity, learnability."""

import csv
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet, yeast
from dream_keras.simulate import scan, simulate, simulate_genome, writer
from dream_keras.simulate.assay import deep_scale
from dream_keras.simulate.expression import motif_sites, noise_free_expression
from dream_keras.simulate.motifs import MOTIFS
from dream_keras.simulate.suite_files import SUBSET_FILES, TEST_TABLE
from dream_keras.simulate.truth import read_truth

TRAIN, TEST = 20_000, 700


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("sim") / "new" / "out", TRAIN, TEST, 3, progress=False)


def table(path: Path) -> tuple[list[str], np.ndarray]:
    columns = [line.split("\t") for line in path.read_text().splitlines()]
    return [row[0] for row in columns], np.array([float(row[1]) for row in columns])


def tokens_of(sequences: list[str]) -> np.ndarray:
    width = max(map(len, sequences))
    return np.stack([alphabet.encode(s.rjust(width, "N")) for s in sequences])


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def subset(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "test_subset_ids" / f"{SUBSET_FILES[name]}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def public(folder: Path, name: str) -> dict:
    return json.loads((folder / "public_leaderboard_ids" / f"{name}.json").read_text())


def test_the_files_are_the_official_ones_and_the_truth(folder):
    lists = [*SUBSET_FILES, "ground", "sample_submission"]
    expected = {
        *("train.txt", "val.txt", TEST_TABLE, "plasmid.json", writer.MANIFEST),
        *(f"test_subset_ids/{name}.csv" for name in SUBSET_FILES.values()),
        *(f"public_leaderboard_ids/{name}_exp_indices.json" for name in SUBSET_FILES),
        *(f"public_leaderboard_ids/{name}.json" for name in lists[-2:]),
        *(
            f"truth/{split}_{kind}.npy"
            for split in ("train", "val", "test")
            for kind in ("expression", "sites")
        ),
        "truth/motifs.json",
    }
    assert set(content(folder)) == expected
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(("name", "rows"), [("train", TRAIN), ("val", round(TRAIN / 9))])
def test_training_tables(folder, name, rows):
    text = (folder / f"{name}.txt").read_text()
    assert text.endswith("\n")
    sequences, labels = table(folder / f"{name}.txt")
    assert len(sequences) == rows
    assert all(s.startswith(yeast.LEFT_ADAPTER) for s in sequences)
    assert all(s.endswith(yeast.RIGHT_ADAPTER) for s in sequences)
    assert set("".join(sequences)) == set("ACGTN")
    lengths = np.array(list(map(len, sequences)))
    assert lengths.min() >= 78
    assert lengths.max() <= 142
    assert np.mean(lengths == 110) == pytest.approx(0.82, abs=0.03)
    assert labels.min() >= 0
    assert labels.max() <= 17
    printed = [line.split("\t")[1] for line in text.splitlines()]
    assert np.mean([label.isdigit() for label in printed]) == pytest.approx(0.58, abs=0.03)
    assert len(set(sequences)) == rows


def test_test_table_and_subsets_agree(folder):
    sequences, values = table(folder / TEST_TABLE)
    assert len(set(sequences)) == TEST
    assert {len(s) for s in sequences} == {110}
    assert sequences == sorted(sequences)
    for name in SUBSET_FILES:
        rows = subset(folder, name)
        keys = public(folder, f"{name}_exp_indices")
        if "pos" in rows[0]:
            assert all(sequences[int(row["pos"])] == row["sequence"] for row in rows)
            assert {int(key) for key in keys} <= {int(row["pos"]) for row in rows}
            assert all(values[int(key)] == value for key, value in keys.items())
            continue
        members = {(int(row["alt_pos"]), int(row["ref_pos"])) for row in rows}
        for key, both in keys.items():
            pair = tuple(map(int, key.split(",")))
            assert pair in members
            assert [values[pair[0]], values[pair[1]]] == both
        if name != "SNVs":
            assert all(sequences[int(row["alt_pos"])] == row["alt_sequence"] for row in rows)
            assert all(sequences[int(row["ref_pos"])] == row["ref_sequence"] for row in rows)


def test_ground_holds_every_public_position(folder):
    ground = public(folder, "ground")
    _, values = table(folder / TEST_TABLE)
    named = {
        position
        for name in SUBSET_FILES
        for key in public(folder, f"{name}_exp_indices")
        for position in key.split(",")
    }
    assert named <= set(ground)
    assert all(values[int(key)] == value for key, value in ground.items())
    assert list(public(folder, "sample_submission")) == list(ground)


def test_plasmid(folder):
    plasmid = json.loads((folder / "plasmid.json").read_text())
    assert len(plasmid) == yeast.PLASMID_LENGTH
    assert plasmid.find("N" * 80) == yeast.INSERT_START
    assert plasmid.count("N") == 80
    left, right = plasmid.split("N" * 80)
    assert left.endswith(yeast.LEFT_FLANK + yeast.LEFT_ADAPTER)
    assert right.startswith(yeast.RIGHT_ADAPTER + yeast.RIGHT_FLANK)
    assert plasmid.count(yeast.LEFT_ADAPTER) == plasmid.count(yeast.RIGHT_ADAPTER) == 1


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_truth_agrees_with_the_model(folder, split):
    path = folder / (TEST_TABLE if split == "test" else f"{split}.txt")
    sequences, values = table(path)
    truth = read_truth(folder, split)
    tokens = tokens_of(sequences)
    np.testing.assert_allclose(truth.expression, noise_free_expression(tokens), rtol=1e-5)
    expected = motif_sites(tokens)
    fill = tokens.shape[1] - np.array(list(map(len, sequences)))
    expected["position"] -= fill[expected["row"]].astype(np.uint8)
    assert truth.sites.dtype == scan.SITE
    # A window whose dose is the threshold itself may fall on either side.
    keys = [
        list(zip(*(s[k].tolist() for k in scan.SITE.names[:4]), strict=True))
        for s in (truth.sites, expected)
    ]
    assert len(set(keys[0]) ^ set(keys[1])) <= 2
    assert len(keys[0]) > len(sequences)
    measured = deep_scale(truth.expression) if split == "test" else truth.expression
    assert np.corrcoef(measured, values)[0, 1] > (0.99 if split == "test" else 0.7)


def test_sites_of_one_row(folder):
    truth = read_truth(folder, "test")
    sequences, _ = table(folder / TEST_TABLE)
    seen = 0
    for row in range(0, TEST, 50):
        for site in truth.sites_of(row):
            motif = MOTIFS[site["motif"]]
            assert truth.names[site["motif"]] == motif.name
            window = alphabet.encode(
                sequences[row][site["position"] : site["position"] + motif.width]
            )
            columns = motif.affinity_columns(int(site["strand"]))
            affinity = columns[np.arange(motif.width), window].prod()
            assert site["affinity"] == pytest.approx(affinity, rel=1e-5)
            seen += 1
        assert (truth.sites_of(row)["row"] == row).all()
    assert seen == sum(np.sum(truth.sites["row"] == row) for row in range(0, TEST, 50))


def test_motif_file(folder):
    motifs = json.loads((folder / "truth" / "motifs.json").read_text())
    assert [motif["name"] for motif in motifs] == [motif.name for motif in MOTIFS]
    np.testing.assert_allclose(motifs[0]["matrix"], MOTIFS[0].matrix, atol=1e-6)


def test_two_processes_write_the_same_bytes(tmp_path):
    code = "import sys; from dream_keras.simulate import simulate; "
    code += "simulate(sys.argv[1], 3000, 600, 5)"
    here = simulate(tmp_path / "here", 3000, 600, 5, progress=False)
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
        assert content(tmp_path / name) == content(here)


def test_the_test_part_does_not_depend_on_train_rows(tmp_path):
    folders = [simulate(tmp_path / str(n), n, 600, 5, progress=False) for n in (10, 2000)]
    few, many = (content(folder) for folder in folders)
    changed = {name for name in few if few[name] != many[name]}
    prefixes = ("train", "val", "truth/train", "truth/val", writer.MANIFEST)
    assert all(name.startswith(prefixes) for name in changed)
    assert "train.txt" in changed


def test_the_seed_changes_everything_but_the_motifs(tmp_path):
    one, two = (content(simulate(tmp_path / str(s), 10, 600, s, progress=False)) for s in (1, 2))
    assert {name for name in one if one[name] == two[name]} == {"truth/motifs.json"}


def test_chunks_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_CHUNK", 400)
    folder = simulate(tmp_path / "out", 1000, 600, 1, progress=False)
    sequences, _ = table(folder / "train.txt")
    assert len(set(sequences)) == 1000
    truth = read_truth(folder, "train")
    np.testing.assert_allclose(
        truth.expression, noise_free_expression(tokens_of(sequences)), rtol=1e-5
    )
    assert (np.diff(truth.sites["row"].astype(int)) >= 0).all()
    assert truth.sites["row"].max() > 990


def test_the_same_simulation_is_not_written_again(tmp_path, caplog):
    folder = simulate(tmp_path / "out", 10, 600, progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with caplog.at_level("INFO"):
        assert simulate(folder, 10, 600, progress=False) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert "already" in caplog.text


def test_another_simulation_is_refused(tmp_path):
    folder = simulate(tmp_path / "out", 10, 600, progress=False)
    before = content(folder)
    with pytest.raises(UserError, match=r"another simulation.*train_rows 10"):
        simulate(folder, 11, 600, progress=False)
    assert content(folder) == before


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert (simulate(tmp_path / "empty", 10, 600, progress=False) / "train.txt").is_file()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="not a simulation"):
        simulate(tmp_path / "full", 10, 600, progress=False)
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("keep")
    with pytest.raises(UserError, match="is a file"):
        simulate(tmp_path / "file", 10, 600, progress=False)
    with pytest.raises(UserError, match="cannot be written"):
        simulate(tmp_path / "file" / "below", 10, 600, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("twin_rows", [10, 11])
def test_another_process_that_finishes_first(tmp_path, monkeypatch, twin_rows):
    twin = simulate(tmp_path / "twin", twin_rows, 600, progress=False)
    put_in_place = writer._put_in_place

    def late(partial, target, manifest):
        shutil.copytree(twin, target)
        put_in_place(partial, target, manifest)

    monkeypatch.setattr(writer, "_put_in_place", late)
    if twin_rows == 10:
        assert content(simulate(tmp_path / "out", 10, 600, progress=False)) == content(twin)
    else:
        with pytest.raises(UserError, match="another simulation"):
            simulate(tmp_path / "out", 10, 600, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "twin"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write_test", full_disk)
    with pytest.raises(UserError, match="No space left"):
        simulate(tmp_path / "out", 10, 600, progress=False)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_rows": 0}, r"train_rows = 0 is out of range"),
        ({"train_rows": -5}, r"train_rows = -5"),
        ({"test_rows": 599}, r"test_rows = 599 .*600"),
        ({"seed": -1}, r"seed = -1"),
        ({"train_rows": 10.5}, r"train_rows must be a whole number, not 10.5"),
        ({"test_rows": "many"}, r"test_rows must be a whole number"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        simulate(tmp_path / "out", **arguments)
    assert not any(tmp_path.iterdir())


def test_reading_a_truth_that_is_not_there(tmp_path, folder):
    with pytest.raises(UserError, match="no such file"):
        read_truth(tmp_path)
    with pytest.raises(UserError, match=r'unknown split "tests".*Did you mean "test"'):
        read_truth(folder, "tests")


def test_simulated_data_can_be_learned(folder):
    """A linear model on motif scores, from the noisy labels, ranks the random test promoters."""
    sequences, labels = table(folder / "train.txt")
    _, measured = table(folder / TEST_TABLE)
    rows = [int(row["pos"]) for row in subset(folder, "random")]
    test_sequences, _ = table(folder / TEST_TABLE)

    def features(sequences: list[str]) -> np.ndarray:
        tokens = tokens_of(sequences)
        gc = np.isin(tokens, [alphabet.C, alphabet.G]).sum(axis=1, keepdims=True)
        return np.column_stack([np.log(scan.doses(tokens) + 0.05), gc, np.ones(len(tokens))])

    weights = np.linalg.lstsq(features(sequences), labels, rcond=None)[0]
    predicted = features([test_sequences[row] for row in rows]) @ weights
    assert np.corrcoef(predicted, measured[rows])[0, 1] > 0.9


def test_simulated_data_can_be_learned_without_knowing_the_motifs(folder):
    """Ridge regression on counts of 5-mers, which knows nothing of the simulator."""
    train, labels = table(folder / "train.txt")
    test, measured = table(folder / TEST_TABLE)
    rows = [int(row["pos"]) for row in subset(folder, "random")]

    def counts(sequences: list[str]) -> np.ndarray:
        kmers = scan._kmers(np.pad(tokens_of(sequences), ((0, 0), (0, 3)), constant_values=0))
        known = kmers < 4**8
        found = np.zeros((len(sequences), 4**5), np.float32)
        np.add.at(found, (np.nonzero(known)[0], kmers[known] >> 6), 1)
        return found

    seen, new = counts(train), counts([test[row] for row in rows])
    mean = seen.mean(axis=0)
    gram = (seen - mean).T @ (seen - mean) + 300 * np.eye(4**5, dtype=np.float32)
    weights = np.linalg.solve(gram, (seen - mean).T @ (labels - labels.mean()).astype(np.float32))
    assert np.corrcoef((new - mean) @ weights, measured[rows])[0, 1] > 0.5


def test_the_command_and_the_function_have_the_same_defaults():
    from dream_keras.simulate import __main__ as command

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(simulate).parameters.items()
    }
    genome = inspect.signature(simulate_genome).parameters
    options = vars(command.parser().parse_args(["x"]))
    assert options.pop("bp") == genome["bp"].default
    assert options["seed"] == genome["seed"].default
    assert options.pop("genome") is False
    assert options == {"out": "x", **{k: defaults[k] for k in ("train_rows", "test_rows", "seed")}}


@pytest.mark.data
@pytest.mark.skipif("DREAM_KERAS_DATA" not in os.environ, reason="DREAM_KERAS_DATA is not set")
def test_names_and_columns_are_those_of_the_real_files(folder):
    real = Path(os.environ["DREAM_KERAS_DATA"]) / "dream"
    for kind in ("test_subset_ids", "public_leaderboard_ids"):
        names = sorted(path.name for path in (real / kind).iterdir())
        assert sorted(path.name for path in (folder / kind).iterdir()) == names
    for path in (real / "test_subset_ids").iterdir():
        with path.open() as ours, (folder / "test_subset_ids" / path.name).open() as theirs:
            assert ours.readline().strip() == theirs.readline().strip()
    plasmid, ours = (json.loads((f / "plasmid.json").read_text()) for f in (real, folder))
    surroundings = slice(yeast.INSERT_START - 167, yeast.INSERT_START + 169)
    assert plasmid[surroundings] == ours[surroundings]
