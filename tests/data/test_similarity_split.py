"""Families of related rows against brute force, and what is held out of them."""

import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data.kmers import K, Sequences, content_keys
from dream_keras.data.similarity import find_families, hold_out_families
from dream_keras.data.table import tokenize

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"


def make(texts):
    return Sequences.of(*tokenize(texts, 1_000))


def turned(text):
    return text.translate(str.maketrans("ACGTN", "TGCAN"))[::-1]


def one_text(random, size=80):
    return "".join(random.choice(list("ACGT"), size))


def kmers_of(text):
    kmers = [text[n : n + K] for n in range(len(text) - K + 1)]
    return {min(kmer, turned(kmer)) for kmer in kmers if "N" not in kmer}


def brute_force_families(texts):
    """Name each row by the first row that it can be reached from."""
    content = [kmers_of(text) | {min(text, turned(text))} for text in texts]
    names = list(range(len(texts)))
    for row, mine in enumerate(content):
        for other in range(row):
            if mine & content[other] and names[row] != names[other]:
                old, new = max(names[row], names[other]), min(names[row], names[other])
                names = [new if name == old else name for name in names]
    return names


def same_partition(one, other):
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))


def mutated(random, text, substitutions):
    letters = list(text)
    for place in random.choice(len(text), substitutions, replace=False):
        letters[place] = random.choice([base for base in "ACGT" if base != letters[place]])
    return "".join(letters)


def planted(random, singles=120):
    """Inserts: unrelated ones, and families of several kinds, shuffled."""
    texts = [one_text(random, random.integers(48, 113)) for _ in range(singles)]
    for _ in range(6):
        parent = one_text(random)
        texts += [mutated(random, parent, 3) for _ in range(4)]
        texts.append(turned(mutated(random, parent, 2)))
    tiled = one_text(random, 300)  # neighbours share 30 bases, others nothing
    texts += [tiled[start : start + 80] for start in range(0, 221, 50)]
    short = one_text(random, K - 1)  # too short for k-mers: related as copies only
    texts += [short, turned(short), short[:-1], "N" * 60, "N" * 60]
    shared = one_text(random, K)
    texts += [one_text(random, 30) + shared + one_text(random, 30) for _ in range(2)]
    texts += [one_text(random, 30) + shared[1:] + "N" + one_text(random, 30)]
    return [texts[row] for row in random.permutation(len(texts))]


def families_of(texts, **settings):
    rows = make(texts)
    return find_families([rows], content_keys(rows), **settings).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_families_are_the_connected_components(seed):
    texts = planted(np.random.default_rng(seed))
    expected = brute_force_families(texts)
    assert len(set(expected)) < len(texts) - 25
    assert same_partition(families_of(texts), expected)


@pytest.mark.parametrize("kmers_at_a_time", [100, 3_000, 10**9])
def test_families_do_not_depend_on_how_much_is_sorted_at_a_time(random, kmers_at_a_time):
    texts = planted(random)
    found = families_of(texts, kmers_at_a_time=kmers_at_a_time)
    assert same_partition(found, brute_force_families(texts))


def test_families_do_not_depend_on_blocks(random):
    texts = planted(random)
    blocks = [make(texts[:31]), make(texts[31:32]), make(texts[32:])]
    keys = np.concatenate([content_keys(block) for block in blocks])
    assert same_partition(find_families(blocks, keys).tolist(), families_of(texts))


@pytest.mark.parametrize(("shared", "related"), [(K - 1, False), (K, True)])
def test_relatives_share_twenty_bases(random, shared, related):
    middle = one_text(random, shared)
    first = one_text(random, 30) + "A" + middle + "A" + one_text(random, 20)
    second = one_text(random, 10) + "C" + turned(middle) + "C" + one_text(random, 40)
    assert (len(set(families_of([first, second]))) == 1) is related


def rows_with_adapters(texts):
    return [LEFT + text + RIGHT for text in texts]


def held_out(texts, share=0.1, seed=3, **settings):
    chosen = hold_out_families([make(texts)], share, seed, **settings)
    assert chosen.shape == (len(texts),)
    return chosen


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("seed", [0, 5])
def test_the_sides_share_no_kmer_and_have_their_shares(random, share, seed):
    inserts = planted(random)
    chosen = held_out(rows_with_adapters(inserts), share, seed)
    assert np.count_nonzero(chosen) == round(share * len(inserts))
    sides = [
        set().union(
            *(
                kmers_of(t) | {t, turned(t)}
                for t, c in zip(inserts, chosen, strict=True)
                if c == side
            )
        )
        for side in (False, True)
    ]
    assert not sides[0] & sides[1]


def test_adapters_make_no_relatives(random):
    # With its adapter every row would be a relative of every other one.
    left = one_text(random, 30)
    texts = [left + one_text(random) for _ in range(100)]
    assert len(set(families_of(texts))) == 1
    assert np.count_nonzero(held_out(texts)) == 10


