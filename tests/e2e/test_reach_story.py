"""A home, from the first share to the worst week of its line: whoever visits is served again, and it is measured how soon."""

import json
import sys
import time
from pathlib import Path

import pytest

from harness.home import LAPTOP6, change_line, ipv6, name6, outside6, roommate, without_ipv4
from harness.process import PATIENCE
from harness.router import Router
from harness.tunnel import Agent, Relay, address, app, visit, wait_until
from harness.world import HARNESS, HOME, PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "miniupnpd", "conntrack"), pytest.mark.timeout(300)]

RECOVERY = 60  # seconds in which visitors are to be served again


def share(agent, *args, wait=True, **options):
    door = agent.share("8000", "--public", "--yes", *args, via=None, wait=False, **options)
    if wait:
        door.address = address(door, timeout=2 * PATIENCE)
    return door


def addresses(door):
    """Where visitors may come now: what was told and not taken back."""
    gone = [event["url"] for event in door.all_events("address-gone")]
    found = [event["url"] for event in door.all_events("address") if event["scope"] == "tunnel"]
    return [url.rstrip("/") for url in found if found.count(url) > gone.count(url)]


def served(world, door):
    """The address at which a visitor is served, of those that are told now."""
    return next((url for url in reversed(addresses(door)) if visit(world, url, timeout=3) == (200, "app")), None)


def measure(world, door, record, what):
    """How long it takes until a visitor who follows what doorstep says is served."""
    began = time.monotonic()
    where = wait_until(lambda: served(world, door), f"was a visitor served after {what}", timeout=RECOVERY, every=0.3)
    took = time.monotonic() - began
    print(f"| {what} | {took:.1f} s | {where} |")
    record("recovery", f"{what}: {took:.1f} s")
    return where


@pytest.fixture
def home(world):
    app(world)
    return Agent(world)


def test_a_roommate_opens_the_page_by_name(world, home, tmp_path):
    mate = roommate(world)
    door = home.share("8000", via=None, wait=False)
    named = wait_until(lambda: next((e["url"] for e in door.all_events("address") if ".local" in e["url"]), None), "was there a name")
    name = named.split("//")[1].split(":")[0].rstrip("/")
    found = mate.run(sys.executable, HARNESS / "mdns.py", name, f"{HOME}.11").stdout.strip()
    assert found == f"{HOME}.10"
    # What the roommate's system would find by mDNS stands in its hosts file: the browser asks the system.
    with open(mate.etc / "hosts", "a") as hosts:
        hosts.write(f"{found} {name}\n")
    shown = json.loads(mate.run(sys.executable, HARNESS / "browse.py", tmp_path / "profile", "roommate", named, "app", timeout=90).stdout)
    assert "app" in shown["text"], shown


def test_the_lines_worst_week(world, home, record_property):
    """New address, router off and on, no address at all, and back: one share, one visitor."""
    router, relay = Router(world), Relay(world)
    home.join(relay)
    began = time.monotonic()
    door = share(home)
    print(f"| `share --public`, proven | {time.monotonic() - began:.1f} s | {door.address} |")
    assert served(world, door)

    change_line(world, 22)
    assert measure(world, door, record_property, "the provider gave another address").startswith("http://11.0.0.22:")
    router.reboot()
    measure(world, door, record_property, "the router was started anew")
    world.change_address(77)
    measure(world, door, record_property, "this computer got another address at home")
    with router.behind_the_provider():
        where = measure(world, door, record_property, "the provider shared its address (CGNAT)")
        assert where.endswith(".tun.test")
        with world.silence():
            time.sleep(5)
        measure(world, door, record_property, "the tunnel's way was dead for 5 s")
        relay.restart()
        measure(world, door, record_property, "the relay was started anew")
    assert door.stop() == 0
    assert router.opened() == {}


def test_from_home_to_a_hotspot_and_the_relay_takes_over(world, home, record_property):
    router = Router(world)
    home.join(Relay(world))
    door = share(home)
    assert door.address.startswith(f"http://{PUBLIC['router']}:")
    world.change_network()
    assert measure(world, door, record_property, "from home to the phone's hotspot").endswith(".tun.test")
    assert door.stop() == 0
    # The router at home cannot be asked any more: what it opened ends with its lease, and is not forgotten until then.
    assert router.opened() and "has changed nothing" not in home.run("undo").stdout


@pytest.fixture
def six(world, home):
    """IPv6 as well, at home and at the relay."""
    ipv6(world)
    name6(world, "tun.test", world.vps)
    name6(world, "*.tun.test", world.vps)
    home.join(Relay(world, also=f"[{outside6('vps')}]"))
    return home


def test_ipv6_goes_first_through_a_pinhole(world, six):
    router = Router(world)
    door = share(six)
    wanted = wait_until(lambda: next((url for url in addresses(door) if url.startswith("http://[")), None), "was IPv6 proven")
    port = int(wanted.rsplit(":", 1)[1])
    assert wanted == f"http://[{LAPTOP6}]:{port}"
    assert router.pinholes() == {(LAPTOP6, port)}
    assert visit(world, wanted) == (200, "app")
    assert door.stop() == 0
    assert router.pinholes() == set()


def test_only_ipv6_is_left(world, six, record_property):
    Router(world)
    door = share(six)
    assert served(world, door)
    without_ipv4(world)
    assert measure(world, door, record_property, "only IPv6 was left").startswith((f"http://[{LAPTOP6}]:", "http://", "https://"))
    assert visit(world, next(url for url in addresses(door) if "[" in url)) == (200, "app")


def test_no_router_and_no_relay(world, home):
    """Nothing works: it is said, here at home it is shared nevertheless, and it ends when told to."""
    door = share(home, wait=False)
    said = wait_until(lambda: [e for e in door.all_events("tunnel") if "UPnP" in json.dumps(e)], "was it said", timeout=2 * PATIENCE)
    assert said and not addresses(door)
    assert door.stop() == 0
    assert "has changed nothing" in home.run("undo").stdout


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("wrong", ["-370d", "+370d"])
def test_a_clock_that_is_off_by_a_year(world, home, wrong):
    """Keys are compared, not dates: what has nothing to do with the time of day works, and is taken back."""
    router = Router(world)
    home.join(Relay(world))
    # The library itself, since the program faketime stands between us and the signals.
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    home.prefix = [*home.prefix, "env", f"LD_PRELOAD={library}", f"FAKETIME={wrong}", "DONT_FAKE_MONOTONIC=1"]
    assert home.host.run("date", "+%Y-%m", prefix=home.prefix).stdout.strip() != time.strftime("%Y-%m")
    door = share(home)
    assert door.address.startswith(f"http://{PUBLIC['router']}:")
    assert visit(world, door.address) == (200, "app")
    lent = home.share("http://127.0.0.1:8000", "--name", "blog")
    assert visit(world, lent.address) == (200, "app")
    assert lent.stop() == 0 and door.stop() == 0
    assert router.opened() == {} and "has changed nothing" in home.run("undo").stdout
