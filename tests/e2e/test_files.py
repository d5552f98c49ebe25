"""A shared folder and a shared file, by the programs people have: curl, Python, Chromium, and bytes on a socket."""

import gzip
import os
import re
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import browser as browsers
from harness.sockets import dial, exchange, read_head

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def folder(tmp_path):
    """A folder with a site, a large file, and a secret beside it."""
    inside = tmp_path / "shared"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "a.txt").write_text("a")
    (inside / "numbers.txt").write_text("".join(f"{n}\n" for n in range(100_000)))
    (inside / "big.bin").write_bytes(os.urandom(3_000_000))
    (inside / "grüße & more.txt").write_text("hello")
    (tmp_path / "secret.txt").write_text("the secret")
    old = time.time() - 3600
    for file in inside.rglob("*"):
        os.utime(file, (old, old))
    return inside


def curl(*args):
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", *args]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("curl")
def test_curl_goes_on_with_a_download_that_broke(share, folder, tmp_path):
    door = share(folder)
    whole = (folder / "big.bin").read_bytes()
    half = tmp_path / "half.bin"
    half.write_bytes(whole[:1_234_567])
    curl("--continue-at", "-", "--output", half, f"{door.url}/big.bin")
    assert half.read_bytes() == whole


@pytest.mark.needs("curl")
def test_curl_takes_every_coding_it_knows(share, folder):
    door = share(folder)
    plain = (folder / "numbers.txt").read_bytes()
    assert curl("--compressed", f"{door.url}/numbers.txt") == plain
    packed = door.get("/numbers.txt", {"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain
    assert packed.headers["Vary"].lower() == "accept-encoding"


@pytest.mark.needs("curl")
def test_curl_takes_several_ranges(share, folder):
    door = share(folder)
    whole = (folder / "big.bin").read_bytes()
    answer = curl("--range", "0-9,2000000-2000009,-5", f"{door.url}/big.bin")
    parts = re.findall(rb"Content-Range: bytes (\d+)-(\d+)/3000000\r\n\r\n", answer)
    assert [(int(a), int(b)) for a, b in parts] == [(0, 9), (2_000_000, 2_000_009), (2_999_995, 2_999_999)]
    assert whole[2_000_000:2_000_010] in answer and whole[-5:] in answer


def test_a_browser_that_has_it_is_told_so(share, folder):
    door = share(folder)
    for name in ("/sub/a.txt", "/big.bin"):
        first = door.get(name)
        again = door.get(name, {"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        dated = door.get(name, {"If-Modified-Since": first.headers["Last-Modified"]})
        assert dated.status == 304
        other = door.get(name, {"If-None-Match": '"other"'})
        assert (other.status, other.body) == (200, first.body)


def test_head_says_what_get_says(share, folder):
    door = share(folder)
    for name in ("/sub/a.txt", "/big.bin", "/numbers.txt"):
        get, head = door.get(name), door.request("HEAD", name)
        assert head.body == b""
        for header in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
            assert head.headers[header] == get.headers[header], (name, header)


def test_a_saved_file_shows_at_once(share, folder):
    """What an editor saves is there by the time that somebody reloads the page."""
    door = share(folder)
    file = folder / "sub" / "a.txt"
    for round in range(20):
        file.write_text(f"version {round}")
        time.sleep(0.1)
        assert door.get("/sub/a.txt").text == f"version {round}"


def test_no_spelling_leads_out(share, folder):
    (folder / "out").symlink_to("../secret.txt")
    (folder / "outside").symlink_to("..")
    (folder / ".env").write_text("the secret")
    (folder / "key.pem").write_text("the secret")
    door = share(folder)
    for path in (
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%252e%252e/secret.txt",
        "/out",
        "/outside/secret.txt",
        "/.env",
        "/%2eenv",
        "//.env",
        "/./.env",
        "/key.pem",
        "/sub/a.txt/../../.env",
    ):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        answer = exchange(door.port, request)
        assert answer.split(b" ", 2)[1] in (b"400", b"404"), (path, answer[:200])
        assert b"the secret" not in answer, path


def test_a_link_that_swings_in_and_out_never_shows_the_secret(share, folder, tmp_path):
    """A race between the look at a path and its opening has nothing to win."""
    door = share(folder)
    over = threading.Event()

    def swing():
        targets = ["sub/a.txt", "../secret.txt"]
        turn = 0
        while not over.is_set():
            new = folder / "new"
            new.symlink_to(targets[turn % 2])
            new.rename(folder / "swinging")
            turn += 1

    thread = threading.Thread(target=swing)
    thread.start()
    try:
        seen = set()
        connection = door.connect()
        for _ in range(1500):
            connection.request("GET", "/swinging")
            response = connection.getresponse()
            body = response.read()
            seen.add((response.status, body if response.status == 200 else b""))
        connection.close()
    finally:
        over.set()
        thread.join()
    assert seen <= {(200, b"a"), (404, b"")}


def test_a_redirect_stays_here(share, folder):
    (folder / "evil.example").mkdir()
    door = share(folder)
    for path in ("/sub", "//evil.example", "/%2fevil.example", "/%5cevil.example"):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        head = exchange(door.port, request).partition(b"\r\n\r\n")[0].decode()
        location = re.search(r"(?im)^location: (.*?)\r?$", head)
        if location:
            assert re.fullmatch(r"/(?![/\\]).*", location[1]), (path, location[1])
        else:
            assert " 404 " in head.splitlines()[0] or " 400 " in head.splitlines()[0], (path, head)


def test_a_pipe_in_the_folder_holds_up_nobody(share, folder):
    os.mkfifo(folder / "pipe")
    door = share(folder)
    assert door.get("/pipe").status == 404
    assert door.get("/sub/a.txt").text == "a"


def test_a_slow_reader_of_a_compressed_file_takes_no_memory(share, folder):
    (folder / "wide.txt").write_bytes(b"".join(os.urandom(48).hex().encode() + b"\n" for _ in range(150_000)))
    door = share(folder)
    assert door.get("/sub/a.txt").status == 200
    before = door.rss_kb()
    readers = []
    for _ in range(20):
        reader = dial(door.port, receive_buffer=4096)
        reader.sendall(b"GET /wide.txt HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
        head, _ = read_head(reader)
        assert b"gzip" in head
        readers.append(reader)
    time.sleep(1)
    grown = door.rss_kb() - before
    for reader in readers:
        reader.close()
    assert grown < 100_000, f"{grown} kB for 20 readers of a 14 MB file"


def test_a_single_page_app(share, folder):
    (folder / "index.html").write_text("<title>app</title>")
    door = share(folder, "--spa")
    assert door.get("/users/7", BROWSER).text == "<title>app</title>"
    assert door.get("/gone.js", {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors"}).status == 404
    assert door.get("/api/users", {"Accept": "application/json"}).status == 404


def test_cors_lets_any_page_read(share, folder):
    door = share(folder, "--cors")
    for path in ("/sub/a.txt", "/none", "/"):
        assert door.get(path).headers["Access-Control-Allow-Origin"] == "*"
    preflight = {"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
    answer = door.request("OPTIONS", "/sub/a.txt", preflight)
    assert answer.status == 204
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]


def test_hidden_files_on_demand(share, folder):
    (folder / ".env").write_text("mine")
    assert share(folder).get("/.env").status == 404
    assert share(folder, "--hidden").get("/.env").text == "mine"


@pytest.mark.parametrize("size", [(1200, 800), (390, 844)], ids=["desk", "phone"])
def test_the_page_of_a_file_in_a_browser(share, folder, browser, tmp_path, size):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    file = folder / "grüße & more.txt"
    door = share(file)
    page = browser(width=size[0], height=size[1], dark=size[0] < 600, downloads=downloads)
    page.get(f"{door.url}/")
    assert page.find_element("css selector", "h1").text == file.name
    assert page.find_element("css selector", "pre").text == "hello"
    browsers.screenshot(page, f"file-{size[0]}")
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    page.find_element("link text", "Download").click()
    saved = downloads / file.name
    deadline = time.monotonic() + 20
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert saved.read_text() == "hello"
    assert browsers.errors(page) == []


def test_a_picture_is_shown_on_its_page_and_the_look_does_not_end_the_share(share, folder, browser):
    picture = folder / "dot.svg"
    picture.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30"/></svg>')
    door = share(picture, "--once")
    page = browser()
    page.get(f"{door.url}/")
    width = page.execute_script("return document.querySelector('img').naturalWidth")
    assert width == 40
    assert browsers.errors(page) == []
    assert door.get("/" + urllib.parse.quote(picture.name)).status == 200
    assert door.wait() == 0
