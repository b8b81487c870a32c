"""K-mers, keys and adapters against twins written with plain strings."""

import numpy as np
import pytest

from dream_keras.data import alphabet
from dream_keras.data.kmers import (
    LONGEST_ADAPTER,
    NONE,
    Adapters,
    K,
    Sequences,
    canonical_kmers,
    content_keys,
    inserts_of,
    scramble,
)
from dream_keras.data.table import tokenize

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"


def make(texts):
    return Sequences.of(*tokenize(texts, 1_000))


def texts_of(sequences):
    return [
        alphabet.decode(t[:n]) for t, n in zip(sequences.tokens, sequences.lengths, strict=True)
    ]


def turned(text):
    return text.translate(str.maketrans("ACGTN", "TGCAN"))[::-1]


def number(kmer):
    return int(kmer.translate(str.maketrans("ACGT", "0123")), 4)


def random_texts(random, count, low=0, high=90, letters="ACGT"):
    sizes = random.integers(max(low, 1), high + 1, count)
    return ["".join(random.choice(list(letters), size)) for size in sizes]


def test_kmers_are_those_of_plain_strings(random):
    texts = [
        *random_texts(random, 40),
        *random_texts(random, 40, letters="ACGT" * 12 + "N"),
        "A" * K,
        "A" * (K - 1),
        "ACGT" * 10,
        "N" * 50,
        "A" * K + "N" + "C" * K,
    ]
    found = canonical_kmers(make(texts))
    assert found.shape == (len(texts), max(map(len, texts)) - K + 1)
    for text, row in zip(texts, found.tolist(), strict=True):
        for place, value in enumerate(row):
            kmer = text[place : place + K]
            known = len(kmer) == K and "N" not in kmer
            expected = min(number(kmer), number(turned(kmer))) if known else int(NONE)
            assert value == expected


def test_kmers_do_not_depend_on_the_block(random, monkeypatch):
    rows = make(random_texts(random, 50))
    whole = canonical_kmers(rows)
    monkeypatch.setattr("dream_keras.data.kmers._BLOCK", 7)
    np.testing.assert_array_equal(canonical_kmers(rows), whole)


@pytest.mark.parametrize("text", ["A", "ACGTACGTACGTACGTACG", "N"])
def test_rows_too_short_have_no_kmers(text):
    assert canonical_kmers(make([text])).shape == (1, 0)


def test_kmers_of_both_strands_are_the_same(random):
    texts = random_texts(random, 30, letters="ACGTACGTACGTN", low=K)
    forward = canonical_kmers(make(texts))
    backward = canonical_kmers(make([turned(text) for text in texts]))
    for one, other in zip(forward, backward, strict=True):
        assert sorted(one.tolist()) == sorted(other.tolist())


def test_keys_are_equal_for_the_same_insert_on_either_strand_and_only_then(random):
    # Few short texts, so that the same ones occur many times, by chance and on either strand.
    texts = random_texts(random, 3_000, high=6, letters="ACGTN")
    keys = content_keys(make(texts))
    named = {}
    for text, key in zip(texts, keys.tolist(), strict=True):
        named.setdefault(min(text, turned(text)), set()).add(key)
    assert all(len(found) == 1 for found in named.values())
    assert len(set(keys.tolist())) == len(named) < len(texts)


def test_keys_do_not_depend_on_the_width_of_the_block(random):
    texts = random_texts(random, 20, high=60)
    alone = content_keys(make(texts))
    beside_a_long_one = content_keys(make([*texts, "A" * 200]))[:-1]
    np.testing.assert_array_equal(alone, beside_a_long_one)


def test_one_substitution_or_base_more_changes_the_key():
    texts = ["A" * 80, "A" * 79 + "C", "A" * 79 + "N", "A" * 79, "A" * 81, "C" + "A" * 79]
    assert len(set(content_keys(make(texts)).tolist())) == len(texts)


def test_every_seed_has_another_order(random):
    rows = make(random_texts(random, 50, low=40))
    one, other = (np.argsort(content_keys(rows, seed)).tolist() for seed in (0, 1))
    assert one != other
    assert one == np.argsort(content_keys(rows, 0)).tolist()


def test_scrambling_is_splitmix64_and_loses_nothing():
    # The generator's first outputs from seed 0: the finaliser of multiples of its increment.
    increment = 0x9E3779B97F4A7C15
    steps = np.array([n * increment % 2**64 for n in (1, 2, 3)], np.uint64)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert scramble(steps).tolist() == expected
    assert len(np.unique(scramble(np.arange(10_000, dtype=np.uint64)))) == 10_000


def test_adapters_are_found_and_cut(random):
    inserts = random_texts(random, 200, low=48, high=112)
    # Rows without the one or the other keep what they have.
    whole = [LEFT + insert + RIGHT for insert in inserts]
    whole[3], whole[5] = inserts[3] + RIGHT, LEFT + inserts[5]
    rows = make(whole)
    adapters = Adapters.find([rows])
    assert alphabet.decode(adapters.left) == LEFT
    assert alphabet.decode(adapters.right)[::-1] == RIGHT
    assert texts_of(adapters.cut(rows)) == inserts


def test_cut_rows_have_nothing_behind_their_ends(random):
    texts = [LEFT + insert + RIGHT for insert in random_texts(random, 60, low=48)]
    cut = next(inserts_of([make(texts)]))
    behind = np.arange(cut.tokens.shape[1]) >= cut.lengths[:, None]
    assert (cut.tokens[behind] == alphabet.N).all()
    assert cut.lengths.dtype == np.int32


def test_adapters_are_told_from_all_blocks(random):
    texts = [LEFT + insert + RIGHT for insert in random_texts(random, 100, low=48)]
    blocks = [make(texts[:1]), make(texts[1:])]
    assert [t for block in inserts_of(blocks) for t in texts_of(block)] == texts_of(
        next(inserts_of([make(texts)]))
    )


@pytest.mark.parametrize(
    "texts",
    [
        ["ACGT" * 20] * 30,  # the same from end to end: kin, not adapters
        ["A" * LONGEST_ADAPTER + "C" * n for n in range(1, 30)],
    ],
)
def test_long_common_ends_are_kinship(texts):
    rows = make(texts)
    assert len(Adapters.find([rows]).left) == 0
    assert texts_of(Adapters.find([rows]).cut(rows))[0].startswith(texts[0][:20])


def test_inserts_without_adapters_stay(random):
    texts = random_texts(random, 100, low=48)
    assert texts_of(next(inserts_of([make(texts)]))) == texts
