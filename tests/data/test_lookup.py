"""Tables of what a processor makes of sequences, against the processor itself."""

import numpy as np
import pytest

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.lookup import encode_whole, look_up, sequence_lengths
from dream_keras.menu.plain import PlainProcessor

SIZES = {"length": 30, "insert_length": 12, "positions": 10}
CASES = [(name, {}, None) for name in menu.names("processor")] + [
    ("autosome", {}, "add"),
    ("autosome", {}, "ACG,T"),
    ("bhi", {"shifts": 2}, None),
    ("unlockdna", {"head": 20, "tail": 20}, None),
    ("plain", {"left": "TTG", "right": "CA", "trim_left": 2, "pad": "left", "n_value": 0.25}, None),
    ("plain", {"pad": "right", "channel_order": "ACGT", "reverse": "none"}, "GG,"),
    ("plain", {"reverse": "flag", "reverse_mark": "_rc"}, None),
    ("plain", {"reverse": "random", "fixed_left": 4, "fixed_right": 3}, None),
]


def processor_of(name, options):
    known = menu.get("processor", name).options
    sizes = {option: size for option, size in SIZES.items() if option in known}
    return menu.get("processor", name).build(**sizes, **options)


def read(tables, tokens, lengths):
    """Look the channels of sequences up, one base after the other, (rows, reads, positions, c)."""
    longest = tokens.shape[1]
    given = [*range(alphabet.END + 1)]
    found = np.empty((len(tokens), *tables.places.shape[1:], tables.channels.shape[-1]))
    for row, read, position in np.ndindex(found.shape[:-1]):
        place = tables.places[lengths[row], read, position]
        if place >= 2 * longest:
            token = given[place - 2 * longest]
        else:
            token = tokens[row, place % longest]
            token = token if place < longest else alphabet.COMPLEMENT[token]
        found[row, read, position] = tables.channels[read, position, token]
    return found


@pytest.mark.parametrize(("name", "options", "adapters"), CASES)
def test_tables_give_what_the_processor_makes(name, options, adapters, random):
    processor = processor_of(name, options)
    shortest, longest = sequence_lengths(processor, adapters)
    longest -= 1  # of an ensemble whose other member takes less
    lengths = np.array([shortest, longest, *random.integers(shortest, longest, 4)], np.int32)
    tokens = random.integers(0, 5, (len(lengths), longest)).astype(np.uint8)
    views = processor.prediction_views(encode_whole(processor, adapters, tokens, lengths))
    flags = np.zeros(len(lengths), np.uint8)
    wanted = [
        np.asarray(processor.make_channels(view, flags + np.uint8(strand), flags))
        for view in views
        for strand in range(processor.predicted_strands)
    ]
    found = read(look_up(processor, adapters, longest), tokens, lengths)
    np.testing.assert_array_equal(found, np.stack(wanted, axis=1))


class Sorted(PlainProcessor):
    def encode(self, tokens, lengths):
        return np.sort(super().encode(tokens, lengths), axis=1)


class Swapped(PlainProcessor):
    def encode(self, tokens, lengths):
        swap = np.array([1, 0, 2, 3, 4, 5, 6], np.uint8)
        return swap[super().encode(tokens, lengths)]


@pytest.mark.parametrize("made", [Sorted, Swapped])
def test_a_processor_that_reads_the_bases_is_refused(made):
    with pytest.raises(UserError, match=f"{made.__name__} cannot be exported"):
        look_up(made(length=6), None, 6)
