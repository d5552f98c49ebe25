"""An app behind doorstep: development servers as people run them, seen by a visitor of another address."""

import contextlib
import http.client
import json
import re
import socket
import subprocess
import threading
import time

import pytest

from harness.browser import errors, screenshot
from harness.process import PATIENCE
from harness.sockets import dial, free_port, read_all, read_head

VISITOR = "my-laptop.local"


def ask(door, path, method="GET", headers=None, body=None):
    """As a visitor who typed the .local name."""
    host = f"{VISITOR}:{door.port}"
    return door.request(method, path, {"Host": host, **(headers or {})}, body)


class RawApp:
    """An app that is no more than a function of a socket, called for each connection in a thread."""

    def __init__(self, serve, path=None):
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen()
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            self.port = self.listener.getsockname()[1]
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with connection:
            try:
                self._serve(connection)
            except (OSError, AssertionError):
                pass  # doorstep only looked whether somebody listens


def test_flask_is_told_who_asks(share, app):
    door = share(app("flask").port)
    who = json.loads(ask(door, "/whoami", headers={"X-Forwarded-For": "6.6.6.6", "X_Forwarded_Host": "evil"}).text)
    assert who["host"] == f"localhost:{door_target(door)}"
    assert who["forwarded"]["X-Forwarded-For"] == "127.0.0.1"
    assert who["forwarded"]["X-Forwarded-Host"] == f"{VISITOR}:{door.port}"
    assert who["forwarded"]["X-Forwarded-Proto"] == "http"
    assert "6.6.6.6" not in str(who) and "evil" not in str(who)


def door_target(door):
    return door.arguments[0].rsplit(":", 1)[-1]


def test_redirects_stay_at_the_visitors_address(share, app):
    door = share(app("flask").port)
    answer = ask(door, "/old")
    assert answer.status == 302
    assert answer.headers["Location"] == f"http://{VISITOR}:{door.port}/"


def test_keep_host(share, app):
    door = share(app("flask").port, "--keep-host")
    assert json.loads(ask(door, "/whoami").text)["host"] == f"{VISITOR}:{door.port}"


def test_events_arrive_one_by_one(share, app):
    door = share(app("flask").port)
    connection = door.connect()
    connection.request("GET", "/ticks?n=4")
    response = connection.getresponse()
    events, times = [], []
    while line := response.readline():
        if line.startswith(b"data:"):
            events.append(line)
            times.append(time.monotonic())
    assert events == [b"data: %d\n" % number for number in range(4)]
    assert times[-1] - times[0] > 0.3, "they were held back and came together"


@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["plain", "tls"])
def test_django_form_passes_its_own_check_and_foreign_pages_do_not(share, app, tls):
    door = share(app("django").port, *tls)
    door.wait_event("warning", id="django-debug")
    page = ask(door, "/form")
    token = re.search(r"value=(\w+)", page.text)[1]
    cookie = page.headers["Set-Cookie"].split(";")[0]

    def send(origin):
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        headers |= {"Origin": origin} if origin else {}
        return ask(door, "/form", "POST", headers, f"csrfmiddlewaretoken={token}&text=hello")

    assert send(f"{door.scheme}://{VISITOR}:{door.port}").status == 200
    for foreign in ("http://evil.example", f"http://localhost:{door_target(door)}", "null"):
        assert send(foreign).status == 403, foreign
    assert not [event for event in door.all_events("warning") if event["id"] == "django-csrf"]


def test_django_refuses_a_kept_host_and_the_line_that_mends_it_is_told(share, app):
    door = share(app("django").port, "--keep-host")
    assert ask(door, "/").status == 400
    warning = door.wait_event("warning", id="django-disallowed-host")
    assert f'ALLOWED_HOSTS = ["{VISITOR}"]' in warning["fix"]


@pytest.fixture
def vite_project(tmp_path):
    folder = tmp_path / "vite"
    folder.mkdir()
    (folder / "index.html").write_text("<link rel=icon href=data:,><h1 id=word></h1><script type=module src=/main.js></script>")
    (folder / "word.js").write_text('export const word = "first"')
    (folder / "main.js").write_text(
        'import { word } from "./word.js";\n'
        'const show = (text) => { document.getElementById("word").textContent = text };\n'
        "show(word);\n"
        'import.meta.hot.accept("./word.js", (changed) => show(changed.word));\n'
    )
    return folder


@pytest.mark.needs("node")
@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["plain", "tls"])
def test_vite_replaces_a_module_in_the_visitors_page(share, app, browser, vite_project, tls):
    """With TLS the browser speaks HTTP/2, and its WebSocket is an extended CONNECT."""
    door = share(app("vite", vite_project).port, *tls)
    page = browser()
    page.get(door.url)
    wait_for(lambda: page.find_element("id", "word").text == "first")
    page.execute_script("window.sameDocument = true")
    time.sleep(0.5)  # the page's WebSocket connects after its modules
    (vite_project / "word.js").write_text('export const word = "second"')
    wait_for(lambda: page.find_element("id", "word").text == "second")
    assert page.execute_script("return window.sameDocument"), "the page was loaded anew instead"
    assert not errors(page)


