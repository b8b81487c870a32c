"""The measure of the augmentation at a tiny size."""

from benchmarks import augmenting


def test_augmenting(tmp_path):
    results = tmp_path / "RESULTS.md"
    augmenting.main(["--rows", "1100", "--repeats", "1", "--results", str(results)])
    rows = [line.split(" | ")[:2] for line in results.read_text().splitlines() if " bp | " in line]
    whats = ["augmentation alone", "batches of the stream"]
    assert rows == [[f"| {length} bp", what] for length in (110, 230) for what in whats]
