"""Who is refused by a relay, and what both sides are told."""

import json
import subprocess

import pytest

from harness.tunnel import Agent, Relay, app, visit, wait_until
from harness.world import PUBLIC

pytestmark = pytest.mark.needs("root", "ip", "nft", "curl")

URL = "https://blog.tun.test"


@pytest.fixture
def relay(world):
    app(world)
    return Relay(world)


def said(door, *words):
    """Waits until it has said all these words."""
    wait_until(lambda: all(word in door.log.lower() for word in words), f"did it say {words}: {door.log}")


class TestKeys:
    def test_somebody_who_was_never_invited(self, world, relay):
        agent = Agent(world)
        door = agent.share("http://127.0.0.1:8000", "--name", "blog", wait=False)
        assert door.wait() != 0
        said(door, "join")

    def test_a_key_that_the_relay_does_not_know(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        key = agent.identities / "tun.test.toml"
        assert key.stat().st_mode & 0o777 == 0o600
        relay.run("relay", "revoke", "studio")
        door = agent.share("http://127.0.0.1:8000", "--name", "blog", wait=False)
        stopped = door.wait_event("tunnel", state="stopped")
        assert "new invitation" in stopped["why"] and "join --replace" in stopped["fix"], stopped
        assert "revoked" in relay.run("relay", "agents").stdout

    def test_a_revoked_key_loses_its_names_at_once(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        door = agent.share("http://127.0.0.1:8000", "--name", "blog")
        assert visit(world, URL) == (200, "app")
        relay.run("relay", "revoke", "studio")
        stopped = door.wait_event("tunnel", state="stopped", timeout=3)
        assert "revoked" in stopped["why"]
        assert visit(world, URL)[0] != 200

    def test_an_invitation_is_good_once(self, world, relay):
        line = relay.invite("studio")
        Agent(world).run("join", line)
        second = Agent(world, "other").run("join", line, check=False)
        assert second.returncode != 0
        assert "used before" in second.stderr and "relay invite" in second.stderr

    def test_an_invitation_that_was_tampered_with(self, world, relay):
        line = relay.invite("studio")
        middle = len(line) // 2
        other = line[:middle] + ("A" if line[middle] != "A" else "B") + line[middle + 1 :]
        done = Agent(world).run("join", other, check=False)
        assert done.returncode != 0 and (done.stderr + done.stdout).strip()

    def test_another_relay_with_the_same_name_is_not_believed(self, world, relay):
        """Somebody took over the name, or its address: their key is another one."""
        agent = Agent(world)
        agent.join(relay)
        relay.program.stop()
        (relay.state / "relay/identity.pem").unlink()
        relay.start()
        door = agent.share("http://127.0.0.1:8000", "--name", "blog", wait=False)
        said(door, "key")
        assert not [event for event in door.all_events("address") if event["scope"] == "tunnel"]

    def test_agents_are_listed(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        agent.share("http://127.0.0.1:8000", "--name", "blog")
        listed = relay.run("relay", "agents").stdout
        assert "studio" in listed and "blog" in listed


class TestNames:
    def test_the_name_of_another_is_refused_and_stays_theirs(self, world, relay):
        first, second = Agent(world, "first"), Agent(world, "second")
        first.join(relay)
        second.join(relay)
        app(world, "mine", 8001)
        first.share("http://127.0.0.1:8000", "--name", "blog")
        door = second.share("http://127.0.0.1:8001", "--name", "blog", wait=False)
        said(door, "blog")
        assert not [event for event in door.all_events("address") if event["scope"] == "tunnel"]
        assert visit(world, URL) == (200, "app")

    def test_the_name_stays_its_owners_while_the_owner_is_away(self, world, relay):
        first, second = Agent(world, "first"), Agent(world, "second")
        first.join(relay)
        second.join(relay)
        first.share("http://127.0.0.1:8000", "--name", "blog").stop()
        door = second.share("http://127.0.0.1:8000", "--name", "blog", wait=False)
        said(door, "blog")
        assert visit(world, URL)[0] == 503

    def test_names_outside_of_the_invitation(self, world, relay):
        agent = Agent(world)
        agent.join(relay, "--names", "studio-*")
        door = agent.share("http://127.0.0.1:8000", "--name", "blog", wait=False)
        stopped = door.wait_event("tunnel", state="stopped")
        assert "does not allow" in stopped["why"] and "blog" in stopped["why"]
        assert agent.share("http://127.0.0.1:8000", "--name", "studio-two").address == "https://studio-two.tun.test"

    def test_a_made_up_name_is_the_same_each_time(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        door = agent.share("http://127.0.0.1:8000")
        first = door.address
        assert visit(world, first) == (200, "app")
        door.stop()
        assert agent.share("http://127.0.0.1:8000").address == first

    def test_a_killed_name_answers_nobody_until_it_is_let_again(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        door = agent.share("http://127.0.0.1:8000", "--name", "blog")
        relay.run("relay", "stop", "blog.tun.test")
        assert visit(world, URL)[0] not in (200, 0)
        refused = door.wait_event("warning", id="tunnel-refused")
        assert "owner" in refused["what"], refused
        relay.run("relay", "start", "blog.tun.test")
        wait_until(lambda: visit(world, URL) == (200, "app"), "was it let again")


class TestBytes:
    def test_garbage_and_other_versions_end_one_connection_only(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        agent.share("http://127.0.0.1:8000", "--name", "blog")
        hello = bytes([1, 0, 0, 4, 0, 0, 0, 0])
        for garbage in (b"\xff" * 8192, hello + b"\0\x09\0\x09", bytes([18, 0xFF, 0xFF, 0xFF]) + bytes(4), b"GET / HTTP/1.1\r\n\r\n", b""):
            command = ["openssl", "s_client", "-connect", f"{PUBLIC['vps']}:443", "-servername", "tun.test", "-alpn", "doorstep/1"]
            done = subprocess.run(
                [*world.visitor.prefix, "timeout", "15", *command, "-quiet", "-ign_eof"], input=garbage, capture_output=True
            )
            assert done.returncode != 124, f"{garbage[:20]} is not left waiting"
        assert visit(world, URL) == (200, "app")

    def test_metadata_services_are_never_lent(self, world, relay):
        agent = Agent(world)
        agent.join(relay)
        for target in ("tcp:169.254.169.254:80", "http://169.254.169.254"):
            door = agent.share(target, wait=False)
            assert door.wait() != 0 and "never lent" in door.log

    def test_limits_of_an_agent(self, world, relay):
        agent = Agent(world)
        agent.join(relay, "--requests", "5")
        agent.share("http://127.0.0.1:8000", "--name", "blog")
        statuses = [visit(world, URL)[0] for _ in range(30)]
        assert 200 in statuses and 429 in statuses


def test_search_engines_are_asked_to_stay_away_and_abuse_has_an_address(world):
    app(world)
    relay, agent = Relay(world, more='abuse = "abuse@tun.test"'), Agent(world)
    agent.join(relay)
    agent.share("http://127.0.0.1:8000", "--name", "blog")
    assert "x-robots-tag: noindex" in world.visitor.curl(URL, "-D", "-", "-o", "/dev/null").lower()
    assert "abuse@tun.test" in world.visitor.curl("https://tun.test/")
    assert json.loads(world.visitor.curl(f"{URL}/seen"))["fields"]
