"""What the README promises, by the programs people have: curl, Python, a framework's development server."""

import json
import re
import subprocess
import urllib.request

import pytest

from harness.apps import EXAMPLES
from harness.process import run
from harness.sockets import exchange

SITE = EXAMPLES / "site"
FILES = EXAMPLES / "files"


def curl(*args):
    """Runs curl and gives status, HTTP version and body."""
    wanted = '\n{"status": %{http_code}, "version": "%{http_version}"}'
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--write-out", wanted, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    body, _, facts = done.stdout.rpartition("\n")
    facts = json.loads(facts)
    return facts["status"], facts["version"], body


def test_a_folder_with_an_index_is_a_site(share):
    door = share(SITE)
    home = door.get("/")
    assert home.status == 200
    assert home.headers["Content-Type"] == "text/html; charset=utf-8"
    assert home.text == (SITE / "index.html").read_text()
    assert door.get("/style.css").headers["Content-Type"] == "text/css; charset=utf-8"
    assert door.get("/house.svg").headers["Content-Type"].startswith("image/svg+xml")
    assert "Notes" in door.get("/notes/").text
    lost = door.get("/no-such-room", {"Accept": "text/html"})
    assert lost.status == 404
    assert lost.text == (SITE / "404.html").read_text()


def test_a_folder_without_an_index_is_a_listing(share):
    door = share(FILES)
    page = door.get("/", {"Accept": "text/html"}).text
    for name in ("packing-list.txt", "route.csv", "map.svg", "music/"):
        assert name in page
    assert "<h1" in page and "A folder of files" in page, "README.md is rendered under the listing"
    assert door.get("/route.csv").text == (FILES / "route.csv").read_text()


def test_no_target_is_the_current_folder(share):
    door = share(cwd=FILES)
    assert "route.csv" in door.get("/", {"Accept": "text/html"}).text


def test_a_file_is_offered_under_its_name(share):
    door = share(FILES / "route.csv")
    assert "route.csv" in door.get("/", {"Accept": "text/html"}).text
    assert door.get("/route.csv").text == (FILES / "route.csv").read_text()
    assert door.get("/packing-list.txt").status == 404


def test_standard_input_is_shared(share):
    door = share("-", stdin=subprocess.PIPE, wait=False)
    door.process.stdin.write(b"from a pipe\n" * 1000)
    door.process.stdin.close()
    door.wait_event("sharing")
    page = door.get("/", {"Accept": "text/html"})
    assert page.status == 200
    address = re.search(r'href="(/[^"]+)\?download"', page.text)[1]
    assert door.get(address).body == b"from a pipe\n" * 1000


@pytest.mark.needs("curl")
def test_every_version_of_http(share):
    door = share(SITE)
    page = (SITE / "style.css").read_text()
    for option, version in [("--http1.0", "1"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")]:
        status, spoken, body = curl(option, f"{door.url}/style.css")
        assert (status, body) == (200, page), option
        assert spoken.startswith(version), option
    # An upgrade to HTTP/2 in the clear was taken out of HTTP (RFC 9113, section 3.1); it may be ignored, not refused.
    status, _, body = curl("--http2", f"{door.url}/style.css")
    assert (status, body) == (200, page)


@pytest.mark.needs("curl")
def test_tls_with_a_certificate_of_our_own(share):
    door = share(SITE, "--tls")
    assert door.scheme == "https"
    page = (SITE / "style.css").read_text()
    for option, version in [("--http1.1", "1.1"), ("--http2", "2")]:
        assert curl("--insecure", option, f"{door.url}/style.css") == (200, version, page)
    fingerprint = subprocess.run(
        f"openssl s_client -connect 127.0.0.1:{door.port} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = door.sharing["fingerprint"].replace(":", "").lower()
    assert shown in fingerprint.replace(":", "").lower(), "the printed fingerprint is the certificate's"


def test_http_1_0_without_a_host(share):
    door = share(SITE)
    head, _, body = exchange(door.port, b"GET /style.css HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") or head.startswith(b"HTTP/1.0 200")
    assert b"transfer-encoding" not in head.lower()
    assert body.decode() == (SITE / "style.css").read_text()


@pytest.mark.parametrize("name", ["flask", "django", "node"])
def test_an_app_behind_its_port(share, app, name):
    behind = app(name)
    door = share(behind.port)
    home = door.get("/")
    assert home.status == 200
    assert "is at home" in home.text
    assert f"localhost:{behind.port}" in home.text, "the app sees a host that it accepts"


def test_an_app_that_is_down_says_so(share, app):
    behind = app("node")
    behind.stop()
    door = share(f"http://127.0.0.1:{behind.port}")
    assert door.get("/").status == 502
    page = door.get("/", {"Accept": "text/html"})
    assert page.status == 502
    assert f"127.0.0.1:{behind.port}" in page.text


def test_every_printed_address_answers(share):
    door = share(SITE, local=False)
    door.wait_event("address", scope="this-computer")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    numbered = [event["url"] for event in door.all_events("address") if ".local" not in event["url"]]
    for url in numbered:
        with direct.open(url, timeout=10) as answer:
            assert answer.status == 200, url


def test_ctrl_c_ends_it_with_a_summary(share):
    door = share(SITE)
    for _ in range(3):
        door.get("/")
    assert door.stop() == 0
    summary = door.wait_event("summary")
    assert summary["requests"] == 3
    assert summary["visitors"] == 1
    assert summary["reason"] == "interrupt"
    assert door.garbage == []


def test_help_and_version():
    assert "doorstep share" in run("--help").stdout
    assert run("--version").stdout.startswith("doorstep ")
    teaching = run("share", "--help").stdout
    assert "--password" in teaching and "--upload" in teaching
