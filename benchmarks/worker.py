"""One contestant in a process of its own, which works only when it is told to.

    python -m benchmarks.worker CONTESTANT SETTINGS

reads the name of a piece of work per line and answers each with a line of JSON. So contestants
whose libraries cannot share a process take turns, repeat by repeat.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from benchmarks.settings import Settings

NEEDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
"""Contestants, and the package without which each stays away. Keras's backend has its name."""


def installed() -> list[str]:
    """Return the contestants whose package is installed."""
    return [name for name, package in NEEDS.items() if find_spec(package)]


class Worker:
    """A contestant's process.

    Attributes:
        facts: What it says of itself: its device, and ours the network's operations.
    """

    def __init__(self, contestant: str, settings: Settings, gpu: bool = False):
        cores = str(len(os.sched_getaffinity(0)))
        threads = {"OMP_NUM_THREADS": cores, "TF_NUM_INTRAOP_THREADS": cores}
        no_gpu = {} if gpu else {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
        own = {"KERAS_BACKEND": contestant, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contestant, json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads, **no_gpu, **own},
        )
        self._contestant = contestant
        self.facts = self._answer()

    def ask(self, work: str) -> dict[str, Any]:
        """Have a piece of work done; return its rows, seconds, and the peak memory so far."""
        assert self._process.stdin
        self._process.stdin.write(work + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"the process of {self._contestant} ended; its message is above")
        return json.loads(line)


def main() -> None:
    """Serve one contestant until the input ends."""
    contestant, settings = sys.argv[1], Settings(**json.loads(sys.argv[2]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    side: Any
    if contestant == "torch":
        from benchmarks.twin import Twin

        side = Twin(settings)
    else:
        from benchmarks.ours import Ours

        side = Ours(settings)
    print(json.dumps(side.facts()), file=answers, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        rows = side.works[line.strip()]()
        seconds = time.perf_counter() - began
        peak = side.gpu_memory()
        if peak is None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        answer = {"rows": rows, "seconds": seconds, "gib": peak}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
