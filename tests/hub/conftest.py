"""A web server on the loopback interface that serves what a test puts on it, well or badly."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from dream_keras.hub import catalogue, download

PIECE = 1000
"""Bytes that a download writes at a time in these tests."""


class Handler(BaseHTTPRequestHandler):
    """Answers ``/WAY/NAME``; the ways are the methods below."""

    def do_GET(self):
        way, _, name = self.path.lstrip("/").partition("/")
        name = name.partition("?")[0]
        self.server.seen.append((way, name, self.headers.get("Range")))
        if name not in self.server.files:
            self.send_error(404)
            return
        getattr(self, way)(name, self.server.files[name])

    def log_message(self, *_):
        pass

    def plain(self, name, content, ranges=True, send=None, length=True):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        (send or self.wfile.write)(content[start:])

    def cut(self, name, content):
        """End after 5,500 bytes each time."""
        self.plain(name, content, send=lambda rest: self.wfile.write(rest[:5500]))

    def silent(self, name, content):
        """Likewise, and do not say how many there would be."""
        self.plain(name, content, send=lambda rest: self.wfile.write(rest[:5500]), length=False)

    def no_ranges(self, name, content):
        self.plain(name, content, ranges=False)

    def cut_no_ranges(self, name, content):
        self.plain(name, content, ranges=False, send=lambda rest: self.wfile.write(rest[:5500]))

    def stall(self, name, content):
        """Stop after 5,500 bytes without closing the connection."""

        def send(rest):
            self.wfile.write(rest[:5500])
            self.wfile.flush()
            if len(rest) > 5500:
                self.server.ended.wait(5)

        self.plain(name, content, send=send)

    def drip(self, name, content):
        def send(rest):
            for start in range(0, len(rest), PIECE):
                self.wfile.write(rest[start : start + PIECE])
                self.wfile.flush()
                time.sleep(0.02)

        self.plain(name, content, send=send)

    def wrong(self, name, content):
        self.plain(name, content[:-1] + b"?")

    def redirect(self, name, content):
        self.send_response(302)
        self.send_header("Location", f"/plain/{name}")
        self.end_headers()

    def broken(self, name, content):
        self.send_error(500)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # a client that was killed
        pass


@pytest.fixture
def server(monkeypatch):
    """The server: ``files`` by name, ``seen`` requests as (way, name, range)."""
    monkeypatch.setattr(download, "CHUNK", PIECE)
    monkeypatch.delenv(download.OFFLINE_VARIABLE, raising=False)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.files, server.seen, server.ended = {}, [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def declare(tmp_path, monkeypatch, server):
    """Make a catalogue of sets; returns its file. The cache is empty."""
    monkeypatch.setenv("DREAM_KERAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def declare(**sets):
        facts = {"title": "made up", "licence": "CC0", "citation": "nobody"}
        path = tmp_path / f"catalogue-{len(list(tmp_path.glob('catalogue-*')))}.yaml"
        named = {name.replace("__", "/"): facts | fields for name, fields in sets.items()}
        path.write_text(yaml.safe_dump(named))
        monkeypatch.setattr(catalogue, "CATALOGUE", path)
        return path

    return declare
