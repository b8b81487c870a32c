"""The measure of exported files at a tiny size."""

from benchmarks import exporting


def test_the_table(tmp_path):
    page = tmp_path / "export.md"
    slim = ["model.first.out_channels=4", "model.core.widths=[]", "model.core.out_channels=4"]
    words = ["--presets", "dream_cnn", "--formats", "keras", "--repeats", "1"]
    exporting.main([*words, "--set", *slim, "model.processor.length=20", "--results", str(page)])
    lines = [line.split(" | ") for line in page.read_text().splitlines() if "dream_cnn" in line]
    assert [line[1] for line in lines] == ["the run, TensorFlow", "keras"]
    assert float(lines[1][2]) < 1e-5
