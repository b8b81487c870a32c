import dataclasses
import hashlib
import json
import struct
import threading
import zlib

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as reference

from dream_keras.common.errors import UserError
from dream_keras.data import shard_writer, sharded_stream, shards
from dream_keras.data.shard_writer import write_shards
from dream_keras.data.sharded_stream import ShardedStream
from dream_keras.data.shards import ShardedRows, open_shards
from dream_keras.data.stream import StreamSettings, TrainingStream
from dream_keras.data.table import Rows
from dream_keras.data.tfrecord import frame
from dream_keras.menu.autosome import AutosomeProcessor

SETTINGS = {"name": "autosome", "length": 5}
PROCESSOR = AutosomeProcessor(length=5)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Blocks of 8 rows, windows of 4 blocks."""
    monkeypatch.setattr(shard_writer, "BLOCK_ROWS", 8)
    monkeypatch.setattr(sharded_stream, "WINDOW_BLOCKS", 4)


def make_rows(count):
    """Rows whose tokens and label both tell their number."""
    numbers = np.arange(count)
    tokens = np.stack([numbers % 251, numbers // 251, *np.zeros((3, count), int)], axis=1)
    labels, flags = numbers[:, None].astype(np.float32), (numbers % 3).astype(np.uint8)
    return Rows(tokens.astype(np.uint8), labels, flags, np.ones(len(labels), np.float32))


def make(folder, count=203, files=4, piece=50):
    rows = make_rows(count)
    parts = [rows.take(np.arange(i, min(i + piece, count))) for i in range(0, count, piece)]
    write_shards(parts, folder, files, "train.txt", SETTINGS)
    return open_shards(folder, PROCESSOR, SETTINGS)


@pytest.fixture
def rows(tmp_path):
    return make(tmp_path / "rows")


def drawn(stream, steps, first=0):
    batch = shards_batches(stream, first, steps)
    numbers = batch.tokens[:, 0].astype(int) + 251 * batch.tokens[:, 1]
    # Tokens, labels and flags stay together.
    np.testing.assert_array_equal(numbers, batch.labels[:, 0])
    np.testing.assert_array_equal(numbers % 3, batch.flags)
    return list(zip(numbers.tolist(), batch.strand.tolist(), strict=True))


def shards_batches(stream, first, steps):
    batches = list(stream.batches(first, steps))
    return type(batches[0]).joined(batches)


# The files


@pytest.mark.parametrize("length", [0, 1, 8, 33, 4097])
def test_a_frame_is_tensorboards(length, random):
    data = random.bytes(length)
    size = struct.pack("<Q", length)
    parts = (size, struct.pack("<I", reference(size)), data, struct.pack("<I", reference(data)))
    assert frame(data) == b"".join(parts)


def test_shards_are_tfrecords_of_the_documented_layout(tmp_path, rows):
    """Read without any of our code."""
    manifest = json.loads((tmp_path / "rows" / "manifest.json").read_text())
    blocks = []
    for shard in manifest["shards"]:
        content = (tmp_path / "rows" / shard["file"]).read_bytes()
        assert len(content) == shard["bytes"]
        assert hashlib.sha256(content).hexdigest() == shard["sha256"]
        payloads = []
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            assert struct.unpack("<I", content[8:12])[0] == reference(content[:8])
            payload, end = content[12 : 12 + length], content[12 + length : 16 + length]
            assert struct.unpack("<I", end)[0] == reference(payload)
            payloads.append(payload)
            content = content[16 + length :]
        blocks.append(payloads)
    in_order = [blocks[b % 4][b // 4] for b in range(26)]
    # Five bytes of tokens, four of the label, one of the flags.
    assert [len(b) for b in in_order] == [8 * 10] * 25 + [3 * 10]
    sizes = [len(b) // 10 for b in in_order]
    labels = [np.frombuffer(b, "<f4", n, 5 * n) for b, n in zip(in_order, sizes, strict=True)]
    np.testing.assert_array_equal(np.concatenate(labels), np.arange(203))
    flags = [np.frombuffer(b, "u1", n, 9 * n) for b, n in zip(in_order, sizes, strict=True)]
    np.testing.assert_array_equal(np.concatenate(flags), np.arange(203) % 3)


def test_folders_of_the_first_format_are_read(tmp_path):
    """One label per row and no flags, which are then made of the labels."""
    rows = make(tmp_path / "rows", files=1, count=20, piece=20).load()
    first = tmp_path / "first"
    first.mkdir()
    payloads = [
        rows.tokens[at : at + 8].tobytes() + rows.labels[at : at + 8].astype("<f4").tobytes()
        for at in range(0, 20, 8)
    ]
    content = b"".join(map(frame, payloads))
    (first / "rows-00000-of-00001.tfrecord").write_bytes(content)
    manifest = json.loads((tmp_path / "rows" / "manifest.json").read_text())
    del manifest["tasks"]
    shard = {**manifest["shards"][0], "bytes": len(content)}
    manifest |= {
        "format": "dream_keras rows 1",
        "labels": {"mean": 9.5, "deviation": 5.8, "least": 0.0, "greatest": 19.0},
        "shards": [{**shard, "blocks": [zlib.crc32(payload) for payload in payloads]}],
    }
    (first / "manifest.json").write_text(json.dumps(manifest))
    got = open_shards(first, PROCESSOR, SETTINGS).load()
    np.testing.assert_array_equal(got.tokens, rows.tokens)
    np.testing.assert_array_equal(got.labels, rows.labels)
    np.testing.assert_array_equal(got.flags, 1)  # whole numbers: is_singleton


@pytest.mark.parametrize("piece", [1, 7, 8, 50, 203])
def test_rows_come_back_in_order_whatever_the_pieces(tmp_path, piece):
    rows, expected = make(tmp_path / "rows", piece=piece), make_rows(203)
    assert len(rows) == 203
    np.testing.assert_array_equal(rows.load().tokens, expected.tokens)
    np.testing.assert_array_equal(rows.load().labels, expected.labels)
    np.testing.assert_array_equal(rows.labels, expected.labels)
    np.testing.assert_array_equal(rows.load(11).labels, expected.labels[:11])
    assert rows.load().tokens.flags.writeable


@pytest.mark.parametrize("piece", [1, 50, 203])
def test_label_statistics_are_those_of_the_labels(tmp_path, piece):
    labels = make(tmp_path / "rows", piece=piece).manifest.labels
    numbers = np.arange(203.0)
    expected = {"mean": 101, "std": numbers.std(), "least": 0, "greatest": 202}
    assert {name: value for name, (value,) in labels.items()} == pytest.approx(expected, rel=1e-12)


def test_the_same_rows_give_the_same_files(tmp_path):
    one, two = make(tmp_path / "one", piece=50), make(tmp_path / "two", piece=9)
    assert one.manifest == two.manifest
    assert one.fingerprint == two.fingerprint
    assert make(tmp_path / "three", count=202).fingerprint != one.fingerprint


def test_a_failure_leaves_nothing(tmp_path):
    def broken():
        yield make_rows(20)
        raise UserError("bad row")

    with pytest.raises(UserError, match="bad row"):
        write_shards(broken(), tmp_path / "rows", 2, "train.txt", SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "said"), [(0, "1 to 512"), (513, "1 to 512"), (4, "--shards 3 or less")]
)
def test_impossible_numbers_of_shards_are_refused(tmp_path, files, said):
    with pytest.raises(UserError, match=said):
        write_shards([make_rows(20)], tmp_path / "rows", files, "train.txt", SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_used_folder_is_not_overwritten(tmp_path, rows):
    with pytest.raises(UserError, match="exists already"):
        make(tmp_path / "rows")
    assert len(open_shards(tmp_path / "rows", PROCESSOR, SETTINGS)) == 203


# Damage


def shard(folder, number=1):
    return folder / f"rows-{number:05d}-of-00004.tfrecord"


def truncate(folder):
    shard(folder).write_bytes(shard(folder).read_bytes()[:-1])


def put_foreign(folder):
    (folder / "rows-00000-of-00009.tfrecord").write_bytes(b"")


def set_field(**fields):
    def change(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: shard(f).unlink(), "rows-00001-of-00004.tfrecord is missing"),
        (truncate, "rows-00001-of-00004.tfrecord has 621 bytes, not 622"),
        (put_foreign, "rows-00000-of-00009.tfrecord does not belong"),
        (lambda f: (f / "manifest.json").unlink(), "a folder without manifest.json"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "expected the format"),
        (set_field(format="other"), "found 'other'"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused_at_once(tmp_path, rows, damage, said):
    damage(tmp_path / "rows")
    with pytest.raises(UserError, match=said):
        open_shards(tmp_path / "rows", PROCESSOR, SETTINGS)


def test_all_that_is_wrong_is_named_in_one_error(tmp_path, rows):
    shard(tmp_path / "rows", 0).unlink()
    truncate(tmp_path / "rows")
    with pytest.raises(UserError, match=r"00000.*is missing; .*00001.*bytes"):
        open_shards(tmp_path / "rows", PROCESSOR, SETTINGS)


@pytest.mark.parametrize("at", [12, 40, 96 + 12, 6 * 96 - 5])
def test_one_wrong_byte_anywhere_in_the_rows_is_found(tmp_path, rows, at):
    content = bytearray(shard(tmp_path / "rows").read_bytes())
    content[at] ^= 1
    shard(tmp_path / "rows").write_bytes(content)
    opened = open_shards(tmp_path / "rows", PROCESSOR, SETTINGS)
    for use in (
        lambda: opened.labels,
        opened.load,
        lambda: drawn(ShardedStream(opened, StreamSettings(203, 0, False)), 1),
    ):
        said = r"rows-00001-of-00004.tfrecord: record .* does not match"
        with pytest.raises(UserError, match=said):
            use()


def test_a_shard_of_another_folder_is_found(tmp_path, rows):
    other = tmp_path / "other"
    changed = dataclasses.replace(make_rows(203), labels=make_rows(203).labels + 1)
    write_shards([changed], other, 4, "x", SETTINGS)
    shard(tmp_path / "rows").write_bytes(shard(other).read_bytes())
    with pytest.raises(UserError, match="belongs to another folder"):
        _ = open_shards(tmp_path / "rows", PROCESSOR, SETTINGS).labels


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "bhi", "length": 5}, "name=autosome, but this one has name=bhi"),
        ({"name": "autosome", "length": 6}, "length=5, but this one has length=6"),
        ({"name": "autosome", "length": 5, "new": 1}, "no new, but this one has new=1"),
    ],
)
def test_another_processor_is_refused(tmp_path, rows, settings, said):
    with pytest.raises(UserError, match=said):
        open_shards(tmp_path / "rows", PROCESSOR, settings)


# Held out rows


def test_held_out_blocks_are_a_seeded_partition(rows, monkeypatch):
    kept, held_out = rows.hold_out(0.1, 3)
    assert len(held_out.blocks) == 3  # a tenth of 26
    assert sorted([*kept.labels, *held_out.labels]) == [[n] for n in range(203)]
    again, other = rows.hold_out(0.1, 3)[1], rows.hold_out(0.1, 4)[1]
    assert (again.blocks == held_out.blocks).all()
    assert (other.blocks != held_out.blocks).any()
    monkeypatch.setattr(shards, "VALIDATION_BLOCKS", 2)
    assert len(rows.hold_out(0.1, 3)[1].blocks) == 2


def test_one_block_is_not_split(tmp_path):
    with pytest.raises(UserError, match="--val"):
        make(tmp_path / "rows", count=8, files=1).hold_out(0.1, 0)


# The stream


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize(("batch", "count"), [(7, 203), (64, 203), (500, 203), (5, 16), (3, 8)])
def test_every_pass_holds_every_row_and_strand_once_and_loses_none(tmp_path, both, batch, count):
    rows = make(tmp_path / "rows", count=count, files=1)
    stream = ShardedStream(rows, StreamSettings(batch, 5, both))
    per_pass = stream.rows_per_pass
    assert per_pass == count * (2 if both else 1)
    got = drawn(stream, 3 * per_pass // batch + 1)
    passes = [got[i * per_pass : (i + 1) * per_pass] for i in range(3)]
    for one in passes:
        expected = [(row, strand) for row in range(count) for strand in ((0, 1) if both else (0,))]
        assert sorted(one) == expected
    assert passes[0] != passes[1]


def test_a_batch_depends_on_nothing_but_seed_and_step(rows):
    def stream(seed=5):
        return ShardedStream(rows, StreamSettings(13, seed, True))

    expected = drawn(stream(), 70)
    fresh = stream()
    for step in [69, 3, 0, 33, 3, 15, 16]:
        assert drawn(fresh, 1, step) == expected[step * 13 : (step + 1) * 13]
    assert drawn(stream(), 40, 30) == expected[30 * 13 :]
    assert drawn(stream(6), 70) != expected


def test_rows_leave_as_bytes_of_their_own(rows):
    stream = ShardedStream(rows, StreamSettings(13, 5, True))
    batch = stream.batch(0)
    assert batch.tokens.dtype == batch.strand.dtype == batch.flags.dtype == np.uint8
    assert batch.labels.dtype == np.float32
    before = batch.tokens.copy()
    batch.tokens[:] = 77
    np.testing.assert_array_equal(stream.batch(0).tokens, before)


@pytest.mark.parametrize("what", ["view", "augment"])
def test_random_views_and_changes_are_the_steps_and_the_hosts_own(rows, what):
    def drawn(tokens, random):
        return random.integers(0, 256, tokens.shape, np.uint8)

    def seen(step, **host):
        settings = StreamSettings(14, 5, True, augmented_steps=4, **{what: drawn}, **host)
        return ShardedStream(rows, settings).batch(step).tokens

    np.testing.assert_array_equal(seen(2), seen(2))
    assert (seen(2) != seen(3)).any()
    assert (seen(2, host=0, hosts=2) != seen(2, host=1, hosts=2)).any()


@pytest.mark.parametrize("hosts", [2, 3, 4])
@pytest.mark.parametrize("both", [True, False])
def test_hosts_share_no_row_and_lose_none(rows, hosts, both):
    kept, held_out = rows.hold_out(0.1, 3)
    together = []
    for host in range(hosts):
        stream = ShardedStream(kept, StreamSettings(hosts, 5, both, host=host, hosts=hosts))
        mine = drawn(stream, stream.own_rows_per_pass)
        files = {int(row) // 8 % 4 for row, _ in mine}
        assert files == set(range(host, 4, hosts))  # whole shards
        together += mine
    strands = (0, 1) if both else (0,)
    assert sorted(together) == sorted((int(v), s) for v in kept.labels[:, 0] for s in strands)
    assert not {row for row, _ in together} & set(held_out.labels[:, 0].tolist())


def test_too_many_hosts_are_refused(rows):
    with pytest.raises(UserError, match="has 4 shards, too few for 5 hosts"):
        ShardedStream(rows, StreamSettings(13, 5, True, host=0, hosts=5))


def test_fingerprints_tell_rows_hosts_and_kind_apart(rows):
    kept, held_out = rows.hold_out(0.1, 3)
    streams = [
        ShardedStream(rows, StreamSettings(7, 0, True)),
        ShardedStream(kept, StreamSettings(7, 0, True)),
        ShardedStream(held_out, StreamSettings(7, 0, True)),
        ShardedStream(rows, StreamSettings(7, 0, True, host=0, hosts=2)),
        TrainingStream(rows.load(), StreamSettings(7, 0, True)),
    ]
    assert len({stream.fingerprint for stream in streams}) == len(streams)
    assert ShardedStream(rows, StreamSettings(9, 1, False)).fingerprint == streams[0].fingerprint
    second = ShardedStream(rows, StreamSettings(7, 0, True, host=1, hosts=2))
    assert second.fingerprint == streams[3].fingerprint


def test_up_to_one_window_a_pass_is_a_uniform_permutation(tmp_path):
    """Where row 0 comes in 1,000 passes of 32 rows: chi-squared with 31 degrees of freedom."""
    rows = make(tmp_path / "rows", count=32, files=1)
    stream = ShardedStream(rows, StreamSettings(32, 1, False))
    orders = shards_batches(stream, 0, 1_000).labels.reshape(1_000, 32)
    for row in (0, 17):
        counts = np.bincount(np.argwhere(orders == row)[:, 1], minlength=32)
        assert ((counts - 31.25) ** 2 / 31.25).sum() < 61.1  # exceeded once in 1,000


def test_longer_passes_spread_every_row_over_the_whole_pass(tmp_path):
    rows = make(tmp_path / "rows", count=128, files=1)
    stream = ShardedStream(rows, StreamSettings(128, 1, False))
    orders = shards_batches(stream, 0, 1_000).labels.reshape(1_000, 128)
    counts = np.bincount(np.argwhere(orders == 5)[:, 1], minlength=128)
    assert ((counts - 7.8125) ** 2 / 7.8125).sum() < 182  # 127 degrees, once in 1,000
    first = orders[0].reshape(4, 32)  # each window holds 4 whole blocks of neighbours
    assert [len(set((window // 8).tolist())) for window in first] == [4, 4, 4, 4]


def test_no_more_than_two_windows_are_kept(rows):
    stream = ShardedStream(rows, StreamSettings(13, 5, True))
    for step in range(0, 120, 3):
        stream.batch(step)
        assert len(stream._windows) <= 2


def test_a_window_ahead_is_read_by_a_thread(rows, monkeypatch):
    readers, read = set(), ShardedRows.read

    def spy(self, block):
        readers.add(threading.current_thread().name)
        return read(self, block)

    monkeypatch.setattr(ShardedRows, "read", spy)
    drawn(ShardedStream(rows, StreamSettings(13, 5, True)), 5)
    assert readers == {"shards_0"}


def test_the_manifest_is_complete(rows):
    assert set(dataclasses.asdict(rows.manifest)) == {
        *("format", "dream_keras", "source", "processor", "length", "block_rows", "rows"),
        *("tasks", "skipped", "labels", "shards"),
    }
