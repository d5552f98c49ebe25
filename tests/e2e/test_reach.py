"""How others get here: names, numbers, firewalls, taken ports, the certificate."""

import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from harness.apps import EXAMPLES
from harness.network import Computer
from harness.process import run

SITE = EXAMPLES / "site"
HOME_PAGE = (SITE / "index.html").read_text()


@pytest.fixture
def computers():
    """A laptop and a roommate's computer on the same network."""
    laptop, roommate = Computer("my-laptop", "192.168.77.1"), Computer("roommate", "192.168.77.2")
    try:
        laptop.connect(roommate)
        yield laptop, roommate
    finally:
        laptop.remove()
        roommate.remove()


@pytest.mark.needs("root", "ip", "curl")
class TestTwoComputers:
    def test_a_roommate_opens_the_page_by_name_and_by_number(self, share, computers):
        laptop, roommate = computers
        door = share(SITE, local=False, prefix=laptop.prefix)
        number = door.wait_event("address", interface="lan0")["url"]
        assert urlsplit(number).hostname == laptop.address
        assert roommate.curl(number) == HOME_PAGE

        url = f"http://my-laptop.local:{door.port}"
        door.wait_event("address", url=url)
        assert roommate.look_up("my-laptop.local") == laptop.address
        assert roommate.curl(url, "--resolve", f"my-laptop.local:{door.port}:{laptop.address}") == HOME_PAGE

        assert door.stop() == 0
        assert roommate.look_up("my-laptop.local") is None, "the name is withdrawn"

    def test_a_name_that_somebody_else_has_gets_a_number(self, share, computers):
        laptop, roommate = computers
        roommate.name = laptop.name
        first = share(SITE, local=False, prefix=roommate.prefix)
        first.wait_event("address", url=f"http://my-laptop.local:{first.port}")
        second = share(SITE, local=False, prefix=laptop.prefix)
        second.wait_event("address", url=f"http://my-laptop-2.local:{second.port}")
        assert roommate.address in second.wait_event("warning", id="name-taken")["what"]
        assert roommate.look_up("my-laptop-2.local") == laptop.address

    def test_containers_are_left_out_and_global_ipv6_is_told(self, share, computers):
        laptop, roommate = computers
        laptop.run("ip", "link", "add", "docker0", "type", "bridge")
        laptop.run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
        laptop.run("ip", "link", "set", "docker0", "up")
        for computer, address in ((laptop, "2001:db8:7::1"), (roommate, "2001:db8:7::2")):
            computer.run("ip", "address", "add", f"{address}/64", "dev", "lan0", "nodad")
        door = share(SITE, local=False, prefix=laptop.prefix)
        door.wait_event("address", url=f"http://my-laptop.local:{door.port}")
        url = door.wait_event("address", scope="internet-ipv6")["url"]
        assert url == f"http://[2001:db8:7::1]:{door.port}"
        assert roommate.curl(url, "--globoff") == HOME_PAGE
        assert not [event for event in door.all_events("address") if "172.17." in event["url"]]

    @pytest.mark.needs("nft")
    def test_a_firewall_in_the_way_is_named_and_the_remedy_works(self, share, computers):
        laptop, roommate = computers
        laptop.run("nft", "add table inet filter")
        laptop.run("nft", "add chain inet filter input { type filter hook input priority 0; policy drop; }")
        laptop.run("nft", "add rule inet filter input iif lo accept")
        laptop.run("nft", "add rule inet filter input udp dport 5353 accept")
        door = share(SITE, local=False, prefix=laptop.prefix)
        url = f"http://{laptop.address}:{door.port}"
        warning = door.wait_event("warning", id="firewall-drops-port")
        assert roommate.curl(url) is None
        sudo, *remedy = warning["fix"].split()
        assert sudo == "sudo"
        laptop.run(*remedy)
        assert roommate.curl(url) == HOME_PAGE

    @pytest.mark.needs("nft")
    def test_a_firewall_that_lets_the_port_in_is_not_mentioned(self, share, computers):
        laptop, roommate = computers
        laptop.run("nft", "add table inet filter")
        laptop.run("nft", "add chain inet filter input { type filter hook input priority 0; policy drop; }")
        laptop.run("nft", "add rule inet filter input iif lo accept")
        laptop.run("nft", "add rule inet filter input udp dport 5353 accept")
        laptop.run("nft", "add rule inet filter input tcp dport 20000-65535 ct state new,established accept")
        door = share(SITE, local=False, prefix=laptop.prefix)
        door.wait_event("address", url=f"http://my-laptop.local:{door.port}")
        assert roommate.curl(f"http://{laptop.address}:{door.port}") == HOME_PAGE
        assert not [event for event in door.all_events("warning") if event["id"].startswith("firewall")]


