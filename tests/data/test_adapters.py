"""Sequences without the adapters that a processor cuts off lose no base of their own."""

import re

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.data import alphabet, yeast
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.table import ReadSettings, load_rows, tokenize
from dream_keras.menu.autosome import AutosomeProcessor
from dream_keras.menu.bhi import BHIProcessor
from dream_keras.menu.unlockdna import UnlockDNAProcessor

PROCESSORS = [AutosomeProcessor, BHIProcessor, UnlockDNAProcessor]


@pytest.fixture
def inserts(random):
    return ["".join(random.choice(list("ACGT"), n)) for n in (80, 79, 40, 80, 100)]


def write(path, sequences):
    path.write_text("".join(f"{sequence}\t{n}\n" for n, sequence in enumerate(sequences)))
    return path


@pytest.mark.parametrize("setting", ["add", f"{yeast.LEFT_ADAPTER},{yeast.RIGHT_ADAPTER.lower()}"])
@pytest.mark.parametrize("kind", PROCESSORS)
def test_added_adapters_are_those_of_the_plasmid(tmp_path, inserts, kind, setting):
    whole = [yeast.LEFT_ADAPTER + insert + yeast.RIGHT_ADAPTER for insert in inserts]
    wanted = load_rows(write(tmp_path / "whole", whole), kind())
    got = load_rows(write(tmp_path / "bare", inserts), kind(), ReadSettings(adapters=setting))
    np.testing.assert_array_equal(got.tokens, wanted.tokens)


@pytest.mark.parametrize(("left", "right"), [("", "GG"), ("T", ""), ("AC", "GTT")])
def test_ends_are_put_on_sequences_of_any_length(left, right, random):
    texts = ["".join(random.choice(list("ACGTN"), n)) for n in (1, 7, 30)]
    adapters = ProcessorAdapters(AutosomeProcessor(), f"{left},{right}")
    tokens, lengths = adapters.put_on(*tokenize(texts, 100))
    got = [alphabet.decode(row[:n]) for row, n in zip(tokens, lengths, strict=True)]
    assert got == [left + text + right for text in texts]


def test_what_the_encoded_sequences_begin_and_end_with():
    for setting in (None, "present", "add"):
        ends = ProcessorAdapters(AutosomeProcessor(), setting).expected
        assert [alphabet.decode(end) for end in ends] == [yeast.LEFT_ADAPTER, yeast.RIGHT_ADAPTER]
    ends = ProcessorAdapters(AutosomeProcessor(), "ACG,T").expected
    assert [alphabet.decode(end) for end in ends] == ["ACG", "T"]


def refused(path, processor, setting=None):
    with pytest.raises(UserError) as caught:
        load_rows(path, processor, ReadSettings(adapters=setting))
    return str(caught.value)


@pytest.mark.parametrize("kind", [AutosomeProcessor, UnlockDNAProcessor])
def test_sequences_that_would_be_cut_are_refused_and_every_remedy_works(tmp_path, inserts, kind):
    path = write(tmp_path / "table", inserts[:3])
    message = refused(path, kind())
    assert f"most sequences do not begin with the adapter {yeast.LEFT_ADAPTER}" in message
    remedies = re.findall(r"--set data\.adapters=(\S+)", message)
    assert remedies == ["add", "LEFT,RIGHT", "present"]
    for remedy in remedies:
        remedy = remedy.replace("LEFT,RIGHT", "ACGTACGTACGTACGTA,TTT")
        assert len(load_rows(path, kind(), ReadSettings(adapters=remedy))) == 3


def test_a_processor_that_cuts_nothing_off_warns(tmp_path, inserts, caplog):
    for processor in (BHIProcessor(), UnlockDNAProcessor(head=0, tail=0)):
        caplog.clear()
        assert len(load_rows(write(tmp_path / "table", inserts), processor)) == 5
        assert "most sequences do not begin with" in caplog.text


def test_most_decides(tmp_path, inserts):
    whole = [yeast.LEFT_ADAPTER + insert for insert in inserts]
    assert len(load_rows(write(tmp_path / "a", whole[:3] + inserts[:3]), AutosomeProcessor())) == 6
    refused(write(tmp_path / "b", whole[:2] + inserts[:3]), AutosomeProcessor())


def test_adapters_are_not_put_on_twice(tmp_path, inserts):
    whole = write(tmp_path / "table", [yeast.LEFT_ADAPTER + insert for insert in inserts])
    message = refused(whole, AutosomeProcessor(), "add")
    assert f"most sequences begin with {yeast.LEFT_ADAPTER} already" in message
    assert len(load_rows(whole, AutosomeProcessor(), ReadSettings(adapters="present"))) == 5


def test_a_processor_without_adapters_has_none_to_add(tmp_path, inserts):
    processor = AutosomeProcessor()
    processor.left_adapter = processor.right_adapter = alphabet.encode("")
    path = write(tmp_path / "table", inserts)
    assert len(load_rows(path, processor)) == 5
    assert "the processor has no adapters. Give them" in refused(path, processor, "add")


def test_lengths_count_what_is_put_on(tmp_path):
    path = write(tmp_path / "table", ["A" * 137, "C" * 138])
    message = refused(path, AutosomeProcessor(), "add")
    assert "1 sequences are longer than the 167 bp" in message
    assert "(the longest has 168)" in message
    path = write(tmp_path / "table", ["A", "C"])
    assert len(load_rows(path, AutosomeProcessor(), ReadSettings(adapters="add"))) == 2


def test_what_was_put_on_is_known_to_runs_and_prepared_folders():
    plain, added = (load_experiment("dream_cnn", each) for each in ([], ["data.adapters=add"]))
    assert added.data.reading().adapters == "add"
    assert added.processor_settings() == plain.processor_settings() | {"data.adapters": "add"}


@pytest.mark.parametrize("value", ["both", "ACGT", "ACGT,XY", "A,C,G"])
def test_other_settings_are_refused(value):
    with pytest.raises(UserError, match="expected present, add, or LEFT,RIGHT"):
        load_experiment("dream_cnn", settings={"data.adapters": value})