def test_the_choice_depends_on_the_seed_alone(random):
    inserts = planted(random)
    texts = rows_with_adapters(inserts)
    chosen = held_out(texts)
    assert (chosen == held_out(texts)).all()
    assert (chosen != held_out(texts, seed=4)).any()
    assert (chosen == held_out(texts, kmers_at_a_time=500)).all()
    order = random.permutation(len(texts))
    assert (chosen[order] == held_out([texts[row] for row in order])).all()
    other_strand = rows_with_adapters([turned(insert) for insert in inserts])
    assert (chosen == held_out(other_strand)).all()
    blocks = [make(texts[:40]), make(texts[40:])]
    assert (chosen == hold_out_families(blocks, 0.1, 3)).all()


def test_every_family_has_the_same_chance(random):
    inserts = [one_text(random) for _ in range(30)]
    times = sum(held_out(inserts, 0.2, seed).astype(int) for seed in range(500))
    # 6 of 30 in 500 draws: 100 on average, standard deviation 9; five of them allowed.
    assert times.sum() == 6 * 500
    assert times.min() > 55
    assert times.max() < 145


def family_of(random, size):
    parent = one_text(random)
    return [mutated(random, parent, 2) for _ in range(size)]


def test_large_families_come_last(random):
    # 20 rows are wanted; a family of 15 would fill most of that, and there are smaller ones.
    texts = [*family_of(random, 15), *(one_text(random) for _ in range(185))]
    for seed in range(20):
        chosen = held_out(texts, seed=seed)
        assert not chosen[:15].any()
        assert np.count_nonzero(chosen) == 20


def test_a_large_family_is_taken_for_want_of_smaller_ones(random):
    texts = [*family_of(random, 15), *family_of(random, 70), *family_of(random, 65)]
    assert held_out(texts)[:15].all()
    assert np.count_nonzero(held_out(texts)) == 15


def test_a_giant_family_is_warned_of(random, caplog):
    texts = [*family_of(random, 196), *(one_text(random) for _ in range(4))]
    assert np.flatnonzero(held_out(texts)).tolist() == [196, 197, 198, 199]
    assert "held out 4 rows instead of 20 (2 % instead of 10 %)" in caplog.text
    assert "the largest has 196 rows" in caplog.text


def test_one_family_of_all_is_refused(random):
    with pytest.raises(UserError, match=r"small enough to hold out 5 of 50 rows: the smallest has"):
        held_out(family_of(random, 50))


def test_two_rows_can_be_split(random):
    texts = [one_text(random), one_text(random)]
    assert np.count_nonzero(held_out(texts)) == 1


def test_too_many_rows_are_refused(random, monkeypatch):
    monkeypatch.setattr("dream_keras.data.similarity.ROW_BITS", 3)
    with pytest.raises(UserError, match="9 rows: the split by similarity takes at most 8"):
        held_out([one_text(random) for _ in range(9)])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Inserts of families, of which a random split would part most."""
    random = np.random.default_rng(11)
    inserts = [text for _ in range(60) for text in family_of(random, 5)]
    path = tmp_path_factory.mktemp("families") / "train.txt"
    texts = rows_with_adapters(inserts)
    path.write_text("".join(f"{t}\t{random.integers(18)}\n" for t in texts))
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "split"
    dream_keras.train(train=table, split="similarity", out=out, smoke=True, progress=False)
    return dream_keras.load_run(out)


def kmers_in(rows):
    """K-mers of the inserts of encoded rows."""
    texts = ["".join(["ACGTN"[token] for token in row if token < 5]) for row in rows.tokens]
    return set().union(*(kmers_of(text[text.index(LEFT) + len(LEFT) :][:80]) for text in texts))


def test_training_keeps_families_on_one_side(run, table):
    from dream_keras.data.stream import hold_out
    from dream_keras.data.table import load_rows
    from dream_keras.runs.rows import load_data

    assert run.experiment.data.split == "similarity"
    assert "split: similarity" in run.folder.config.read_text()
    kept, validation = load_data(run)
    assert (len(kept), len(validation)) == (270, 30)
    assert len(kmers_in(validation)) > 6 * 61  # six families of one parent each, or more
    assert not kmers_in(kept) & kmers_in(validation)
    kept, validation = hold_out(load_rows(table, run.processor), 0.1, 0)
    assert kmers_in(kept) & kmers_in(validation)


def test_a_validation_table_needs_no_split(table, tmp_path):
    with pytest.raises(UserError, match=r"data\.split=similarity .* there is a validation table"):
        dream_keras.train(
            train=table,
            validation=table,
            split="similarity",
            out=tmp_path / "run",
            smoke=True,
            progress=False,
        )
    assert not (tmp_path / "run").exists()
