"""`share --via` and `[tunnel]`: on loopback, by a real relay."""

import hashlib
import os
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.authority import Authority
from harness.lender import Lender, trusting
from harness.process import PATIENCE, run
from harness.up import free_ports, is_open
from harness.visit import request


@pytest.fixture
def lender(tmp_path):
    """Relays: `lender(names=("a", "b"), ports="21000-21010")`."""
    started = []

    def start(**options):
        started.append(Lender(tmp_path / f"relay-{len(started)}", **options))
        return started[-1]

    yield start
    for relay in started:
        relay.kill()


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("hello from far")
    return folder


@pytest.fixture
def echo():
    """An app that answers with what it was told: host, client, scheme."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self):
            told = [self.headers.get(name, "-") for name in ("Host", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto")]
            body = " ".join(told).encode()
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", f"http://{self.headers['Host']}/there")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def known(relay, tmp_path, agent="studio"):
    relay.know(tmp_path / "doorstep", agent)


def address(doorstep):
    return doorstep.wait_event("address", scope="tunnel")["url"]


def test_a_folder_has_an_address_of_the_internet(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    doorstep = share(site, "--via", relay.domain, "--name", "blog")
    assert doorstep.wait_event("tunnel", state="up")["via"] == relay.domain
    assert address(doorstep) == f"https://blog.{relay.domain}:{relay.https}"
    assert relay.get("blog").text == "hello from far"
    event = doorstep.wait_event("request", host=f"blog.{relay.domain}:{relay.https}")
    assert event["tls"] and event["client"] == "127.0.0.1"
    # The room can come as before, and no other name reaches it from there.
    assert doorstep.get("/").text == "hello from far"
    assert doorstep.get("/", headers={"Host": f"blog.{relay.domain}"}).status == 421
    assert doorstep.wait_event("warning", id="public-folder")["severity"] == "note"
    assert doorstep.stop() == 0


def test_an_app_sees_its_own_name_and_the_visitor(lender, share, echo, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    doorstep = share(echo, "--via", relay.domain, "--name", "app")
    public = address(doorstep).removeprefix("https://")
    host, forwarded_host, client, scheme = relay.get("app", headers={"X-Forwarded-For": "6.6.6.6"}).text.split(" ")
    assert (host, forwarded_host) == (f"localhost:{echo}", public)
    assert (client, scheme) == ("127.0.0.1", "https")
    assert relay.get("app", "/away").headers["Location"] == f"https://{public}/there"


def test_guards_hold_for_visitors_from_outside(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    doorstep = share(site, "--via", relay.domain, "--name", "blog", "--password", "ada:secret")
    address(doorstep)
    assert relay.get("blog").status == 401
    assert relay.get("blog", headers={"Authorization": "Basic YWRhOnNlY3JldA=="}).text == "hello from far"


def test_a_name_that_the_relay_makes_up_is_the_same_each_time(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    first = share(site, "--via", relay.domain)
    url = address(first)
    assert first.stop() == 0
    assert address(share(site, "--via", relay.domain)) == url


def test_end_to_end_the_relay_has_no_certificate_for_it(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    state = tmp_path / "own-state"
    doorstep = share(
        site, "--via", relay.domain, "--name", "safe", "--e2e", "--directory", "local", env={"XDG_STATE_HOME": str(state)}
    )
    address(doorstep)
    with pytest.raises(ssl.SSLCertVerificationError):
        relay.get("safe")
    (folder,) = (state / "doorstep" / "end-to-end").iterdir()
    assert relay.get("safe", context=trusting(folder)).text == "hello from far"
    assert doorstep.wait_event("request", status=200)["tls"]


@pytest.mark.needs("pebble")
def test_the_certificate_of_a_lent_name_comes_through_the_tunnel(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    authority = Authority(tmp_path / "authority", http=relay.http, tls=relay.https)
    try:
        roots = ["--directory", authority.directory, "--directory-roots", authority.root]
        state = {"XDG_STATE_HOME": str(tmp_path / "own-state")}
        doorstep = share(site, "--via", relay.domain, "--name", "safe", "--e2e", *roots, env=state)
        address(doorstep)
        context = ssl.create_default_context(cadata=authority.issuing_root())
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            try:
                answer = relay.get("safe", context=context)
                break
            except OSError:
                assert time.monotonic() < deadline, doorstep.log
                time.sleep(0.3)
        assert answer.text == "hello from far"
    finally:
        authority.close()


def test_a_port_is_lent_as_it_is(lender, share, tmp_path):
    relay = lender(ports="21400-21410")
    known(relay, tmp_path)
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-x\r\n"), daemon=True).start()
    doorstep = share(f"tcp:127.0.0.1:{server.getsockname()[1]}", "--via", relay.domain, local=False, port=None)
    host, port = address(doorstep).removeprefix("tcp://").rsplit(":", 1)
    assert host == relay.domain and 21400 <= int(port) <= 21410
    with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as visitor:
        assert visitor.recv(100) == b"SSH-2.0-x\r\n"
    assert doorstep.stop() == 0
    # It left in order: nobody waits for it at a port that stays open.
    deadline = time.monotonic() + PATIENCE
    while is_open(int(port)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_datagrams_are_lent(lender, share, tmp_path):
    relay = lender(ports="21420-21430")
    known(relay, tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as visitor:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        visitor.settimeout(PATIENCE)
        doorstep = share(f"udp:127.0.0.1:{server.getsockname()[1]}", "--via", relay.domain, local=False, port=None)
        port = int(address(doorstep).rsplit(":", 1)[1])
        visitor.sendto(b"ping", ("127.0.0.1", port))
        datagram, back = server.recvfrom(100)
        server.sendto(datagram + b"-pong", back)
        assert visitor.recv(100) == b"ping-pong"


def test_a_name_of_somebody_else_is_refused_and_said(lender, share, site, tmp_path):
    relay = lender(names=("ann", "bob"))
    known(relay, tmp_path, "ann")
    address(share(site, "--via", relay.domain, "--name", "blog"))
    known(relay, tmp_path, "bob")
    late = share(site, "--via", relay.domain, "--name", "blog")
    refused = late.wait_event("tunnel", state="stopped")
    assert "belongs to somebody else" in refused["why"] and "--name" in refused["fix"]
    assert late.get("/").text == "hello from far"


def test_a_port_that_is_not_lent_ends_the_share_with_the_reason(lender, share, tmp_path):
    relay = lender(ports="21460-21470")
    known(relay, tmp_path)
    late = share("tcp:22", "--via", relay.domain, "--remote-port", "22222", local=False, port=None, wait=False)
    assert late.wait() == 1
    assert late.all_events("error")[0]["why"].startswith(relay.domain)


def test_it_comes_back_by_itself_under_the_same_name(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    doorstep = share(site, "--via", relay.domain, "--name", "blog")
    address(doorstep)
    relay.stop()
    waiting = doorstep.wait_event("tunnel", state="waiting")
    assert waiting["why"] and waiting["again_in_seconds"] <= 30
    relay.start()
    deadline = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < deadline:
        try:
            if relay.get("blog").text == "hello from far":
                break
        except OSError:
            pass
        time.sleep(0.2)
    else:
        raise AssertionError(f"it did not come back\n{doorstep.log}\n{relay.log}")


def test_the_next_relay_takes_over_while_one_is_down(lender, share, site, tmp_path):
    first, second = lender(), lender()
    known(first, tmp_path)
    known(second, tmp_path)
    doorstep = share(site, "--via", f"{first.domain},{second.domain}", "--name", "blog")
    before = address(doorstep)
    assert before == f"https://blog.{first.domain}:{first.https}"
    first.stop()
    doorstep.wait_event("address", scope="tunnel", url=f"https://blog.{second.domain}:{second.https}", timeout=2 * PATIENCE)
    assert second.get("blog").text == "hello from far"
    assert doorstep.wait_event("address-gone")["url"] == before


def test_quiet_prints_the_address_that_is_wanted(lender, share, site, tmp_path):
    relay = lender()
    known(relay, tmp_path)
    doorstep = share(site, "--via", relay.domain, "--name", "blog", "--quiet", json=False, wait=False)
    deadline = time.monotonic() + PATIENCE
    while not doorstep.garbage and time.monotonic() < deadline:
        time.sleep(0.05)
    assert doorstep.garbage[0].decode().strip() == f"https://blog.{relay.domain}:{relay.https}"
    assert doorstep.stop() == 0
    assert len(doorstep.garbage) == 1


def test_what_is_not_known_or_makes_no_sense_is_said(tmp_path):
    def words(*args):
        done = run("share", *args, env={"HOME": str(tmp_path)})
        assert done.returncode == 2
        return done.stderr

    unknown = words(tmp_path, "--via", "nobody.example.com")
    assert "does not know nobody.example.com yet" in unknown and "doorstep join" in unknown
    assert "did you mean tun.example.com" in words("8000", "--via", "https://tun.example.com")
    assert "needs --via" in words("tcp:22")
    for metadata in ("http://169.254.169.254", "169.254.169.254:80", "http://[fe80::1]", "tcp:169.254.169.254:80"):
        assert "is never lent" in words(metadata, "--via", "tun.example.com"), metadata
    assert "--password is for" in words("tcp:22", "--via", "tun.example.com", "--password")
    assert "--remote-port is for" in words("8000", "--via", "tun.example.com", "--remote-port", "80")


UP = """
[tunnel]
via = "{domain}"
identities = "relays"
tcp = [{{ to = "127.0.0.1:{tcp}" }}]

