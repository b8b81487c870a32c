"""Names in place of paths, on a made-up catalogue."""

import io
import re
import tarfile

import numpy as np
import pytest
import yaml

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data.genome import Genome
from dream_keras.hub import paths
from dream_keras.interpret.motif_file import read_motifs
from dream_keras.leaderboard.source import suite_of
from dream_keras.scoring.suite import load_suite

SMALL = {
    "processor": "autosome",
    "first": {"name": "bhi", "out_channels": 16},
    "core": {"name": "autosome", "widths": [12, 8], "out_channels": 8},
    "final": "autosome",
}
TINY = [
    "model.first.out_channels=8",
    "model.core.widths=[8]",
    "model.core.out_channels=8",
    "trainer.batch_size=16",
    "trainer.epochs=1",
    "trainer.steps_per_epoch=3",
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The files of a small simulated challenge by name."""
    folder = dream_keras.simulate(tmp_path_factory.mktemp("data") / "dream", 300, 600, seed=1)
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".npz")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def mini(server, declare, simulated):
    """A set laid out as the challenge is, called mini/dream."""
    server.files |= simulated
    parts = {"train.txt": "train", "val.txt": "validation"}
    lists = ("filtered_test", "test_subset_ids", "public_leaderboard_ids")
    names = [name for name in simulated if name in parts or name.startswith(lists)]
    files = {name: {"part": parts.get(name, "suite")} for name in names}
    declare(mini__dream={"url": f"{server.url}/plain/{{file}}", "files": files})
    return lambda: {name for _, name, _ in server.seen}


def test_a_run_is_trained_and_scored_by_name(mini, tmp_path, simulated, caplog):
    with caplog.at_level("INFO"):
        result = dream_keras.train("dream_cnn", train="mini/dream", out="run", overrides=TINY)
    rows = {name: simulated[name].count(b"\n") for name in ("train.txt", "val.txt")}
    assert f"{rows['train.txt']} rows to train on, {rows['val.txt']} to validate" in caplog.text
    assert result.score is not None
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["data"]["train"], config["data"]["validation"]) == ("mini/dream", None)
    assert suite_of("run") == paths.home() / "mini" / "dream"


def test_only_what_is_needed_is_fetched(mini, tmp_path):
    suite = load_suite("mini/dream")
    assert len(suite.sequences) == 600
    assert not {"train.txt", "val.txt"} & mini()
    assert paths.local_copy("mini/dream/val.txt").name == "val.txt"
    assert "train.txt" not in mini()
    assert dream_keras.fetch("mini/dream", to="here", progress=False)[0].samefile("here/mini/dream")
    assert "train.txt" in mini()


def test_a_name_is_read_where_a_table_is(mini, tmp_path):
    dream_keras.prepare("mini/dream/val.txt", "prepared", shards=1)
    assert (tmp_path / "prepared").is_dir()
    with pytest.raises(UserError, match=r'unknown file of mini/dream "vla\.txt". Did you mean'):
        paths.local_copy("mini/dream/vla.txt")


@pytest.fixture
def weights(server, declare, golden, tmp_path):
    """The checkpoint of a small network, published in an archive as model/small."""
    torch = pytest.importorskip("torch", reason="published weights are read by PyTorch")
    checkpoint = io.BytesIO()
    arrays = golden("trace_cnn")[1]
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, checkpoint)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name in ("w/0_0/model_best.pth", "w/0_1/model_best.pth"):
            info = tarfile.TarInfo(name)
            info.size = len(checkpoint.getvalue()) if "0_1" in name else 0
            file.addfile(info, io.BytesIO(checkpoint.getvalue()[: info.size]))
    server.files["w.tar.gz"] = archive.getvalue()
    preset = tmp_path / "small.yaml"
    preset.write_text(yaml.safe_dump({"model": SMALL, "trainer": "autosome"}))
    declare(
        archive={"url": f"{server.url}/plain/{{file}}", "files": {"w.tar.gz": None}},
        model__small={
            "preset": str(preset),
            "files": {"model.pth": {"made_of": "archive/w.tar.gz", "member": "0_1/model_best.pth"}},
        },
    )
    return arrays


def test_published_weights_are_a_run(weights, server, tmp_path):
    run = dream_keras.load_run("model/small")
    network = dream_keras.build_network(SMALL)
    dream_keras.load_torch_weights(network, weights)
    for got, want in zip(run.network.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    home = paths.home() / "model" / "small"
    assert run.folder.path == home / "run"
    # It is converted once; what an interrupted conversion has left is replaced.
    written = run.folder.config.stat().st_mtime_ns
    assert dream_keras.load_run("model/small").folder.config.stat().st_mtime_ns == written
    run.folder.last_weights.unlink()
    assert dream_keras.load_run("model/small").folder.last_weights.exists()
    assert len(server.seen) == 1
    assert {path.name for path in home.iterdir()} == {"model.pth", "run"}


def test_data_are_no_run(mini):
    with pytest.raises(UserError, match=r"mini/dream is not a run: the catalogue has it as data"):
        dream_keras.load_run("mini/dream")


def test_motifs_genomes_and_pairs_of_files(server, declare):
    import gzip

    meme = "MEME version 4\n\nMOTIF MA1 REB1\nletter-probability matrix: w= 1\n1 0 0 0\n"
    server.files |= {"m.txt": meme.encode(), "g.fa.gz": gzip.compress(b">chrI\nACGT\n")}
    for part in ("Train", "Test"):
        server.files[f"{part}.fa"] = "".join(
            f">r{n}_{strand}_x\n{bases}\n"
            for n in range(4)
            for strand, bases in (("+", "ACGGT" + "ACGT"[n]), ("-", "TGCA"[n] + "ACCGT"))
        ).encode()
        values = "".join(f"{n / 8}\t{n}\n" for n in range(8))
        server.files[f"{part}.txt"] = f"Dev_log2_enrichment\tHk_log2_enrichment\n{values}".encode()
    sources = {name: None for name in server.files if name.startswith("T")}
    made = {
        "train.txt": {"part": "train", "made_of": ["Train.fa", "Train.txt"]},
        "test.txt": {"part": "suite", "made_of": ["Test.fa", "Test.txt"]},
    }
    url = f"{server.url}/plain/{{file}}"
    declare(
        motifs={"url": url, "files": {"m.txt": None}},
        genome={"url": url, "files": {"g.fa.gz": None, "g.fa": {"made_of": "g.fa.gz"}}},
        fly={"url": url, "files": sources | made},
    )
    assert [m.name for m in read_motifs(["motifs"])] == ["MA1 REB1"]
    assert [m.name for m in read_motifs(["motifs:REB1", "ACGT"])] == ["MA1 REB1", "ACGT"]
    assert Genome("genome").fetch("chrI", 1, 3) == "CG"
    suite = load_suite("fly")
    assert suite.name == "fly STARR-seq"
    assert suite.measured.shape == (8, 2)
    assert suite.reverse.tolist() == [False, True] * 4
    assert "Train.fa" not in {name for _, name, _ in server.seen}


def test_the_command(mini, capsys):
    from dream_keras.fetch import main

    main([])
    assert re.search(r"^mini/dream +\? +CC0 +made up$", capsys.readouterr().out, re.MULTILINE)
    main(["mini/dream/val.txt"])
    path = paths.home() / "mini" / "dream" / "val.txt"
    assert capsys.readouterr().out == f"{path}\n"
    main(["show", "mini/dream"])
    said = capsys.readouterr().out
    assert "  licence: CC0\n  citation: nobody\n" in said
    assert "  val.txt (?, for validation, in the cache)\n    http://127.0.0.1" in said
    with pytest.raises(UserError, match="show needs the name of a set"):
        main(["show"])
    with pytest.raises(UserError, match='unknown set "mini/draem"'):
        main(["mini/draem"])
