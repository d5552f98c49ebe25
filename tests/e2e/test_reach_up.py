"""`[public]` in doorstep.toml: a server at home whose port, name and certificate follow whatever happens."""

import json
import os
import time

import pytest

from harness.authority import Authority
from harness.home import change_line
from harness.process import BINARY, PATIENCE
from harness.router import Router
from harness.tunnel import visit, wait_until
from harness.up import open_way
from harness.world import HOME, NAMES, PUBLIC
from harness.zone import KEY, Zone

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "miniupnpd", "knotd", "pebble"), pytest.mark.timeout(400)]

NAME = "www.home.test"
RECOVERY = 60
WRONG = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


class Home:
    """`doorstep up` on the laptop, as root."""

    def __init__(self, world, text):
        self.world, self.host = world, world.laptop
        self.folder = self.host.folder / "home"
        open_way(self.folder)
        self.state = self.folder / "state"
        self.file = self.folder / "doorstep.toml"
        self.file.write_text(f'daemon = {{ state = "{self.state}" }}\n{text}')
        self.env = {**os.environ, "HOME": str(self.folder), "NO_COLOR": "1", "XDG_RUNTIME_DIR": str(self.folder / "run")}
        (self.folder / "run").mkdir(mode=0o700)
        self.start()

    def start(self):
        self.program = self.host.start(BINARY, "up", "--config", self.file, cwd=self.folder, env=self.env)
        self.program.wait_for("doorstep is up")

    def run(self, *args, check=True):
        return self.host.run(BINARY, *args, check=check, cwd=self.folder, env=self.env)

    def status(self):
        return json.loads(self.run("status", "--json", "--config", self.file).stdout)

    def undo(self, *args, check=True):
        return self.run("undo", "--state", self.state, *args, check=check)


def home(world, zone, more="", authority=None):
    issuer = ""
    if authority:
        issuer = f'issuers = {{ name = "pebble", directory = "{authority.directory}", roots = "{authority.root}" }}\n'
    return Home(
        world,
        f'{issuer}listen = {{ http = ":80", https = ":443" }}\npublic = {{ map = true, names = true, ttl = "5s" }}\n{more}\n'
        f'[site."{NAME}"]\nrespond = "home"\n[dns]\n{zone.dns["rfc2136"]}',
    )


def served(world, url=f"https://{NAME}/"):
    return visit(world, url, timeout=3) == (200, "home")


def again(world, what):
    began = time.monotonic()
    wait_until(lambda: served(world), f"was a visitor served after {what}", timeout=RECOVERY, every=0.5)
    print(f"served again {time.monotonic() - began:.1f} s after {what}")


def test_a_home_server_from_nothing_to_verified_https_and_through_its_troubles(world):
    router, zone = Router(world), Zone(world)
    authority = Authority(world.folder / "authority", 80, 443, host=world.internet, address=NAMES, names=f"{NAMES}:53")
    began = time.monotonic()
    server = home(world, zone, authority=authority)
    world.trust = world.folder / "issued.pem"
    world.trust.write_text(authority.issuing_root())
    wait_until(lambda: served(world), "was there verified HTTPS", timeout=RECOVERY, every=0.5)
    print(f"from nothing to verified HTTPS in {time.monotonic() - began:.1f} s")
    assert router.opened() == {80: f"{HOME}.10:80", 443: f"{HOME}.10:443"}
    assert zone.values(NAME) == [PUBLIC["router"]]
    status = server.status()
    assert [(port["port"], port["open"], port["outside"]) for port in status["ports"] if port["family"] == "ipv4"] == [
        (80, True, "11.0.0.20:80"),
        (443, True, "11.0.0.20:443"),
    ]
    wait_until(lambda: server.status()["names"][0]["state"] == "served", "was the name served")
    assert "www.home.test" in server.run("status", "--config", server.file).stdout
    listed = server.undo().stdout
    assert "port 443" in listed and "port 80" in listed and f"{NAME} A" in listed

    router.reboot()
    again(world, "the router was started anew")

    # The provider gives another address, as many do each night.
    change_line(world, 22)
    # Nobody remembers that the old address was here.
    world.visitor.ip("neighbour flush dev net")
    router.reboot()
    again(world, "the router's address changed")
    assert zone.values(NAME) == ["11.0.0.22"]

    # Reload, and a worker that is killed: the ports stay, and are in the journal once.
    server.file.write_text(server.file.read_text().replace('respond = "home"', 'respond = "home"\naliases = ["alias.home.test"]'))
    server.run("reload", "--config", server.file)
    assert served(world)
    os.kill(server.status()["worker"]["pid"], 9)
    again(world, "the worker was killed")
    wait_until(lambda: all(port["open"] for port in server.status()["ports"] if port["family"] == "ipv4"), "were ports open again")

    assert server.program.stop(timeout=2 * PATIENCE) == 0, server.program.log
    assert router.opened() == {}
    listed = server.undo().stdout
    assert f"{NAME} A" in listed and "port 443" not in listed
    assert f"remove {NAME} A at rfc2136" in server.undo("--all").stdout
    assert zone.values(NAME) == []
    assert "has changed nothing" in server.undo("--all").stdout


def test_this_computer_gets_another_address(world):
    """The router holds the old mapping until its lease is over, and gives its port to nobody else: another one is told."""
    router, zone = Router(world), Zone(world)
    server = home(world, zone, more='[site."shop.localhost"]\nrespond = "x"\n')
    router.wait_until_opened(443)
    world.change_address(77)
    opened = f"{HOME}.77:80"
    wait_until(lambda: opened in router.opened().values(), "was a port opened for the new address", timeout=RECOVERY)
    other = next(port for port, to in router.opened().items() if to == opened)
    server.program.wait_for(f"visitors must use port {other}")
    done = world.visitor.run("curl", "-si", f"http://11.0.0.20:{other}/", "-H", f"Host: {NAME}", check=False)
    assert done.stdout.startswith("HTTP/1.1 308"), done


def test_killed_it_leaves_ports_that_undo_closes(world):
    router, zone = Router(world), Zone(world)
    server = home(world, zone, more='[site."shop.localhost"]\nrespond = "x"\n')
    router.wait_until_opened(443)
    router.wait_until_opened(80)
    worker = server.status()["worker"]["pid"]
    os.kill(server.program.pid, 9)
    os.kill(worker, 9)
    server.program.process.wait(PATIENCE)
    assert set(router.opened()) == {80, 443}
    mappings = [line.split()[0] for line in server.undo().stdout.splitlines() if " port " in line]
    server.undo(*mappings)
    assert router.opened() == {}
    assert " port " not in server.undo().stdout


def test_a_wrong_key_is_told_and_changes_nothing(world):
    Router(world)
    zone = Zone(world)
    server = Home(
        world,
        'listen = { http = ":80" }\npublic = { map = true, names = ["www.home.test"] }\n[site.default]\nrespond = "home"\n'
        f'[dns]\n{zone.dns["rfc2136"].replace(KEY, WRONG)}',
    )
    server.program.wait_for("rfc2136 did not take")
    name = server.status()["names"][0]
    assert name["state"] == "failed" and "key" in name["problem"] + name["fix"], name
    assert zone.values(NAME) == []
    assert WRONG not in server.program.log


def test_no_router_that_opens_ports_is_told_with_what_to_do(world):
    zone = Zone(world)
    server = home(world, zone)
    said = server.program.wait_for("The router opens no port", timeout=2 * PATIENCE)
    assert "UPnP" in said
    ports = server.status()["ports"]
    assert ports and not any(port["open"] for port in ports)
    assert zone.values(NAME) == [], "nothing is published that nobody could come to"
