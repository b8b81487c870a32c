"""The measure of the reader at a tiny size."""

from benchmarks import reading
from benchmarks.results import write_section


def test_reading(tmp_path):
    results = tmp_path / "RESULTS.md"
    write_section(results, "other", ["kept"])
    reading.main(["--rows", "500", "--repeats", "1", "--results", str(results)])
    lines = results.read_text().splitlines()
    assert "kept" in lines
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:] == [
        "| two columns, tabs",
        "| header, commas",
        "| all quoted",
    ]
