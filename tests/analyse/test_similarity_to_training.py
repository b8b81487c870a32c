"""Similarity to a training table against brute force on strings; copies named by their line."""

import numpy as np
import pytest

from dream_keras.analyse.similarity import Similarity, by_similarity, similarity_to_training
from dream_keras.common.errors import UserError
from dream_keras.data import table
from dream_keras.data.kmers import K, Sequences
from dream_keras.data.split import Split
from dream_keras.data.table import Columns, tokenize
from dream_keras.scoring.metrics import pearson, spearman

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
PAIR = str.maketrans("ACGTN", "TGCAN")
SEQUENCES_ALONE = Columns(0, (), None)


def turned(sequence):
    return sequence.translate(PAIR)[::-1]


def draw(random, length=80):
    return "".join(random.choice(list("ACGT"), length))


def kmers_of(text):
    return [
        min(kmer, turned(kmer))
        for kmer in (text[at : at + K] for at in range(len(text) - K + 1))
        if "N" not in kmer
    ]


def brute_force(tests, trainings):
    known = {kmer for text in trainings for kmer in kmers_of(text)}
    shares = [[kmer in known for kmer in kmers_of(text)] for text in tests]
    return [np.mean(share) if share else np.nan for share in shares]


def official(inserts):
    return [LEFT + insert + RIGHT for insert in inserts]


def sequences_of(texts):
    return Sequences.of(*tokenize(texts, 4_096))


def write(path, sequences):
    path.write_text("".join(f"{sequence}\t1.5\n" for sequence in sequences))
    return path


def compare(tests, path, **options):
    return similarity_to_training(
        sequences_of(tests), path, SEQUENCES_ALONE, progress=False, **options
    )


@pytest.fixture
def planted(random):
    """Inserts of a test and a training table with all kinds of kinship, and unrelated ones."""
    tests = [draw(random) for _ in range(60)]
    trainings = [draw(random, random.integers(48, 113)) for _ in range(150)]
    trainings[3] = tests[0]
    trainings[100] = tests[0]  # a second time: the first counts
    trainings[7] = turned(tests[1])
    trainings[20] = tests[2][:40] + draw(random, 40)
    trainings[21] = draw(random, 30) + turned(tests[2][50:])  # two pieces of one row
    trainings[30] = tests[3][:30] + "N" + tests[3][31:]
    trainings[31] = tests[4][:-1]  # one base shorter
    tests[5] = tests[6][:60] + draw(random, 20)
    trainings[40] = tests[6]
    tests[7], tests[8], trainings[50] = "ACGTA", "ACGTNNN", turned("ACGTA")
    return tests, trainings


# Similarity.


def test_similarity_is_that_of_the_strings(planted, tmp_path):
    tests, trainings = planted
    found = compare(official(tests), write(tmp_path / "train.txt", official(trainings)))
    np.testing.assert_allclose(found.shared, brute_force(tests, trainings))
    assert found.training_rows == 150
    assert found.shared[[0, 1]].tolist() == [1, 1]
    assert 0 < found.shared[2] < 1
    assert np.isnan(found.shared[[7, 8]]).all()
    assert (found.shared[9:] == 0).all()


def test_copies_are_named_by_their_first_line(planted, tmp_path):
    tests, trainings = planted
    found = compare(official(tests), write(tmp_path / "train.txt", official(trainings)))
    copies = {row: line for row, line in enumerate(found.line.tolist()) if line}
    assert copies == {0: 4, 1: 8, 6: 41, 7: 51}


def test_rows_turned_round_with_their_adapters_are_copies(random, tmp_path):
    inserts = [draw(random) for _ in range(50)]
    trainings = official([draw(random) for _ in range(9)])
    trainings[4] = turned(LEFT + inserts[11] + RIGHT)
    found = compare(official(inserts), write(tmp_path / "train.txt", trainings))
    assert np.flatnonzero(found.line).tolist() == [11]
    assert found.line[11] == 5
    assert found.shared[11] == 1


def test_adapters_alone_are_no_kinship(random, tmp_path):
    tests, trainings = ([draw(random) for _ in range(40)] for _ in range(2))
    found = compare(official(tests), write(tmp_path / "train.txt", official(trainings)))
    assert not found.shared.any()
    assert not found.line.any()


