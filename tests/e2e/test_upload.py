"""Files that visitors send: by Chromium, by curl, over connections that break, onto disks that fill up."""

import json
import os
import socket
import struct
import subprocess
import threading
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from harness.browser import errors, screenshot
from harness.process import PATIENCE

JSON = {"Accept": "application/json"}


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def curl(*args):
    """Gives curl's status and what it was told."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "-w", "\n%{http_code}", *args]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def choose(driver, *files):
    driver.find_element(By.CSS_SELECTOR, ".zone label input:not([webkitdirectory])").send_keys("\n".join(map(str, files)))


def states(driver):
    script = "return [...document.querySelectorAll('.job')].map(j => [j.className, j.querySelector('.state').textContent])"
    return driver.execute_script(script)


def until(driver, condition):
    return WebDriverWait(driver, PATIENCE).until(condition)


def all_done(count):
    """True once so many have arrived; one that failed ends the wait, with its words."""

    def condition(driver):
        now = states(driver)
        assert not [words for name, words in now if name == "job failed"], now
        return [name for name, _ in now].count("job done") == count

    return condition


class Cutter:
    """A way to doorstep that breaks: each connection ends after `budget` bytes from the client, while there are budgets."""

    def __init__(self, port, budgets):
        self.target, self.budgets = port, list(budgets)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.up, args=(client, server), daemon=True).start()
            threading.Thread(target=self.down, args=(server, client), daemon=True).start()

    def up(self, client, server):
        """Only a connection that carries much is cut: the page's own requests are small."""
        moved = 0
        try:
            while data := client.recv(16384):
                moved += len(data)
                if self.budgets and moved > self.budgets[0]:
                    self.budgets.pop(0)
                    break
                server.sendall(data)
        except OSError:
            pass
        try:
            server.shutdown(socket.SHUT_RDWR)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        client.close()  # with a reset: what the client still sends is refused, not swallowed

    def down(self, server, client):
        try:
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_chromium_sends_several_files(share, inbox, tmp_path, browser):
    sources = {name: os.urandom(size) for name, size in [("film.mp4", 8_000_000), ("note.txt", 12), ("empty", 0)]}
    for name, data in sources.items():
        (tmp_path / name).write_bytes(data)
    (inbox / "note.txt").write_text("was here before")
    door = share(inbox, "--upload")
    driver = browser()
    driver.get(door.url)
    choose(driver, *(tmp_path / name for name in sources))
    until(driver, all_done(3))
    assert (inbox / "film.mp4").read_bytes() == sources["film.mp4"]
    assert (inbox / "note.txt").read_text() == "was here before"
    assert (inbox / "note (1).txt").read_bytes() == sources["note.txt"]
    assert (inbox / "empty").read_bytes() == b""
    until(driver, lambda d: d.find_elements(By.LINK_TEXT, "film.mp4"))
    assert any("note (1).txt" in words for _, words in states(driver))
    assert errors(driver) == []
    screenshot(driver, "upload")


def test_chromium_sends_a_folder(share, inbox, tmp_path, browser):
    (tmp_path / "holiday" / "day 1").mkdir(parents=True)
    (tmp_path / "holiday" / "day 1" / "a.txt").write_text("a")
    (tmp_path / "holiday" / "b.txt").write_text("b")
    driver = browser()
    driver.get(share(inbox, "--upload").url)
    driver.find_element(By.CSS_SELECTOR, "input[webkitdirectory]").send_keys(str(tmp_path / "holiday"))
    until(driver, all_done(2))
    assert (inbox / "holiday" / "day 1" / "a.txt").read_text() == "a"
    assert (inbox / "holiday" / "b.txt").read_text() == "b"


def test_chromium_goes_on_after_dropped_connections(share, inbox, tmp_path, browser):
    data = os.urandom(30_000_000)
    (tmp_path / "large.bin").write_bytes(data)
    door = share(inbox, "--upload")
    way = Cutter(door.port, [6_000_000, 9_000_000])
    driver = browser()
    driver.get(way.url)
    choose(driver, tmp_path / "large.bin")
    until(driver, all_done(1))
    assert way.budgets == []
    assert (inbox / "large.bin").read_bytes() == data
    assert os.listdir(inbox) == ["large.bin"]
    received = sum(event["received"] for event in door.all_events("request") if event["method"] == "PATCH")
    assert received < 45_000_000, "what had arrived was not sent again"


def test_an_upload_outlives_doorstep(share, inbox):
    data = os.urandom(3_000_000)
    door = share(inbox, "--upload")
    begun = door.request("POST", f"/?upload&name=big.bin&size={len(data)}", JSON)
    address = begun.headers["Location"]
    first = door.request("PATCH", address, {"Upload-Offset": "0"}, data[:2_000_000])
    assert (first.status, first.headers["Upload-Offset"]) == (204, "2000000")
    door.kill()
    assert [name for name in os.listdir(inbox) if not name.startswith(".doorstep-upload-")] == []

    door = share(inbox, "--upload")
    assert "doorstep-upload" not in door.get("/?json").text
    assert door.request("HEAD", address).headers["Upload-Offset"] == "2000000"
    assert door.request("PATCH", address, {"Upload-Offset": "1"}, b"x").status == 409
    last = door.request("PATCH", address, {"Upload-Offset": "2000000"}, data[2_000_000:])
    assert json.loads(last.text) == {"complete": True, "name": "big.bin"}
    assert (inbox / "big.bin").read_bytes() == data
    assert os.listdir(inbox) == ["big.bin"]