@pytest.fixture
def alone():
    """A computer without a network."""
    computer = Computer("alone", None)
    yield computer
    computer.remove()


@pytest.mark.needs("root", "ip")
class TestOneComputer:
    def test_without_a_network_only_this_computer_is_told(self, share, alone):
        door = share(SITE, local=False, prefix=alone.prefix)
        door.wait_event("address", scope="this-computer")
        door.wait_event("warning", id="no-network")
        assert len(door.all_events("address")) == 1

    def test_apps_that_run_are_offered_when_the_one_asked_for_is_down(self, share, alone):
        listen = "import socket; s = socket.create_server(('127.0.0.1', 5173)); print('ready', flush=True); input()"
        command = [*alone.prefix, sys.executable, "-c", listen]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout.readline() == "ready\n"
            warning = share(8000, prefix=alone.prefix).wait_event("warning", id="app-down")
            app.communicate("\n")
        assert "port 8000" in warning["what"]
        assert re.search(r": 5173 \(python[\d.]*\)\.$", warning["fix"]), warning


def test_whoever_has_the_port_is_named(share):
    other = subprocess.Popen(
        [sys.executable, "-c", "import socket; s = socket.create_server(('0.0.0.0', 0)); print(s.getsockname()[1], flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(other.stdout.readline())
        done = run("share", SITE, "--port", port)
        assert done.returncode not in (0, 2)
        assert str(port) in done.stderr and "python" in done.stderr and str(other.pid) in done.stderr
    finally:
        other.communicate("\n")


@pytest.mark.needs("openssl")
class TestCertificate:
    def test_the_fingerprint_is_the_one_openssl_sees(self, share):
        door = share(SITE, "--tls")
        assert door.sharing["fingerprint"] == fingerprint(door.port)
        assert door.get("/").status == 200

    def test_it_is_the_same_one_next_time(self, share):
        first = share(SITE, "--tls")
        told = first.sharing["fingerprint"]
        assert first.stop() == 0
        assert share(SITE, "--tls").sharing["fingerprint"] == told

    def test_a_damaged_one_is_replaced_and_that_is_said(self, share, tmp_path):
        first = share(SITE, "--tls")
        told = first.sharing["fingerprint"]
        assert first.stop() == 0
        state = tmp_path / "doorstep/.local/state/doorstep"
        (kept,) = state.glob("local-*.pem")
        assert (state.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
        kept.write_bytes(kept.read_bytes()[:300])
        second = share(SITE, "--tls")
        assert second.sharing["fingerprint"] not in (None, told)
        second.wait_event("warning", id="local-certificate-replaced")
        assert second.get("/").status == 200

    def test_without_a_place_to_keep_it_there_still_is_one(self, share, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("no folder")
        door = share(SITE, "--tls", env={"XDG_STATE_HOME": str(blocked)})
        door.wait_event("warning", id="local-certificate-not-kept")
        assert door.get("/").status == 200


def fingerprint(port):
    """SHA-256 of the certificate on that port, as openssl writes it."""
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"]
    session = subprocess.run(client, input="", capture_output=True, text=True, timeout=30, check=False).stdout
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=session, capture_output=True, text=True, check=True
    ).stdout
    return re.search(r"Fingerprint=(\S+)", shown).group(1)
