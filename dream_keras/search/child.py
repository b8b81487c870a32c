"""Run functions in a child process, which isolates crashes and frees its memory."""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar, TypeVarTuple

from tqdm import tqdm

from dream_keras.common.errors import UserError

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

CALLS = 8
"""Calls after which the child is replaced, which frees what a framework leaks. The first child's
first call only tests that it starts."""


class ChildDied(RuntimeError):
    """The child process ended in the middle of a call."""


class Child:
    """One child process at a time, started when needed; use as a context.

    Only one call may run at a time.
    """

    def __init__(self, calls: int = CALLS):
        self._calls = calls
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[BaseProcess] = set()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None:
            self.end()
        else:
            self.kill()

    def run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call a function of a module in the child, and return what it returns.

        Raises:
            ChildDied: If the process ended instead.
            UserError: If no process can be started.
            Exception: Whatever the function raised.
        """
        if self._pool is None:
            self._others = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                max_tasks_per_child=self._calls,
            )
            try:
                self._pool.submit(os.getpid).result()
            except BrokenProcessPool:
                raise UserError(
                    "no child process can be started. A script that calls search needs "
                    'if __name__ == "__main__": around the call.'
                ) from None
        # Before and after: submitting may replace the child, and one that has died is not listed.
        processes = self._processes()
        call = self._pool.submit(function, *arguments)
        processes += self._processes()
        try:
            return call.result()
        except BrokenProcessPool:
            self.kill()
            codes = [process.exitcode for process in processes if process.exitcode]
            raise ChildDied(_describe(codes[0] if codes else None)) from None

    def end(self) -> None:
        """Let the child end; the next call starts another."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def kill(self) -> None:
        """Kill the child at once."""
        if self._pool is not None:
            for process in self._processes():
                process.kill()
        self.end()

    def _processes(self) -> list[BaseProcess]:
        return [p for p in multiprocessing.active_children() if p not in self._others]


def _describe(code: int | None) -> str:
    if code is None:
        return "the process died"
    if code > 0:
        return f"the process ended with status {code}"
    memory = "; possibly out of memory" if code == -signal.SIGKILL else ""
    return f"the process died with signal {-code} ({signal.Signals(-code).name}){memory}"


def _start() -> None:
    """Prepare a child: it ends with its parent and ignores Ctrl-C."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        # Without this, a child whose parent was killed would keep writing into a run folder that
        # a resumed search has assigned to another child.
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    # Ctrl-C reaches all processes of a terminal; the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Progress bars of a killed child would otherwise leave a semaphore behind, and a warning.
    tqdm.set_lock(threading.RLock())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
