"""The measure of regions at a tiny size."""

from benchmarks import region_reading


def test_regions_are_read(tmp_path):
    results = tmp_path / "RESULTS.md"
    size = ["--regions", "200", "--bp", "400000", "--repeats", "1"]
    region_reading.main([*size, "--results", str(results)])
    cells = results.read_text().splitlines()[-2].strip("| ").split(" | ")
    assert 180 <= int(cells[0]) <= 202
    assert float(cells[3]) > 0
    assert float(cells[4].replace(",", "")) > 0
