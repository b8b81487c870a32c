"""The memory of a search must not depend on how many trials it runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRIALS = 30
SPACE = """\
search:
  terms: {batch_size: 8, epochs: 1, steps_per_epoch: 2}
data: {simulated_rows: 600, simulated_test_rows: 600, long_rows: crop}
model:
  processor: {name: autosome, length: 110}
  first: {name: bhi, out_channels: {between: [4, 62], step: 2}}
  core: {name: unlockdna, layers: 1, num_heads: 1}
  final: autosome
trainer: autosome
"""
SEARCH = """\
import sys
from dream_keras.search.__main__ import main
from dream_keras.search import record
record.REDRAW = 0.0
main(sys.argv[1:])
"""
"""Draws the pictures after every trial, so that their memory shows per trial and not per second."""


def memory(process_id):
    """Return a process's resident memory in MiB; 0 if it is gone."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0
    return next((int(r.split()[1]) / 1024 for r in status.splitlines() if "VmRSS" in r), 0)


def children(process_id):
    file = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in file.read_text().split()] if file.exists() else []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_trials(tmp_path, capsys):
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    space.write_text(SPACE)
    command = [sys.executable, "-c", SEARCH, "--space", space, "--out", out]
    search = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks = {}  # after how many trials: peak of the parent, peak of its largest child
    journal = out / "journal.jsonl"
    while search.poll() is None:
        ended = journal.read_text().count('"end"') if journal.exists() else 0
        sizes = memory(search.pid), max(map(memory, children(search.pid)), default=0)
        peaks[ended] = tuple(map(max, peaks.get(ended, (0, 0)), sizes))
        time.sleep(0.1)
    assert search.returncode == 0
    assert journal.read_text().count('"reason": ""') == TRIALS
    early, late = (
        [max(sizes) for sizes in zip(*(peaks.get(n, (0, 0)) for n in numbers), strict=True)]
        # The first ten fill what is kept once, such as the fonts of the pictures.
        for numbers in (range(TRIALS - 20, TRIALS - 10), range(TRIALS - 10, TRIALS))
    )
    with capsys.disabled():
        print(
            f"\npeak memory in MiB, trials 11 to 20 and {TRIALS - 9} to {TRIALS}: parent "
            f"{early[0]:.0f} and {late[0]:.0f}, child {early[1]:.0f} and {late[1]:.0f} "
            f"({os.cpu_count()} cores)"
        )
    assert late[0] < early[0] + 30
    assert late[1] < 1.1 * early[1]
