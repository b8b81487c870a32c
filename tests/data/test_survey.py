import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.survey import Survey, survey
from dream_keras.data.table import tokenize


@given(
    st.lists(
        st.lists(st.text("AC", min_size=1, max_size=6), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    )
)
def test_ends_are_those_of_plain_text(chunks):
    found = Survey()
    for chunk in chunks:
        found.add(*tokenize(chunk, 9))
    texts = [text for chunk in chunks for text in chunk]
    backwards = os.path.commonprefix([text[::-1] for text in texts])
    assert alphabet.decode(found.left) == os.path.commonprefix(texts)
    assert alphabet.decode(found.right) == backwards[::-1]
    assert (found.rows, found.longest) == (len(texts), max(map(len, texts)))


def write(path, random, rows, left="", right=""):
    inserts = ["".join(random.choice(list("ACGT"), 12 + row % 3)) for row in range(rows)]
    path.write_text(
        "".join(f"{left}{insert}{right}\t{row}\n" for row, insert in enumerate(inserts))
    )
    return path


def test_adapters_are_reported(tmp_path, random, caplog):
    caplog.set_level("INFO", "dream_keras")
    table = write(tmp_path / "table.tsv", random, 50, "ACGTACGG", "TTT")
    assert survey(table).longest == 8 + 14 + 3
    assert '50 sequences begin with "ACGTACGG' in caplog.text
    caplog.clear()
    assert not survey(write(tmp_path / "other.tsv", random, 50)).has_adapters
    assert not survey(write(tmp_path / "few.tsv", random, 5, "ACGTACGG")).has_adapters
    assert "begin with" not in caplog.text


def test_what_cannot_be_surveyed_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"set model\.processor\.length"):
        survey("-")
    table = tmp_path / "bad.tsv"
    table.write_text("AXC\t1\nAX\t2\n")
    with pytest.raises(UserError, match="no usable row"):
        survey(table)


def test_an_empty_chunk_changes_nothing():
    found = Survey()
    found.add(np.empty((0, 1), np.uint8), np.empty(0, np.int32))
    assert found == Survey()
