"""Requests per second, response times and memory of ``dream_keras.serve`` under load.

    python -m benchmarks.serving [--requests 10000]

A server process with a slim, untrained DREAM-CNN, so that the server more than the network is
measured. Clients in threads of this process ask over the loopback interface, one request after the
other: mostly 1 to 500 sequences (log-uniform), all answers checked against the run's own
predictions; and among them clients that leave, bodies that are malformed or too large, and clients
that read slowly. In the end SIGTERM is sent while every client waits for an answer, and all must be
answered. Writes its section of ``RESULTS.md``.
"""

import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.results import RESULTS, machine, table, write_section
from dream_keras.common.cli import load_backend
from dream_keras.interpret.random_inserts import random_inserts

CLIENTS = 16
KINDS = {"whole": 0.9, "slow": 0.03, "gone": 0.03, "malformed": 0.03, "oversized": 0.01}
"""Share of each kind of request."""
LARGEST = 500
"""Sequences of a request."""
POOL = 2_000
"""Different sequences."""
MIB = 1
"""Largest body that the server takes."""
CLOSE = 1e-4
"""How far an answer may be from the run's own prediction; sums differ with the batch's size."""
SLIM = ("model.first.out_channels=4", "model.core.widths=[4]", "model.core.out_channels=4")
HEAD = (
    *("requests", "requests/s", "sequences/s", "p50, s", "p99, s"),
    *("MiB after a tenth", "at the end", "most", "answered after SIGTERM"),
)
TASK = {"name": "t", "type": "expression", "cell_type": "x", "species": "saccharomyces_cerevisiae"}


@dataclass
class Server:
    """The server process and its memory."""

    process: subprocess.Popen
    port: int
    samples: list[float] = field(default_factory=list)

    def memory(self) -> float:
        """Return its resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def watch(self, done: threading.Event) -> None:
        """Sample the memory until done."""
        while not done.wait(0.1):
            self.samples.append(self.memory())


def start_server(folder: Path) -> Server:
    """Start a server for the run in a folder, on a free port."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dream_keras.serve",
            str(folder),
            "--port",
            "0",
            "--max-body",
            str(MIB),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"serving at http://127\.0\.0\.1:(\d+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return Server(process, int(found[1]))
    raise RuntimeError("the server did not start")


def make_run(folder: Path) -> tuple[list[str], np.ndarray]:
    """Make a run; return the pool of sequences and its predictions of them."""
    load_backend()
    from dream_keras.config.experiment import load_experiment
    from dream_keras.data import alphabet
    from dream_keras.runs.folder import RunFolder
    from dream_keras.runs.run import Run
    from dream_keras.serve.model import open_models

    run = Run(RunFolder(folder), load_experiment("dream_cnn", SLIM))
    run.folder.create(run.experiment)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
    texts = alphabet.decode_rows(random_inserts(POOL, 80))
    (model,) = open_models([folder])
    expected = run.predict([model.whole(text) for text in texts], progress=False)
    return texts, expected


class Client:
    """Asks one request after the other.

    Args:
        server: The server.
        texts: The pool of sequences.
        expected: Their predictions.
        seed: Of its requests.
    """

    def __init__(self, server: Server, texts: list[str], expected: np.ndarray, seed: int):
        self.server, self.texts, self.expected = server, texts, expected
        self.random = np.random.default_rng(seed)
        self.seconds: list[float] = []
        self.sequences = 0
        self.answered: Counter[str] = Counter()
        self.connection = self.connect()

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)

    def ask(self) -> None:
        """Send one request of a random kind, and check what comes of it."""
        kind = str(self.random.choice(list(KINDS), p=list(KINDS.values())))
        getattr(self, kind)()
        self.answered[kind] += 1

    def body(self) -> tuple[bytes, np.ndarray]:
        """Return a body and the numbers of its sequences."""
        size = int(np.exp(self.random.uniform(0, np.log(LARGEST + 1))))
        rows = self.random.choice(len(self.texts), size)
        texts = {str(at): self.texts[row] for at, row in enumerate(rows)}
        asked = {"readout": "point", "prediction_tasks": [TASK], "sequences": texts}
        return json.dumps(asked).encode(), rows

    def send(self, body: bytes) -> http.client.HTTPResponse:
        """Send a body and return the answer's head."""
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", "/predict", body, headers)
        return self.connection.getresponse()

    def whole(self) -> None:
        """Ask as evaluators do."""
        body, rows = self.body()
        begin = time.perf_counter()
        answer = self.send(body)
        text = answer.read()
        self.seconds.append(time.perf_counter() - begin)
        self.check(answer, text, rows)

    def slow(self) -> None:
        """Read an answer in small pieces."""
        body, rows = self.body()
        answer = self.send(body)
        text = b""
        while part := answer.read(2_000):
            text += part
            time.sleep(0.01)
        self.check(answer, text, rows)

    def gone(self) -> None:
        """Leave before the answer, some before the request is complete."""
        body, _ = self.body()
        self.connection.putrequest("POST", "/predict")
        self.connection.putheader("Content-Type", "application/json")
        self.connection.putheader("Content-Length", str(len(body)))
        self.connection.endheaders(body[: self.random.integers(1, 2 * len(body))])
        time.sleep(self.random.uniform(0, 0.05))
        self.connection.close()

    def malformed(self) -> None:
        """Send what is no request."""
        answer = self.send(self.body()[0][:-10])
        assert (answer.status, "error" in json.loads(answer.read())) == (400, True)

    def oversized(self) -> None:
        """Send more than the server takes; it may close the connection before it is all sent."""
        try:
            answer = self.send(b" " * (MIB * 2**20 + 1))
            assert answer.status == 413
            answer.read()
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.connection.close()

    def check(self, answer: http.client.HTTPResponse, text: bytes, rows: np.ndarray) -> None:
        """Compare an answer with the run's own predictions."""
        assert answer.status == 200, text[:300]
        found = json.loads(text)["prediction_tasks"][0]["predictions"]
        values = np.array([found[str(at)][0] for at in range(len(rows))])
        np.testing.assert_allclose(values, self.expected[rows], atol=CLOSE, rtol=0)
        self.sequences += len(rows)


