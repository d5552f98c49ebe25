"""HTTP/2 as hostile and broken clients speak it: what must be refused, how, and what it may cost."""

import struct
import time

import hpack
import pytest

from harness.frames import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GET,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    POST,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    Http2,
    block,
    frame,
    settings,
)
from harness.sockets import dial, read_all

MEGABYTE = 1 << 20
BIG = 64 * MEGABYTE


@pytest.fixture
def door(share, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "index.html").write_text("hello\n")
    with open(folder / "big.bin", "wb") as big:
        big.truncate(BIG)
    return share(folder)


@pytest.fixture
def connect(door):
    """Opens connections to the door and closes them at the end."""
    opened = []

    def start(**options):
        opened.append(Http2(door.port, **options))
        return opened[-1]

    yield start
    for connection in opened:
        connection.close()


def without(name, fields=GET):
    return [field for field in fields if field[0] != name]


def replaced(name, value, fields=GET):
    return [(name, value) if field[0] == name else field for field in fields]


# Requests that are malformed (RFC 9113 section 8.1.1): the stream is reset or answered 400.

MALFORMED = {
    "no :method": without(":method"),
    "no :scheme": without(":scheme"),
    "no :path": without(":path"),
    "no :authority and no host": without(":authority"),
    "empty :path": replaced(":path", ""),
    ":path without its slash": replaced(":path", "index.html"),
    ":path with a space": replaced(":path", "/a b"),
    ":path that is an asterisk": replaced(":path", "*"),
    ":path with parent folders": replaced(":path", "/a/../../etc/passwd"),
    "empty :method": replaced(":method", ""),
    ":method that is no token": replaced(":method", "G T"),
    ":method twice": [(":method", "GET"), *GET],
    ":path twice": [(":path", "/"), *GET],
    ":scheme twice": [(":scheme", "http"), *GET],
    ":authority twice": [(":authority", "localhost"), *GET],
    "a pseudo-header after a field": [("x", "y"), *GET],
    "an unknown pseudo-header": [*GET, (":unknown", "x")],
    "a response's pseudo-header": [*GET, (":status", "200")],
    ":authority with a user": replaced(":authority", "u@localhost"),
    ":authority with a path": replaced(":authority", "localhost/x"),
    ":authority with a comma": replaced(":authority", "localhost,b"),
    "empty :authority": replaced(":authority", ""),
    "host other than :authority": [*GET, ("host", "evil.example")],
    "host twice": [*without(":authority"), ("host", "localhost"), ("host", "localhost")],
    "connection": [*GET, ("connection", "close")],
    "keep-alive": [*GET, ("keep-alive", "timeout=5")],
    "proxy-connection": [*GET, ("proxy-connection", "keep-alive")],
    "transfer-encoding": [*GET, ("transfer-encoding", "chunked")],
    "upgrade": [*GET, ("upgrade", "websocket")],
    "te other than trailers": [*GET, ("te", "gzip")],
    "te with more than trailers": [*GET, ("te", "trailers, gzip")],
    "a name in capitals": [*GET, ("X-Name", "y")],
    "a name with a space": [*GET, ("x y", "z")],
    "a name with a colon": [*GET, ("x:y", "z")],
    "a name with NUL": [*GET, (b"x\0", "z")],
    "an empty name": [*GET, ("", "z")],
    "a value with a line feed": [*GET, ("x", "a\nb")],
    "a value with a carriage return": [*GET, ("x", "a\rb")],
    "a value with NUL": [*GET, ("x", b"a\0b")],
    "a value with a request in it": [*GET, ("x", "a\r\n\r\nGET / HTTP/1.1")],
    "two lengths": [*GET, ("content-length", "0"), ("content-length", "1")],
    "a length that is none": [*GET, ("content-length", "x")],
    "a length with a sign": [*GET, ("content-length", "+0")],
    "a length, and no body": [*GET, ("content-length", "5")],
    "CONNECT with a path": replaced(":method", "CONNECT"),
}


