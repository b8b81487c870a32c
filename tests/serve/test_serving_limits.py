"""Limits, turns and disconnects: what happens when a server is asked for too much at once."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from serve_helpers import running, stand_in, values

from dream_keras.common.errors import UserError
from dream_keras.config.settings import GameSettings
from dream_keras.serve import exchange, serve
from dream_keras.serve.app import Limits
from dream_keras.serve.batcher import Batcher
from dream_keras.serve.server import listen

TASK = {"name": "t", "type": "expression", "cell_type": "K562", "species": "homo_sapiens"}
GAME = GameSettings("homo_sapiens", ("K562",))


def texts(count, first="A"):
    """Different sequences."""
    return [first + f"{at:012b}".replace("0", "C").replace("1", "G") for at in range(count)]


def body(sequences):
    ids = {str(at): text for at, text in enumerate(sequences)}
    return {"readout": "point", "prediction_tasks": [TASK], "sequences": ids}


def post(address, sequences):
    return httpx.post(f"{address}/predict", json=body(sequences), timeout=600)


class Gated:
    """A model that waits for its gate to open, and notes the batches that it predicts."""

    def __init__(self):
        self.gate, self.asked, self.begun = threading.Event(), [], threading.Event()
        self.gate.set()
        model = stand_in(game=GAME)

        def function(views):
            self.asked.append([text for text, _ in views])
            self.begun.set()
            assert self.gate.wait(600)
            return model.function(views)

        self.model = stand_in(game=GAME)
        object.__setattr__(self.model, "function", function)

    @contextlib.contextmanager
    def serving(self, limits):
        with running([self.model], limits) as address, ThreadPoolExecutor(8) as pool:
            self.asked.clear()
            self.gate.clear()
            self.begun.clear()
            try:
                yield address, pool
            finally:
                self.gate.set()


def until(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_large_body_is_refused():
    with running([stand_in(game=GAME)], Limits(1000, 100, 100)) as address:
        answer = post(address, texts(80))
        assert answer.status_code == 413
        assert "larger than" in answer.json()["error"][0]["bad_prediction_request"]
        parts = iter([b"[", *[b"1," * 100] * 20])  # without a Content-Length
        assert httpx.post(f"{address}/predict", content=parts, timeout=600).status_code == 413
        assert post(address, texts(2)).status_code == 200


def test_many_sequences_are_refused():
    with running([stand_in(game=GAME)], Limits(2**20, 5, 100)) as address:
        assert post(address, texts(5)).status_code == 200
        answer = post(address, texts(6))
        assert answer.status_code == 422
        assert "at most 5" in answer.json()["error"][0]["prediction_request_failed"]
        page = httpx.post(f"{address}/page/predict", json={"sequences": texts(6)}, timeout=600)
        assert page.status_code == 422


def test_a_full_queue_is_refused_and_what_waits_is_answered():
    gated = Gated()
    with gated.serving(Limits(2**20, 10, 10)) as (address, pool):
        first = pool.submit(post, address, texts(8))
        assert gated.begun.wait(60)
        assert post(address, texts(3)).status_code == 503
        second = pool.submit(post, address, texts(2))
        time.sleep(0.1)
        gated.gate.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
        assert post(address, texts(10)).status_code == 200


def batched(work):
    """Run ``work(batcher, model)``; return its result and the batches that were predicted."""
    asked = []
    model = stand_in(game=GAME, asked=asked)

    async def main():
        batcher = Batcher(10_000)
        worker = asyncio.create_task(batcher.run())
        found = await work(batcher, model)
        assert batcher.waiting == 0
        worker.cancel()
        return found

    found = asyncio.run(main())
    return found, [[text for text, _ in batch] for batch in asked]


def test_requests_share_batches_and_take_turns():
    asked = [texts(1500, "A"), *(texts(3, letter) for letter in "CGT"), texts(300, "N")]

    async def work(batcher, model):
        views = [[(text, False) for text in each] for each in asked]
        return await asyncio.gather(*(batcher.predict(model, each) for each in views))

    found, batches = batched(work)
    for each, predicted in zip(asked, found, strict=True):
        np.testing.assert_array_equal(predicted.mean, values(each))
    starts = [[text[0] for text in batch] for batch in batches]
    assert starts[0] == ["A"] * 256
    # The short ones are in the second batch, and the long ones take turns.
    assert set(starts[1]) == {"C", "G", "T", "N"}
    assert [set(each) for each in starts[2:4]] == [{"A"}, {"N", "A"}]
    assert sum(map(len, batches)) <= 1809 + 256  # filled up to powers of 2


def test_models_do_not_share_batches():
    other_asked = []
    other = stand_in(game=GAME, seed=5, asked=other_asked)

    async def work(batcher, model):
        views = [[(text, False) for text in texts(5, letter)] for letter in "ACG"]
        order = zip((model, other, model), views, strict=True)
        return await asyncio.gather(*(batcher.predict(each, v) for each, v in order))

    found, batches = batched(work)
    np.testing.assert_array_equal(found[1].mean, values(texts(5, "C"), seed=5))
    assert (len(batches), len(other_asked)) == (1, 1)


def test_what_is_cancelled_is_not_predicted_further():
    async def work(batcher, model):
        leaving = asyncio.create_task(batcher.predict(model, [(t, False) for t in texts(2000)]))
        await asyncio.sleep(0)
        leaving.cancel()
        return await batcher.predict(model, [("CAT", False)])

    _, batches = batched(work)
    assert sum(map(len, batches)) <= 256 + 1


def test_a_client_that_has_gone_makes_room():
    gated = Gated()
    with gated.serving(Limits(2**22, 2000, 2000)) as (address, pool):
        host, port = address.removeprefix("http://").split(":")
        text = json.dumps(body(texts(2000))).encode()
        with socket.create_connection((host, int(port))) as client:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n"
            client.sendall(head.encode() + text)
            assert gated.begun.wait(60)
            assert post(address, ["A"]).status_code == 503
        # It is taken as soon as the server has noticed, while the first batch still waits.
        taken = pool.submit(until, lambda: post(address, texts(1990, "T")).status_code == 200)
        gated.gate.set()
        taken.result()


def test_a_body_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr(exchange, "STALLED", 0.3)
    with running([stand_in(game=GAME)], Limits(1000, 100, 100)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
            assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_bodies_have_a_limit_together(monkeypatch):
    with running([stand_in(game=GAME)], Limits(1000, 100, 100)) as address:
        host, port = address.removeprefix("http://").split(":")
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                client = stack.enter_context(socket.create_connection((host, int(port))))
                client.sendall(head + b" " * 999)
            until(lambda: post(address, texts(2)).status_code == 503)
        until(lambda: post(address, texts(2)).status_code == 200)


def test_the_page_asks_in_its_own_shapes():
    with running([stand_in(game=GAME)], Limits(2**20, 5, 100)) as address:
        for path in ("predict", "mutations"):
            for asked in ([], {"sequences": "A", "model": 3}, 5):
                answer = httpx.post(f"{address}/page/{path}", json=asked, timeout=600)
                assert answer.status_code == 400
        answer = httpx.post(
            f"{address}/page/mutations", json={"model": "x", "sequence": "A"}, timeout=600
        )
        assert answer.status_code == 422


def test_a_fault_is_an_error_of_the_protocol():
    model = stand_in(game=GAME)
    with running([model], Limits(2**20, 5, 100)) as address:

        def broken(views):
            raise RuntimeError("lost")

        working = model.function
        object.__setattr__(model, "function", broken)
        answer = post(address, texts(2))
        assert (answer.status_code, list(answer.json()["error"][0])) == (500, ["server_error"])
        object.__setattr__(model, "function", working)
        assert post(address, texts(2)).status_code == 200


def test_addresses(caplog):
    with caplog.at_level(logging.WARNING), listen("127.0.0.1", 0) as first:
        assert not caplog.records
        with pytest.raises(UserError, match=r"cannot listen at 127\.0\.0\.1 port"):
            listen("127.0.0.1", first.getsockname()[1])
    with listen("0.0.0.0", 0):
        assert "asks for no password" in caplog.text
    with pytest.raises(UserError, match="--host"):
        listen("no.such.host.invalid", 0)
    with pytest.raises(UserError, match="expected 0 to 65535"):
        serve(["x"], port=70_000)
    with pytest.raises(UserError, match="x is not a run folder"):
        serve(["x"])
