"""Password, allow-list, rate, expiry, one download: as browsers and programs meet them."""

import base64
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait

from harness.browser import errors, screenshot
from harness.process import PATIENCE

MEGABYTE = 1 << 20
ANN = "--password=ann:s3cret & more"
RIGHT = {"Authorization": "Basic " + base64.b64encode(b"ann:s3cret & more").decode()}
WRONG = {"Authorization": "Basic " + base64.b64encode(b"ann:guess").decode()}
PERSON = {"Accept": "text/html,*/*;q=0.8", "User-Agent": "Mozilla/5.0"}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "notes.txt").write_text("the secret notes\n")
    (folder / "big.bin").write_bytes(os.urandom(4 * MEGABYTE))
    return folder


def log_in(door, password="s3cret & more", user="ann", to="/notes.txt", source=None):
    form = urllib.parse.urlencode({"user": user, "password": password, "next": to})
    headers = {**PERSON, "Content-Type": "application/x-www-form-urlencoded", "Origin": door.url}
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE, source_address=source)
    connection.request("POST", "/.doorstep/login", form, headers)
    answer = connection.getresponse()
    answer.body = answer.read().decode()
    connection.close()
    return answer


def cookie_of(answer):
    return answer.headers["Set-Cookie"].split(";")[0]


def seen(page, condition):
    """A form's answer comes when it comes."""
    WebDriverWait(page, PATIENCE).until(lambda _: condition())


# Password


def test_a_person_logs_in_and_comes_to_what_was_asked_for(share, folder, browser):
    door = share(folder, ANN)
    page = browser()
    page.get(door.url + "/notes.txt")
    assert "secret" not in page.page_source.replace("s3cret", "")
    screenshot(page, "login")
    page.find_element("name", "user").send_keys("ann")
    page.find_element("name", "password").send_keys("guess\n")
    seen(page, lambda: "do not match" in page.page_source)
    screenshot(page, "login-wrong")
    assert page.find_element("name", "user").get_attribute("value") == "ann"
    page.find_element("name", "password").send_keys("s3cret & more\n")
    seen(page, lambda: page.current_url == door.url + "/notes.txt")
    assert "the secret notes" in page.page_source
    page.get(door.url + "/")
    assert "notes.txt" in page.page_source, "the browser remembers"
    page.get(door.url + "/.doorstep/logout")
    screenshot(page, "logout")
    button = page.find_element("css selector", "button")
    button.click()
    WebDriverWait(page, PATIENCE).until(staleness_of(button))
    page.get(door.url + "/notes.txt")
    assert "the secret notes" not in page.page_source
    complaints = [line for line in errors(page) if "401" not in line and "favicon.ico" not in line]
    assert not complaints, complaints


def test_the_login_page_fits_a_phone_and_the_dark(share, folder, browser):
    door = share(folder, ANN)
    page = browser(width=390, height=844, dark=True)
    page.get(door.url + "/notes.txt")
    screenshot(page, "login-phone-dark")
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    page.find_element("css selector", "input[autocomplete=current-password]")


@pytest.mark.needs("curl")
def test_curl_logs_in_with_u(share, folder):
    door = share(folder, ANN)

    def curl(*args):
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    assert curl(door.url + "/notes.txt") == "401"
    assert curl("-u", "ann:s3cret & more", door.url + "/notes.txt") == "200"
    assert curl("--anyauth", "-u", "ann:s3cret & more", door.url + "/notes.txt") == "200"
    assert curl("-u", "ann:guess", door.url + "/notes.txt") == "401"
    assert curl("--http2-prior-knowledge", "-u", "ann:s3cret & more", door.url + "/notes.txt") == "200"


