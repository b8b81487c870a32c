"""Which of several worker processes this one is, as ``TF_CONFIG`` says. Imports no framework."""

import json
import os
from dataclasses import dataclass

from dream_keras.common.errors import UserError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class WorkerProcess:
    """One of several worker processes; the first one is the chief, and only the chief writes.

    Attributes:
        worker: Its number, from 0.
        addresses: HOST:PORT of all workers; none for a process on its own.
    """

    worker: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        """The number of worker processes."""
        return max(len(self.addresses), 1)

    @property
    def is_chief(self) -> bool:
        """Whether it is the process that writes."""
        return self.worker == 0


ALONE = WorkerProcess()


def find_worker_process(strategy: str) -> WorkerProcess:
    """Return which worker this process is under a strategy, as in ``runtime.strategy``.

    Raises:
        UserError: If the strategy has several workers and ``TF_CONFIG`` does not name them.

    Examples:
        >>> from unittest import mock
        >>> find_worker_process("mirrored")
        WorkerProcess(worker=0, addresses=())
        >>> with mock.patch.dict(os.environ, {VARIABLE: EXAMPLE}):
        ...     find_worker_process("multiworker")
        WorkerProcess(worker=0, addresses=('10.0.0.1:2222', '10.0.0.2:2222'))
    """
    if strategy != "multiworker":
        return ALONE
    text = os.environ.get(VARIABLE)
    if not text:
        raise UserError(
            f"runtime.strategy=multiworker needs the environment variable {VARIABLE} in each "
            f"process, with its own index, for example {EXAMPLE}"
        )
    try:
        plain = json.loads(text)
        cluster, task = plain["cluster"], plain["task"]
        roles = {role: list(map(str, cluster.get(role, []))) for role in ("chief", "worker")}
        own, index = roles[task["type"]], int(task["index"])
        before = len(roles["chief"]) if task["type"] == "worker" else 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{VARIABLE}={text} cannot be used ({type(error).__name__}: {error}); expected the "
            f"form {EXAMPLE}"
        ) from None
    if not 0 <= index < len(own):
        raise UserError(
            f"{VARIABLE}: index {index}, but there are {len(own)} addresses of type "
            f"{task['type']}, counted from 0"
        )
    return WorkerProcess(before + index, (*roles["chief"], *roles["worker"]))
