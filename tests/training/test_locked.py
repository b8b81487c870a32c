"""Two trainings and one run folder."""

import subprocess
import sys
import time

import pytest

import dream_keras
from dream_keras.common.errors import UserError

SMALL = [
    "model.first={name: autosome, out_channels: 8}",
    "model.core={name: autosome, widths: [8], out_channels: 8}",
    "trainer.epochs=3",
    "trainer.steps_per_epoch=2",
    "trainer.batch_size=16",
]
HOLD = """
import sys, time
from dream_keras.training import engine
from dream_keras import train
before = engine.Engine.run
def run(self):
    state = before(self)
    print("trained", flush=True)
    time.sleep(300)
    return state
engine.Engine.run = run
train("dream_cnn", train=sys.argv[1], out=sys.argv[2], overrides=sys.argv[3:], progress=False)
"""


@pytest.mark.slow
def test_a_living_run_is_left_alone_and_a_killed_one_goes_on(tmp_path, training_table):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, training_table, out, *SMALL], stdout=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 100
        while not (out / ".writing-lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # Also before it has written anything.
        for again in ({"train": training_table, "overrides": SMALL}, {}):
            with pytest.raises(UserError, match=r"another process|exists already|not a run folder"):
                dream_keras.train("dream_cnn", out=out, resume=not again, progress=False, **again)
        assert process.stdout.readline() == b"trained\n"
        with pytest.raises(UserError, match=f"another process .*process {process.pid} on"):
            dream_keras.train(out=out, resume=True, progress=False)
        with pytest.raises(UserError, match="exists already"):
            dream_keras.train(train=training_table, out=out, progress=False)
    finally:
        process.kill()
        process.wait()
    result = dream_keras.train(out=out, resume=True, progress=False)
    assert len(result.history) == 3
    assert not [file for file in out.iterdir() if file.name.startswith(".writing-lock")]