# These end the whole connection, which RFC 9113 section 5.4.1 leaves to us.
UNREADABLE = {
    "empty :method",
    ":method that is no token",
    "an unknown pseudo-header",
    "a name in capitals",
    "a name with a space",
    "a name with a colon",
    "a name with NUL",
    "an empty name",
    "a value with a line feed",
    "a value with a carriage return",
    "a value with NUL",
    "a value with a request in it",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_cost_no_more_than_they_must(connect, door, name):
    connection = connect()
    outcome = connection.outcome(connection.open(MALFORMED[name]))
    if name in UNREADABLE:
        assert outcome in ("goaway", "closed"), f"{name}: {outcome}"
    else:
        assert outcome in ("reset", 400), f"{name}: {outcome}"
        assert connection.is_usable(), name
    assert door.get("/").status == 200


def test_te_trailers_is_fine(connect):
    connection = connect()
    assert connection.outcome(connection.open([*GET, ("te", "trailers")])) == 200


def test_host_may_stand_for_authority(connect):
    connection = connect()
    assert connection.outcome(connection.open([*without(":authority"), ("host", "localhost")])) == 200


@pytest.mark.parametrize("said, sent", [(3, b"hello"), (7, b"hello"), (0, b"hello")])
def test_a_body_must_be_as_long_as_was_said(connect, said, sent):
    connection = connect()
    stream = connection.open([*POST, ("content-length", str(said))], end=False)
    connection.send(frame(DATA, END_STREAM, stream, sent))
    answers = []
    try:
        while "reset" not in answers and 400 not in answers:
            answers.append(connection.outcome(stream))
    except TimeoutError:
        pass
    # A service that does not read the body may have answered before its end showed: never with success.
    assert answers and not any(answer in (200, 201, 204) for answer in answers), answers
    assert connection.is_usable()


def test_trailers_with_pseudo_headers_are_refused(connect):
    connection = connect()
    stream = connection.open(POST, end=False)
    connection.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block([(":path", "/x")])))
    assert connection.outcome(stream) in ("reset", 400, 405)
    assert connection.is_usable()


# Frames that break the protocol: the connection ends, with this code or the general one (RFC 9113 section 5.4).

NEVER_OPENED = 99

