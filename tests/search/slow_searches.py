"""The search command in processes of its own, with slow stand-ins for the training."""

import os
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = (
    # Python leaves Ctrl-C ignored where whoever started the tests ignores it.
    "import signal\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import fake_trials\n"
    "from dream_keras.search import worker\n"
    "worker.run_repeat = fake_trials.slow\n"
    "from dream_keras.common.cli import run\n"
    "from dream_keras.search.__main__ import main\n"
    "run(main)\n"
)
"""The command, with trials of two epochs of a second each."""


def start(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def epochs(folder):
    """Return the trials of the epochs that were trained, in order."""
    file = folder / "epochs.txt"
    return file.read_text().split() if file.exists() else []