def test_blocks_do_not_matter(planted, tmp_path, monkeypatch):
    tests, trainings = planted
    path = write(tmp_path / "train.txt", official(trainings))
    whole = compare(official(tests), path)
    monkeypatch.setattr(table, "BLOCK", 1_000)
    parts = compare(official(tests), path)
    np.testing.assert_array_equal(parts.shared, whole.shared)
    np.testing.assert_array_equal(parts.line, whole.line)


@pytest.mark.parametrize("max_rows", [5, 8, 150, 1_000])
@pytest.mark.parametrize("block", [1_000, 1 << 20])
def test_only_so_many_rows_are_compared(planted, tmp_path, monkeypatch, max_rows, block):
    monkeypatch.setattr(table, "BLOCK", block)
    tests, trainings = planted
    path = write(tmp_path / "train.txt", official(trainings))
    found = compare(official(tests), path, max_rows=max_rows)
    assert found.training_rows == min(max_rows, 150)
    np.testing.assert_allclose(found.shared, brute_force(tests, trainings[:max_rows]))
    assert (found.line <= max_rows).all()
    assert found.line[1] == (8 if max_rows >= 8 else 0)


def test_bad_rows_are_passed_over_and_lines_still_right(random, tmp_path):
    tests = [draw(random) for _ in range(30)]
    trainings = official([draw(random) for _ in range(5)])
    trainings[1] = "not DNA"
    trainings[3] = LEFT + tests[9] + RIGHT
    found = compare(official(tests), write(tmp_path / "train.txt", trainings))
    assert found.training_rows == 4
    assert found.line[9] == 4


def test_tests_without_any_kmers(tmp_path, random):
    path = write(tmp_path / "train.txt", ["ACGTACGT", draw(random)])
    found = compare(["TTTT", "ACGTACGT"], path)
    assert np.isnan(found.shared).all()
    assert found.line.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty"), ("x" * 20 + "\t1\n", "no usable row")]
)
def test_a_table_without_rows_is_refused(tmp_path, text, said):
    path = tmp_path / "train.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        compare(["ACGT"], path)


# The score as a function of it.


def test_groups_and_their_scores(random):
    shared = np.array([0, 0, 0.1, 0.25, 0.26, 0.5, 0.7, 0.76, 1, 1, np.nan, np.nan, 0.9])
    line = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0])
    rows = np.arange(12)  # the last row is not part of it
    predicted, measured = random.normal(size=(2, 12))
    found = by_similarity(Similarity(shared, line, 99), rows, predicted, measured)
    groups = {
        "none": [0, 1],
        "0% to 25%": [2, 3],
        "25% to 50%": [4, 5],
        "50% to 75%": [6],
        "75% to 100%": [7, 8],
        "same insert": [9, 10],
    }
    assert found["group"].tolist() == list(groups)
    for group, members in zip(found.itertuples(), groups.values(), strict=True):
        x, y = predicted[members], measured[members]
        assert group.n == len(members)
        assert group.deviation == pytest.approx(y.std())
        assert group.rms == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
        if len(members) > 1:
            assert group.pearson == pytest.approx(pearson(x, y))
            assert group.spearman == pytest.approx(spearman(x, y))


def test_rows_are_positions_of_the_suite(random):
    shared = np.array([0, 1, 0, 1, 0])
    found = by_similarity(
        Similarity(shared, np.zeros(5, int), 9),
        np.array([1, 2, 3]),
        np.array([1.0, 5, 2]),
        np.array([1.0, 7, 3]),
    )
    assert found["n"].tolist() == [1, 2]
    assert found["rms"].tolist() == pytest.approx([2, np.sqrt(0.5)])


def test_of_a_table_with_parts_only_the_training_rows_count(random, tmp_path):
    tests, trained = [[draw(random) for _ in range(3)] for _ in range(2)]
    rows = [f"{text},1,test" for text in tests] + [f"{text},2,train" for text in trained]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["seq,value,set", *rows, f"{turned(tests[2])},3,train"]) + "\n")
    columns = Columns(None, (), split="set")
    found = similarity_to_training(
        sequences_of(tests), path, columns, progress=False, split=Split("set")
    )
    assert found.line.tolist() == [0, 0, 8]
    assert found.training_rows == 4