def load(clients: list[Client], requests: int) -> tuple[float, list[Exception]]:
    """Send requests from all clients; return the seconds and what went wrong."""
    errors: list[Exception] = []
    left = iter(range(requests))
    lock = threading.Lock()

    def work(client: Client) -> None:
        while not errors:
            with lock:
                if next(left, None) is None:
                    return
            try:
                client.ask()
            except Exception as error:
                errors.append(error)

    begin = time.perf_counter()
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin, errors


def stop(server: Server, clients: list[Client]) -> int:
    """Send SIGTERM while all clients wait; return how many are answered.

    Raises:
        RuntimeError: If the server does not leave with the status 0.
    """
    answered: list[int] = []

    def last(client: Client, body: bytes, rows: np.ndarray) -> None:
        answer = client.send(body)
        client.check(answer, answer.read(), rows)
        answered.append(1)

    rows = np.resize(np.arange(POOL), 4 * LARGEST)
    texts = {str(at): clients[0].texts[row] for at, row in enumerate(rows)}
    asked = {"readout": "point", "prediction_tasks": [TASK], "sequences": texts}
    body = json.dumps(asked).encode()
    for client in clients:
        client.connection.close()
        client.connection.connect()  # before the server stops to accept any
    threads = [threading.Thread(target=last, args=(client, body, rows)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(1)
    os.kill(server.process.pid, signal.SIGTERM)
    for thread in threads:
        thread.join()
    status = server.process.wait(600)
    if status:
        raise RuntimeError(f"the server left with the status {status}")
    return len(answered)


def main(argv: list[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        texts, expected = make_run(Path(folder, "run"))
        server = start_server(Path(folder, "run"))
        done = threading.Event()
        watcher = threading.Thread(target=server.watch, args=(done,))
        try:
            clients = [Client(server, texts, expected, seed) for seed in range(CLIENTS)]
            first = args.requests // 10
            _, errors = load(clients, first)
            before = server.memory()
            watcher.start()
            for client in clients:
                client.seconds.clear()
                client.sequences = 0
            seconds, more = load(clients, args.requests - first)
            if errors + more:
                raise (errors + more)[0]
            done.set()
            watcher.join()
            after = server.memory()
            answered = stop(server, clients)
        finally:
            done.set()
            server.process.kill()
    times = np.concatenate([client.seconds for client in clients])
    asked = sum((client.answered for client in clients), Counter())
    p50, p99 = np.percentile(times, [50, 99])
    figures = [
        f"{args.requests:,}",
        f"{(args.requests - first) / seconds:,.1f}",
        f"{sum(client.sequences for client in clients) / seconds:,.0f}",
        f"{p50:.3f}",
        f"{p99:.3f}",
        f"{before:,.0f}",
        f"{after:,.0f}",
        f"{max([*server.samples, before, after]):,.0f}",
        f"{answered} of {CLIENTS}",
    ]
    print(" | ".join(figures), flush=True)
    kinds = ", ".join(f"{asked[kind]:,} {kind}" for kind in KINDS)
    text = [
        f"Serving: {about}. {CLIENTS} clients on the same cores, 1 to {LARGEST} sequences of 80 bp "
        f"in a request; {kinds}. No wrong answer. Rates and times are those behind the first "
        "tenth.",
        "",
        *table(HEAD, [figures]),
    ]
    write_section(args.results, "serving", text)


if __name__ == "__main__":
    main()