BROKEN = {
    "DATA on stream 0": (frame(DATA, 0, 0, b"x"), set()),
    "DATA on an idle stream": (frame(DATA, 0, NEVER_OPENED, b"x"), {STREAM_CLOSED}),
    "HEADERS on stream 0": (frame(HEADERS, END_HEADERS | END_STREAM, 0, block(GET)), set()),
    "HEADERS on an even stream": (frame(HEADERS, END_HEADERS | END_STREAM, 2, block(GET)), set()),
    "RST_STREAM on stream 0": (frame(RST_STREAM, 0, 0, bytes(4)), set()),
    "RST_STREAM on an idle stream": (frame(RST_STREAM, 0, NEVER_OPENED, bytes(4)), set()),
    "RST_STREAM of a wrong size": (frame(RST_STREAM, 0, 1, bytes(3)), {FRAME_SIZE_ERROR}),
    "WINDOW_UPDATE on an idle stream": (frame(WINDOW_UPDATE, 0, NEVER_OPENED, b"\0\0\0\1"), set()),
    "WINDOW_UPDATE of nothing": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), set()),
    "WINDOW_UPDATE of a wrong size": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), {FRAME_SIZE_ERROR}),
    "a window beyond its bound": (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), {FLOW_CONTROL_ERROR}),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1, block(GET)), set()),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(GET)), set()),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1), set()),
    "SETTINGS of a wrong size": (frame(SETTINGS, 0, 0, bytes(5)), {FRAME_SIZE_ERROR}),
    "SETTINGS that acknowledge and set": (frame(SETTINGS, ACK, 0, bytes(6)), {FRAME_SIZE_ERROR}),
    "ENABLE_PUSH of 2": (settings(s2=2), set()),
    "INITIAL_WINDOW_SIZE beyond its bound": (settings(s4=1 << 31), {FLOW_CONTROL_ERROR}),
    "MAX_FRAME_SIZE that is too small": (settings(s5=100), set()),
    "MAX_FRAME_SIZE that is too large": (settings(s5=1 << 24), set()),
    "PING on a stream": (frame(PING, 0, 1, bytes(8)), set()),
    "PING of a wrong size": (frame(PING, 0, 0, bytes(7)), {FRAME_SIZE_ERROR}),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), set()),
    "a frame beyond the size we allow": (frame(DATA, 0, 1, bytes(20_000)), {FRAME_SIZE_ERROR}),
    "padding longer than its frame": (
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + block(GET)),
        set(),
    ),
    "HPACK that is none": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"), {COMPRESSION_ERROR}),
    "an HPACK index of nothing": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe"), {COMPRESSION_ERROR}),
    "an HPACK table beyond what we allow": (
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\x0f" + block(GET)),
        {COMPRESSION_ERROR},
    ),
    "another stream's frame inside a header block": (
        frame(HEADERS, END_STREAM, 1, block(GET)[:10]) + frame(PING, 0, 0, bytes(8)),
        set(),
    ),
    "a header block that another stream continues": (
        frame(HEADERS, END_STREAM, 1, block(GET)[:10]) + frame(CONTINUATION, END_HEADERS, 3, block(GET)[10:]),
        set(),
    ),
    "stream numbers that go back": (
        frame(HEADERS, END_HEADERS | END_STREAM, 5, block(GET)) + frame(HEADERS, END_HEADERS | END_STREAM, 3, block(GET)),
        {STREAM_CLOSED},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_frames_end_the_connection(connect, door, name):
    connection = connect()
    bytes_sent, codes = BROKEN[name]
    connection.send(bytes_sent)
    code = connection.end()
    assert code in codes | {PROTOCOL_ERROR}, f"{name}: {code}"
    assert door.get("/").status == 200


def test_a_stream_window_beyond_its_bound_ends_its_stream(connect):
    connection = connect(hello=settings(s4=100))
    stream = connection.open(replaced(":path", "/big.bin"))
    connection.send(frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"))
    ended = connection.until(lambda f: f.kind in (RST_STREAM, GOAWAY))
    assert (ended.kind, ended.error) == (RST_STREAM, FLOW_CONTROL_ERROR)
    assert connection.is_usable()


def test_what_is_unknown_is_ignored(connect):
    connection = connect(hello=settings(s200=1, s1=0))
    connection.send(frame(0xFA, 0xFF, 0, b"grease"), frame(0xFA, 0, 7, b""))
    connection.send(frame(PRIORITY, 0, 11, b"\0\0\0\3\x10"))
    connection.send(frame(PING, 0, 0, b"12345678"))
    pong = connection.until(lambda f: f.kind == PING)
    assert (pong.flags, pong.payload) == (ACK, b"12345678")
    assert connection.is_usable()


def test_a_header_block_may_come_in_pieces(connect):
    connection = connect()
    whole = block([*GET, ("x", "y" * 100)])
    stream = connection.open([], headers=0, encoded=whole[:1])
    for at in range(1, len(whole) - 1):
        connection.send(frame(CONTINUATION, 0, stream, whole[at : at + 1]))
    connection.send(frame(CONTINUATION, END_HEADERS, stream, whole[-1:]))
    outcome = connection.outcome(stream)
    # So many pieces of one byte are as well a flood.
    assert outcome in (200, "goaway", "closed"), outcome


# Floods: an end within a budget, in memory that is bounded, and other visitors not noticing.


@pytest.fixture
def cheap(door):
    """Asserts that what happened cost the server little memory, and that it still serves."""
    door.get("/")
    before = door.rss_kb()
    yield
    assert door.get("/").status == 200
    grown = door.rss_kb() - before
    assert grown < 24 * 1024, f"{grown} KB more memory"


def flood(connection, piece, most):
    """Sends a piece again and again, until the server ends it or `most` bytes are sent. How many were."""
    sent = 0
    pieces = piece * max(1, 16_384 // len(piece))
    while sent < most and connection.send(pieces):
        sent += len(pieces)
    return sent


def test_continuation_flood(connect, cheap):
    connection = connect()
    stream = connection.open([], headers=0, encoded=block(GET))
    piece = frame(CONTINUATION, 0, stream, block([("x" * 100, "y" * 100)]) * 70)
    assert flood(connection, piece, 64 * MEGABYTE) < 8 * MEGABYTE
    assert connection.end() in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR, FRAME_SIZE_ERROR, None)


def test_flood_of_empty_continuations(connect, cheap):
    connection = connect()
    stream = connection.open([], headers=0, encoded=block(GET))
    assert flood(connection, frame(CONTINUATION, 0, stream), 64 * MEGABYTE) < 8 * MEGABYTE


def test_a_header_list_that_is_too_large(connect, cheap):
    connection = connect()
    fields = block([("x" * 100, "y" * 100)]) * 80
    stream = connection.open([], headers=0, encoded=block(GET))
    for _ in range(7):
        connection.send(frame(CONTINUATION, 0, stream, fields))
    connection.send(frame(CONTINUATION, END_HEADERS, stream))
    assert connection.outcome(stream) in (431, "reset", "goaway", "closed")


def test_hpack_bomb(connect, cheap):
    """One field of 4 KB in the table, then thousands of references of one byte to it."""
    connection = connect()
    value = b"y" * 3900
    entry = b"\x40\x01x" + hpack.hpack.encode_integer(len(value), 7) + value
    for _ in range(20):
        stream = connection.open([], encoded=block(GET) + entry + b"\xbe" * 12_000)
        outcome = connection.outcome(stream)
        assert outcome in (431, "reset", "goaway", "closed"), outcome
        if outcome in ("goaway", "closed"):
            break


def test_rapid_reset(connect, door, cheap):
    """CVE-2023-44487: requests that are cancelled at once must not be free."""
    connection = connect()
    pieces = []
    for number in range(20_000):
        stream = 1 + 2 * number
        pieces.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, block(replaced(":path", "/big.bin"))))
        pieces.append(frame(RST_STREAM, 0, stream, struct.pack(">L", CANCEL)))
        if len(pieces) == 200:
            if not connection.send(*pieces):
                break
            pieces = []
    assert connection.end() in (ENHANCE_YOUR_CALM, None)
    served = len(door.all_events("request"))
    assert served < 5_000, f"{served} requests were begun"


