"""TLS from the visitor to the laptop: the relay passes ciphertext on, and never has the key."""

import hashlib
import json
import ssl
from subprocess import run

import pytest

from harness.authority import Authority
from harness.process import PATIENCE
from harness.tunnel import Agent, Relay, app, dial, downloads, visit, wait_until
from harness.world import NAMES, PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "openssl"), pytest.mark.timeout(300)]

URL = "https://blog.tun.test"


def served(world, name, address=PUBLIC["vps"]):
    """The public key, by its SHA-256, of the certificate that a visitor is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(dial(world.visitor, address, 443), server_hostname=name) as connection:
        return public_key(connection.getpeercert(binary_form=True))


def public_key(certificate):
    pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
    shown = run(["openssl", "x509", "-noout", "-pubkey"], input=pem, capture_output=True, check=True).stdout
    return hashlib.sha256(shown).hexdigest()


def keys_in(folder):
    """The public halves, by their SHA-256, of all private keys in a folder."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            shown = run(["openssl", "pkey", "-pubout", "-in", path], capture_output=True)
            if shown.returncode == 0:
                found.add(hashlib.sha256(shown.stdout).hexdigest())
    return found


class TestOwnAuthority:
    @pytest.fixture
    def lent(self, world):
        app(world)
        self.relay, self.agent = Relay(world), Agent(world)
        self.agent.join(self.relay)
        return self.agent.share("http://127.0.0.1:8000", "--name", "blog", "--e2e", "--directory", "local")

    def test_the_key_is_on_the_laptop_only(self, world, lent):
        assert lent.address == URL
        shown = served(world, "blog.tun.test")
        assert shown in keys_in(self.agent.folder)
        assert shown not in keys_in(self.relay.folder)
        assert served(world, "tun.test") not in keys_in(self.agent.folder)

    def test_visitors_get_through_and_the_app_knows_who_they_are(self, world, lent):
        world.trust = None  # whoever visits has not been told of the laptop's own authority
        seen = json.loads(world.visitor.curl(f"{URL}/seen"))["fields"]
        assert seen["x-forwarded-for"] == PUBLIC["visitor"] and seen["x-forwarded-proto"] == "https"
        whole, why = downloads(world, URL, 100_000_000)()
        assert whole, why
        assert json.loads(world.visitor.curl(f"{URL}/upload", "-d", "x" * 1000))["length"] == 1000

    def test_an_agent_that_is_away(self, world, lent):
        lent.stop()
        world.trust = None
        assert visit(world, URL, timeout=20)[0] in (0, 503), "there is nobody who could answer under that name"


@pytest.mark.needs("pebble")
class TestAnIssuer:
    def test_the_certificate_is_got_through_the_tunnel(self, world):
        app(world)
        authority = Authority(world.folder / "authority", 80, 443, host=world.internet, address=NAMES, names=f"{NAMES}:53")
        relay, agent = Relay(world), Agent(world)
        agent.join(relay)
        door = agent.share(
            "http://127.0.0.1:8000", "--name", "blog", "--e2e", "--directory", authority.directory, "--directory-roots", authority.root
        )
        world.trust = world.folder / "issued.pem"
        world.trust.write_text(authority.issuing_root())
        wait_until(lambda: visit(world, URL) == (200, "app"), "was there a certificate", timeout=2 * PATIENCE)
        assert door.address == URL
        shown = served(world, "blog.tun.test")
        assert shown in keys_in(agent.folder) and shown not in keys_in(relay.folder)
