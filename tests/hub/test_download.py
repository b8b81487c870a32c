"""Downloads from a server that breaks off, stalls, lies and moves."""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import namedtuple

import pytest
from tqdm import tqdm

from dream_keras import fetch
from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.locks import claimed
from dream_keras.hub import download, paths, records
from dream_keras.hub.unpack import make

CONTENT = bytes(range(256)) * 80 + b"the end"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
GIT = "git:" + hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


def lock(folder):
    return json.loads((folder / paths.LOCK).read_text())


@pytest.fixture
def one(server, declare):
    """Declare a set of one file at these ways of the server; returns a function that fetches it."""

    def one(*ways, **file):
        server.files.setdefault("x.bin", CONTENT)
        urls = [f"{server.url}/{way}/{{file}}?download=1" for way in ways]
        declare(one={"url": urls, "files": {"x.bin": {"checksum": SHA256, **file}}})
        return lambda: fetch("one", progress=False)[0]

    return one


@pytest.mark.parametrize("checksum", [MD5, SHA256, GIT])
def test_a_file_is_fetched_once(one, server, checksum):
    get = one("plain", checksum=checksum)
    path = get()
    assert path.read_bytes() == CONTENT
    assert path.parent == paths.home() / "one"
    assert lock(path.parent)["x.bin"]["checksum"] == checksum
    assert get() == path
    assert len(server.seen) == 1
    assert sorted(f.name for f in path.parent.iterdir()) == [paths.LOCK, "x.bin"]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("way", ["cut", "stall", "drip", "redirect", "no_ranges"])
def test_what_breaks_off_goes_on(one, server, way, size, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    assert one(way, bytes=size)().read_bytes() == CONTENT
    starts = [int(ask[6:-1]) if ask else 0 for _, _, ask in server.seen]
    assert starts == sorted(starts)
    assert (starts[-1] > 0) == (way in ("cut", "stall"))


def test_the_bar_shows_what_has_arrived(one, capsys, monkeypatch):
    folder, bars = paths.home() / "one", []
    folder.mkdir(parents=True)
    (folder / f"{UNFINISHED}x.bin").write_bytes(CONTENT[:10000])

    def progress_bar(_, **options):
        bars.append(tqdm(file=io.StringIO(), **options))
        return bars[-1]

    with monkeypatch.context() as patched:
        patched.setattr(download, "progress_bar", progress_bar)
        path = one("plain")()
    assert [(bar.initial, bar.n, bar.total) for bar in bars] == [(10000, *[len(CONTENT)] * 2)]
    path.unlink()
    fetch("one")  # not a terminal, and quick: nothing is shown
    assert not capsys.readouterr().err


def test_an_end_that_nobody_announced_is_noticed_by_the_size(one, server):
    assert one("silent", bytes=len(CONTENT))().read_bytes() == CONTENT
    assert [ask for *_, ask in server.seen] == [
        None,
        *(f"bytes={n}-" for n in range(5500, len(CONTENT), 5500)),
    ]


def test_without_ranges_what_breaks_off_is_refused(one, server):
    get = one("cut_no_ranges")
    with pytest.raises(UserError, match=r"x\.bin could not be downloaded\. http.*IncompleteRead"):
        get()
    assert len(server.seen) == 2
    assert not (paths.home() / "one" / "x.bin").exists()


def test_a_damaged_file_is_refused_and_named(one):
    with pytest.raises(UserError, match=rf"/wrong/x\.bin.*: damaged or another .*not {SHA256}"):
        one("wrong")()
    assert not list((paths.home() / "one").glob("*x.bin"))


def test_a_damaged_part_is_replaced(one, server):
    folder = paths.home() / "one"
    folder.mkdir(parents=True)
    (folder / f"{UNFINISHED}x.bin").write_bytes(b"?" * 3000)
    assert one("plain")().read_bytes() == CONTENT
    assert [ask for *_, ask in server.seen] == ["bytes=3000-", None]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("extra", [0, 9])
def test_a_part_as_long_as_the_file_or_longer(one, extra, size):
    folder = paths.home() / "one"
    folder.mkdir(parents=True)
    (folder / f"{UNFINISHED}x.bin").write_bytes(CONTENT + b"?" * extra)
    assert one("plain", bytes=size)().read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(one, server):
    path = one("broken", "wrong", "cut_no_ranges", "plain", "redirect")()
    assert path.read_bytes() == CONTENT
    ways = list(dict.fromkeys(way for way, *_ in server.seen))
    assert ways == ["broken", "wrong", "cut_no_ranges", "plain"]
    assert server.seen[-1][2] == "bytes=5000-"  # what the third gave in whole pieces is not lost


def test_if_nothing_helps_all_addresses_are_named(one, server):
    get = one("plain", "redirect")
    server.files.clear()
    with pytest.raises(UserError, match=r"/plain/x\.bin.*404.*/redirect/x\.bin.*404"):
        get()
    server.url = "http://127.0.0.1:9"
    with pytest.raises(UserError, match=r"x\.bin\?download=1: \S+ \d+\] Connection refused\.$"):
        one("plain")()


def test_offline(one, server, monkeypatch):
    get = one("plain")
    monkeypatch.setenv(download.OFFLINE_VARIABLE, "1")
    with pytest.raises(UserError, match=r"x\.bin is missing, and DREAM_KERAS_OFFLINE forbids"):
        get()
    assert not server.seen
    # Put there by hand, it is checked and taken.
    path = paths.home() / "one" / "x.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    assert get() == path
    assert not server.seen


def test_a_full_disk_is_noticed_before_the_download(one, monkeypatch):
    usage = namedtuple("Usage", "free")(len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"20,487 bytes are needed and 20,486 are free"):
        one("plain")()


def test_a_file_that_has_changed_is_fetched_again(one, server, caplog):
    get = one("plain")
    get().write_bytes(b"changed")
    assert get().read_bytes() == CONTENT
    assert "is not the published file any more" in caplog.text
    os.utime(get())  # touched, but the same
    get()
    assert len(server.seen) == 2


def test_another_process_is_at_work(one):
    get = one("plain")
    with claimed(paths.home() / "one"), pytest.raises(UserError, match=r"another process.*wait"):
        get()


KILLED = """
import sys
from pathlib import Path
from dream_keras import fetch
from dream_keras.hub import catalogue, download
catalogue.CATALOGUE, download.CHUNK = Path(sys.argv[1]), 1000
fetch("killed")
"""


def test_a_killed_download_goes_on(server, declare):
    server.files["x.bin"] = CONTENT * 20
    digest = hashlib.md5(CONTENT * 20).hexdigest()
    file = declare(
        killed={"url": f"{server.url}/drip/{{file}}", "files": {"x.bin": f"md5:{digest}"}}
    )
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)])
    part = paths.home() / "killed" / f"{UNFINISHED}x.bin"
    while not part.exists() or part.stat().st_size < 5 * 1000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    declare(killed={"url": f"{server.url}/plain/{{file}}", "files": {"x.bin": f"md5:{digest}"}})
    (path,) = fetch("killed", progress=False)
    assert path.read_bytes() == CONTENT * 20
    assert server.seen[-1] == ("plain", "x.bin", f"bytes={kept}-")


