"""Random changes of training rows, compared with the same on text, one row at a time."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.data import alphabet, augment, yeast
from dream_keras.data.augment import OPERATIONS, Augmentation, AugmentSettings
from dream_keras.data.edits import DRAWN, Part, deleted, inserted, inverted, mutated, rotated
from dream_keras.data.processor import unpadded
from dream_keras.data.stream import StreamSettings, TrainingStream
from dream_keras.data.table import Rows, tokenize

LONGEST = 20
EVERYTHING = AugmentSettings(
    per_row=3,
    deletion=LONGEST,
    insertion=LONGEST,
    inversion=LONGEST,
    translocation=LONGEST,
    mutation=0.05,
    reverse_complement=0.5,
)
ADAPTERS = len(yeast.LEFT_ADAPTER), len(yeast.RIGHT_ADAPTER)


def texts(tokens):
    """Rows as text, ? for a base that is to be drawn."""
    letters = np.frombuffer(b"ACGTN?$", np.uint8)
    return [letters[row].tobytes().decode() for row in tokens]


def random_texts(random, count, length, letters="ACGTN"):
    return ["".join(row) for row in random.choice(list(letters), (count, length))]


def plain(length, **options):
    return menu.get("processor", "plain").build(length=length, **options)


def only(operation, amount, **settings):
    return AugmentSettings(**{"per_row": 1, operation: amount, **settings})


# Each operation with given sizes and places


def delete(text, place, size):
    left = size // 2
    return "?" * left + text[:place] + text[place + size :] + "?" * (size - left)


def insert(text, place, size):
    longer = text[:place] + "?" * size + text[place:]
    return longer[size // 2 :][: len(text)]


def invert(text, place, size):
    turned = alphabet.reverse_complement_text(text[place : place + size])
    return text[:place] + turned + text[place + size :]


def rotate(text, distance, _):
    at = -distance % max(len(text), 1)
    return text[at:] + text[:at]


@pytest.mark.parametrize(
    ("operation", "twin"),
    [(deleted, delete), (inserted, insert), (inverted, invert), (rotated, rotate)],
)
@pytest.mark.parametrize("width", [1, 12, 90])
def test_an_operation_is_that_of_plain_text(random, operation, twin, width):
    rows = random_texts(random, 400, width)
    start, stop = np.sort(random.integers(0, width, (2, 400), endpoint=True), axis=0)
    size = random.integers(0, stop - start, endpoint=True)
    room = stop - start - (0 if operation is inserted else size)
    place = random.integers(0, room, endpoint=True)
    numbers = (place, size)
    if operation is rotated:
        numbers = (random.integers(-width, width, 400, endpoint=True),)
    tokens = np.stack([alphabet.encode(row) for row in rows])
    before = tokens.copy()
    found = operation(tokens, Part(start, stop), *numbers)
    expected = [
        row[:a] + twin(row[a:b], *(*given, 0)[:2]) + row[b:]
        for row, a, b, *given in zip(rows, start, stop, *numbers, strict=True)
    ]
    assert texts(found) == expected
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(tokens, before)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 1.0])
def test_mutations_are_as_many_as_asked_for_anywhere_and_to_any_other_base(random, share):
    count, width, start, stop = 3_000, 40, 5, 35
    tokens = random.integers(0, 4, (count, width), np.uint8)
    tokens[::2, 10:14] = alphabet.N
    part = Part(np.full(count, start), np.full(count, stop))
    found = mutated(tokens, part, share, random)
    changed = found != tokens
    number, wanted = changed[1::2].sum(axis=1), share * (stop - start)
    assert (np.abs(number - wanted) < 1).all()
    deviation = np.sqrt(len(number) * (wanted % 1) * (1 - wanted % 1))
    assert abs(number.sum() - len(number) * wanted) <= 5 * deviation
    assert not changed[:, :start].any()
    assert not changed[:, stop:].any()
    assert not changed[tokens == alphabet.N].any()
    if share == 0.05:
        assert stats.chisquare(changed[1::2, start:stop].sum(axis=0)).pvalue > 1e-3
        steps = (found[changed].astype(int) - tokens[changed]) % 4
        assert stats.chisquare(np.bincount(steps, minlength=4)[1:]).pvalue > 1e-3


def test_every_set_of_positions_is_mutated_equally_often(random):
    tokens = random.integers(0, 4, (6_000, 6), np.uint8)
    part = Part(np.full(6_000, 1), np.full(6_000, 5))
    changed = mutated(tokens, part, 0.5, random) != tokens
    found = np.bincount(changed[:, 1:5] @ [1, 2, 4, 8])
    pairs = [3, 5, 6, 9, 10, 12]
    assert found.sum() == found[pairs].sum() == 6_000
    assert stats.chisquare(found[pairs]).pvalue > 1e-3


# What is drawn


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("per_row", [1, 2, 4, 9])
def test_different_operations_are_drawn_evenly(random, per_row, hard):
    settings = dataclasses.replace(EVERYTHING, per_row=per_row, hard=hard, inversion=None)
    names = settings.operations
    assert names == tuple(n for n in OPERATIONS if n not in ("shift", "inversion"))
    drawn = Augmentation(settings, plain(50))._draw(6_000, random)
    chosen = np.stack([np.isin(np.arange(6_000), drawn[name]) for name in names])
    most = min(per_row, len(names))
    number = np.bincount(chosen.sum(axis=0), minlength=most + 1)
    if hard:
        assert number.tolist() == [0] * most + [6_000]
    else:
        assert number[0] == 0
        assert most == 1 or stats.chisquare(number[1:]).pvalue > 1e-3
    share = (most if hard else (most + 1) / 2) / len(names)
    deviation = np.sqrt(share * (1 - share) / 6_000)
    np.testing.assert_allclose(chosen.mean(axis=1), share, atol=5 * deviation)


@pytest.mark.parametrize("operation", ["deletion", "insertion", "inversion", "translocation"])
@pytest.mark.parametrize(("length", "longest"), [(60, LONGEST), (6, 6)])
def test_sizes_and_places_are_uniform(random, monkeypatch, operation, length, longest):
    given = []

    def record(tokens, part, *numbers):
        given.append(numbers)
        return tokens

    monkeypatch.setitem(augment.STRETCHES, operation, record)
    monkeypatch.setattr(augment, "rotated", record)
    rows = random.integers(0, 4, (20_000, length), np.uint8)
    Augmentation(only(operation, LONGEST), plain(length))(rows, random)
    *places, sizes = given[0]
    assert stats.chisquare(np.bincount(abs(sizes), minlength=longest + 1)).pvalue > 1e-3
    if operation == "translocation":
        assert stats.binomtest((sizes > 0).sum(), (sizes != 0).sum()).pvalue > 1e-3
        return
    for size in (0, longest // 2, longest):
        room = length - (0 if operation == "insertion" else size)
        found = np.bincount(places[0][sizes == size], minlength=room + 1)
        assert len(found) == room + 1
        assert room == 0 or stats.chisquare(found).pvalue > 1e-3


def test_half_of_the_rows_are_turned_around_as_a_whole(random):
    rows = random.integers(0, 4, (4_000, 30), np.uint8)
    found = Augmentation(only("reverse_complement", 0.5), plain(30))(rows, random)
    turned = (found == alphabet.reverse_complement(rows)).all(axis=1)
    assert ((found == rows).all(axis=1) ^ turned).all()
    assert stats.binomtest(turned.sum(), 4_000).pvalue > 1e-3


@pytest.mark.parametrize("operation", ["deletion", "insertion"])
def test_bases_that_come_in_are_drawn_evenly(random, operation):
    rows = np.full((4_000, 60), alphabet.N, np.uint8)
    rows[:, [0, -1]] = alphabet.A
    found = Augmentation(only(operation, LONGEST), plain(60))(rows, random)
    assert found.max() <= alphabet.N
    come_in = np.bincount(found[:, 1:-1].ravel(), minlength=5)[1:4]
    assert stats.chisquare(come_in).pvalue > 1e-3


def test_settings_that_are_off_change_nothing(random):
    assert AugmentSettings().operations == ()
    off = AugmentSettings(deletion=None, mutation=0, reverse_complement=None, shift=0)
    assert off.operations == ()
    rows = random.integers(0, 4, (50, 20), np.uint8)
    found = Augmentation(only("reverse_complement", 1e-12), plain(20))(rows, random)
    np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_row": 0}, "per_row=0: at least 1"),
        ({"deletion": -1}, "deletion=-1: at least 0"),
        ({"mutation": -0.1}, "mutation=-0.1: at least 0"),
        ({"mutation": 5}, "mutation=5: expected a share between 0 and 1"),
        ({"reverse_complement": 1.1}, "reverse_complement=1.1: expected a share"),
        ({"clean_epochs": -1}, "clean_epochs=-1: at least 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        AugmentSettings(**settings)


# Where rows change


PROCESSORS = {
    "autosome": {},
    "autosome, cut within the adapter": {"length": 110},
    "bhi": {},
    "bhi, 142 bp": {"length": 142},
    "unlockdna": {},
    "unlockdna, cut more": {"head": 20, "tail": 20},
    "plain": {"length": 150},
    "plain, filled on the right": {"length": 150, "pad": "left", "left": "ACG", "right": "TT"},
    "plain, trimmed": {"length": 130, "trim_left": 17, "trim_right": 15, "left": "GATTACA"},
}
INSERTS = [1, 2, 48, 71, 79, 80, 81, 93, 100, 112]


@pytest.fixture(params=PROCESSORS)
def processor(request):
    name = request.param.partition(",")[0]
    built = menu.get("processor", name).build(**PROCESSORS[request.param])
    built.name = name
    return built


def constructs(inserts):
    return [yeast.LEFT_ADAPTER + insert + yeast.RIGHT_ADAPTER for insert in inserts]


def lengths_for(processor):
    """Lengths of inserts that the processor takes with their adapters."""
    shortest, longest = processor.min_length, processor.max_length
    return [n for n in INSERTS if shortest <= n + sum(ADAPTERS) <= longest]


def encoded(processor, sequences):
    return processor.encode(*tokenize(sequences, processor.max_length))


def sequences_of(processor, tokens):
    """What the processor lets be changed."""
    seen = []
    processor.edit(tokens, lambda part: seen.append(part) or part)
    return seen[0]


def inserts_of(processor, lengths):
    """Where the inserts stand in encoded rows: what differs when all of their bases do."""
    probes = [encoded(processor, constructs([base * n for n in lengths])) for base in "AC"]
    first, second = (sequences_of(processor, probe) for probe in probes)
    return first != second


def test_every_processor_on_the_menu_is_here():
    here = {name.partition(",")[0] for name in PROCESSORS}
    assert set(menu.names("processor")) == here | {"profile"}  # regions are not augmented


def test_bounds_are_those_of_the_inserts(processor, random):
    lengths = lengths_for(processor)
    rows = encoded(processor, constructs(random_texts(random, 1, n, "ACGT")[0] for n in lengths))
    start, stop = processor.insert_bounds(sequences_of(processor, rows), *ADAPTERS)
    where = inserts_of(processor, lengths)
    position = np.arange(where.shape[1])
    inside = (position >= start[:, None]) & (position < stop[:, None])
    assert not (inside & ~where).any()
    # Of a row of which encode keeps only a part of the adapter, as much of the insert is taken for
    # it, unless the processor has put the adapter there itself.
    known = np.array(lengths) + sum(ADAPTERS) <= processor.length
    if processor.name == "autosome":
        known |= where.sum(axis=1) == lengths
    assert known.sum() > 4
    np.testing.assert_array_equal(inside[known], where[known])


def test_nothing_but_the_insert_changes_where_adapters_are_protected(processor, random):
    lengths = lengths_for(processor) * 30
    rows = encoded(processor, constructs(random_texts(random, 1, n)[0] for n in lengths))
    before = rows.copy()
    changed = Augmentation(EVERYTHING, processor, ADAPTERS)(rows, random)
    np.testing.assert_array_equal(rows, before)
    assert changed.shape == rows.shape
    assert changed.dtype == np.uint8
    old, new = (sequences_of(processor, tokens) for tokens in (rows, changed))
    where = inserts_of(processor, lengths)
    np.testing.assert_array_equal(new[~where], old[~where])
    assert (new != old).any(axis=1)[where.sum(axis=1) > LONGEST].mean() > 0.9
    np.testing.assert_array_equal(changed, processor.edit(changed, lambda part: part))


def test_padding_stays_where_adapters_may_change(processor, random):
    inserts = [random_texts(random, 1, n, "ACGT")[0] for n in lengths_for(processor) * 30]
    rows = encoded(processor, constructs(inserts))
    settings = dataclasses.replace(EVERYTHING, protect_adapters=False)
    changed = Augmentation(settings, processor, ADAPTERS)(rows, random)
    old, new = (sequences_of(processor, tokens) for tokens in (rows, changed))
    np.testing.assert_array_equal(new >= alphabet.N, old >= alphabet.N)
    start, stop = unpadded(old)
    filled = np.flatnonzero(stop - start > LONGEST)
    assert (new != old)[filled].any(axis=1).mean() > 0.9
    for place in (start, (start + stop) // 2, stop - 1):
        assert (new != old)[filled, place[filled]].any()


def test_adapters_that_are_put_on_and_fixed_ends_are_protected(random):
    processor = plain(60, left="GG", right="C", fixed_left=8, trim_right=1)
    tokens = encoded(processor, ["A" * 20, "A" * 30])
    found = [bound.tolist() for bound in processor.insert_bounds(tokens, 4, 3)]
    assert found == [[19 + 6, 14 + 6], [41 - 3, 46 - 3]]
    found = [bound.tolist() for bound in processor.insert_bounds(tokens[:, 18:], 0, 0)]
    assert found[0] == [8, 8]


# The window


KNOWN = ("autosome", "bhi", "plain")


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("protected", [True, False])
def test_the_window_moves_along_the_construct(random, name, protected):
    reach, insert = 5, random_texts(random, 1, 80, "ACGT")[0]
    whole = yeast.LEFT_FLANK + constructs([insert])[0] + yeast.RIGHT_FLANK
    if name == "plain":
        at, length = len(yeast.LEFT_FLANK), 110
        flanks = {"upstream": yeast.LEFT_FLANK, "downstream": yeast.RIGHT_FLANK}
        processor = plain(length, **flanks)
    else:
        processor = menu.get("processor", name).build()
        length = processor.length
        at = len(yeast.LEFT_FLANK) + 110 - length
    rows = encoded(processor, constructs([insert] * 600))
    assert alphabet.decode(rows[0]) == whole[at : at + length]
    settings = only("shift", reach, protect_adapters=protected)
    moved = alphabet.decode_rows(Augmentation(settings, processor, ADAPTERS)(rows, random))
    windows = [whole[at + by : at + by + length] for by in range(-reach, reach + 1)]
    found = [moved.count(window) for window in windows]
    assert sum(found) == 600
    assert stats.chisquare(found).pvalue > 1e-3
    # Other changes go with the window.
    both = dataclasses.replace(settings, per_row=2, reverse_complement=1.0)
    moved = alphabet.decode_rows(Augmentation(both, processor, ADAPTERS)(rows, random))
    turned = whole.replace(insert, alphabet.reverse_complement_text(insert))
    windows = [turned[at + by : at + by + length] for by in range(-reach, reach + 1)]
    if not protected:
        windows = [whole[at + by : at + by + length] for by in range(-reach, reach + 1)]
        windows = [alphabet.reverse_complement_text(window) for window in windows]
    assert sum(moved.count(window) for window in windows) == 600


def test_rows_move_only_to_where_bases_are_known(random):
    processor = plain(6, downstream="CCCG")
    rows = encoded(processor, ["ACGTAC"] * 400)
    moved = alphabet.decode_rows(Augmentation(only("shift", 3), processor)(rows, random))
    wanted = {"ACGTAC", "CGTACC", "GTACCC", "TACCCC"}
    assert set(moved) == wanted
    assert min(moved.count(text) for text in wanted) > 60
    with pytest.raises(UserError, match=r"shift=5 needs .*processor\.downstream has 4") as error:
        Augmentation(only("shift", 5), processor)
    assert error.value.key == ("augment", "shift")


def test_unknown_bases_are_drawn_and_padding_goes_on(random):
    drawn = Augmentation(only("shift", 2), plain(6))
    moved = alphabet.decode_rows(drawn(encoded(plain(6), ["ACGTAC"] * 2_000), random))
    assert {text[2:] for text in moved if text.endswith("ACGT")} == {"ACGT"}
    assert {text[:2] for text in moved if text.endswith("ACGT")} == {
        a + b for a in "ACGT" for b in "ACGT"
    }
    padded = encoded(plain(8), ["ACGT"] * 200)
    moved = Augmentation(only("shift", 2), plain(8))(padded, random)
    windows = ["ACGTNNNN", "NACGTNNN", "NNACGTNN", "NNNACGTN", "NNNNACGT"]
    assert set(alphabet.decode_rows(moved)) == set(windows)


def test_rows_whose_place_the_processor_draws_are_not_moved(random):
    processor = menu.get("processor", "bhi").build()
    inserts = random_texts(random, 50, 60, "ACGT")
    rows = encoded(processor, constructs(inserts))
    moved = Augmentation(only("shift", 9), processor, ADAPTERS)(rows, random)
    np.testing.assert_array_equal(moved, rows)


# In the stream


def stream(random, processor, **settings):
    sequences = constructs(random_texts(random, 23, 70, "ACGT"))
    rows = Rows(
        encoded(processor, sequences),
        np.arange(23, dtype=np.float32)[:, None],
        np.zeros(23, np.uint8),
        np.ones(23, np.float32),
    )
    change = Augmentation(EVERYTHING, processor, ADAPTERS)
    return TrainingStream(
        rows, StreamSettings(8, 5, view=processor.training_view, augment=change, **settings)
    )


@pytest.mark.parametrize("name", ["bhi", "unlockdna"])
def test_batches_after_the_augmented_steps_are_those_of_a_run_without(name):
    processor = menu.get("processor", name).build()
    clean, some = (
        stream(np.random.default_rng(1), processor, augmented_steps=steps) for steps in (0, 6)
    )
    for step in range(9):
        expected, found = clean.batch(step), some.batch(step)
        assert (found.tokens != expected.tokens).any() == (step < 6)
        for got, want in zip(found[1:], expected[1:], strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_rows_do_not_depend_on_hosts_or_on_where_a_run_starts(hosts):
    processor = menu.get("processor", "bhi").build()

    def of(host):
        random = np.random.default_rng(1)
        return stream(random, processor, augmented_steps=6, host=host, hosts=hosts)

    whole = stream(np.random.default_rng(1), processor, augmented_steps=6)
    expected = dict(enumerate(whole.batches(0, 8)))
    for step in (7, 2, 5):
        together = np.concatenate([of(host).batch(step).tokens for host in range(hosts)])
        np.testing.assert_array_equal(together, expected[step].tokens)
    resumed = list(of(0).batches(3, 5))
    part = 8 // hosts
    for step, batch in enumerate(resumed, 3):
        np.testing.assert_array_equal(batch.tokens, expected[step].tokens[:part])


def test_tokens_to_be_drawn_never_leave():
    assert DRAWN == alphabet.MASK
    rows = np.zeros((200, 30), np.uint8)
    settings = dataclasses.replace(EVERYTHING, per_row=6, shift=9)
    found = Augmentation(settings, plain(30))(rows, np.random.default_rng(0))
    assert found.max() < alphabet.N
