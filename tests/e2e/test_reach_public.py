"""`share --public`: straight from the internet to a computer behind a home router, proven from outside, and what happens when the way breaks."""

import json
import time

import pytest

from harness.process import PATIENCE
from harness.router import Router
from harness.tunnel import Agent, Relay, address, app, visit, wait_until
from harness.world import HOME, PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "miniupnpd"), pytest.mark.timeout(300)]

RECOVERY = 60  # seconds in which visitors are to be served again


def share(agent, *args, port=8000, wait=True):
    """`doorstep share PORT --public`, as an ordinary user of the laptop."""
    door = agent.share(port, "--public", "--yes", *args, via=None, wait=False)
    if wait:
        door.address = address(door, timeout=2 * PATIENCE)
    return door


def served(world, url):
    return visit(world, url, timeout=3)[0] == 200


def again(world, where, what):
    """How long it takes until a visitor is served."""
    began = time.monotonic()
    wait_until(lambda: served(world, where()), f"was a visitor served after {what}", timeout=RECOVERY, every=0.5)
    took = time.monotonic() - began
    print(f"served again {took:.1f} s after {what}")
    return took


def last(door):
    """Where visitors come now: the last address that was not taken back."""
    gone = [event["url"] for event in door.all_events("address-gone")]
    found = [event["url"] for event in door.all_events("address") if event["scope"] == "tunnel"]
    left = [url for url in found if found.count(url) > gone.count(url)]
    return left[-1].rstrip("/") if left else "http://none.invalid"


def journal(agent):
    return agent.run("undo").stdout


def test_a_port_of_the_router_is_opened_proven_and_closed_again(world):
    router, relay, agent = Router(world), Relay(world), Agent(world)
    app(world)
    agent.join(relay)
    door = share(agent)
    assert door.address.startswith(f"http://{PUBLIC['router']}:"), door.log
    port = int(door.address.rsplit(":", 1)[1])
    assert router.opened() == {port: f"{HOME}.10:{port}"}
    assert served(world, door.address)
    notes = [event["what"] for event in door.all_events("warning")]
    assert any("knows your home's address" in note for note in notes), notes
    assert not any("not verified" in note for note in notes), notes
    assert f"port {port} of the router {HOME}.1" in journal(agent)

    assert door.stop() == 0
    assert router.opened() == {}
    assert "has changed nothing" in journal(agent)


def test_without_a_relay_it_says_that_nobody_looked(world):
    router, agent = Router(world), Agent(world)
    app(world)
    door = share(agent)
    assert served(world, door.address)
    wait_until(lambda: any("not verified from outside" in event["what"] for event in door.all_events("warning")), "did it say so")
    # Killed, it leaves the port open, and the journal says so.
    door.process.kill()
    door.process.wait()
    port = int(door.address.rsplit(":", 1)[1])
    assert port in router.opened()
    assert f"port {port}" in journal(agent)
    assert f"close port {port}" in agent.run("undo", "--all").stdout
    assert router.opened() == {}
    assert "has changed nothing" in agent.run("undo", "--all").stdout


def test_nobody_agreed_to_ask_the_router(world):
    Router(world)
    app(world)
    door = Agent(world).run("share", "8000", "--public", "--port", "0", check=False)
    assert door.returncode == 2 and "--yes" in door.stderr, door.stderr


def test_the_provider_shares_its_address_and_the_relay_takes_over(world):
    router, relay, agent = Router(world), Relay(world), Agent(world)
    app(world)
    agent.join(relay)
    door = share(agent)
    assert served(world, door.address)
    with router.behind_the_provider():
        again(world, lambda: last(door), "the provider shared its address")
        assert last(door).endswith(".tun.test")
    again_direct = time.monotonic()
    wait_until(lambda: last(door).startswith("http://11.0.0.20"), "was the router taken again", timeout=3 * RECOVERY, every=0.5)
    print(f"direct again after {time.monotonic() - again_direct:.1f} s")
    assert served(world, last(door))


def test_no_router_answers_and_the_relay_is_taken(world):
    relay, agent = Relay(world), Agent(world)
    app(world)
    agent.join(relay)
    door = share(agent)
    assert door.address.endswith(".tun.test")
    assert served(world, door.address)
    states = [event for event in door.all_events("tunnel") if event["via"] == "your router"]
    assert any("UPnP" in json.dumps(event) for event in states), states


def test_the_addresses_of_this_computer_follow_its_network(world):
    app(world)
    door = Agent(world).share("8000", via=None, wait=False)
    at = f"http://{HOME}.10:"
    wait_until(lambda: any(event["url"].startswith(at) for event in door.all_events("address")), "was there an address")
    world.change_address(77)
    wait_until(lambda: any(event["url"].startswith(at) for event in door.all_events("address-gone")), "was it taken back")
    new = f"http://{HOME}.77:"
    wait_until(lambda: any(event["url"].startswith(new) for event in door.all_events("address")), "was there another one")
