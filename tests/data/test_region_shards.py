"""Prepared folders of regions: the rows come back, and what is not whole is refused."""

import dataclasses
import hashlib
import json
import struct

import numpy as np
import pytest
from region_helpers import write_genome

from dream_keras.common.errors import UserError
from dream_keras.data import region_shards
from dream_keras.data.region_rows import Windows, load_regions, load_training_regions
from dream_keras.data.region_shards import open_region_shards, write_region_shards
from dream_keras.data.regions import RegionSettings, read_regions_file
from dream_keras.data.shards import MANIFEST, is_prepared
from dream_keras.menu.atac import ProfileProcessor

PROCESSOR = ProfileProcessor(length=40, positions=20, jitter=8)
SETTINGS = {"name": "profile", "length": 40, "regions.fold": 0}
BASELINES = {"shuffled_jsd": 0.1 + 0.2, "replicate_pearson": float("nan")}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Blocks of 8 rows, so that parts begin within blocks."""
    monkeypatch.setattr(region_shards, "BLOCK_ROWS", 8)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The rows as read from the files; the windows of some test regions reach over an end."""
    path, _, _ = write_genome(tmp_path_factory.mktemp("genome"))
    files, windows = read_regions_file(path), PROCESSOR.windows()
    train, valid = load_training_regions(files, RegionSettings(outliers=0.05), windows)
    test = load_regions(files, 0, ("test",), Windows(40, 20))
    assert test.regions.centres.min() < 28
    assert len(train) % 8
    return {"train": train, "valid": valid, "test": test}


def write(parts, folder, shards=3):
    write_region_shards(parts, folder, shards, "regions.yaml", SETTINGS, BASELINES)
    return folder


@pytest.fixture
def folder(parts, tmp_path):
    return write(parts, tmp_path / "rows")


def opened(folder, settings=SETTINGS):
    return open_region_shards(folder, PROCESSOR, settings)


def same(found, wanted):
    """Refuse any difference: values, types, shapes."""
    for field in dataclasses.fields(wanted):
        a, b = getattr(found, field.name), getattr(wanted, field.name)
        if field.name == "regions":
            same(a, b)
        elif isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, field.name)
        else:
            assert a == b, field.name


def test_the_rows_come_back_to_the_bit(parts, folder):
    found = opened(folder)
    for name in ("train", "valid"):
        same(found.part(name), parts[name])
    test = found.part("test")
    same(dataclasses.replace(test, typical_labels=parts["test"].typical_labels), parts["test"])
    assert found.manifest.baselines["shuffled_jsd"] == BASELINES["shuffled_jsd"]
    assert np.isnan(found.manifest.baselines["replicate_pearson"])
    assert is_prepared(folder)


def test_records_are_of_the_documented_layout(parts, folder):
    """The first row, read without any of our code."""
    train, manifest = parts["train"], json.loads((folder / MANIFEST).read_text())
    content = (folder / manifest["shards"][0]["file"]).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    # 56 tokens, a label, flags and 36 counts in each of eight rows.
    assert size == 8 * (56 + 4 + 1 + 72)
    payload = content[12 : 12 + size]
    np.testing.assert_array_equal(np.frombuffer(payload, "u1", 56), train.tokens[0])
    np.testing.assert_array_equal(np.frombuffer(payload, "<f4", 8, 8 * 56), train.labels[:8, 0])
    counts = np.frombuffer(payload, "<u2", offset=8 * 61).reshape(8, 36)
    np.testing.assert_array_equal(counts, train.profiles[:8, 0])
    assert manifest["parts"] == {name: len(rows) for name, rows in parts.items()}
    table = (folder / "regions.npz").read_bytes()
    assert manifest["regions"] == hashlib.sha256(table).hexdigest()


def test_the_same_regions_give_the_same_files(parts, folder, tmp_path):
    other = write(parts, tmp_path / "other")
    for file in sorted(folder.iterdir()):
        assert file.read_bytes() == (other / file.name).read_bytes()


def test_without_test_regions_there_is_no_such_part(parts, tmp_path):
    two = {name: parts[name] for name in ("train", "valid")}
    found = opened(write(two, tmp_path / "rows"))
    same(found.part("valid"), parts["valid"])
    with pytest.raises(UserError, match="no regions of the part test"):
        found.part("test")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "rows-00001-of-00003.tfrecord").unlink(), "00001-of-00003.* is missing"),
        (lambda f: (f / "regions.npz").unlink(), r"regions\.npz is missing"),
        (lambda f: flip(f / "regions.npz", -200), r"regions\.npz is missing, damaged"),
        (lambda f: flip(f / MANIFEST, 2), "expected the format"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_at_once(folder, damage, said):
    damage(folder)
    with pytest.raises(UserError, match=said):
        opened(folder)


@pytest.mark.parametrize("at", [12, 12 + 8 * 57, 12 + 8 * 61 + 3, -5])
def test_a_wrong_byte_is_found_when_its_block_is_read(folder, at):
    flip(folder / "rows-00000-of-00003.tfrecord", at)
    with pytest.raises(UserError, match=r"00000-of-00003\.tfrecord: record \d+ of \d+ does not m"):
        opened(folder).load()


def test_other_settings_are_named(folder):
    with pytest.raises(UserError, match=r"with regions\.fold=0, but this one has regions\.fold=1"):
        opened(folder, {**SETTINGS, "regions.fold": 1})


def test_too_few_regions_for_the_shards_leave_nothing(parts, tmp_path):
    with pytest.raises(UserError, match="blocks of 8 rows, too few for 99 shards"):
        write(parts, tmp_path / "rows", 99)
    assert not list(tmp_path.iterdir())
