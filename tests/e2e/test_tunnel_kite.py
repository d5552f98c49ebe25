"""PageKite both ways, with Debian's pagekite: its back-ends at our relay, our agent at its front-end."""

import json
import shutil
import socket

import pytest

from harness.tunnel import Agent, Relay, app, dial, downloads, raw_app, visit, wait_until
from harness.world import PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "pagekite"), pytest.mark.timeout(300)]

SECRET = "0123456789abcdef"
KITES = 8081


def stock(host, *args):
    """Debian's pagekite; --new keeps it from asking the real DNS first."""
    return host.start("pagekite", "--clean", "--nullui", "--nocrashreport", "--new", *args, cwd=host.folder)


class TestStockBackEnd:
    @pytest.fixture
    def relay(self, world):
        app(world)
        raw_app(world)
        return Relay(
            world,
            more=f'pagekite = {{ listen = "{PUBLIC["vps"]}:{KITES}", kite = {{ "ann.tun.test" = "{SECRET}", "*.bob.tun.test" = "{SECRET}" }} }}',
        )

    def fly(self, world, kite="ann.tun.test", secret=SECRET, service="http", port=8000):
        frontend = f"--frontend={PUBLIC['vps']}:{KITES}"
        return stock(world.laptop, frontend, f"--service_on={service}:{kite}:localhost:{port}:{secret}")

    def test_a_kite_flies(self, world, relay):
        self.fly(world)
        wait_until(lambda: visit(world, "https://ann.tun.test") == (200, "app"), "did visitors get through")
        seen = json.loads(world.visitor.curl("https://ann.tun.test/seen"))
        assert PUBLIC["visitor"] in seen["fields"].get("x-forwarded-for", "")

    def test_large_downloads_and_uploads_are_whole(self, world, relay):
        self.fly(world)
        wait_until(lambda: visit(world, "https://ann.tun.test") == (200, "app"), "did visitors get through")
        whole, why = downloads(world, "https://ann.tun.test", 10_000_000)()
        assert whole, why
        file = world.folder / "upload.bin"
        file.write_bytes(bytes(3_000_000))
        told = json.loads(world.visitor.curl("https://ann.tun.test/upload", "-T", file))
        assert told["length"] == 3_000_000

    def test_each_request_of_a_connection_is_routed(self, world, relay):
        """Pipelined, for two names: each gets its own app."""
        app(world, "other", 8001)
        self.fly(world)
        self.fly(world, "one.bob.tun.test", port=8001)
        for name, what in (("ann.tun.test", "app"), ("one.bob.tun.test", "other")):
            wait_until(lambda: visit(world, f"https://{name}") == (200, what), "did visitors get through")  # noqa: B023
        script = f"curl -sS --cacert {world.trust} https://ann.tun.test/ https://ann.tun.test/count?of=x https://one.bob.tun.test/"
        assert world.visitor.run("bash", "-c", script).stdout == "app1other"

    def test_a_wrong_secret(self, world, relay):
        client = self.fly(world, secret="wrong")
        wait_until(lambda: "reject" in client.log.lower() or "unauthorized" in client.log.lower(), "was it refused")
        assert visit(world, "https://ann.tun.test")[0] != 200


class TestOurAgentAtAFrontEnd:
    @pytest.fixture
    def front_end(self, world):
        """A stock front-end on the VPS, for *.kite.test."""
        world.name("*.kite.test", "vps")
        app(world)
        domain = f"--domain=http,https,raw:*.kite.test:{SECRET}"
        ports = ["--ports=80,443", "--protos=http,https,raw", "--rawports=virtual"]
        program = stock(world.vps, "--isfrontend", f"--host={PUBLIC['vps']}", *ports, domain)
        wait_until(lambda: world.vps.run("curl", "-s", PUBLIC["vps"], check=False).returncode in (0, 52), "did the front-end listen")
        return program

    def share(self, world, *args, agent=None, **options):
        return (agent or Agent(world)).share("http://127.0.0.1:8000", *args, via="pagekite://ann.kite.test:80", **options)

    def test_a_kite_of_ours(self, world, front_end):
        door = self.share(world, env={"DOORSTEP_KITE_SECRET": SECRET})
        assert door.address.startswith("http://ann.kite.test")
        assert visit(world, door.address) == (200, "app")
        whole, why = downloads(world, door.address, 5_000_000)()
        assert whole, why

    def test_a_secret_from_a_file(self, world, front_end):
        agent = Agent(world)
        file = agent.folder / "secret.txt"
        file.write_text(f"{SECRET}\n")
        file.chmod(0o600)
        shutil.chown(file, agent.folder.stat().st_uid)
        assert visit(world, self.share(world, "--kite-secret", file, agent=agent).address) == (200, "app")

    def test_a_wrong_secret_is_told(self, world, front_end):
        door = self.share(world, wait=False, env={"DOORSTEP_KITE_SECRET": "wrong"})
        stopped = door.wait_event("tunnel", state="stopped")
        assert "secret" in (stopped["why"] + stopped["fix"]).lower()

    def test_half_closed_connections(self, world, front_end):
        door = self.share(world, env={"DOORSTEP_KITE_SECRET": SECRET})
        assert door.address
        with dial(world.visitor, PUBLIC["vps"], 80) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ann.kite.test\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            told = b""
            while part := connection.recv(1024):
                told += part
        assert told.endswith(b"app")
