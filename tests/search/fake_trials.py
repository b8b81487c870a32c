"""Stand-ins for the training of a trial; child processes import them by name."""

import json
import os
import signal
import time
from pathlib import Path

from dream_keras.common.errors import UserError

METRICS = {"seconds": 1.0, "weights": 100.0, "val_spearman": 0.1}


def scored(config, folder):
    """Score an order by its names and seed, and note the call."""
    model, trainer = config["model"], config["trainer"]
    names = [slot if isinstance(slot, str) else slot["name"] for slot in model.values()]
    heads = model["core"].get("num_heads", 0) if isinstance(model["core"], dict) else 0
    score = 0.1 * len("".join(names)) + 0.01 * heads + 0.001 * trainer["seed"]
    with (Path(folder).parents[2] / "calls.jsonl").open("a") as file:
        file.write(json.dumps([Path(folder).parent.name, trainer["seed"]]) + "\n")
    return {**METRICS, "val_pearson": score, "epochs_asked": float(trainer["epochs"])}


def moody(config, folder):
    """Fail in a way that depends on the processor."""
    name = config["model"]["processor"]
    name = name if isinstance(name, str) else name["name"]
    heads = config["model"]["core"].get("num_heads", 0)
    if name == "bhi":
        if heads == 0:
            raise UserError("this order is refused")
        if heads == 1:
            raise ZeroDivisionError("what a pity\nsecond line")
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "unlockdna" and heads == 2:
        return {**METRICS, "val_pearson": float("nan")}
    return scored(config, folder)


def failing(config, folder):
    raise UserError("nothing works")


def full_disk(config, folder):
    raise OSError(28, "No space left on device", folder)


def slow(config, folder):
    """Take two epochs of a second each; a broken-off run goes on where it was."""
    state = Path(folder) / "epochs"
    state.parent.mkdir(exist_ok=True)
    done = len(state.read_text()) if state.exists() else 0
    with (Path(folder).parents[2] / "epochs.txt").open("a") as file:
        for _ in range(done, 2):
            time.sleep(1)
            with state.open("a") as epochs:
                epochs.write(".")
            file.write(f"{Path(folder).parent.name}\n")
            file.flush()
    return scored(config, folder)


def calls(folder):
    """Return the runs that were finished, in order."""
    file = Path(folder) / "calls.jsonl"
    return [tuple(json.loads(line)) for line in file.open()] if file.exists() else []


def process_id():
    return os.getpid()


def die(how):
    os.kill(os.getpid(), how)


def leave(status):
    os._exit(status)


def refuse():
    raise UserError("no")


def sleep_and_mark(path):
    time.sleep(3)
    Path(path).write_text("still alive")


def killed_after_an_epoch(config, folder):
    """Train for real, and die when the first epoch is on disk."""
    from dream_keras.search.worker import run_repeat
    from dream_keras.training.engine import Engine

    keep = Engine._keep

    def keep_and_die(engine, row, state):
        keep(engine, row, state)
        os.kill(os.getpid(), signal.SIGKILL)

    Engine._keep = keep_and_die
    return run_repeat(config, folder)


def train_file(config, folder):
    """Train a config as the command does; return its best validation score and its suite's."""
    import dream_keras

    result = dream_keras.train(config, out=folder, progress=False)
    return result.history["val_pearson"].max(), result.score.pearson_score
