"""What a person sees: the screen in a real terminal, plain lines in a pipe, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness.process import BINARY, PATIENCE
from harness.sockets import dial, exchange
from harness.terminal import Terminal

pytestmark = pytest.mark.needs("tmux")

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def terminal(tmp_path):
    started = []

    def start(columns=80, rows=24, **options):
        started.append(Terminal(tmp_path / "home", columns, rows, **options))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    return folder


@pytest.fixture
def big(folder):
    """A file that takes its time."""
    with open(folder / "big.iso", "wb") as file:
        file.truncate(200_000_000)
    return folder / "big.iso"


@pytest.fixture
def slow():
    """Starts to download and stops reading: `slow(port, "/big.iso")`."""
    opened = []

    def start(port, path):
        visitor = dial(port, receive_buffer=16384)
        opened.append(visitor)
        visitor.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        visitor.recv(65536)
        return visitor

    yield start
    for visitor in opened:
        visitor.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def get(port, path, agent="test"):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    return exchange(port, request.encode())


def asked(rows):
    """The paths of the request lines, in order."""
    return [match[1] for row in rows if (match := re.search(r"GET (/\S*)", row))]


def test_the_address_is_first_and_nothing_scrolls_it_away(terminal, folder):
    screen, port = terminal(), free_port()
    screen.share(folder, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}")
    for number in range(60):
        get(port, f"/{number}")
    screen.wait("/59")
    rows = screen.rows()
    assert rows[1].startswith(f"  Sharing {folder}"[:60])
    assert rows[3].split() == ["this", "computer", f"http://localhost:{port}"]
    scrolled = asked(screen.scrollback())
    assert scrolled == [f"/{number}" for number in range(60)], "every request can be scrolled back to, in order"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (40, 20), (24, 6)])
def test_the_screen_fits_any_window(terminal, folder, columns, rows):
    screen, port = terminal(columns, rows), free_port()
    screen.share(folder, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}"[:columns])
    get(port, "/%E6%97%A5%E6%9C%AC%E8%AA%9E/" + "long-name-" * 30 + ".html")
    screen.wait_for(lambda rows: any("404" in row for row in rows), "the request is shown")
    requests = [row for row in screen.rows() if "404" in row]
    assert len(requests) == 1, "one line per request, however long its path"


def test_a_resize_draws_everything_again(terminal, folder):
    screen, port = terminal(), free_port()
    screen.share(folder, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}")
    get(port, "/before")
    screen.wait("/before")
    for columns, rows in [(40, 12), (120, 30), (30, 8), (80, 24)]:
        screen.resize(columns, rows)
        wanted = f"http://localhost:{port}"
        screen.wait_for(
            lambda seen: any(wanted in row for row in seen[:5]) and sum("/before" in row for row in seen) == 1,
            f"right at {columns}×{rows}",
        )


def test_a_phone_gets_a_code_to_scan(terminal, folder):
    screen = terminal(100, 30)
    screen.share(folder, "--port", free_port())
    screen.wait("your network")
    screen.wait("█▀▀▀▀▀█")
    without = terminal(100, 30)
    without.share(folder, "--port", free_port(), "--no-qr")
    without.wait("your network")
    assert "█▀▀▀▀▀█" not in without.screen()


def test_ctrl_c_says_goodbye_and_gives_the_terminal_back(terminal, folder):
    screen, port = terminal(), free_port()
    screen.share(folder, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}")
    get(port, "/hello.txt")
    screen.wait("/hello.txt")
    screen.type("this is not shown")
    screen.press("C-c")
    screen.wait("1 visitor made 1 request")
    screen.wait("ready>")
    assert "this is not shown" not in screen.screen()
    screen.type("echo code=$?; stty -a")
    screen.press("Enter")
    after = screen.wait("icanon")
    assert "code=0" in after
    assert re.search(r"(?<!-)\becho\b", after), "typing shows again"


def test_transfers_may_finish_and_a_second_ctrl_c_does_not_wait(terminal, big, slow):
    screen, port = terminal(), free_port()
    screen.share(big.parent, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}")
    slow(port, "/big.iso")
    screen.wait("of  200 MB")
    screen.press("C-c")
    screen.wait("one transfer may finish")
    assert any("▸" in row and "/big.iso" in row for row in screen.rows())
    screen.press("C-c")
    screen.wait("One transfer was cut off")
    screen.wait("ready>")
    screen.type("echo code=$?")
    screen.press("Enter")
    screen.wait("code=130")


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again(terminal, folder):
    screen, port = terminal(), free_port()
    screen.share(folder, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}")
    screen.press("C-z")
    screen.wait("Stopped")
    screen.type("echo typed here")
    screen.press("Enter")
    screen.wait("typed here\n")
    screen.type("fg")
    screen.press("Enter")
    screen.wait_for(lambda rows: rows[1].startswith("  Sharing"), "drawn again")
    get(port, "/after")
    screen.wait("/after")


def test_in_the_background_it_goes_on_without_the_terminal(terminal, folder):
    screen, port = terminal(), free_port()
    screen.share(folder, "--local", "--port", port)
    screen.wait(f"http://localhost:{port}")
    screen.press("C-z")
    screen.wait("Stopped")
    screen.type("bg")
    screen.press("Enter")
    assert get(port, "/in-the-background").startswith(b"HTTP/1.1 404")
    screen.type("echo typed; jobs")
    screen.press("Enter")
    screen.wait("Running")
    assert "/in-the-background" not in screen.screen()
    screen.type("fg")
    screen.press("Enter")
    screen.wait("/in-the-background")
    assert screen.rows()[1].startswith("  Sharing")


def test_visitors_cannot_command_the_terminal(terminal, folder):
    screen, port = terminal(200, 30), free_port()
    screen.share(folder, "--local", "--port", port, "--verbose")
    screen.wait(f"http://localhost:{port}")
    get(port, "/%1b%5b2J%C2%9b31m%E2%80%AEtxt", agent="evil")
    screen.wait("evil")
    assert r"/%1b%5b2J\x9b31m\u{202e}txt" in screen.screen()
    assert f"http://localhost:{port}" in screen.rows()[3]


def test_no_color_is_respected(terminal, folder):
    for env, coloured in [({}, True), ({"NO_COLOR": "1"}, False)]:
        screen, port = terminal(env=env), free_port()
        screen.share(folder, "--local", "--port", port)
        screen.wait(f"http://localhost:{port}")
        get(port, "/hello.txt")
        screen.wait("/hello.txt")
        line = next(row for row in screen.rows(styles=True) if "/hello.txt" in row)
        assert ("\x1b[32m" in line) == coloured, repr(line)


def test_a_pipe_gets_plain_lines(folder):
    door = pipe(folder, "--local", "--port", "0")
    port = int(door.until(r"this computer: http://localhost:(\d+)"))
    get(port, "/hello.txt")
    door.until(r"\d\d:\d\d:\d\d  this computer  GET /(hello).txt  200")
    door.process.send_signal(signal.SIGTERM)
    door.until(r"1 visitor made (1) request")
    assert door.process.wait(PATIENCE) == 0
    assert not CONTROL.search("".join(door.lines).replace("\n", ""))


def test_a_reader_that_goes_away_stops_nothing(folder):
    door = pipe(folder, "--local", "--port", "0")
    port = int(door.until(r"http://localhost:(\d+)"))
    door.process.stdout.close()
    for _ in range(3):
        assert get(port, "/hello.txt").startswith(b"HTTP/1.1 200")
        time.sleep(0.1)
    door.process.send_signal(signal.SIGINT)
    assert door.process.wait(PATIENCE) == 0


def test_a_reader_that_does_not_read_stops_nothing_and_ctrl_c_still_ends_it(folder):
    door = pipe(folder, "--local", "--port", "0")
    port = int(door.until(r"http://localhost:(\d+)"))
    line = b"GET /hello.txt?" + b"x" * 1000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with dial(port) as visitor:
        for _ in range(2000):
            visitor.sendall(line)
            assert visitor.recv(65536).startswith(b"HTTP/1.1 200")
    door.process.send_signal(signal.SIGINT)
    time.sleep(1)
    door.process.send_signal(signal.SIGINT)
    assert door.process.wait(PATIENCE) == 130


def test_quiet_is_the_address_and_nothing_else(folder):
    door = pipe(folder, "--local", "--port", "0", "--quiet")
    port = int(door.until(r"^http://localhost:(\d+)\n$"))
    get(port, "/hello.txt")
    door.process.send_signal(signal.SIGINT)
    assert door.process.wait(PATIENCE) == 0
    assert door.process.stdout.read() == ""
    assert len(door.lines) == 1


def test_events_tell_the_whole_story(share, folder):
    door = share(folder)
    assert door.wait_event("address", scope="this-computer")["url"] == door.sharing["url"]
    door.get("/hello.txt", {"User-Agent": "test"})
    request = door.wait_event("request")
    assert (request["method"], request["target"], request["status"]) == ("GET", "/hello.txt", 200)
    assert (request["client"], request["sent"], request["user_agent"]) == ("127.0.0.1", 6, "test")
    assert door.stop() == 0
    assert door.wait_event("stopping")["reason"] == "interrupt"
    summary = door.wait_event("summary")
    assert (summary["visitors"], summary["requests"], summary["sent"]) == (1, 1, 6)
    assert not door.garbage


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_every_polite_signal_ends_it_politely(share, folder, how):
    door = share(folder)
    assert door.stop(how) == 0
    assert door.wait_event("summary")["reason"] == "terminate"


def test_the_time_is_up(share, folder):
    door = share(folder, "--expires", "1s")
    assert door.wait() == 0
    assert door.wait_event("summary")["reason"] == "expired"


def test_once_is_over_after_one_download(share, folder):
    door = share(folder / "hello.txt", "--once")
    assert door.get("/hello.txt").text == "hello\n"
    assert door.wait() == 0
    assert door.wait_event("summary")["reason"] == "once"


def test_transfers_are_told_and_named(share, big, slow):
    door = share(big.parent)
    slow(door.port, "/big.iso")
    transfer = door.wait_event("transfer", target="/big.iso")
    assert transfer["total"] == 200_000_000 and 0 < transfer["moved"] < 200_000_000
    door.process.send_signal(signal.SIGINT)
    assert door.wait_event("stopping")["open"] == 1
    assert door.wait() == 0
    assert door.wait_event("summary")["cut"] == 1


def test_a_flood_is_counted_to_the_last_request(share, folder):
    door = share(folder)
    request = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
    total = 20_000
    with dial(door.port) as visitor:
        answered = 0
        for _ in range(total // 100):
            visitor.sendall(request * 100)
            wanted, seen = 100, b""
            while wanted:
                seen = seen[-20:] + visitor.recv(1 << 20)
                found = seen.count(b"\r\n\r\nhello\n")
                wanted -= found
                if found:
                    seen = b""
            answered += 100
    assert answered == total
    assert door.rss_kb() < 150_000
    assert door.stop() == 0
    summary = door.wait_event("summary")
    assert summary["requests"] == total
    assert len(door.all_events("request")) + summary["unseen"] == total


def test_standard_input_is_shared(share):
    read, write = os.pipe()
    with os.fdopen(write, "wb") as writer:
        writer.write(b"from a pipe\n")
    with os.fdopen(read, "rb") as stdin:
        door = share("-", stdin=stdin)
    assert door.sharing["kind"] == "stdin"
    assert door.get("/stdin.txt").text == "from a pipe\n"


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_the_owner(folder):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        command = [BINARY, "share", folder, "--local", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 4
    assert f"port {port} is taken by" in done.stderr and f"process {os.getpid()}" in done.stderr
    assert done.stdout == ""


def test_an_app_that_does_not_run_is_a_warning_and_no_error(share):
    door = share(free_port())
    warning = door.wait_event("warning", id="app-down")
    assert warning["severity"] == "warning" and warning["why"] and warning["fix"]
    assert door.get("/").status == 502


def test_an_access_log_is_written_in_the_combined_format(share, folder, tmp_path):
    log = tmp_path / "access.log"
    door = share(folder, "--log", log)
    door.get("/hello.txt", {"User-Agent": 'a"b', "Referer": "http://localhost/"})
    door.stop()
    pattern = (
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /hello\.txt HTTP/1\.1" 200 6'
        r' "http://localhost/" "a\\"b"\n'
    )
    assert re.fullmatch(pattern, log.read_text())


class Pipe:
    """doorstep with its standard output in a pipe."""

    def __init__(self, *args):
        command = [BINARY, "share", *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.lines = []

    def until(self, pattern):
        """Reads lines until one matches, and gives its first group."""
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match[1]
        raise AssertionError(f"{pattern} is not in {self.lines}")


started_pipes = []


def pipe(*args):
    started_pipes.append(Pipe(*args))
    return started_pipes[-1]


@pytest.fixture(autouse=True)
def no_pipe_is_left():
    yield
    while started_pipes:
        process = started_pipes.pop().process
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