@pytest.mark.needs("node")
def test_vite_refuses_a_kept_host_and_the_line_that_mends_it_is_told(share, app, vite_project):
    door = share(app("vite", vite_project).port, "--keep-host")
    assert ask(door, "/").status == 403
    warning = door.wait_event("warning", id="vite-blocked-host")
    assert f'allowedHosts: ["{VISITOR}"]' in warning["fix"]


def test_websockets_carry_messages_of_any_size(share, app, tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(
        "import asyncio, sys, websockets\n"
        "async def echo(socket):\n"
        "    async for message in socket: await socket.send(message)\n"
        "async def main():\n"
        "    async with websockets.serve(echo, '127.0.0.1', int(sys.argv[1]), max_size=None): await asyncio.Future()\n"
        "asyncio.run(main())\n"
    )
    from websockets.sync.client import connect

    door = share(app("python", script).port)
    with contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(connect(f"ws://127.0.0.1:{door.port}/", max_size=None)) for _ in range(20)]
        for number, visitor in enumerate(visitors):
            for size in (1, 126, 70_000, 2_000_000 if number == 0 else 10):
                message = bytes([number]) * size
                visitor.send(message)
                assert visitor.recv() == message


def test_an_upgrade_ends_one_direction_at_a_time(share):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: mystery\r\nConnection: Upgrade\r\n\r\n")
        asked = read_all(connection)
        connection.sendall(b"you said: " + asked)

    door = share(RawApp(serve).port)
    with dial(door.port) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: mystery\r\nConnection: Upgrade\r\n\r\nearly ")
        head, rest = read_head(visitor)
        assert head.startswith(b"HTTP/1.1 101 ")
        visitor.sendall(b"and late")
        visitor.shutdown(socket.SHUT_WR)
        assert rest + read_all(visitor) == b"you said: early and late"


def sink(connection):
    """Counts a body of known length; then sends as many bytes as the path says."""
    head, rest = read_head(connection)
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    left = int(length[1]) - len(rest) if length else 0
    while left > 0:
        left -= len(connection.recv(1 << 20)) or left
    size = int(head.split()[1].strip(b"/") or 0)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size)
    block = b"x" * (1 << 20)
    while size > 0:
        connection.sendall(block[: min(size, len(block))])
        size -= min(size, len(block))


GIGABYTE = 1 << 30


def test_a_gigabyte_each_way_in_little_memory(share):
    door = share(RawApp(sink).port)
    before = door.rss_kb()
    with dial(door.port) as visitor:
        visitor.sendall(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (GIGABYTE, GIGABYTE))
        block = b"y" * (1 << 20)
        for _ in range(GIGABYTE // len(block)):
            visitor.sendall(block)
        head, rest = read_head(visitor)
        assert head.startswith(b"HTTP/1.1 200 ")
        left = GIGABYTE - len(rest)
        while left > 0:
            left -= len(visitor.recv(1 << 20)) or left
    assert door.rss_kb() - before < 24 * 1024


def test_trailers_and_interim_answers(share):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        connection.sendall(b"5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")

    door = share(RawApp(serve).port)
    with dial(door.port) as visitor:
        visitor.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n")
        said = read_all(visitor).lower()
    hints, _, final = said.partition(b"\r\n\r\n")
    assert hints.startswith(b"http/1.1 103") and b"link: </a.css>" in hints
    assert final.startswith(b"http/1.1 200") and b"hello" in final
    assert final.endswith(b"0\r\nx-sum: 7\r\n\r\n")


def test_an_app_that_breaks_off_breaks_off_for_the_visitor(share):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    door = share(RawApp(serve).port)
    with pytest.raises(http.client.IncompleteRead):
        door.get("/")
    assert door.wait_event("request", target="/")["outcome"] == "broken"


def test_an_app_that_is_not_there(share, app, browser):
    port = free_port()
    door = share(port)
    answer = door.get("/")
    assert answer.status == 502
    assert answer.text == f"502 Nothing listens on localhost:{port}. Is the app running?\n"
    door.wait_event("warning", id="app-down")

    page = browser(width=390, height=844)
    page.get(door.url)
    assert f"localhost:{port}" in page.find_element("tag name", "main").text
    screenshot(page, "app-down-phone")
    app("flask", port)
    wait_for(lambda: "Flask is at home" in page.page_source)


def test_an_app_that_is_restarted_under_load(share, app):
    """The pool must not hand out connections of an app that is gone."""
    first = app("node")
    door = share(first.port)
    for _ in range(5):
        assert door.get("/").status == 200
    first.stop()
    app("node", first.port)
    assert [door.request("POST", "/", body=b"x").status for _ in range(5)].count(502) == 0


def test_a_request_that_leads_back_to_doorstep(share):
    port = free_port()
    door = share(port, port=port)
    answer = door.get("/")
    assert answer.status == 508
    assert "doorstep's own" in answer.text


@pytest.mark.needs("curl")
def test_a_unix_socket(share, tmp_path):
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    path = tmp_path / "app.sock"
    RawApp(serve, path)
    door = share(f"unix:{path}")
    done = subprocess.run(["curl", "-s", "--noproxy", "*", door.url], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "ok"


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception:  # the page is being replaced
            pass
        time.sleep(0.1)
    raise AssertionError("it never happened")