def test_made_you_reset(connect, cheap):
    """CVE-2025-8671: requests that the client makes the server reset must not be free either."""
    connection = connect()
    sent = 0
    for number in range(20_000):
        stream = 1 + 2 * number
        sent += 1
        if not connection.send(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, block(replaced(":path", "/big.bin"))),
            frame(WINDOW_UPDATE, 0, stream, bytes(4)),
        ):
            break
    assert sent < 20_000, "never stopped"
    assert connection.end() in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, None)


@pytest.mark.parametrize(
    "piece",
    [
        frame(PING, 0, 0, bytes(8)),
        settings(s4=65_535),
        frame(PRIORITY, 0, 1, b"\0\0\0\3\x10"),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        frame(0xFA, 0, 0, bytes(100)),
    ],
    ids=["PING", "SETTINGS", "PRIORITY", "WINDOW_UPDATE", "unknown"],
)
def test_control_floods_from_one_who_does_not_read(connect, cheap, piece):
    connection = connect(timeout=3)
    try:
        flood(connection, piece, 16 * MEGABYTE)
    except TimeoutError:
        pass  # The server stopped reading, which is a good answer too.


def test_flood_of_empty_data(connect, cheap):
    connection = connect(timeout=5)
    stream = connection.open(POST, end=False)
    try:
        flood(connection, frame(DATA, 0, stream), 16 * MEGABYTE)
    except TimeoutError:
        pass


def test_zero_window_stalls_hold_little(connect, cheap):
    """Visitors that ask for much and never make room for it."""
    connections = [connect(hello=settings(s4=0)) for _ in range(20)]
    for connection in connections:
        for _ in range(50):
            connection.open(replaced(":path", "/big.bin"))
    for connection in connections:
        assert connection.outcome(1) == 200
    time.sleep(1)


def test_more_streams_than_allowed_are_refused(connect):
    connection = connect(hello=settings(s4=0))
    streams = [connection.open(replaced(":path", "/big.bin")) for _ in range(300)]
    refused = connection.until(lambda f: f.kind in (RST_STREAM, GOAWAY))
    assert refused.kind == GOAWAY or refused.stream in streams


def test_a_preface_that_stops_halfway_is_let_go(door):
    connection = dial(door.port, timeout=60)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM")
    read_all(connection)  # Ends only when the server closes; the socket's own timeout is the bound.


def test_a_silent_connection_is_let_go(connect):
    assert connect(timeout=60).end() in (NO_ERROR, None)
