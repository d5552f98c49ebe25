"""More of the home and its line, for tests that want it: a roommate, a second router, IPv6, another address outside.

    laptop   192.168.7.10  2a10:11:0:100::10 ─┐                            outside: 2a10:11:0:1::N for 11.0.0.N
    roommate 192.168.7.11                     ├─ router (device lan) ── wan
    repeater 192.168.7.2                     ─┘
"""

import sys

from .world import HARNESS, HOME, NAMES, PUBLIC

OUTSIDE6, HOME6 = "2a10:11:0:1::", "2a10:11:0:100::"
LAPTOP6 = f"{HOME6}10"


def outside6(name):
    """A host's IPv6 address on the internet."""
    return OUTSIDE6 + PUBLIC[name].rsplit(".", 1)[1]


def switch(world):
    """A switch in the router: from then on more than one computer may be plugged in."""
    router = world.router
    if router.run("ip", "link", "show", "lan-laptop", check=False).returncode == 0:
        return
    router.ip(
        "address flush dev lan",
        "link set lan down",
        "link set lan name lan-laptop",
        "link add lan type bridge forward_delay 0 mcast_snooping 0",
        "link set lan-laptop master lan up",
        "link set lan up",
        f"address add {HOME}.1/24 dev lan",
    )


def plug_in(world, name, last):
    """Another computer at home, `192.168.7.last`."""
    switch(world)
    host = world._host(name)
    world._cable(host, "lan0", world.router, f"lan-{name}")
    world.router.ip(f"link set lan-{name} master lan")
    host.ip(f"address add {HOME}.{last}/24 dev lan0", f"route add default via {HOME}.1")
    return host


def roommate(world):
    """Whoever is on the same Wi-Fi."""
    return plug_in(world, "roommate", 11)


def repeater(world, *habits):
    """A second router at home, which answers searches and passes nobody's packets on: harness/quirky.py, running."""
    host = plug_in(world, "repeater", 2)
    program = host.start(sys.executable, HARNESS / "quirky.py", f"{HOME}.2", "lan0", *habits)
    program.wait_for("ready")
    return program


def ipv6(world, pinholes_only=True):
    """IPv6 for everybody but the phone. The router lets in what was asked for, or all of it."""
    internet, router, laptop = world.internet, world.router, world.laptop
    for host in (internet, router):
        host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    internet.ip(f"address add {OUTSIDE6}53/64 dev inet nodad")
    for host, device in ((router, "wan"), (world.vps, "net"), (world.spare, "net"), (world.visitor, "net")):
        host.ip(f"address add {outside6(host.name)}/64 dev {device} nodad", f"route add default via {OUTSIDE6}53")
    internet.ip(f"route add {HOME6}/64 via {outside6('router')}")
    router.ip(f"address add {HOME6}1/64 dev lan nodad", "address add fe80::1/64 dev lan nodad")
    laptop.ip(f"address add {LAPTOP6}/64 dev lan0 nodad", "route add default via fe80::1 dev lan0")
    router.filter("add rule inet home forward meta l4proto ipv6-icmp accept\n")
    if not pinholes_only:
        router.filter("add rule inet home forward meta nfproto ipv6 accept\n")
    internet.start(sys.executable, HARNESS / "names.py", f"{OUTSIDE6}53", world.folder / "names.json").wait_for("ready")
    for host in world.hosts:
        lines = (host.etc / "resolv.conf").read_text()
        (host.etc / "resolv.conf").write_text(f"nameserver {NAMES}\nnameserver {OUTSIDE6}53\n{lines.split(chr(10), 1)[1]}")


def name6(world, name, host):
    """An AAAA record beside whatever there is."""
    world.name(name, outside6(host.name), kind="AAAA")


def without_ipv4(world):
    """The provider has IPv6 only."""
    world.laptop.run("ip", "-4", "address", "flush", "dev", "lan0")


def change_line(world, last):
    """The provider gives the router another address, as many do each night: `11.0.0.last`. Gives it."""
    address = f"11.0.0.{last}"
    world.router.run("ip", "-4", "address", "flush", "dev", "wan")
    world.router.ip(f"address add {address}/24 dev wan", f"route replace default via {NAMES}")
    # Whoever still sends to the old address reaches nobody, and connections that were translated to it are over.
    world.router.ip(f"link set wan address 02:00:00:00:00:{last:02}")
    world.router.run("conntrack", "-F", check=False)
    return address
