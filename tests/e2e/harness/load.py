"""Visitors, many at once: kept and new connections, slow uploads, open sockets; and what became of each request.

A request fails *hard* if it gets no whole answer, or one that is not 2xx. A kept connection that turns out to be closed when its
client sends the next request is an *idle close*: browsers then send the request again, so it is counted apart, and sent again.
An answer that says `Connection: close` announces the end, which is no failure.
"""

import asyncio
import contextlib
import itertools
import os
import ssl
import threading
import time
from dataclasses import dataclass, field

from .process import PATIENCE

TOTAL = int(os.environ.get("DOORSTEP_LOAD", "10000"))
RATE = 1000  # requests per second at most, on two shared cores
MOST_REASONS = 20  # failures are told up to here; all are counted


@dataclass
class Report:
    answered: int = 0
    hard: int = 0
    idle_closes: int = 0
    uploads: int = 0
    uploads_failed: int = 0
    sockets: int = 0
    sockets_lost: int = 0
    echoes: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    reasons: list = field(default_factory=list)

    def failed(self, what, reason):
        if len(self.reasons) < MOST_REASONS:
            self.reasons.append(f"{self.answered} answered, {what}: {reason!r}")

    def __str__(self):
        rate = self.answered / self.seconds if self.seconds else 0
        text = (
            f"{self.answered} answered in {self.seconds:.1f} s ({rate:.0f}/s), {self.hard} hard failures, {self.idle_closes} idle closes, "
            f"{self.uploads} uploads ({self.uploads_failed} failed), {self.sockets - self.sockets_lost} of {self.sockets} sockets alive "
            f"after {self.echoes} echoes, slowest {self.slowest:.2f} s"
        )
        return "\n".join([text, *self.reasons])


