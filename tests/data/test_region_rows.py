"""Regions read for training, against plain loops over the same files; and their batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from region_helpers import FOLD, LENGTHS, write_genome

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.region_rows import (
    Windows,
    choose,
    load_regions,
    load_training_regions,
    validation_rows,
)
from dream_keras.data.region_stream import RegionStream
from dream_keras.data.regions import RegionSettings, read_regions_file
from dream_keras.data.stream import StreamSettings, fingerprint
from dream_keras.data.tracks import write_track

WINDOWS = Windows(length=40, positions=20, jitter=8)
SETTINGS = RegionSettings(outliers=0.05, nonpeak_share=0.3)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    path, letters, counts = write_genome(folder)
    files = read_regions_file(path)
    return files, letters, counts, load_training_regions(files, SETTINGS, WINDOWS)


def brute_force(files, letters, counts):
    """The published rules, one region after the other."""
    kept = []
    for path, is_peak in ((files.peaks, True), (files.nonpeaks, False)):
        for line in path.read_text().splitlines():
            chrom, start, *_, summit = line.split("\t")
            centre = int(start) + int(summit)
            first, last = centre - 28, centre + 28
            if chrom in ("chr1", "chr2") and first >= 0 and last <= LENGTHS[chrom]:
                total = counts[chrom][centre - 10 : centre + 10].sum()
                kept.append((chrom, centre, is_peak, int(total)))
    return kept


def test_rows_are_what_the_files_say(genome):
    files, letters, counts, (train, validation) = genome
    known = {(c, at, is_peak) for c, at, is_peak, _ in brute_force(files, letters, counts)}
    for rows, jitter, chroms in ((train, 8, FOLD["train"]), (validation, 0, FOLD["valid"])):
        assert len(rows) > 10
        for row, (chrom, centre) in enumerate(
            zip(rows.regions.chroms, rows.regions.centres, strict=True)
        ):
            assert chrom in chroms
            assert (chrom, centre, rows.regions.is_peak[row]) in known
            here = slice(centre - 20 - jitter, centre + 20 + jitter)
            assert alphabet.decode(rows.tokens[row]) == letters[chrom][here].upper()
            here = slice(centre - 10 - jitter, centre + 10 + jitter)
            np.testing.assert_array_equal(rows.profiles[row, 0], counts[chrom][here])
            total = counts[chrom][centre - 10 : centre + 10].sum()
            assert rows.labels[row, 0] == pytest.approx(np.log(1 + total))
    assert train.profiles.dtype == np.uint16
    assert train.tokens.dtype == np.uint8


def test_which_regions_are_kept(genome):
    files, letters, counts, (train, validation) = genome
    known = brute_force(files, letters, counts)
    totals = np.array([total for *_, total in known])
    is_peak = np.array([peak for _, _, peak, _ in known])
    kept, reference = choose(is_peak, totals, SETTINGS)
    low, high = np.quantile(reference_of(is_peak, totals), [0.05, 0.95])
    assert ((totals[kept] > low) & (totals[kept] < high)).all()
    peaks = is_peak & (totals > low) & (totals < high)
    assert set(np.flatnonzero(peaks)) <= set(kept)
    assert (~is_peak[kept]).sum() == min(
        peaks.sum(), (~is_peak & (totals > low) & (totals < high)).sum()
    )
    assert ((reference >= low) & (reference <= high)).all()
    chroms = np.array([chrom for chrom, *_ in known])[kept]
    assert len(train) == (chroms == "chr1").sum()
    here = is_peak[kept] & (chroms == "chr2")
    assert validation.regions.is_peak.sum() == here.sum()
    assert len(validation) == here.sum() + int(0.3 * here.sum())
    np.testing.assert_allclose(train.statistics_labels[:, 0], np.log1p(reference), rtol=1e-6)


def reference_of(is_peak, totals):
    """Peaks, and the share of others that the same generator draws."""
    peaks, others = np.flatnonzero(is_peak), np.flatnonzero(~is_peak)
    drawn = np.random.default_rng(1).choice(others, int(0.3 * len(peaks)), replace=False)
    return totals[np.concatenate([peaks, drawn])]


def test_a_bias_model_gets_regions_with_few_counts():
    is_peak = np.arange(300) < 100
    totals = np.where(is_peak, 1000 + np.arange(300), np.arange(300) * 4)
    limit = np.quantile(totals[:100], 0.01) / 2
    kept, reference = choose(is_peak, totals, RegionSettings(rows="nonpeaks", outliers=0.0))
    assert kept.tolist() == [n for n in range(100, 300) if totals[n] < limit]
    np.testing.assert_array_equal(reference, totals[kept])
    with pytest.raises(UserError, match=r"total below 0, regions\.nonpeak_limit=0"):
        choose(is_peak, totals, RegionSettings(rows="nonpeaks", nonpeak_limit=0))


def test_no_peaks_or_no_differences_are_refused():
    with pytest.raises(UserError, match="no peaks"):
        choose(np.zeros(3, bool), np.arange(3), SETTINGS)
    with pytest.raises(UserError, match="all totals are 5"):
        choose(np.ones(3, bool), np.full(3, 5), SETTINGS)


def test_validation_rows_are_drawn_once():
    is_peak = np.arange(60) < 40
    here = np.arange(60) % 2 == 0
    rows = validation_rows(here, is_peak, SETTINGS)
    assert rows[:20].tolist() == list(range(0, 40, 2))
    assert len(rows) == 20 + 6
    assert set(rows[20:]) <= set(range(40, 60, 2))
    np.testing.assert_array_equal(rows, validation_rows(here, is_peak, SETTINGS))


def test_test_regions_are_kept_whatever_their_counts(genome):
    files = genome[0]
    rows = load_regions(files, 0, ["test"], Windows(40, 20))
    inside = [
        int(line.split("\t")[1]) + int(line.split("\t")[9])
        for line in files.peaks.read_text().splitlines()
        if line.startswith("chr3")
    ]
    inside = [at for at in inside if 20 <= at <= LENGTHS["chr3"] - 20]
    assert rows.regions.centres.tolist() == inside
    assert rows.regions.is_peak.all()
    with pytest.raises(UserError, match="no regions of the part"):
        load_regions(files, 0, ["test"], Windows(400, 20))


def test_what_is_no_count_is_refused_and_large_counts_are_cut(tmp_path, caplog):
    path, _, _ = write_genome(tmp_path, peaks=[("chr3", 100), ("chr3", 130)])
    for number, value in ((1, 70_000.0), (2, 0.0)):
        values = np.zeros(260)
        values[100] = value
        write_track(tmp_path / f"counts{number}.bw", LENGTHS, {"chr3": values}.get)
    rows = load_regions(read_regions_file(path), 0, ["test"], Windows(40, 20))
    assert rows.profiles[0, 0].max() == 65_535
    assert "1 counts above 65535 were cut" in caplog.text
    values[100] = 0.5
    write_track(tmp_path / "counts2.bw", LENGTHS, {"chr3": values}.get)
    with pytest.raises(UserError, match=r"70000\.5 at chr3:101 is no count"):
        load_regions(read_regions_file(path), 0, ["test"], Windows(40, 20))


def stream(rows, seed=3, batch=7, **options):
    return RegionStream(rows, StreamSettings(batch, seed, **options), SETTINGS)


def test_a_pass_has_all_peaks_and_some_others(genome):
    train = genome[3][0]
    peaks = set(np.flatnonzero(train.regions.is_peak))
    others = set(np.flatnonzero(~train.regions.is_peak))
    ours = stream(train)
    plans = [ours.plan(number) for number in range(30)]
    for plan in plans:
        assert len(plan.rows) == ours.rows_per_pass == len(peaks) + int(0.3 * len(peaks))
        assert len(set(plan.rows)) == len(plan.rows)
        assert peaks <= set(plan.rows)
        assert set(plan.rows) - peaks <= others
        assert plan.strand.sum() == len(plan.rows) // 2
        is_peak = train.regions.is_peak[plan.rows]
        assert (plan.starts[~is_peak] == 8).all()
        assert plan.starts.max() <= 16
    starts = np.concatenate([p.starts[train.regions.is_peak[p.rows]] for p in plans])
    assert set(starts) == set(range(17))  # both ends included
    assert set(np.concatenate([p.rows for p in plans])) == peaks | others
    assert len({tuple(p.rows) for p in plans}) == 30


@settings(max_examples=10)
@given(step=st.integers(0, 40), hosts=st.sampled_from([1, 2]))
def test_a_batch_depends_on_seed_and_step_alone(genome, step, hosts):
    train = genome[3][0]
    whole = stream(train, batch=8).batch(step)
    parts = [stream(train, batch=8, host=host, hosts=hosts).batch(step) for host in range(hosts)]
    for column, shared in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(column, np.concatenate(shared))
    assert whole.labels.dtype == whole.flags.dtype == np.uint16
    other = stream(train, seed=4, batch=8).batch(step)
    assert any((a != b).any() for a, b in zip(whole, other, strict=True))


def test_batches_are_the_plan_in_order(genome):
    train = genome[3][0]
    ours = stream(train)
    steps = -(-2 * ours.rows_per_pass // 7)
    tokens = np.concatenate([ours.batch(step).tokens for step in range(steps)])
    rows = np.concatenate([ours.plan(number).rows for number in range(3)])[: len(tokens)]
    np.testing.assert_array_equal(tokens, train.tokens[rows])


def test_other_counts_have_another_checksum(genome):
    train = genome[3][0]
    changed = train.take(np.arange(len(train)))
    assert fingerprint(changed) == stream(train).fingerprint
    changed.profiles[0, 0, 0] += 1
    assert fingerprint(changed) != fingerprint(train)
