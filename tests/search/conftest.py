import pytest

from dream_keras.search.plan import load_plan

SPACE = """\
search:
  terms: {batch_size: 8, epochs: 2, steps_per_epoch: 3}
data: {simulated_rows: 600, simulated_test_rows: 600, long_rows: crop}
model:
  processor:
    choose:
      - {name: autosome, length: 110}
      - bhi
      - unlockdna
  first: {name: bhi, out_channels: 8}
  core:
    choose:
      - {name: autosome, widths: [8], out_channels: 8}
      - {name: unlockdna, layers: 1, num_heads: {choose: [1, 2]}}
  final: autosome
trainer:
  follow: processor
  choose:
    - {name: autosome, learning_rate: 0.005}
    - bhi
    - {name: unlockdna, warmup_steps: 3}
"""
"""3 processors with their trainers, and 1 + 2 cores: 9 orders."""


@pytest.fixture
def space_file(tmp_path):
    """Write a space with some of its text replaced; return the file."""

    def write(**replaced):
        text = SPACE
        for old, new in replaced.pop("replace", {}).items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def plan(space_file):
    return load_plan(space_file())
