"""Training that starts from another run's weights."""

import dataclasses
import logging
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from test_any_assay import SMALL

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import decode, encode
from dream_keras.data.alphabet import reverse_complement as of_tokens
from dream_keras.data.duplicates import strand_keys
from dream_keras.runs.test_part import TableSuite, warn_of_rows_seen
from dream_keras.training.engine import Engine
from dream_keras.training.fine_tuning import layers_of

FEW_STEPS = [*SMALL, "trainer.steps_per_epoch=5"]
STILL = {"freeze": "first,core"}


def reverse_complement(text):
    return decode(of_tokens(encode(text)[None])[0])


def rows(seed, count=120, longest=40, columns=("liver",)):
    random = np.random.default_rng(seed)
    sequences = ["".join(random.choice(list("ACGT"), longest - row % 9)) for row in range(count)]
    gc = np.array([sum(base in "GC" for base in text) for text in sequences])
    return pd.DataFrame({"seq": sequences} | {name: gc + k for k, name in enumerate(columns)})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run on one table."""
    folder = tmp_path_factory.mktemp("source")
    rows(0).to_csv(folder / "first.csv", index=False)
    dream_keras.train(
        "any_dream_cnn",
        train=folder / "first.csv",
        out=folder / "run",
        overrides=FEW_STEPS,
        progress=False,
    )
    return folder / "run"


def tune(source, out, *overrides, table=None, **settings):
    return dream_keras.train(
        init_from=source,
        train=rows(1) if table is None else table,
        out=out,
        sequence_column="seq",
        overrides=overrides,
        progress=False,
        deterministic=True,
        **{"target_columns": ["liver"]} | settings,
    )


def weights(network, slot):
    return {w.path: w.numpy() for layer in layers_of(network, slot) for w in layer.weights}


def same(network, source, slot):
    """Return whether a slot's weights are those of the run it started from, for each."""
    ours, theirs = weights(network, slot), weights(dream_keras.load_run(source).network, slot)
    assert ours.keys() == theirs.keys()
    return {path: np.array_equal(ours[path], theirs[path]) for path in ours}


