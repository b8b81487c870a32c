"""The measure of the command ``variants`` at a tiny size: both ways give the same table."""

import numpy as np
import pytest

pytest.importorskip("pyfaidx")
pytest.importorskip("torch")

from benchmarks import variants
from benchmarks.settings import Settings
from benchmarks.variant_work import VariantWork, views_per_variant, write_variants_to_score


@pytest.mark.slow
def test_the_section(tmp_path):
    results = tmp_path / "RESULTS.md"
    words = "--presets dream_cnn --variants 9 --repeats 1 --slim --results"
    variants.main([*words.split(), str(results)])
    rows = [line.split(" | ") for line in results.read_text().splitlines() if "| 9 |" in line]
    assert [row[2] for row in rows] == list(variants.WHO)


def test_both_ways_predict_the_same(tmp_path):
    write_variants_to_score(tmp_path, 12)
    work = VariantWork(Settings("dream_cnn", slim=True, table=str(tmp_path)))
    assert [way() for way in work.works.values()] == [12] * 3
    assert work.encoded is not None
    assert len(work.encoded) == 12 * views_per_variant()
    deltas = [
        np.loadtxt(tmp_path / f"{name}.tsv", skiprows=2, delimiter="\t", usecols=8)
        for name in ("Scorer", "TwoEach")
    ]
    np.testing.assert_allclose(*deltas, atol=2e-6)
    assert deltas[0].any()
