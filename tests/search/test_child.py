import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_trials
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.search.child import Child, ChildDied


def test_calls_run_in_another_process_which_is_replaced_now_and_then():
    with Child(calls=2) as child:
        ids = [child.run(fake_trials.process_id) for _ in range(5)]
    assert os.getpid() not in ids
    assert ids[0] != ids[1] == ids[2] != ids[3] == ids[4]
    assert not multiprocessing.active_children()


def test_a_script_without_a_guard_is_told_so(tmp_path):
    """A child imports the script, which calls search again, and so on."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom dream_keras.search.child import Child\nChild().run(os.getpid)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(dream_keras.__file__).parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "dream_keras.common.errors.UserError: no child process"
    )


def test_errors_come_through():
    with Child() as child, pytest.raises(UserError, match="no"):
        child.run(fake_trials.refuse)


@pytest.mark.parametrize(
    ("function", "argument", "said"),
    [
        (fake_trials.die, signal.SIGKILL, r"signal 9 \(SIGKILL\); possibly out of memory"),
        (fake_trials.die, signal.SIGSEGV, r"signal 11 \(SIGSEGV\)$"),
        (fake_trials.leave, 3, "ended with status 3"),
    ],
)
def test_a_crash_is_an_error_and_the_next_call_works(function, argument, said):
    with Child() as child:
        with pytest.raises(ChildDied, match=said):
            child.run(function, argument)
        assert child.run(fake_trials.process_id) != os.getpid()


def test_a_child_does_not_outlive_its_parent(tmp_path):
    """Else it would write into a run folder that a resumed search has given to another child."""
    mark = tmp_path / "mark"
    script = (
        "import fake_trials\n"
        "from dream_keras.search.child import Child\n"
        f"Child().run(fake_trials.sleep_and_mark, {str(mark)!r})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment)
    time.sleep(2.5)
    parent.kill()
    parent.wait()
    time.sleep(3.5)
    assert not mark.exists()