def test_a_password_is_made_up_if_none_is_given(share, folder):
    door = share(folder, "--password")
    said = door.sharing
    assert len(said["password"]) >= 10
    pair = base64.b64encode(f"{said['user']}:{said['password']}".encode()).decode()
    assert door.get("/notes.txt").status == 401
    assert door.get("/notes.txt", {"Authorization": f"Basic {pair}"}).text == "the secret notes\n"


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize(
    "line",
    [
        "GET /",
        "GET /notes.txt",
        "HEAD /notes.txt",
        "GET //notes.txt",
        "GET /./notes.txt",
        "GET /%6eotes.txt",
        "GET /.doorstep/",
        "GET /.doorstep/login/../../notes.txt",
        "GET /.doorstep/login/",
        "GET /.doorstep/login;/../notes.txt",
        "GET http://127.0.0.1/notes.txt",
        "OPTIONS /notes.txt",
        "PUT /new.txt",
        "POST /",
        "PROPFIND /",
        "TRACE /",
        "GET /notes.txt?.doorstep/login",
        "GET /?zip",
    ],
)
def test_nothing_gets_past(share, folder, line, version):
    door = share(folder, ANN)
    with socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{line} {version}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert b"secret notes" not in answer
    assert answer.split()[1] in (b"401", b"400", b"405"), answer[:200]


def test_sessions_of_another_share_do_not_count(share, folder):
    one, other = share(folder, ANN), share(folder, ANN)
    cookie = cookie_of(log_in(one))
    assert one.get("/notes.txt", {"Cookie": cookie}).status == 200
    assert other.get("/notes.txt", {"Cookie": cookie}).status == 401
    value = cookie.split("=")[1]
    renamed = cookie_of(log_in(other)).split("=")[0] + "=" + value
    assert other.get("/notes.txt", {"Cookie": renamed}).status == 401


def test_the_app_never_sees_what_let_the_visitor_in(share, tmp_path, app):
    script = tmp_path / "mirror.py"
    script.write_text(
        "import http.server, sys\n"
        "class Mirror(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = str(self.headers).encode()\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Mirror).serve_forever()\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mirror = subprocess.Popen(["python3", script, str(port)])
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        door = share(port, ANN)
        cookie = cookie_of(log_in(door))
        seen = door.get("/", {"Cookie": f"mine=1; {cookie}; yours=2", "Authorization": "Bearer abc"}).text
        assert "mine=1; yours=2" in seen and "doorstep-session" not in seen
        assert "Bearer abc" in seen, "credentials that are not ours are the app's"
        assert "Authorization" not in door.get("/", RIGHT).text
    finally:
        mirror.kill()
        mirror.wait()


def test_guessing_is_slow_for_the_one_who_guesses(share, folder):
    door = share(folder, ANN)
    neighbour = cookie_of(log_in(door))
    statuses = [door.get("/notes.txt", WRONG).status for _ in range(20)]
    assert statuses[0] == 401 and statuses[-1] == 429
    held_up = log_in(door)
    assert held_up.status == 429 and "Set-Cookie" not in held_up.headers
    assert int(held_up.headers["Retry-After"]) >= 1
    assert door.get("/notes.txt", {"Cookie": neighbour}).status == 200, "who is logged in notices nothing"
    assert log_in(door, source=("127.0.0.9", 0)).status == 303, "nor do others"


def test_nobody_is_sent_elsewhere_after_a_login(share, folder):
    door = share(folder, ANN)
    for target in ["//evil.example/", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:alert(1)"]:
        assert log_in(door, to=target).headers["Location"] == "/"
    assert log_in(door, to="/a%20b?c=d").headers["Location"] == "/a%20b?c=d"


def test_with_tls_the_cookie_is_for_tls_alone(share, folder):
    door = share(folder, "--tls", ANN)
    connection = door.connect()
    form = urllib.parse.urlencode({"user": "ann", "password": "s3cret & more"})
    connection.request("POST", "/.doorstep/login", form, PERSON)
    cookie = connection.getresponse().headers["Set-Cookie"]
    assert cookie.startswith("__Host-") and "; Secure" in cookie and "; HttpOnly" in cookie


# Allow-list


def test_only_who_is_allowed_comes_in(share, folder):
    door = share(folder, "--allow=127.0.0.2/32,10.0.0.0/8")

    def status(source):
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE, source_address=(source, 0))
        connection.request("GET", "/notes.txt", headers=PERSON)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    assert status("127.0.0.2") == 200
    assert status("127.0.0.3") == 403
    assert status("127.0.0.1") == 403, "this computer has no privilege: a tunnel's visitors come from it too"


# Rate


def download(door, sizes, index, source):
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE, source_address=(source, 0))
    connection.request("GET", "/big.bin")
    answer = connection.getresponse()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        sizes[index] += len(answer.read1(16_384))
    connection.close()


