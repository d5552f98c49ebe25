"""Visitors that are slow, vanish, say nothing or are too many; files that change under a download."""

import hashlib
import http.client
import os
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness.process import PATIENCE, SCRATCH
from harness.sockets import dial, read_all, read_head

GIB = 1 << 30
BIG = 5 * GIB
MEGABYTE = 1 << 20


@pytest.fixture
def roomy():
    """A folder on the disk that the build is on: /tmp may be small, or memory."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=SCRATCH))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def many_sockets():
    """As many open files as this machine lets us have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def sparse(path, size, marks=()):
    """A file of zeros that takes no space, with words at some places."""
    with open(path, "wb") as file:
        file.truncate(size)
        for at, word in marks:
            file.seek(at)
            file.write(word)


def visitor(port, number, receive_buffer=None):
    """A connection that comes from its own address, as far as the server can see."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.bind((f"127.1.{number // 200}.{1 + number % 200}", 0))
    connection.connect(("127.0.0.1", port))
    return connection


def eventually(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)


def request_for(path, door):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n\r\n".encode()


@pytest.mark.needs("curl")
def test_five_gigabytes(share, roomy):
    marks = [(0, b"first"), (2**31 - 3, b"over 2 GiB"), (2**32 - 3, b"over 4 GiB"), (BIG - 4, b"last")]
    sparse(roomy / "big.bin", BIG, marks)
    door = share(roomy)
    assert door.request("HEAD", "/big.bin").headers["Content-Length"] == str(BIG)
    for at, word in marks:
        part = door.get("/big.bin", {"Range": f"bytes={at}-{at + len(word) - 1}"})
        assert (part.status, part.body) == (206, word)
        assert part.headers["Content-Range"] == f"bytes {at}-{at + len(word) - 1}/{BIG}"
    assert door.get("/big.bin", {"Range": "bytes=-4"}).body == b"last"
    assert door.get("/big.bin", {"Range": f"bytes={BIG}-"}).status == 416
    with open(roomy / "big.bin", "rb") as file:
        file.seek(2**32 - 20 * MEGABYTE)
        expected = hashlib.sha256(file.read(40 * MEGABYTE)).hexdigest()
    first, last = 2**32 - 20 * MEGABYTE, 2**32 + 20 * MEGABYTE - 1
    part = door.get("/big.bin", {"Range": f"bytes={first}-{last}"}).body
    assert hashlib.sha256(part).hexdigest() == expected

    before = door.rss_kb()
    whole = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{size_download}", f"{door.url}/big.bin"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(whole.stdout) == BIG
    assert door.rss_kb() - before < 32 * 1024, "a download takes bounded memory"


@pytest.mark.timeout(300)
def test_2000_slow_visitors_beside_a_fast_one(share, roomy, many_sockets):
    sparse(roomy / "large.bin", GIB)
    (roomy / "quick.bin").write_bytes(os.urandom(200_000))
    door = share(roomy, "--max-conns", "4000")
    expected = (roomy / "quick.bin").read_bytes()

    def median_of_fast_requests():
        connection = door.connect()
        times = []
        for _ in range(100):
            began = time.monotonic()
            connection.request("GET", "/quick.bin")
            assert connection.getresponse().read() == expected
            times.append(time.monotonic() - began)
        connection.close()
        return statistics.median(times)

    alone = median_of_fast_requests()
    memory = door.rss_kb()
    slow = []
    for number in range(2000):
        connection = visitor(door.port, number, receive_buffer=4096)
        connection.sendall(request_for("/large.bin", door))
        slow.append(connection)
    for connection in slow:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    crowded = median_of_fast_requests()
    assert crowded < 20 * max(alone, 0.001), f"alone {alone * 1000:.1f} ms, in the crowd {crowded * 1000:.1f} ms"
    per_visitor = (door.rss_kb() - memory) / len(slow)
    assert per_visitor < 128, f"{per_visitor:.0f} KB of memory for each slow visitor"
    for connection in slow[::100]:
        assert len(connection.recv(1000)) > 0, "the slow ones are still served"
    for connection in slow:
        connection.close()
    eventually(lambda: door.open_files() < 200, "the slow visitors' connections are closed")


def test_a_visitor_that_vanishes(share, roomy):
    sparse(roomy / "large.bin", GIB)
    door = share(roomy)
    door.get("/large.bin", {"Range": "bytes=0-9"})
    idle = door.open_files()
    for number in range(20):
        connection = visitor(door.port, number)
        connection.sendall(request_for("/large.bin", door))
        connection.recv(100_000)
        if number % 2:  # half of them with a reset, as when the network goes
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    eventually(lambda: len([e for e in door.all_events("request") if e["outcome"] == "client-gone"]) == 20, "20 gone")
    eventually(lambda: door.open_files() <= idle, "their files and connections are closed")
    assert door.get("/large.bin", {"Range": "bytes=0-9"}).status == 206


def test_a_file_that_becomes_shorter_under_a_download(share, roomy):
    sparse(roomy / "large.bin", 400 * MEGABYTE)
    door = share(roomy)
    connection = dial(door.port, receive_buffer=4096)
    connection.sendall(request_for("/large.bin", door))
    head, start = read_head(connection)
    assert f"content-length: {400 * MEGABYTE}".encode() in head.lower()
    os.truncate(roomy / "large.bin", 100)
    rest = read_all(connection)
    assert len(start) + len(rest) < 400 * MEGABYTE, "the visitor's program can tell that something is missing"
    door.wait_event("request", outcome="broken")
    assert door.get("/large.bin").body == bytes(100)


def test_a_file_that_grows_or_is_replaced_under_a_download(share, roomy):
    size = 50 * MEGABYTE
    sparse(roomy / "file.bin", size, [(size - 3, b"old")])
    door = share(roomy)
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE)
    connection.request("GET", "/file.bin")
    response = connection.getresponse()
    start = response.read(10)
    with open(roomy / "file.bin", "ab") as file:
        file.write(b"more")
    sparse(roomy / "new.bin", 20, [(0, b"new")])
    os.rename(roomy / "new.bin", roomy / "file.bin")
    whole = start + response.read()
    assert len(whole) == size and whole.endswith(b"old"), "a download goes on with the file that it began with"
    assert door.get("/file.bin").body.startswith(b"new")


def test_out_of_file_descriptors(share, roomy, many_sockets):
    (roomy / "small.txt").write_text("here\n")
    door = share(roomy)
    # While it runs, so that it cannot plan for it: the quota of connections is far above what is left.
    _, hard = resource.prlimit(door.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(door.pid, resource.RLIMIT_NOFILE, (door.open_files() + 8, hard))
    connections = [visitor(door.port, number) for number in range(100)]
    time.sleep(1)
    before = door.cpu_seconds()
    time.sleep(3)
    spent = door.cpu_seconds() - before
    assert spent <= 0.6, f"{spent:.2f} s of CPU in 3 s of having nothing to do but wait"
    for connection in connections:
        connection.close()
    assert door.get("/small.txt").text == "here\n"


def test_many_connections_one_after_another(share, roomy):
    (roomy / "small.txt").write_text("here\n")
    door = share(roomy)
    door.get("/small.txt")
    files = door.open_files()
    for number in range(3000):
        connection = visitor(door.port, number)
        connection.sendall(b"GET /small.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(connection).endswith(b"here\n")
        connection.close()
    eventually(lambda: door.open_files() <= files, "nothing is left open")


def test_visitors_that_say_nothing_are_let_go(share, roomy):
    plain, secure = share(roomy), share(roomy, "--tls")
    silent = dial(plain.port)
    halfway = dial(plain.port)
    halfway.sendall(b"GET / HTTP/1.1\r\nHost: local")
    silent_tls = dial(secure.port)
    for connection in (silent, halfway, silent_tls):
        read_all(connection)  # ends only when the server closes; the socket's own timeout is the bound
    assert plain.get("/").status == 200


def test_bytes_that_are_not_http(share, roomy):
    door = share(roomy)
    for garbage in [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\x00" * 5000, b"SSH-2.0-x\r\n\r\n"]:
        connection = dial(door.port)
        connection.sendall(garbage)
        assert not read_all(connection).startswith(b"HTTP/1.1 2")
    assert door.get("/").status == 200
