"""HTTP/2 frame by frame, for what no HTTP/2 library would send (RFC 9113)."""

import socket
import struct

import hpack

from .process import PATIENCE
from .sockets import dial

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")]
POST = [(":method", "POST"), *GET[1:]]


class Gone(Exception):
    """The server closed the connection."""


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    @property
    def error(self):
        """The error code of RST_STREAM and GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return struct.unpack(">L", self.payload[at : at + 4])[0]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">L", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">L", stream) + payload


def settings(**values):
    """SETTINGS with values by their number: `settings(s4=0)` sets INITIAL_WINDOW_SIZE to 0."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", int(k[1:]), v) for k, v in values.items()))


def block(fields):
    """Header fields as HPACK literals that are not indexed, so that anything can be said (RFC 7541 section 6.2.2)."""
    text = bytearray()
    for name, value in fields:
        text += b"\x00"
        for part in (name, value):
            part = part.encode() if isinstance(part, str) else part
            assert len(part) < 127
            text += bytes([len(part)]) + part
    return bytes(text)


class Http2:
    """A connection that has said hello."""

    def __init__(self, port, hello=None, timeout=PATIENCE):
        self.socket = dial(port, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder = hpack.Decoder()
        self.last = -1
        self.send(PREFACE + (settings() if hello is None else hello))

    def send(self, *frames):
        """Sends; a server that has already closed shows when its frames are read."""
        try:
            self.socket.sendall(b"".join(frames))
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def open(self, fields, end=True, headers=END_HEADERS, encoded=None):
        """Opens the next stream with a header block and gives its number."""
        self.last += 2
        self.send(frame(HEADERS, headers | (END_STREAM if end else 0), self.last, encoded or block(fields)))
        return self.last

    def read(self):
        head = self._exactly(9)
        length = int.from_bytes(head[:3], "big")
        stream = int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
        return Frame(head[3], head[4], stream, self._exactly(length))

    def until(self, wanted):
        """The first frame for which `wanted` holds. Raises Gone if the connection ends before."""
        while True:
            got = self.read()
            if got.kind == SETTINGS and not got.flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            if wanted(got):
                return got

    def outcome(self, stream):
        """How a stream ended: its status, `"reset"`, or `"goaway"` with the connection."""
        try:
            got = self.until(lambda f: f.kind == GOAWAY or (f.stream == stream and f.kind in (HEADERS, RST_STREAM)))
        except Gone:
            return "closed"
        if got.kind == HEADERS:
            return int(dict(self.decoder.decode(got.payload))[":status"])
        return "reset" if got.kind == RST_STREAM else "goaway"

    def end(self):
        """The error code with which the server closes the connection; None if it closes without a word."""
        code = None
        try:
            while True:
                got = self.until(lambda f: f.kind == GOAWAY)
                code = got.error
        except Gone:
            return code

    def is_usable(self):
        return self.outcome(self.open(GET)) == 200

    def close(self):
        self.socket.close()

    def _exactly(self, length):
        data = bytearray()
        while len(data) < length:
            try:
                part = self.socket.recv(length - len(data))
            except ConnectionResetError:
                raise Gone from None
            if not part:
                raise Gone
            data += part
        return bytes(data)