def test_a_visitor_gets_no_more_than_the_rate(share, folder):
    door = share(folder, "--max-rate=500kB/s")
    began = time.monotonic()
    body = door.get("/big.bin", {"Range": "bytes=0-999999"}).body
    took = time.monotonic() - began
    assert body == (folder / "big.bin").read_bytes()[:1_000_000]
    assert took > 1.8, f"a megabyte in {took:.2f} s"


def test_all_together_get_no_more_than_the_total_and_share_it(share, folder):
    door = share(folder, "--max-total-rate=600kB/s")
    # One visitor with five connections, two with one each.
    sources = ["127.0.0.2"] * 5 + ["127.0.0.3", "127.0.0.4"]
    sizes = [0] * len(sources)
    threads = [threading.Thread(target=download, args=(door, sizes, i, s)) for i, s in enumerate(sources)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    greedy, modest = sum(sizes[:5]), sizes[5:]
    # What is already in the sockets' buffers counts neither way.
    assert sum(sizes) < 600_000 * (took + 0.5), sizes
    assert min(modest) > greedy / 4, f"five connections got {greedy}, one each got {modest}"


# Expiry and one download


def test_an_expired_share_ends_by_itself(share, folder):
    door = share(folder, "--expires=2s")
    assert door.get("/notes.txt").status == 200
    assert door.wait(timeout=PATIENCE) == 0
    assert door.wait_event("summary")["reason"] == "expired"


def test_once_is_once(share, folder):
    door = share(folder, "--once")
    assert door.get("/").status == 200, "looking is free"
    assert door.request("HEAD", "/notes.txt").status == 200
    assert door.get("/notes.txt").text == "the secret notes\n"
    assert door.wait(timeout=PATIENCE) == 0
    assert door.wait_event("summary")["reason"] == "once"


def test_once_waits_for_the_whole_file_and_lets_it_be_resumed(share, folder):
    with open(folder / "huge.bin", "wb") as huge:
        huge.truncate(200 * MEGABYTE)
    door = share(folder, "--once")
    first = door.connect()
    first.request("GET", "/huge.bin")
    answer = first.getresponse()
    answer.read(MEGABYTE)
    assert other_status(door) == 409, "one at a time"
    first.close()
    answer.close()
    time.sleep(0.5)
    assert door.process.poll() is None
    assert other_status(door) == 409, "it is kept for whoever began"
    assert len(door.get("/huge.bin").body) == 200 * MEGABYTE
    assert door.wait(timeout=PATIENCE) == 0


def other_status(door):
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=PATIENCE, source_address=("127.0.0.7", 0))
    connection.request("GET", "/notes.txt")
    status = connection.getresponse().status
    connection.close()
    return status


def test_an_interrupt_ends_a_slow_download_in_the_end(share, folder):
    door = share(folder, "--max-rate=20kB/s")
    connection = door.connect()
    connection.request("GET", "/big.bin")
    connection.getresponse().read(1000)
    door.process.send_signal(signal.SIGINT)
    door.wait_event("stopping")
    door.process.send_signal(signal.SIGINT)
    door.wait(timeout=PATIENCE)
    connection.close()
