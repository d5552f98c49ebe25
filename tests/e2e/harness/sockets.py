"""Bytes on a socket, for what no HTTP library would send."""

import socket

from .process import PATIENCE


def dial(port, timeout=PATIENCE, receive_buffer=None):
    """A connection to a port of this computer. A small receive buffer makes a visitor slow from the first byte."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout)
    connection.connect(("127.0.0.1", port))
    return connection


def read_all(connection):
    """Everything until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def exchange(port, request, timeout=PATIENCE):
    """Sends these bytes, then reads until the other side closes."""
    with dial(port, timeout) as connection:
        connection.sendall(request)
        return read_all(connection)


def read_head(connection):
    """Reads up to the end of a response's head; gives head and whatever of the body came with it."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = connection.recv(65536)
        if not part:
            raise AssertionError(f"closed inside the head: {seen!r}")
        seen += part
    head, _, rest = seen.partition(b"\r\n\r\n")
    return head, rest


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
