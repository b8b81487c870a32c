"""Stand-ins for trained runs, and a server in a thread."""

import contextlib
import socket
import threading

import numpy as np
import uvicorn

from dream_keras.config.settings import GameSettings
from dream_keras.runs.prediction import Distribution
from dream_keras.serve.app import Limits, make_app
from dream_keras.serve.model import Model

YEAST = GameSettings("saccharomyces_cerevisiae", ("yeast cells",))
HUMAN = GameSettings("homo_sapiens", ("K562", "HepG2", "SK-N-SH"))
LIMITS = Limits(2**20, 100, 1000)
CODES = np.full(256, 4)
CODES[list(b"ACGT")] = range(4)


def weights(tasks, seed):
    return np.random.default_rng(seed).normal(size=(tasks, 5**3))


def values(texts, tasks=1, seed=0):
    """Saturated sums of scores of 3-mers, (texts, tasks): what the stand-ins predict."""
    table, found = weights(tasks, seed), []
    for text in texts:
        codes = CODES[np.frombuffer(f"NN{text}".encode(), np.uint8)]
        words = codes[2:] + 5 * codes[1:-1] + 25 * codes[:-2]
        found.append(4 * np.tanh(table[:, words].sum(axis=1) / 20))
    return np.array(found)


def stand_in(name="stand-in", tasks=("expression",), seed=0, **fields):
    """A model that is quick; with ``asked``, a list, it notes what it predicts."""
    asked = fields.pop("asked", [])

    def function(views):
        asked.append(list(views))
        return Distribution(values([text for text, _ in views], len(tasks), seed)[None], None)

    return Model(name, function, tasks, **fields)


def yeast_model(**fields):
    ends = {"ends": ("TGCATTTTTTTCACATC", "GGTTACGGCTGTT"), "kept": (17, 13)}
    own = {"game": YEAST, "shortest": 18, "longest": 142, "random_length": 80}
    return stand_in(**{"name": "yeast_cnn", **own, **ends, **fields})


def human_model(**fields):
    own = {"tasks": ("k562", "hepg2", "sknsh"), "game": HUMAN, "longest": 200, "seed": 1}
    return stand_in(**{"name": "human_cnn", **own, **fields})


@contextlib.contextmanager
def running(models, limits=LIMITS, wrap=lambda app: app):
    """Serve in a thread; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(wrap(make_app(models, limits)), log_config=None, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