[site.default]
respond = "{word}"
tunnel = "{name}"

[site."here.localhost"]
respond = "only here"
tunnel = false
"""


def test_a_daemon_lends_its_sites_and_says_how_that_fares(lender, up, tmp_path):
    relay = lender(ports="21440-21450")
    server = socket.create_server(("127.0.0.1", 0))
    tcp = server.getsockname()[1]
    threading.Thread(target=lambda: server.accept()[0].sendall(b"raw"), daemon=True).start()
    configuration = lambda word, name: UP.format(domain=relay.domain, tcp=tcp, word=word, name=name)  # noqa: E731
    identity = {f"relays/{relay.domain}.toml": relay.identity("studio")}
    daemon = up(configuration("one", "blog"), files=identity)

    def tunnel():
        (only,) = daemon.status()["tunnels"]
        return only

    is_lent = lambda: len([one for one in tunnel()["lent"] if one["address"]]) == 2  # noqa: E731
    daemon.wait_for(is_lent, "lent")
    assert tunnel()["state"] == "up" and tunnel()["via"] == relay.domain
    addresses = {one["what"]: one["address"] for one in tunnel()["lent"]}
    assert addresses["site default"] == f"https://blog.{relay.domain}:{relay.https}"
    assert relay.get("blog").text == "one"
    port = int(addresses[f"127.0.0.1:{tcp}"].rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as visitor:
        assert visitor.recv(10) == b"raw"

    # Another answer needs no other session.
    since = tunnel()["since_at"]
    daemon.write(configuration("two", "blog"))
    daemon.run("reload")
    assert relay.get("blog").text == "two"
    assert tunnel()["since_at"] == since

    # Another name is claimed, and the old one given back.
    daemon.write(configuration("three", "shop"))
    daemon.run("reload")
    daemon.wait_for(lambda: relay.get("shop").text == "three", "lent under its new name")
    daemon.wait_for(lambda: relay.get("blog").status == 503 or relay.get("blog").status == 404, "given back")

    # A worker that takes over takes the names over, too.
    daemon.write(configuration("four", "shop") + '\n[log]\naccess = "access.log"\n[daemon]\nworkers = 1\n')
    worker = daemon.worker()
    daemon.run("reload")
    daemon.wait_for(lambda: daemon.worker() != worker, "another worker")
    daemon.wait_for(lambda: relay.get("shop").text == "four", "lent by the new worker")
    assert "TUNNEL" in daemon.run("status").stdout


def test_check_says_what_is_missing(tmp_path):
    file = Path(tmp_path) / "doorstep.toml"
    file.write_text('[tunnel]\nvia = "nobody.example.com"\nidentities = "relays"\n[site.default]\nrespond = "x"\n')
    done = run("check", file)
    assert done.returncode == 5
    assert "does not know nobody.example.com yet" in done.stderr and "doorstep join" in done.stderr
    (tmp_path / "relays").mkdir()
    (tmp_path / "relays/nobody.example.com.toml").write_text('relay = "nobody.example.com:443"\n')
    done = run("check", file)
    assert done.returncode == 5 and "cannot be used" in done.stderr


def test_a_download_survives_the_worker_that_sends_it_being_replaced(lender, up, tmp_path):
    relay = lender()
    big = os.urandom(1 << 20) * 48
    text = lambda workers: (  # noqa: E731
        f'[tunnel]\nvia = "{relay.domain}"\nidentities = "relays"\n[site.default]\nroot = "files"\ntunnel = "big"\n'
        f"[daemon]\nworkers = {workers}\n"
    )
    daemon = up(text(2), files={f"relays/{relay.domain}.toml": relay.identity("studio"), "files/readme.txt": "x"})
    (daemon.folder / "files/big.bin").write_bytes(big)
    daemon.wait_for(lambda: relay.get("big", "/readme.txt").status == 200, "lent")
    host = f"big.{relay.domain}"
    connection = relay.trusting().wrap_socket(socket.create_connection(("127.0.0.1", relay.https), PATIENCE), server_hostname=host)
    with connection:
        connection.sendall(f"GET /big.bin HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        seen = connection.recv(65536)
        worker = daemon.worker()
        daemon.write(text(1))
        daemon.run("reload")
        assert daemon.worker() != worker
        daemon.wait_for(lambda: relay.get("big", "/readme.txt").status == 200, "lent by the new worker")
        parts = [seen]
        while part := connection.recv(1 << 20):
            parts.append(part)
    body = b"".join(parts).split(b"\r\n\r\n", 1)[1]
    assert len(body) == len(big), f"{len(body)} of {len(big)}"
    assert hashlib.sha256(body).digest() == hashlib.sha256(big).digest()


def test_a_daemon_ends_the_tls_of_a_site_that_wants_it(lender, up, tmp_path):
    relay = lender()
    configuration = f"""
    [tunnel]
    via = "{relay.domain}"
    identities = "relays"

    [site."safe.localhost"]
    respond = "only we can read this"
    certificate = "local"
    tunnel = {{ name = "safe", e2e = true }}
    """
    daemon = up(configuration, files={f"relays/{relay.domain}.toml": relay.identity("studio")})
    daemon.wait_for(lambda: daemon.status()["tunnels"][0]["lent"], "lent")

    def seen():
        try:
            return relay.get("safe", context=trusting(daemon.state / "tls")).text
        except OSError:
            return None

    assert daemon.wait_for(seen, "served end to end") == "only we can read this"
    with pytest.raises(ssl.SSLCertVerificationError):
        relay.get("safe")
