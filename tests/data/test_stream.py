import numpy as np
import pytest

from dream_keras.data.stream import Batch, StreamSettings, TrainingStream, hold_out
from dream_keras.data.table import Rows


def make_rows(count):
    """Rows whose tokens and value both tell their number."""
    numbers = np.arange(count)
    flags = (numbers % 3).astype(np.uint8)
    tokens, labels = (numbers[:, None] % 251).astype(np.uint8), numbers[:, None].astype("f4")
    return Rows(tokens, labels, flags, numbers.astype("f4"))


def stream(count=23, batch_size=7, seed=5, both_strands=True):
    return TrainingStream(make_rows(count), StreamSettings(batch_size, seed, both_strands))


def drawn(source, steps):
    batches = [source.batch(step) for step in range(steps)]
    labels = np.concatenate([b.labels[:, 0] for b in batches])
    np.testing.assert_array_equal(np.concatenate([b.flags for b in batches]), labels % 3)
    return labels, np.concatenate([b.strand for b in batches])


@pytest.mark.parametrize("both_strands", [True, False])
def test_every_pass_holds_every_row_and_strand_once_and_loses_none(both_strands):
    source = stream(both_strands=both_strands)
    per_pass = source.rows_per_pass
    values, reverse = drawn(source, 3 * per_pass // 7 + 1)
    for start in range(0, 3 * per_pass, per_pass):
        part = slice(start, start + per_pass)
        pairs = sorted(zip(values[part].tolist(), reverse[part].tolist(), strict=True))
        strands = (0, 1) if both_strands else (0,)
        assert pairs == [(float(row), strand) for row in range(23) for strand in strands]


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_the_hosts_parts_together_are_the_batch_of_one_host(hosts):
    def view(tokens, random):
        return tokens + random.integers(0, 9, tokens.shape, np.uint8)

    def source(**host):
        return TrainingStream(make_rows(23), StreamSettings(8, 5, True, view, **host))

    parts = [source(host=host, hosts=hosts) for host in range(hosts)]
    for step in range(7):
        whole = source().batch(step)
        together = Batch.joined([part.batch(step) for part in parts])
        for got, want in zip(together, whole, strict=True):
            np.testing.assert_array_equal(got, want)


def test_order_depends_on_seed_and_pass():
    one, other = drawn(stream(seed=1), 6)[0], drawn(stream(seed=2), 6)[0]
    assert (one != other).any()
    values, _ = drawn(stream(), 14)
    assert (values[:46] != values[46:92]).any()


def test_a_batch_depends_on_nothing_but_seed_and_step():
    forward = stream()
    expected = [forward.batch(step) for step in range(20)]
    fresh = stream()
    for step in [19, 3, 0, 12, 3]:
        for got, want in zip(fresh.batch(step), expected[step], strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("first", "steps"), [(0, 10), (4, 3), (9, 1), (2, 0)])
def test_prepared_batches_are_the_batches(first, steps):
    got = list(stream().batches(first, steps))
    assert len(got) == steps
    for step, batch in enumerate(got, first):
        np.testing.assert_array_equal(batch.labels, stream().batch(step).labels)


def test_random_views_are_the_steps_own_and_new_in_every_pass():
    def view(tokens, random):
        return tokens + random.integers(0, 200, tokens.shape).astype(np.uint8)

    def noisy():
        return TrainingStream(make_rows(8), StreamSettings(8, 5, False, view))

    first, second = (noisy().batch(step).tokens.ravel() for step in (0, 1))
    np.testing.assert_array_equal(noisy().batch(1).tokens.ravel(), second)
    assert (np.sort(first) != np.sort(second)).any()


def test_rows_leave_as_bytes():
    batch = stream().batch(0)
    assert batch.tokens.dtype == batch.strand.dtype == batch.flags.dtype == np.uint8
    assert batch.labels.dtype == np.float32


def test_held_out_rows_are_a_seeded_partition():
    rows = make_rows(200)
    train, held_out = hold_out(rows, 0.1, seed=3)
    assert len(held_out) == 20
    assert sorted([*train.labels, *held_out.labels]) == rows.labels.tolist()
    assert (hold_out(rows, 0.1, seed=3)[1].labels == held_out.labels).all()
    assert (hold_out(rows, 0.1, seed=4)[1].labels != held_out.labels).any()


def test_both_parts_get_a_row():
    train, held_out = hold_out(make_rows(2), 0.1, seed=0)
    assert len(train) == len(held_out) == 1
