"""`[public]` with names at services of dynamic DNS that really change a zone, and what is refused there."""

import time

import pytest

from harness.authority import Authority
from harness.home import LAPTOP6, change_line, ipv6
from harness.router import Router
from harness.tunnel import visit, wait_until
from harness.world import NAMES, PUBLIC
from harness.zone import PASSWORD, TOKEN, Zone
from test_reach_up import Home

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "miniupnpd", "knotd", "kdig", "pebble"), pytest.mark.timeout(200)]

DUCK, DYN = "blog.duckdns.org", "nas.home.test"


def home(world, dns, name, issuers=""):
    return Home(
        world,
        f'{issuers}listen = {{ http = ":80", https = ":443" }}\npublic = {{ map = true, names = true, ttl = "5s" }}\n'
        f'[site."{name}"]\nrespond = "home"\n[dns]\n{dns}',
    )


@pytest.mark.parametrize(("service", "name"), [("duckdns", DUCK), ("dyndns2", DYN)])
def test_a_name_at_a_service_leads_to_verified_https_and_follows(world, service, name):
    Router(world)
    zone = Zone(world)
    authority = Authority(world.folder / "authority", 80, 443, host=world.internet, address=NAMES, names=f"{NAMES}:53")
    issuers = f'issuers = {{ name = "pebble", directory = "{authority.directory}", roots = "{authority.root}" }}\n'
    began = time.monotonic()
    home(world, zone.dns[service], name, issuers)
    world.trust = world.folder / "issued.pem"
    world.trust.write_text(authority.issuing_root())
    served = lambda: visit(world, f"https://{name}/", timeout=3) == (200, "home")  # noqa: E731
    wait_until(served, "was there verified HTTPS", timeout=60, every=0.5)
    print(f"| {service}: from nothing to verified HTTPS | {time.monotonic() - began:.1f} s |")
    assert zone.values(name) == [PUBLIC["router"]]
    if service != "duckdns":
        return  # how a change is followed is the same for both, and takes its time
    began = time.monotonic()
    change_line(world, 22)
    wait_until(served, "was a visitor served after another address", timeout=60, every=0.5)
    print(f"| {service}: another address by the provider | {time.monotonic() - began:.1f} s |")
    assert zone.values(name) == ["11.0.0.22"]


def test_both_families_are_kept_together(world):
    ipv6(world)
    Router(world)
    zone = Zone(world)
    home(world, zone.dns["duckdns"], DUCK)
    zone.wait_until(DUCK, [PUBLIC["router"]])
    zone.wait_until(DUCK, [LAPTOP6], "AAAA")


# What a service refuses is said in its words, once, and not asked again and again.
WRONG = {
    "a wrong token": (lambda zone: zone.dns["duckdns"].replace(TOKEN, TOKEN[::-1]), DUCK, "token"),
    "the name of somebody else": (lambda zone: zone.dns["duckdns"], "other.duckdns.org", "with this token"),
    "a wrong password": (lambda zone: zone.dns["dyndns2"].replace(PASSWORD, "guess"), DYN, "user and password"),
    "a name of another zone": (lambda zone: zone.dns["dyndns2"], "nas.elsewhere.test", "nas.elsewhere.test"),
}


@pytest.mark.parametrize(("dns", "name", "words"), WRONG.values(), ids=WRONG)
def test_what_a_service_refuses(world, dns, name, words):
    Router(world)
    zone = Zone(world)
    server = home(world, dns(zone), name)
    said = server.program.wait_for(words)
    assert TOKEN not in said and PASSWORD not in said and TOKEN[::-1] not in said
    time.sleep(3)
    asked = [line for line in zone.service.log_file.read_text().splitlines() if line.startswith(PUBLIC["router"])]
    assert len(asked) <= 2, asked
    assert zone.values(name) == []


def test_the_service_is_away(world):
    Router(world)
    zone = Zone(world)
    zone.service.stop()
    server = home(world, zone.dns["duckdns"], DUCK)
    server.program.wait_for("cannot be reached")
    assert zone.values(DUCK) == []
