"""One hostile visitor, or thousands of silent ones: what they may cost."""

import resource
import select
import socket
import time

import pytest

from harness.process import PATIENCE
from harness.sockets import dial, read_all

KILOBYTE = 1 << 10
MEGABYTE = 1 << 20


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "small.txt").write_text("here\n")
    return folder


@pytest.fixture
def many_sockets():
    """As many open files as this machine lets us have: how many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def visitor(port, number):
    """A connection that comes from its own address, as far as the server can see."""
    connection = socket.socket()
    connection.settimeout(PATIENCE)
    connection.bind((f"127.2.{number // 200}.{1 + number % 200}", 0))
    connection.connect(("127.0.0.1", port))
    return connection


def cost(door, connections, what):
    """Memory that `what` costs the server for each of the connections, in KB."""
    door.get("/small.txt")
    before = door.rss_kb()
    what()
    assert door.get("/small.txt").text == "here\n"
    return (door.rss_kb() - before) / connections


def test_a_header_is_refused_before_it_is_large(share, folder):
    door = share(folder)
    connection = dial(door.port)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    sent = 0
    while not select.select([connection], [], [], 0.05)[0]:
        connection.sendall(b"x" * 4 * KILOBYTE)
        sent += 4 * KILOBYTE
        assert sent <= 128 * KILOBYTE, "128 KB of header were taken"
    assert read_all(connection).startswith(b"HTTP/1.1 431 ")


def test_endless_zeros_in_a_chunk_size(share, folder):
    door = share(folder, "--upload")
    connection = dial(door.port)
    connection.sendall(b"PUT /new.txt HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    before = door.cpu_seconds()
    answer = b""
    try:
        for _ in range(20 * 16):
            connection.sendall(b"0" * 64 * KILOBYTE)
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        answer = read_all(connection)
    except ConnectionResetError:
        pass
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    spent = door.cpu_seconds() - before
    assert spent < 0.5, f"{spent:.2f} s of CPU for one chunk size"
    assert not (folder / "new.txt").exists()


def test_unfinished_headers_hold_little_memory(share, folder, many_sockets):
    door = share(folder)
    connections = [visitor(door.port, number) for number in range(200)]

    def begin():
        for connection in connections:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60 * KILOBYTE)
        time.sleep(1)

    assert cost(door, len(connections), begin) < 200
    for connection in connections:
        connection.close()


def test_unread_answers_hold_little_memory(share, folder, many_sockets):
    door = share(folder)
    connections = []

    def flood():
        for number in range(50):
            connection = visitor(door.port, number)
            connections.append(connection)
            connection.settimeout(0.2)
            try:
                while True:
                    connection.sendall(b"GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
            except TimeoutError:
                pass

    assert cost(door, 50, flood) < 500
    for connection in connections:
        connection.close()


def test_5000_silent_visitors(share, folder, many_sockets):
    count = min(5000, many_sockets // 4)
    door = share(folder)
    connections = []

    def arrive():
        connections.extend(visitor(door.port, number) for number in range(count))

    assert cost(door, count, arrive) < 8, "KB for each silent connection"
    began = time.monotonic()
    for connection in connections:
        connection.settimeout(max(1, 30 - (time.monotonic() - began)))
        assert connection.recv(1) == b"", "closed without a word"
        connection.close()
    assert door.get("/small.txt").text == "here\n"


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_cut(share, folder, framing):
    door = share(folder, "--upload")
    connection = dial(door.port)
    connection.sendall(f"PUT /new.txt HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
    piece = b"x" if "Length" in framing else b"1\r\nx\r\n"
    began = time.monotonic()
    while not select.select([connection], [], [], 1)[0]:
        connection.sendall(piece)
        assert time.monotonic() - began < 60, "never cut"
    assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    while sorted(path.name for path in folder.iterdir()) != ["small.txt"]:
        assert time.monotonic() - began < 90, "something is left behind"
        time.sleep(0.1)


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\nGET"])
def test_tls_visitors_that_stop_halfway_are_let_go(share, folder, end):
    door = share(folder, "--tls")
    connection = door.connect()
    connection.connect()
    if end:
        connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost" + end)
    connection.sock.settimeout(120)
    while connection.sock.recv(65536):
        pass
    connection.close()