def test_frozen_slots_stay_to_the_bit_with_their_statistics(source, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dream_keras")
    result = tune(source, tmp_path / "run", **STILL)
    for slot in ("first", "core"):
        assert all(same(result.network, source, slot).values())
    assert not all(same(result.network, source, "final").values())
    taken = caplog.text.partition("weights taken from")[2].partition("\n")[0]
    assert "fresh" not in taken
    run = dream_keras.load_run(tmp_path / "run")
    assert run.experiment.init_from == str(source)
    assert run.experiment.data.target_columns == ("liver",)


def test_more_tasks_on_another_scale_and_another_length(source, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dream_keras")
    table = rows(1, longest=60, columns=("liver", "brain"))
    table["liver"] *= 100
    result = tune(
        source,
        tmp_path / "run",
        table=table,
        target_columns=["liver", "brain"],
        **STILL,
    )
    assert result.network.tasks == 2
    assert result.network.length == 60
    assert all(same(result.network, source, "core").values())
    assert "core 48 of 48; final 0 of 8 (fresh: final_features1/kernel (1, 8, 8)" in caplog.text
    mean = dream_keras.load_run(result.folder).processor.label_mean[0]
    assert mean == pytest.approx(table["liver"].mean(), rel=0.05)


def test_the_input_is_no_shorter_than_the_runs(source, tmp_path):
    assert tune(source, tmp_path / "run", table=rows(1, longest=30)).network.length == 40


def test_a_length_that_is_set_is_kept(source, tmp_path):
    with pytest.raises(UserError, match="longer than the 50 bp that the processor takes"):
        tune(source, tmp_path / "run", "model.processor.length=50", table=rows(1, longest=60))


def test_updates_have_the_rank_that_was_asked_for(source, tmp_path):
    """The saved network is an ordinary one, with the updates added to its kernels."""
    result = tune(source, tmp_path / "run", lora=2)
    before = dream_keras.load_run(source).network
    ranks = []
    for slot in ("first", "core"):
        ours, theirs = weights(result.network, slot), weights(before, slot)
        for path, kept in same(result.network, source, slot).items():
            if path.endswith("/kernel") and not kept:
                change = (ours[path] - theirs[path]).astype(np.float64)
                values = np.linalg.svd(change.reshape(-1, change.shape[-1]), compute_uv=False)
                ranks.append(int((values > 1e-4 * values[0]).sum()))
            elif not path.endswith("/bias"):
                assert kept, path
    assert ranks
    assert max(ranks) == 2


LATER = {"freeze": "first", "overrides": ("trainer.unfreeze_epoch=2", "trainer.core_rate=0")}


@pytest.mark.parametrize(
    "settings",
    [
        LATER,
        STILL,
        {"lora": 2},
    ],
    ids=["unfrozen", "frozen", "low rank"],
)
@pytest.mark.slow
def test_a_broken_run_resumes_to_the_same_weights(source, tmp_path, monkeypatch, settings):
    settings = dict(settings)
    overrides = settings.pop("overrides", ())
    tune(source, tmp_path / "whole", *overrides, **settings)
    with monkeypatch.context() as patch:
        epoch = Engine._epoch

        def broken(self, number, *arguments):
            if number == 2:
                raise KeyboardInterrupt
            epoch(self, number, *arguments)

        patch.setattr(Engine, "_epoch", broken)
        with pytest.raises(KeyboardInterrupt):
            tune(source, tmp_path / "broken", *overrides, **settings)
    first_epoch = dream_keras.load_run(tmp_path / "broken").network
    moved = source.rename(source.with_name("moved"))
    try:
        resumed = dream_keras.train(out=tmp_path / "broken", resume=True, progress=False)
    finally:
        moved.rename(source)
    states = [np.load(tmp_path / name / "state.npz") for name in ("whole", "broken")]
    for name in set(states[0].files) - {"state"}:
        np.testing.assert_array_equal(*(state[name] for state in states))
    if "unfreeze_epoch" not in str(overrides):
        return
    trained = {weight.path for weight in first_epoch.trainable_weights}
    for network, slot, moves in [
        (first_epoch, "first", False),
        (first_epoch, "core", False),
        (first_epoch, "final", True),
        (resumed.network, "first", True),
        (resumed.network, "core", False),
    ]:
        kept = same(network, source, slot)
        assert all(kept[path] for path in kept if path in trained) != moves


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"init_from": None, "freeze": "core"}, r"give the run they come from \(--from RUN\)"),
        ({"init_from": None, "lora": 4}, r"give the run they come from \(--from RUN\)"),
        ({"freeze": "first,core,final"}, "nothing to train"),
        ({"freeze": "middle"}, "one of first, core, final, got"),
        ({"overrides": ["trainer.unfreeze_epoch=3"]}, "no slot is frozen"),
        ({"lora": 2, "freeze": "first,core"}, "no dense or convolution layer"),
        ({"config": "mpralegnet"}, "no weight of .* fits this network"),
        ({"init_from": "nowhere"}, "nowhere is not a run folder"),
    ],
)
def test_mistakes(source, tmp_path, settings, said):
    given = {"init_from": source, "train": rows(1), "out": tmp_path / "run", "progress": False}
    given |= {"sequence_column": "seq", "target_columns": "liver"}
    if settings.get("init_from", source) is None:
        given["config"] = "any_dream_cnn"
    with pytest.raises(UserError, match=said):
        dream_keras.train(**given | settings)
    assert not (tmp_path / "run").exists()


def test_a_damaged_config_of_the_first_run_is_named(source, tmp_path):
    shutil.copytree(source, tmp_path / "first")
    config = tmp_path / "first" / "config.yaml"
    config.write_text(re.sub(r"^model:\n(  .*\n)+", "", config.read_text(), flags=re.MULTILINE))
    with pytest.raises(UserError, match=r"config.yaml: .*model"):
        tune(tmp_path / "first", tmp_path / "run")


def test_rows_that_the_first_run_was_trained_on(source, caplog):
    """On either strand; runs that it started from count too."""
    first = pd.read_csv(source.with_name("first.csv"))
    sequences = [first["seq"][0], reverse_complement(first["seq"][1]), "ACGT" * 9]
    keys = [strand_keys(encode(text)[None], np.array([len(text)])) for text in sequences]
    test = TableSuite("", "", np.concatenate(keys), ["a", "b", "c"])
    run = dream_keras.load_run(source)
    warn_of_rows_seen(test, run)
    assert f"2 of 3 test rows stand among the rows that {source} was trained on" in caplog.text
    caplog.clear()
    data = dataclasses.replace(run.experiment.data, train="gone.csv")
    chained = dataclasses.replace(run.experiment, data=data, init_from=str(source))
    warn_of_rows_seen(test, dataclasses.replace(run, experiment=chained))
    assert "was trained on test rows is not known" in caplog.text
    assert "2 of 3 test rows" in caplog.text