# Checksums that the catalogue does not have.
ZENODO = {"files": [{"key": "y", "checksum": "md5:0"}, {"key": "x.bin", "checksum": MD5}]}
RECORDS = {
    "zenodo": (json.dumps(ZENODO), MD5),
    "encode": (json.dumps({"md5sum": MD5[4:], "file_size": 1}), MD5),
    "storage": (
        json.dumps({"md5Hash": base64.b64encode(bytes.fromhex(MD5[4:])).decode()}),
        MD5,
    ),
    "github": (json.dumps({"sha": GIT[4:]}), GIT),
    "md5sum": (f"{'0' * 32}  y\n{MD5[4:]} *./x.bin\n", MD5),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_checksum_is_read_from_the_record_once(one, server, kind):
    text, checksum = RECORDS[kind]
    server.files["record"] = text.encode()
    get = one("plain", checksum=None, record=f"{server.url}/plain/record")
    path = get()
    assert lock(path.parent)["x.bin"]["checksum"] == checksum
    assert lock(path.parent)["x.bin"]["from"] == f"{server.url}/plain/record"
    path.unlink()
    server.files["x.bin"] = b"another version"
    with pytest.raises(UserError, match=rf"not {checksum}"):
        get()
    assert [name for _, name, _ in server.seen] == ["record", "x.bin", "x.bin"]


@pytest.mark.parametrize("text", ["not JSON", "{}", json.dumps({"files": []}), None])
def test_without_the_promised_record_nothing_is_downloaded(one, server, text):
    if text is not None:
        server.files["record"] = text.encode()
    get = one("plain", checksum=None, record=f"{server.url}/plain/record")
    with pytest.raises(UserError, match=r"^x\.bin: .*/plain/record"):
        get()
    assert {name for _, name, _ in server.seen} == {"record"}


def test_a_file_without_any_checksum_is_pinned_at_first_use(one, server, caplog):
    get = one("plain", checksum=None)
    path = get()
    assert f"no checksum is published. That of this download, {SHA256}, is kept" in caplog.text
    path.unlink()
    server.files["x.bin"] = b"another version"
    with pytest.raises(UserError, match=rf"not {SHA256}"):
        get()


def test_what_cannot_be_checked_is_not_resumed(one, server):
    with pytest.raises(UserError, match=r"IncompleteRead.*\.$"):
        one("cut", checksum=None)()
    server.seen.clear()
    assert one("plain", checksum=None)().read_bytes() == CONTENT
    assert server.seen[0][2] is None


def test_a_slow_record_is_given_up(one, server, monkeypatch):
    monkeypatch.setattr(records, "TIMEOUT", 0.2)
    server.files["record"] = b" " * 9000
    with pytest.raises(UserError, match="its checksum cannot be read from"):
        one("plain", checksum=None, record=f"{server.url}/stall/record")()


# What is made of downloads.
MEMBERS = {"top/a/x.txt": b"X", "top/y.txt": b"Y" * 5000, "top/b/x.txt": b"other"}


def tar(members, kind=tarfile.REGTYPE):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/hosts"
            archive.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("pack", [tar, zipped])
def test_only_what_is_wanted_is_unpacked(tmp_path, pack):
    archive = tmp_path / "archive"
    archive.write_bytes(pack({**MEMBERS, "../evil": b"!"}))
    make(tmp_path / "out" / "x.txt", [archive], "a/x.txt")
    make(tmp_path / "out" / "y.txt", [archive], "top/y.txt")
    out = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert out == {"x.txt": b"X", "y.txt": b"Y" * 5000}
    with pytest.raises(UserError, match=r"archive does not hold z\.txt"):
        make(tmp_path / "out" / "z.txt", [archive], "z.txt")


@pytest.mark.parametrize("pack", [tar, zipped])
def test_everything_is_unpacked_into_a_folder(tmp_path, pack):
    archive = tmp_path / "archive"
    archive.write_bytes(pack(MEMBERS))
    make(tmp_path / "all", [archive], "*")
    files = [path for path in (tmp_path / "all").rglob("*") if path.is_file()]
    found = {path.relative_to(tmp_path / "all").as_posix(): path.read_bytes() for path in files}
    assert found == MEMBERS


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:/evil", "..\\evil"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_paths_that_leave_the_folder_are_refused(tmp_path, pack, name):
    archive = tmp_path / "in" / "archive"
    archive.parent.mkdir()
    archive.write_bytes(pack({"good": b"", name: b"!"}))
    with pytest.raises(UserError, match=r"leaves the folder: it is not unpacked"):
        make(tmp_path / "in" / "all", [archive], "*")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "archive"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = tmp_path / "archive"
    archive.write_bytes(tar({"x.txt": b""}, kind))
    for member in ("*", "x.txt"):
        with pytest.raises(UserError, match="is a link or leaves"):
            make(tmp_path / "x.txt", [archive], member)


@pytest.mark.parametrize("content", [tar(MEMBERS)[:-200], b"no archive", b""])
def test_a_damaged_archive_is_named(tmp_path, content):
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"archive is damaged or no archive: remove it"):
        make(tmp_path / "all", [archive], "*")
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_gzip_is_unpacked(tmp_path):
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    make(tmp_path / "x", [packed], None)
    assert (tmp_path / "x").read_bytes() == CONTENT
    packed.write_bytes(gzip.compress(CONTENT)[:-20])
    with pytest.raises(UserError, match=r"x\.gz is damaged"):
        make(tmp_path / "x", [packed], None)


def test_a_fasta_file_and_a_table_are_joined(tmp_path):
    fasta, table = tmp_path / "s.fa", tmp_path / "s.txt"
    fasta.write_text(">a_+_x\nACGT\nAC\n>b_-_x\nGGG\n")
    table.write_text("dev\thk\n1\t2\n3\t4\n")
    make(tmp_path / "out.txt", [fasta, table], None)
    expected = "ID\tSequence\tdev\thk\na_+_x\tACGTAC\t1\t2\nb_-_x\tGGG\t3\t4\n"
    assert (tmp_path / "out.txt").read_text() == expected
    for rows in ("dev\thk\n1\t2\n", "dev\thk\n1\t2\n3\t4\n5\t6\n"):
        table.write_text(rows)
        with pytest.raises(UserError, match="do not have the same number of rows"):
            make(tmp_path / "out.txt", [fasta, table], None)
