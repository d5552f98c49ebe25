"""`doorstep ip`: where a computer stands, in homes of every kind, and no more than can be known."""

import json

import pytest

from harness.home import LAPTOP6, ipv6, repeater
from harness.router import Router
from harness.tunnel import Agent, Relay
from harness.world import HOME

pytestmark = [pytest.mark.needs("root", "ip", "nft", "miniupnpd"), pytest.mark.timeout(120)]


def stands(agent, *args):
    return json.loads(agent.run("ip", "--json", *args).stdout)


def test_behind_a_router_by_itself_and_as_a_relay_sees_it(world):
    router, relay, agent = Router(world), Relay(world), Agent(world)
    alone = stands(agent)
    assert (alone["standing"], alone["seen"]) == ("behind-router", None)
    assert "nobody outside was asked" in alone["what"]
    [gateway] = alone["gateways"]
    assert (gateway["ip"], gateway["external_ip"]) == (f"{HOME}.1", "11.0.0.20")
    assert set(gateway["protocols"]) == {"UPnP", "NAT-PMP", "PCP"}
    assert router.opened() == {}, "it changes nothing"

    agent.join(relay)
    seen = stands(agent)
    assert (seen["standing"], seen["seen"], seen["asked"]) == ("behind-router", "11.0.0.20", ["tun.test"])
    assert stands(agent, "--local")["seen"] is None
    words = agent.run("ip").stdout
    assert f"{HOME}.10" in words and "your network" in words and "doorstep share 8000 --public" in words
    assert all(len(line) <= 160 for line in words.splitlines())


def test_the_provider_shares_its_address(world):
    router, relay, agent = Router(world), Relay(world), Agent(world)
    agent.join(relay)
    with router.behind_the_provider():
        found = stands(agent)
    assert found["standing"] == "carrier-nat" or found["standing"] == "second-router", found
    assert found["seen"] == "11.0.0.25"
    assert "relay" in found["next"]


def test_a_router_that_lies_is_found_out(world):
    Router(world, more="ext_ip=11.0.0.99")
    relay, agent = Relay(world), Agent(world)
    agent.join(relay)
    found = stands(agent)
    assert found["standing"] == "differs" and "11.0.0.99" in found["what"] and "11.0.0.20" in found["what"], found


def test_no_router_that_answers_and_no_relay(world):
    found = stands(Agent(world))
    assert found["standing"] == "unknown", found
    assert "UPnP" in found["next"]


def test_a_second_router_is_told_and_ipv6_is_good_for_something(world):
    Router(world)
    repeater(world)
    ipv6(world)
    found = stands(Agent(world))
    assert next(gateway for gateway in found["gateways"] if gateway["ip"] == f"{HOME}.1")["others"] == [f"{HOME}.2"]
    own = {address["ip"]: address["good_for"] for address in found["addresses"]}
    assert "internet by IPv6" in own[LAPTOP6] and own[f"{HOME}.10"] == "your network", own


def test_a_server_s_own_address_is_one_of_the_internet(world):
    agent = Agent(world, host=world.spare)
    assert stands(agent)["standing"] == "own-address"


def test_no_network_at_all(world):
    with world.unplugged():
        agent = Agent(world)
        found = stands(agent)
        assert found["standing"] == "no-ipv4", found
        assert "there is none" in agent.run("ip").stdout
