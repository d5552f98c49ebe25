"""Tunnels by ssh: stock `ssh -R` at our relay, and our agent at a stock sshd."""

import re
import time

import pytest

from harness.sshd import Sshd, give_away, make_key, settings
from harness.tunnel import Agent, Relay, address, app, dial, downloads, raw_app, visit, wait_until
from harness.world import PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "ssh", "sshd"), pytest.mark.timeout(300)]

SSH_PORT = 2222


class Stock:
    """Somebody on the laptop who has installed nothing."""

    def __init__(self, world, relay, name="ann"):
        self.world, self.relay, self.name = world, relay, name
        self.prefix = world.laptop.user(name, world.laptop.folder / name)
        self.ssh = world.laptop.folder / name / ".ssh"
        self.ssh.mkdir(mode=0o700)
        self.public = make_key(self.ssh / "id_ed25519")
        (self.ssh / "config").write_text(settings(self.ssh, PUBLIC[relay.host.name], SSH_PORT, name, "tun.test"))
        give_away(self.ssh)

    def become_known(self):
        """The relay's owner adds the key."""
        self.relay.run("relay", "add-key", self.name, self.public.strip())

    def connect(self, *args):
        options = ["-o", "StrictHostKeyChecking=accept-new", "-o", "ExitOnForwardFailure=yes"]
        return self.world.laptop.start("ssh", *options, *args, "tun.test", prefix=self.prefix)


class TestStockSsh:
    @pytest.fixture
    def ann(self, world):
        app(world)
        raw_app(world)
        ann = Stock(world, Relay(world, more=f'ssh = "{PUBLIC["vps"]}:{SSH_PORT}"'))
        ann.become_known()
        return ann

    @pytest.mark.parametrize("how", [[], ["-N"], ["-T"]])
    def test_a_name_by_one_command(self, world, ann, how):
        client = ann.connect(*how, "-R", "blog:80:localhost:8000")
        wait_until(lambda: visit(world, "https://blog.tun.test") == (200, "app"), "did visitors get through")
        if how != ["-N"]:
            client.wait_for("https://blog.tun.test")
            visit(world, "https://blog.tun.test/seen")
            client.wait_for("/seen")

    def test_a_made_up_name_stays_the_same(self, world, ann):
        def name():
            client = ann.connect("-R", "80:localhost:8000")
            url = re.search(r"https://[a-z0-9-]+\.tun\.test", client.wait_for(".tun.test")).group()
            wait_until(lambda: visit(world, url) == (200, "app"), "did visitors get through")
            client.stop()
            return url

        assert name() == name()

    def test_a_port_of_the_relays_choice(self, world, ann):
        client = ann.connect("-R", "0:localhost:7000")
        said = client.wait_for("Allocated port")
        port = int(re.search(r"Allocated port (\d+)", said).group(1))
        with dial(world.visitor, PUBLIC["vps"], port) as connection:
            connection.sendall(b"some bytes")
            connection.shutdown(1)
            assert connection.recv(100).startswith(b"10 ")

    def test_a_stranger_is_not_let_in(self, world, ann):
        stranger = Stock(world, ann.relay, "stranger")
        client = stranger.connect("-R", "blog:80:localhost:8000")
        assert client.process.wait(20) != 0
        assert "denied" in client.log.lower()
        assert visit(world, "https://blog.tun.test")[0] != 200

    def test_the_name_of_another_is_refused(self, world, ann):
        ann.connect("-N", "-R", "blog:80:localhost:8000")
        wait_until(lambda: visit(world, "https://blog.tun.test") == (200, "app"), "did visitors get through")
        bob = Stock(world, ann.relay, "bob")
        bob.become_known()
        client = bob.connect("-R", "blog:80:localhost:7000")
        assert client.process.wait(20) != 0
        assert visit(world, "https://blog.tun.test") == (200, "app")

    def test_a_download_is_whole_and_a_stalled_one_stops_nobody(self, world, ann):
        ann.connect("-N", "-R", "blog:80:localhost:8000")
        wait_until(lambda: visit(world, "https://blog.tun.test") == (200, "app"), "did visitors get through")
        stalled = dial(world.visitor, PUBLIC["vps"], 80, receive_buffer=4096)
        stalled.sendall(b"GET /bytes/100000000 HTTP/1.1\r\nHost: blog.tun.test\r\n\r\n")
        time.sleep(1)
        whole, why = downloads(world, "https://blog.tun.test", 50_000_000)()
        assert whole, why
        stalled.close()

    def test_revoked_at_once(self, world, ann):
        client = ann.connect("-N", "-R", "blog:80:localhost:8000")
        wait_until(lambda: visit(world, "https://blog.tun.test") == (200, "app"), "did visitors get through")
        ann.relay.run("relay", "revoke", ann.name)
        assert client.process.wait(10) != 0
        assert visit(world, "https://blog.tun.test")[0] != 200


class TestOurAgentAtSshd:
    def share(self, world, gateway_ports, *args, wait=True):
        agent = Agent(world)
        self.sshd = Sshd(world.vps, agent.folder, gateway_ports)
        return agent.share("http://127.0.0.1:8000", *args, via="ssh://vps", wait=wait)

    @pytest.mark.parametrize("gateway_ports", ["yes", "clientspecified"])
    def test_a_port_of_a_friends_server(self, world, gateway_ports):
        app(world)
        door = self.share(world, gateway_ports, "--remote-port", "8080")
        assert door.address == f"http://{PUBLIC['vps']}:8080"
        assert visit(world, door.address) == (200, "app")
        whole, why = downloads(world, door.address, 50_000_000)()
        assert whole, why

    def test_a_port_that_only_the_server_itself_reaches_is_told(self, world):
        app(world)
        door = self.share(world, "no", "--remote-port", "8080", wait=False)
        wait_until(lambda: "GatewayPorts" in door.log, "was it said what the owner of the server has to change")
        assert not [event for event in door.all_events("address") if event["scope"] == "tunnel"], "no address is printed that leads nowhere"

    def test_it_comes_back_under_the_same_url(self, world):
        app(world)
        door = self.share(world, "yes")
        with world.silence():
            time.sleep(12)
        wait_until(lambda: visit(world, door.address, timeout=5) == (200, "app"), "did it come back", timeout=60)
        self.sshd.program.kill()
        for pid in world.vps.pids():
            world.vps.run("kill", "-9", pid, check=False)  # sessions outlive their sshd
        self.sshd.start()
        wait_until(lambda: visit(world, door.address, timeout=5) == (200, "app"), "did it come back", timeout=60)
        assert address(door) == door.address

    def test_a_host_key_that_changed_is_refused(self, world):
        app(world)
        agent = Agent(world)
        sshd = Sshd(world.vps, agent.folder, "yes")
        other = make_key(world.folder / "other").split()
        (agent.folder / ".ssh/known_hosts").write_text(f"[{sshd.address}]:2200 {other[0]} {other[1]}\n")
        door = agent.share("http://127.0.0.1:8000", via="ssh://vps", wait=False)
        wait_until(lambda: "key is not the one" in door.log, "was the key told of")
        assert not [event for event in door.all_events("address") if event["scope"] == "tunnel"]
