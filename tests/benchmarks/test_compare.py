"""The comparison at tiny sizes: what is measured, and the tables that come of it."""

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import compare, scaling
from benchmarks.results import table, write_section
from benchmarks.settings import PRESETS, Settings, write_table
from benchmarks.turns import Measured, in_turns
from benchmarks.worker import Worker


def measured(rates, seconds=(), **facts):
    return Measured(facts, list(seconds), list(rates), 0.5)


def test_ratios_and_shares_are_medians_over_the_repeats(capsys):
    found = {
        "ours": measured([30, 10, 40], flops=7),
        "twin": measured([10, 5, 40]),
        compare.PEAK: measured([2100, 2100, 2100]),
    }
    made = compare.lines(Settings("dream_cnn"), "training step", found, passes=3)
    # 3 passes of 7 operations: 30 rows/s are 630 of 2,100 operations per second.
    assert made[0] == ["dream_cnn", "training step", "ours", "30", "2.00", "30 %", "0.50"]
    assert made[1] == ["dream_cnn", "training step", "twin", "10", "1", "10 %", "0.50"]
    assert len(made) == 2


def test_a_section_is_replaced_and_others_stay(tmp_path):
    path = tmp_path / "RESULTS.md"
    for name, line in [("cpu", "old"), ("gpu", "kept"), ("cpu", r"new \1")]:
        write_section(path, name, table(["head"], [[line]]))
    text = path.read_text()
    assert "old" not in text
    assert text.index(r"| new \1 |") < text.index("| kept |")
    assert text.count("<!-- cpu -->") == 1


def test_a_backend_that_is_not_installed_stays_away(monkeypatch):
    monkeypatch.setattr(compare, "installed", lambda: ["jax", "torch"])
    tracks = compare.ours(Settings("dream_cnn"), "step")
    assert [track.contestant for track in tracks] == ["jax"]


def test_a_gpu_adds_the_compiled_twin():
    names = [track.who for track in compare.twins(Settings("dream_cnn"), "step", gpu=True)]
    assert names == [compare.TWIN, "twin, compiled"]


def test_random_table_is_read_as_it_was_written(tmp_path):
    from dream_keras.data.table import load_rows
    from dream_keras.menu.autosome import AutosomeProcessor

    rows = load_rows(write_table(tmp_path / "rows.txt", 30), AutosomeProcessor())
    assert rows.tokens.shape == (30, 150)
    assert not rows.skipped
    assert len(np.unique(rows.labels)) > 20


@pytest.mark.parametrize("work", ["predict", "step", "train"])
def test_twin_does_the_rows_it_says(work, tmp_path):
    from benchmarks.twin import Twin

    path = write_table(tmp_path / "rows.txt", 5)
    twin = Twin(Settings("dream_cnn", batch=2, slim=True, table=str(path)))
    twin._build(5)
    before = [weight.clone() for weight in twin.network.parameters()]
    rows = twin.works["train_per_row" if work == "train" else work]()
    changed = any((a != b).any() for a, b in zip(before, twin.network.parameters(), strict=True))
    assert rows == {"predict": 4, "step": 2, "train": 10}[work]
    assert changed == (work != "predict")


@pytest.mark.parametrize("preset", PRESETS)
def test_both_sides_train_the_same_tiny_network(preset):
    from benchmarks.ours import Ours
    from benchmarks.twin import Twin

    settings = Settings(preset, batch=2, slim=True)
    ours, twin = Ours(settings)._build().network, Twin(settings)._build()
    weights = sum(weight.numel() for weight in twin.parameters())
    assert sum(int(np.prod(w.shape)) for w in ours.trainable_weights) == weights


def test_a_process_answers_with_rows_seconds_and_memory(tmp_path):
    worker = Worker("torch", Settings("dream_cnn", batch=2, slim=True))
    try:
        assert worker.facts == {"device": "cpu"}
        answer = worker.ask("step")
        assert answer["rows"] == 2
        assert answer["seconds"] > 0
        assert answer["gib"] > 0.05
        with pytest.raises(RuntimeError, match="torch ended"):
            worker.ask("no such work")
    finally:
        worker.close()


@pytest.mark.slow
def test_whole_comparison(tmp_path):
    results = tmp_path / "RESULTS.md"
    sizes = ["--slim", "--batch", "4", "--repeats", "1", "--rows", "2000", "--train-rows", "10"]
    compare.main([*sizes, "--presets", "dream_cnn", "--device", "cpu", "--results", str(results)])
    text = results.read_text()
    for who in [*compare.OURS.values(), compare.TWIN, compare.PER_ROW, compare.ONE_BY_ONE]:
        assert f"| {who} |" in text
    assert compare.PEAK not in text


@pytest.mark.slow
def test_gpu_code_path_without_a_gpu(tmp_path):
    settings = Settings("dream_cnn", 4, 2, "mixed_bfloat16", slim=True)
    tracks = compare.ours(settings, "step")[-1:] + compare.twins(settings, "step", gpu=False)
    tracks.append(compare.limit(settings))
    found = in_turns(tracks, 1)
    made = compare.lines(settings, "training step", found, passes=3)
    assert [line[0] for line in made] == ["dream_cnn, mixed_bfloat16"] * 2


@pytest.mark.slow
def test_scaling(tmp_path):
    results = tmp_path / "RESULTS.md"
    scaling.main(["--rows", "2000", "--batch", "256", "--repeats", "1", "--results", str(results)])
    text = results.read_text()
    assert "| 2,000 | in memory |" in text
    assert "| 2,000 | streamed |" in text
    assert "| mirrored:2 |" in text
    assert (tmp_path / "scaling.png").stat().st_size > 5_000