@pytest.mark.needs("curl")
def test_curl_sends_files(share, inbox, tmp_path):
    (tmp_path / "a b.txt").write_text("hello")
    (inbox / "sub").mkdir()
    door = share(inbox, "--upload")
    assert curl("-T", tmp_path / "a b.txt", door.url + "/") == (201, "Saved a b.txt (5 bytes)\n")
    assert curl("-T", tmp_path / "a b.txt", door.url + "/sub/") == (201, "Saved a b.txt (5 bytes)\n")
    twice = ["-F", f"file=@{tmp_path / 'a b.txt'}"] * 2
    assert curl(*twice, door.url + "/") == (201, "Saved a b (1).txt (5 bytes)\nSaved a b (2).txt (5 bytes)\n")
    assert sorted(os.listdir(inbox)) == ["a b (1).txt", "a b (2).txt", "a b.txt", "sub"]
    assert curl("-T", tmp_path / "a b.txt", door.url + "/none/")[0] == 404
    assert curl("-T", tmp_path / "a b.txt", door.url + "/.env")[0] == 400


@pytest.mark.needs("curl")
def test_a_share_takes_nothing_unless_asked(share, inbox, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    door = share(inbox)
    assert curl("-T", tmp_path / "a.txt", door.url + "/")[0] == 405
    assert os.listdir(inbox) == []


def test_another_website_cannot_send(share, inbox):
    door = share(inbox, "--upload")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert door.request("PUT", "/a.txt", headers, b"x").status == 403
    assert door.request("PUT", "/a.txt", {"Origin": door.url}, b"x").status == 201
    assert os.listdir(inbox) == ["a.txt"]


def test_what_visitors_send_runs_nowhere(share, inbox, browser):
    door = share(inbox, "--upload")
    page = b"<script>document.title = 'pwned'</script>"
    for name in ("page.html", "index.html", "picture.svg"):
        assert door.request("PUT", "/" + name, {}, page).status == 201
        answer = door.get("/" + name)
        assert answer.headers["Content-Security-Policy"].startswith("sandbox"), name
        assert answer.headers["Content-Disposition"].startswith("attachment"), name
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    driver = browser()
    driver.get(door.url)
    assert driver.find_elements(By.LINK_TEXT, "index.html"), "a visitor's index.html is not the folder's page"
    assert driver.title == "inbox"


def test_an_upload_only_share_shows_nothing(share, inbox, tmp_path, browser):
    (inbox / "there.txt").write_text("not for you")
    (inbox / "folder").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    door = share(inbox, "--upload-only")
    answers = {(a.status, a.text) for a in map(door.get, ["/there.txt", "/nowhere.txt", "/folder/", "/nowhere/"])}
    assert len(answers) == 1 and answers.pop()[0] == 404
    for path in ("/?json", "/?zip", "/"):
        assert b"there.txt" not in door.get(path, {"Accept": "text/html"}).body
    taken = door.request("PUT", "/there.txt", {}, b"1")
    free = door.request("PUT", "/free.txt", {}, b"1")
    assert (taken.status, taken.text) == (free.status, free.text)
    driver = browser(width=390, height=844)
    driver.get(door.url)
    choose(driver, tmp_path / "mine.txt")
    until(driver, all_done(1))
    assert (inbox / "mine.txt").read_text() == "mine"
    assert (inbox / "there.txt").read_text() == "not for you"
    assert errors(driver) == []
    screenshot(driver, "upload-only")


def test_a_file_that_is_too_large_is_refused_at_once(share, inbox, tmp_path, browser):
    (tmp_path / "large.bin").write_bytes(bytes(2_000_000))
    door = share(inbox, "--upload", "--max-upload", "1MB")
    assert door.request("PUT", "/large.bin", {}, bytes(2_000_000)).status == 413
    driver = browser()
    driver.get(door.url)
    choose(driver, tmp_path / "large.bin")
    until(driver, lambda d: states(d) and states(d)[0][0] == "job failed")
    assert "up to 1.0 MB" in states(driver)[0][1]
    assert os.listdir(inbox) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.needs("root", "mount", "curl")
def test_a_full_disk_is_told_and_nothing_stays(share, small_disk, tmp_path, browser):
    (tmp_path / "large.bin").write_bytes(bytes(40_000_000))
    door = share(small_disk, "--upload")
    begun = door.request("POST", "/?upload&name=large.bin&size=40000000", JSON)
    assert begun.status == 507
    assert "too full" in json.loads(begun.text)["error"]

    # A size that nobody announced: the disk fills up while the file comes.
    with open(tmp_path / "large.bin", "rb") as large:
        done = subprocess.run(
            ["curl", "--silent", "--noproxy", "*", "-w", "\n%{http_code}", "-T", "-", door.url + "/large.bin"],
            stdin=large,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.endswith("507"), done
    assert os.listdir(small_disk) == []

    # Somebody else fills the disk between two goes.
    address = door.request("POST", "/?upload&name=b.bin&size=20000000", JSON).headers["Location"]
    assert door.request("PATCH", address, {"Upload-Offset": "0"}, bytes(10_000_000)).status == 204
    (small_disk / "other").write_bytes(bytes(12_000_000))
    last = door.request("PATCH", address, {"Upload-Offset": "10000000", **JSON}, bytes(10_000_000))
    assert last.status == 507
    assert os.listdir(small_disk) == ["other"]

    driver = browser()
    driver.get(door.url)
    choose(driver, tmp_path / "large.bin")
    until(driver, lambda d: states(d) and states(d)[0][0] == "job failed")
    assert "too full" in states(driver)[0][1]
    assert urlsplit(driver.current_url).path == "/"
    screenshot(driver, "upload-full")
