"""The packaged catalogue: complete, consistent, and usable by the names that the docs give."""

import re

import pytest

from dream_keras.config.experiment import CONFIGS, find_config, read_config
from dream_keras.hub.catalogue import find, named, sets
from dream_keras.hub.paths import is_elsewhere, table_of

DIGITS = {"md5": 32, "sha256": 64, "git": 40}


@pytest.mark.parametrize("name", sets())
def test_every_set_is_complete(name):
    entry = sets()[name]
    assert re.fullmatch(r"[a-z][a-z0-9_]*(/[a-z]+)?", name)
    assert entry.title
    assert entry.licence
    assert entry.citation
    assert entry.layout
    assert not entry.title.endswith(".")
    for file in entry.files.values():
        assert bool(file.urls) != bool(file.made_of)
        assert all(re.match(r"https?://[a-z]", url) and "{" not in url for url in file.urls)
        if file.checksum:
            algorithm, _, digest = file.checksum.partition(":")
            assert re.fullmatch(rf"[0-9a-f]{{{DIGITS[algorithm]}}}", digest)
            assert file.record is None
        if file.record:
            assert re.match(r"https://[a-z]", file.record)
            assert "{" not in file.record
        for source in file.made_of:
            assert source in entry.files or named(source)[0].files[named(source)[1]].urls
    assert [file.part for file in entry.files.values()].count("train") <= 1
    if entry.preset:
        assert find_config(entry.preset)
        assert len(entry.products) == 1


def test_no_name_begins_with_another():
    names = list(sets())
    assert not [(a, b) for a in names for b in names if b.startswith(f"{a}/")]


def test_only_these_are_taken_without_a_published_checksum():
    unpinned = {
        name
        for name, entry in sets().items()
        for file in entry.files.values()
        if file.urls and not file.checksum and not file.record
    }
    assert unpinned == {"jaspar_fungi", "jaspar_fungi_2022"}


def test_the_configs_that_name_a_set():
    named_by = {
        path.stem: train
        for path in CONFIGS.glob("**/*.yaml")
        if path.parent.name != "search"
        and (train := read_config(path)[1].get("data", {}).get("train"))
    }
    assert set(named_by) == {"fly_dream_cnn", "fly_dream_rnn", "fly_dream_attn", "deepstarr"}
    for train in named_by.values():
        assert table_of(train, "train")
        assert table_of(train, "validation")
        assert table_of(train, "suite")


def test_a_path_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("dream")
    assert is_elsewhere("dream/train.txt")
    (tmp_path / "dream").mkdir()
    assert find("dream") is None
    assert not is_elsewhere("dream")
    assert find("dream/train.txt") is not None
