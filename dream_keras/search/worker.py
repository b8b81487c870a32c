"""The worker of a search: requests trials, runs each in a child process and reports the outcome."""

import contextlib
import errno
import json
import logging
import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import yaml

from dream_keras.common.errors import UserError
from dream_keras.common.files import write_text
from dream_keras.common.text import reason
from dream_keras.config.yaml_file import Yaml
from dream_keras.search.chief import Answer, Outcome, Task
from dream_keras.search.child import Child, ChildDied
from dream_keras.search.journal import Metrics

POLL = 1.0
"""Seconds between two requests of a waiting worker."""
RESULT = "result.json"
"""Metrics of a completed run, in its folder."""
METRICS = ("val_pearson", "val_spearman", "val_mse", "pearson_score", "spearman_score")
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM)
"""Errors of the machine rather than of a trial: every other trial would fail too."""

log = logging.getLogger(__name__)
Repeat = Callable[[dict[str, Yaml], str], Metrics]


class Coordinator(Protocol):
    """Where a worker gets its trials: the chief, or a connection to it."""

    def ask(self, worker: str) -> Task | Answer:
        """Return a trial, or whether to wait or stop."""

    def heartbeats(self, task: Task) -> contextlib.AbstractContextManager[object]:
        """Send heartbeats inside this context."""

    def tell(self, number: int, outcome: Outcome) -> None:
        """Report the outcome of a trial."""


def work(
    coordinator: Coordinator,
    name: str,
    folder: Path,
    adapt: Callable[[dict[str, Yaml]], dict[str, Yaml]] = lambda config: config,
    after: Callable[[int, Outcome], None] = lambda number, outcome: None,
) -> None:
    """Run trials until there are no more.

    Args:
        coordinator: Source of the trials.
        name: The worker's name; a worker restarted under the same name gets its trial back.
        folder: The search's folder; each trial has a subfolder in ``trials``.
        adapt: Adapts a trial's experiment to this machine.
        after: Called after each trial.
    """
    with Child() as child:
        while (task := coordinator.ask(name)) is not Answer.STOP:
            if not isinstance(task, Task):
                time.sleep(POLL)
                continue
            with coordinator.heartbeats(task):
                config = adapt(task.config)
                outcome = run_trial(task, config, folder, child)
            coordinator.tell(task.number, outcome)
            after(task.number, outcome)


def run_trial(task: Task, config: dict[str, Yaml], folder: Path, child: Child) -> Outcome:
    """Run or resume a trial; it ends at the first run that fails."""
    trial = folder / "trials" / f"{task.number:04d}"
    trial.mkdir(parents=True, exist_ok=True)
    write_text(trial / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    repeats: list[Metrics] = []
    for seed in task.seeds:
        run = trial / f"seed-{seed}"
        seeded = {**config, "trainer": {**config["trainer"], "seed": seed}}
        try:
            metrics, reason = child.run(_quietly, run_repeat, seeded, str(run))
        except ChildDied as death:
            metrics, reason = {}, str(death)
        if _replicas(run) > 1:
            # TensorFlow numbers collective operations anew for each strategy of a process, so those
            # of a second strategy would be confused with the first one's.
            child.end()
        if not reason and not math.isfinite(metrics.get(task.objective, math.nan)):
            reason = (
                f"{task.objective} is not a number: the predictions or the measured values are "
                "constant"
            )
        if reason:
            return Outcome(repeats, f"seed {seed}: {reason}" if len(task.seeds) > 1 else reason)
        repeats.append(metrics)
    return Outcome(repeats)


def _replicas(run: Path) -> int:
    """Return the number of devices of a run; 1 if it did not get that far."""
    try:
        return json.loads((run / "environment.json").read_text())["replicas"]
    except (OSError, ValueError, KeyError):
        return 1


def _quietly(repeat: Repeat, config: dict[str, Yaml], folder: str) -> tuple[Metrics, str]:
    """Run one seed in the child; its output goes to ``log.txt`` beside its folder.

    Returns:
        The metrics and an empty reason, or no metrics and why it failed.
    """
    with Path(folder).with_name("log.txt").open("a") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        return repeat(config, folder), ""
    except UserError as error:
        return {}, str(error)
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno in _OURS:
            raise OSError(error.errno, error.strerror, error.filename) from None
        return {}, f"{type(error).__name__}: {reason(error)[:300]} (log.txt has more)"


def run_repeat(config: dict[str, Yaml], folder: str) -> Metrics:
    """Train and score one run of a trial; resume an interrupted one, read a finished one."""
    run = Path(folder)
    if (run / RESULT).exists():
        return json.loads((run / RESULT).read_text())
    from dream_keras.common.cli import load_backend

    load_backend()
    import keras

    from dream_keras.config.experiment import Experiment
    from dream_keras.runs.folder import RunFolder
    from dream_keras.scoring.card import ScoreCard
    from dream_keras.train import train

    keras.backend.clear_session()
    resume = (run / "config.yaml").exists()
    experiment = None if resume else Experiment.parse(config)
    result = train(experiment, out=run, resume=resume, progress=False)
    # The engine's rule: the first of the best epochs; an undefined correlation never wins.
    best = result.history.iloc[int(result.history["val_pearson"].fillna(-2.0).argmax())]
    metrics: Metrics = {
        **{name: float(best[name]) for name in METRICS[:3]},
        "best_epoch": float(best["epoch"]),
        "loss": float(best["loss"]),
        "weights": float(sum(math.prod(w.shape) for w in result.network.trainable_weights)),
        "seconds": float(result.history["seconds"].sum()),
    }
    if isinstance(result.score, ScoreCard):
        metrics["pearson_score"] = float(result.score.pearson_score)
        metrics["spearman_score"] = float(result.score.spearman_score)
    RunFolder(run).write_json(RESULT, metrics)
    return metrics
