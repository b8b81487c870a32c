"""Regions files, folds, narrowPeak and tracks: what is read, and what is refused in words."""

import numpy as np
import pytest
from region_helpers import LENGTHS, write_genome

from dream_keras.common.errors import UserError
from dream_keras.data.regions import (
    Regions,
    RegionSettings,
    read_folds,
    read_narrow_peaks,
    read_regions_file,
)
from dream_keras.data.tracks import Tracks, write_track


def test_a_regions_file_names_files_from_where_it_stands(tmp_path, monkeypatch):
    path, _, _ = write_genome(tmp_path)
    monkeypatch.chdir("/")
    files = read_regions_file(path)
    assert files.genome == tmp_path / "genome.fa"
    assert [file.name for file in files.counts] == ["counts1.bw", "counts2.bw"]
    assert files.chroms(0)["valid"] == ("chr2",)
    regions = files.regions()
    assert regions.is_peak.sum() == 120
    assert (~regions.is_peak).sum() == 180
    with pytest.raises(UserError, match="names 1 files of folds"):
        files.chroms(1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "cannot be read"),
        ("just text", '"genome" is missing'),
        ("genome: g.fa\ncounts: c.bw\npeaks: p\nfolds: f\nnonpeak: x", '"nonpeak" is unknown'),
        ("genome: [a, b]\ncounts: c.bw\npeaks: p\nfolds: f", "genome: no file"),
        ("genome: 3\ncounts: c.bw\npeaks: p\nfolds: f", "genome: expected a file"),
        (
            "genome: [genome.fa, genome.fa]\ncounts: counts1.bw\npeaks: peaks.narrowPeak\n"
            "folds: fold_0.json",
            "genome names 2 files; expected one",
        ),
    ],
)
def test_regions_files_that_are_none(tmp_path, content, said):
    path, _, _ = write_genome(tmp_path)
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        read_regions_file(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "not a JSON file"),
        ('{"train": []}', "lists train, valid, test"),
        ('{"train": ["chr1"], "valid": ["chr1"], "test": []}', "chr1 stands in two parts"),
    ],
)
def test_folds_that_are_none(tmp_path, content, said):
    (tmp_path / "fold.json").write_text(content)
    with pytest.raises(UserError, match=said):
        read_folds(tmp_path / "fold.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("chr1\t3\t9\n", "has 3 columns"),
        (
            "chr1\t3\t9\t.\t0\t.\t0\t0\t0\t4\nchr1\t3\t9\t.\t0\t.\t0\t0\t0\t-1\n",
            ":2: .*stands for none",
        ),
        ("# a\n\nchr1\tx\t9\t.\t0\t.\t0\t0\t0\t4\n", ":3: start 'x'"),
        ("chr1\t3.5\t9\t.\t0\t.\t0\t0\t0\t4.5\n", "start '3.5'.*whole numbers"),
        ("# a\n", "is empty"),
    ],
)
def test_narrow_peaks_that_are_none(tmp_path, content, said):
    (tmp_path / "peaks").write_text(content)
    with pytest.raises(UserError, match=said):
        read_narrow_peaks(tmp_path / "peaks", is_peak=True)


def test_centres_are_start_plus_summit(tmp_path):
    (tmp_path / "peaks").write_text("# made up\nchr7\t100\t300\tp\t0\t.\t1.5\t2\t3\t80\n")
    regions = read_narrow_peaks(tmp_path / "peaks", is_peak=True)
    assert regions.centres.tolist() == [180]
    assert regions.chroms.tolist() == ["chr7"]


def test_names_of_peaks_may_hold_any_character(tmp_path):
    lines = [
        f"chr7\t{start}\t300\t{name}\t0\t.\t1.5\t2\t3\t80\n"
        for start, name in [(1, '"x'), (2, "a # b"), (3, 'y"')]
    ]
    (tmp_path / "peaks").write_text("".join(lines))
    assert read_narrow_peaks(tmp_path / "peaks", is_peak=True).centres.tolist() == [81, 82, 83]


def test_regions_at_the_ends_of_chromosomes():
    centres = np.array([4, 5, 95, 96, 50])
    chroms = np.array(["a", "a", "a", "a", "b"])
    regions = Regions(chroms, centres, np.ones(5, bool))
    assert regions.inside({"a": 100}, 10).tolist() == [False, True, True, False, False]
    found = {chrom: rows.tolist() for chrom, rows in regions.by_chrom()}
    assert found == {"a": [0, 1, 2, 3], "b": [4]}


def test_tracks_are_added_and_gaps_are_zero(tmp_path):
    first, second = np.zeros(50, int), np.zeros(50, int)
    first[[3, 4, 10]] = 2, 2, 7
    second[4] = 1
    write_track(tmp_path / "a.bw", {"chr1": 50, "chr2": 9}, {"chr1": first}.get)
    write_track(tmp_path / "b.bw", {"chr1": 50, "chr2": 9}, {"chr1": second}.get)
    tracks = Tracks([tmp_path / "a.bw", tmp_path / "b.bw"])
    np.testing.assert_array_equal(tracks.values("chr1", 2, 12), (first + second)[2:12])
    assert tracks.values("1", 0, 50).sum() == 12
    assert tracks.values("chr2", 0, 9).sum() == 0
    with pytest.raises(UserError, match="has no chromosome chr5"):
        tracks.values("chr5", 0, 1)
    with pytest.raises(UserError, match="belongs to another genome"):
        tracks.values("chr1", 45, 51)
    (tmp_path / "c.bw").write_text("no track")
    with pytest.raises(UserError, match="not a readable bigWig"):
        Tracks([tmp_path / "c.bw"])


def test_a_track_is_read_as_it_was_written(tmp_path, random):
    counts = {chrom: random.poisson(0.3, length) for chrom, length in LENGTHS.items()}
    write_track(tmp_path / "a.bw", LENGTHS, counts.get)
    tracks = Tracks([tmp_path / "a.bw"])
    for chrom, length in LENGTHS.items():
        np.testing.assert_array_equal(tracks.values(chrom, 0, length), counts[chrom])


@pytest.mark.parametrize("settings", [{"fold": -1}, {"outliers": 0.5}, {"nonpeak_share": -0.1}])
def test_settings_out_of_range(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        RegionSettings(**settings)