class Load:
    """Runs in a thread of its own, as a context manager. Leaving it waits until `total` requests were sent, then for what is open.

    `port` speaks TLS if there is a context `tls`; with `plain`, a second port, every other kept connection goes there.
    """

    def __init__(
        self, port, host, tls=None, plain=None, path="/", total=TOTAL, rate=RATE, kept=16, fresh=2, uploads=2, upload_path="/echo",
        sockets=10, socket_path="/echo", most_seconds=None, fresh_rate=50,
    ):  # fmt: skip
        self.port, self.plain, self.host, self.path, self.total, self.rate = port, plain, host, path, total, rate
        self.tls = tls
        self.kept, self.fresh, self.fresh_rate = kept, fresh, fresh_rate
        self.uploaders, self.upload_path = uploads, upload_path
        self.socket_count, self.socket_path = sockets, socket_path
        self.most_seconds = most_seconds or 60 + 10 * total / rate
        self.report = Report()
        self._numbers = itertools.count()
        self._told_to_stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.until(1.0)
        self._told_to_stop.set()
        self._thread.join(4 * PATIENCE)
        assert not self._thread.is_alive(), f"the load never ended: {self.report}"

    def until(self, share):
        """Waits until that share of all requests is done."""
        while self.report.answered + self.report.hard < share * self.total:
            spent = time.monotonic() - self._began
            assert spent < self.most_seconds, f"only this after {spent:.0f} s: {self.report}"
            assert self._thread.is_alive(), f"the load ended early: {self.report}"
            time.sleep(0.02)

    def go_on(self, seconds):
        """Lets it go on for a while."""
        time.sleep(seconds)

    async def _run(self):
        self._start = asyncio.get_running_loop().time()
        tasks = [self._kept(bool(self.plain) and number % 2 == 1) for number in range(self.kept)]
        tasks += [self._fresh() for _ in range(self.fresh)]
        tasks += [self._uploader() for _ in range(self.uploaders)]
        tasks += [self._socket(number) for number in range(self.socket_count)]
        await asyncio.gather(*tasks)
        self.report.seconds = asyncio.get_running_loop().time() - self._start

    @property
    def _over(self):
        return self._told_to_stop.is_set() or time.monotonic() - self._began > self.most_seconds

    async def _pace(self):
        """Waits for this request's turn, so that no more than `rate` begin in a second. Turns that were missed are not made up for."""
        turn = self._start + next(self._numbers) / self.rate
        now = asyncio.get_running_loop().time()
        if turn > now:
            await asyncio.sleep(turn - now)
        else:
            self._start += now - turn

    async def _open(self, plain=False):
        port = self.plain if plain else self.port
        context = None if plain else self.tls
        name = self.host if context else None
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name), PATIENCE)

    def _head(self, method, path, *fields):
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.host}", *fields, "", ""]).encode()

    async def _kept(self, plain):
        """One connection, request after request."""
        request = self._head("GET", self.path)
        connection, used = None, 0
        while not self._over:
            await self._pace()
            began = time.monotonic()
            for _ in range(3):
                try:
                    if connection is None:
                        connection, used = await self._open(plain), 0
                    reader, writer = connection
                    writer.write(request)
                    status, close = await asyncio.wait_for(read_answer(reader), 2 * PATIENCE)
                    self._answered(status, began)
                    used += 1
                    if close:
                        await shut(connection)
                        connection = None
                    break
                except NothingCame as error:
                    await shut(connection)
                    connection = None
                    if used == 0:
                        self._hard("kept connection", error)
                        break
                    self.report.idle_closes += 1
                except (OSError, ssl.SSLError, asyncio.TimeoutError, ValueError, EOFError) as error:
                    await shut(connection)
                    connection = None
                    self._hard("kept connection", error)
                    break
        await shut(connection)

    async def _fresh(self):
        """A connection for each request."""
        request = self._head("GET", self.path, "Connection: close")
        while not self._over:
            await asyncio.sleep(self.fresh / self.fresh_rate)
            began, connection = time.monotonic(), None
            try:
                connection = await self._open()
                connection[1].write(request)
                status, _ = await asyncio.wait_for(read_answer(connection[0]), 2 * PATIENCE)
                self._answered(status, began)
            except (OSError, ssl.SSLError, asyncio.TimeoutError, ValueError, EOFError) as error:
                self._hard("new connection", error)
            await shut(connection)

    async def _uploader(self):
        """Bodies that take their time, and come back whole."""
        parts, size = 20, 4096
        while not self._over:
            connection = None
            try:
                connection = await self._open()
                reader, writer = connection
                writer.write(self._head("POST", self.upload_path, f"Content-Length: {parts * size}", "Connection: close"))
                body = b""
                for number in range(parts):
                    part = bytes([number]) * size
                    writer.write(part)
                    await writer.drain()
                    body += part
                    await asyncio.sleep(0.1)
                answer = []
                status, _ = await asyncio.wait_for(read_answer(reader, answer), 2 * PATIENCE)
                if status != 200 or b"".join(answer) != body:
                    raise ValueError(f"status {status}, {sum(map(len, answer))} of {len(body)} bytes came back")
                self.report.uploads += 1
            except (OSError, ssl.SSLError, asyncio.TimeoutError, ValueError, EOFError) as error:
                self.report.uploads_failed += 1
                self.report.failed("upload", error)
                await asyncio.sleep(0.1)
            await shut(connection)

    async def _socket(self, number):
        """A WebSocket that stays open, and gets back what it sends (RFC 6455)."""
        self.report.sockets += 1
        try:
            reader, writer = await self._open()
            fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
            writer.write(self._head("GET", self.socket_path, *fields))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            if not head.startswith(b"HTTP/1.1 101"):
                raise ValueError(head.split(b"\r\n")[0])
            for count in itertools.count():
                if self._over:
                    break
                text = f"{number}:{count}".encode()
                writer.write(text_frame(text))
                # A server that is no WebSocket server sends the frame itself back, mask and all.
                first, length = await asyncio.wait_for(reader.readexactly(2), PATIENCE)
                mask = await reader.readexactly(4) if length & 0x80 else bytes(4)
                got = masked(await reader.readexactly(length & 0x7F), mask)
                if first != 0x81 or got != text:
                    raise ValueError(f"{text!r} came back as {got!r}")
                self.report.echoes += 1
                await asyncio.sleep(0.25)
            await shut((reader, writer))
        except (OSError, ssl.SSLError, asyncio.TimeoutError, ValueError, EOFError) as error:
            self.report.sockets_lost += 1
            self.report.failed(f"socket {number}", error)

    def _answered(self, status, began):
        took = time.monotonic() - began
        self.report.slowest = max(self.report.slowest, took)
        if 200 <= status < 300:
            self.report.answered += 1
        else:
            self._hard("answer", f"status {status} after {took:.2f} s")

    def _hard(self, what, reason):
        self.report.hard += 1
        self.report.failed(what, reason)


class NothingCame(EOFError):
    """The connection ended before the first byte of an answer."""


async def read_answer(reader, body=None):
    """Reads one answer to its end: its status, and whether the connection ends with it. Parts of its body go to the list `body`."""
    try:
        first = await reader.read(1)
    except (ConnectionError, ssl.SSLError) as error:
        raise NothingCame(repr(error)) from error
    if not first:
        raise NothingCame("closed")
    head = first + await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status = int(lines[0].split(b" ")[1])
    if 100 <= status < 200:
        return await read_answer(reader, body)
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:] if line)}
    if b"content-length" in fields:
        data = await reader.readexactly(int(fields[b"content-length"]))
        if body is not None:
            body.append(data)
    elif fields.get(b"transfer-encoding") == b"chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            data = await reader.readexactly(size + 2)
            if body is not None:
                body.append(data[:-2])
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    return status, fields.get(b"connection", b"").lower() == b"close"


async def shut(connection):
    if connection is None:
        return
    connection[1].close()
    with contextlib.suppress(OSError, ssl.SSLError, asyncio.TimeoutError):
        await asyncio.wait_for(connection[1].wait_closed(), 1)


def text_frame(text):
    mask = b"\x01\x02\x03\x04"
    return bytes([0x81, 0x80 | len(text)]) + mask + masked(text, mask)


def masked(data, mask):
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
