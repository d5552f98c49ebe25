"""`share --public` at routers with the habits of real ones: a way that works is found, or it is said why there is none."""

import json

import pytest

from harness.home import repeater
from harness.process import PATIENCE
from harness.router import Quirky, Router
from harness.tunnel import Agent, Relay, address, app, visit, wait_until
from harness.world import HOME, PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "miniupnpd", "upnpc"), pytest.mark.timeout(120)]


def share(agent, wait=True, port=0):
    door = agent.share("8000", "--public", "--yes", via=None, wait=False, port=port)
    if wait:
        door.address = address(door, timeout=2 * PATIENCE)
    return door


def said(door):
    """All that it told of its ways, as one text."""
    return json.dumps(door.all_events("tunnel") + door.all_events("warning"))


@pytest.fixture
def home(world):
    """An app, and an agent that has joined a relay, which can look from outside and lend."""
    app(world)
    agent = Agent(world)
    agent.join(Relay(world))
    return agent


# Routers whose habits are somebody's daily life, and with which it works nevertheless.
WORKS = {
    "permanent leases only": ["permanent-only"],
    "finite leases only": ["finite-only"],
    "leases cut short": ["longest=600"],
    "both ports equal": ["same-port"],
    "a port that another one has": ["conflict=HERE"],
    "a list with nothing in it": ["forgetful"],
    "PPP and upper case": ["ppp", "strict"],
    "a location that is not its own": ["elsewhere"],
    "answers from elsewhere, and broken ones": ["other-port", "garbage"],
    "slow": ["slow=1.5"],
    "its address is not said": ["no-external"],
    "its address is empty": ["external="],
    "its address is a lie": ["external=11.0.0.99"],
}


@pytest.mark.parametrize("habits", WORKS.values(), ids=WORKS)
def test_a_way_is_found(world, home, habits):
    port = 8400
    router = Quirky(world, *(habit.replace("HERE", str(port)) for habit in habits))
    door = share(home, port=port)
    assert door.address.startswith(f"http://{PUBLIC['router']}:"), door.log
    outer = int(door.address.rsplit(":", 1)[1])
    assert (outer != port) == ("conflict=HERE" in habits), door.log
    assert router.opened() == {outer: f"{HOME}.10:{port}"}
    assert visit(world, door.address) == (200, "app")
    assert door.stop() == 0
    assert router.opened() == {}


# Routers that open nothing: the relay lends its name, and it is said whose fault it is.
FAILS = {
    "mappings that are not made": (["ghost"], "router"),
    "no mapping left": (["full"], "728"),
    "a description without an end": (["bomb"], "router"),
}


@pytest.mark.parametrize(("habits", "words"), FAILS.values(), ids=FAILS)
def test_the_relay_is_taken_and_it_is_said_why(world, home, habits, words):
    router = Quirky(world, *habits)
    door = share(home)
    assert door.address.endswith(".tun.test"), door.log
    assert visit(world, door.address) == (200, "app")
    wait_until(lambda: words in said(door), f"did it say {words}")
    assert door.stop() == 0
    assert router.opened() == {}


def test_what_cannot_be_taken_back_stays_in_the_journal(world, home):
    router = Quirky(world, "no-delete")
    door = share(home)
    port = int(door.address.rsplit(":", 1)[1])
    assert door.stop() == 0
    assert router.opened() == {port: f"{HOME}.10:{port}"}
    assert f"port {port}" in home.run("undo").stdout


def test_another_routers_mappings_are_left_alone(world, home):
    router = Quirky(world)
    url = next(line.split()[1] for line in world.laptop.run("upnpc", "-m", "lan0", "-l", check=False).stdout.splitlines() if "desc:" in line)
    world.laptop.run("upnpc", "-u", url, "-e", "a game", "-a", f"{HOME}.10", "7777", "7777", "TCP", "3600")
    door = share(home)
    assert len(router.opened()) == 2
    assert door.stop() == 0
    assert router.opened() == {7777: f"{HOME}.10:7777"}
    assert "7777" not in home.run("undo", "--all").stdout


def test_two_routers_and_only_the_one_that_passes_packets_on_is_asked(world, home):
    other = repeater(world)
    router = Router(world)
    door = share(home)
    assert visit(world, door.address) == (200, "app")
    assert len(router.opened()) == 1
    assert "AddPortMapping" not in other.log_file.read_text()


def test_two_routers_in_a_row_one_of_which_lies(world, home):
    router = Router(world)
    router.more = f"ext_ip={PUBLIC['router']}"
    with router.behind_the_provider("192.168.100"):
        door = share(home)
        assert door.address.endswith(".tun.test"), door.log
        assert visit(world, door.address) == (200, "app")
        assert door.stop() == 0
        router.more = ""


def test_a_reboot_with_another_control_port(world, home):
    router = Quirky(world)
    door = share(home)
    port = int(door.address.rsplit(":", 1)[1])
    router.reboot()
    assert router.opened() == {}
    wait_until(lambda: port in router.opened(), "was it mapped again", timeout=60)
    assert visit(world, f"http://{PUBLIC['router']}:{port}") == (200, "app")
