"""The home's router as it comes from a shop: it opens ports when computers behind it ask (UPnP, NAT-PMP, PCP)."""

import contextlib
import ipaddress
import re
import signal
import sys

from .process import PATIENCE
from .tunnel import wait_until
from .world import HARNESS, HOME

# What miniupnpd finds in its place, beside the home's own rules: these let through whatever was mapped.
TABLE = """
table inet opened {
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
}
add rule inet home forward ct status dnat accept
add chain inet home miniupnpd
add rule inet home forward jump miniupnpd
"""


class Router:
    """miniupnpd on the world's router."""

    def __init__(self, world, outside="wan", more=""):
        self.world, self.host, self.outside, self.more = world, world.router, outside, more
        self.host.filter(TABLE)
        self.starts = 0
        self.start()

    def start(self):
        """Each start is at another control port, as routers do it, and knows nothing of the mappings of the one before."""
        self.starts += 1
        file = self.host.folder / f"miniupnpd-{self.starts}.conf"
        file.write_text(
            f"ext_ifname={self.outside}\nlistening_ip=lan\nhttp_port={5000 + self.starts}\nenable_natpmp=yes\nenable_upnp=yes\n"
            "secure_mode=yes\nsystem_uptime=no\nmin_lifetime=120\nmax_lifetime=86400\nupnp_table_name=home\n"
            f"upnp_nat_table_name=opened\nuuid=553c0821-f010-41c6-a2b1-d40eb9cc{self.starts:04}\n{self.more}\n"
            f"allow 1-65535 {HOME}.0/24 1-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        )
        pid = self.host.folder / f"miniupnpd-{self.starts}.pid"
        self.program = self.host.start("miniupnpd", "-d", "-f", file, "-P", pid)
        self.program.wait_for("listening on")

    def stop(self):
        self.program.stop()
        for chain in ("home miniupnpd", "opened prerouting_miniupnpd", "opened postrouting_miniupnpd"):
            self.host.run("nft", "flush", "chain", "inet", *chain.split())
        self.host.run("conntrack", "-F", check=False)

    def reboot(self):
        """Off and on again: what was opened is closed, and nobody is told."""
        self.stop()
        self.start()

    def opened(self):
        """Ports that are sent on, each with where to: `{8080: "192.168.7.10:8080"}`."""
        rules = self.host.run("nft", "list", "chain", "inet", "opened", "prerouting_miniupnpd").stdout
        found = re.findall(r"dport (\d+) dnat ip to ([\d.]+:\d+)", rules)
        return {int(port): to for port, to in found}

    def pinholes(self):
        """Addresses and ports that IPv6 visitors get to: `{("2a10:11:0:100::10", 8080)}`."""
        rules = self.host.run("nft", "list", "chain", "inet", "home", "miniupnpd").stdout
        # nft(8) does not know its own words again in what miniupnpd wrote: the address is 16 bytes at bit 192 of the header.
        found = re.findall(r"dport (\d+) @nh,192,128 0x([0-9a-f]+)", rules)
        return {(str(ipaddress.IPv6Address(int(address, 16))), int(port)) for port, address in found}

    def wait_until_opened(self, port, timeout=PATIENCE):
        wait_until(lambda: port in self.opened(), f"was port {port} opened", timeout=timeout)

    @contextlib.contextmanager
    def behind_the_provider(self, network="100.64.0"):
        """The provider has run out of addresses: it gives the router one that it shares among customers.

        With a private network the home has two routers, one behind the other.
        """
        isp = self.world.isp(network)
        self.stop()
        self.host.ip("link set wan down", "link set cg up", f"route replace default via {network}.1 dev cg")
        self.outside, before = "cg", self.outside
        self.start()
        try:
            yield isp
        finally:
            self.stop()
            self.host.ip("link set cg down", "link set wan up", "route replace default via 11.0.0.53 dev wan")
            self.outside = before
            self.start()


class Quirky:
    """harness/quirky.py on the world's router: UPnP with the habits named there, as in `Quirky(world, "permanent-only")`."""

    def __init__(self, world, *habits, outside="wan"):
        self.host = world.router
        self.host.filter("add rule inet home forward ct status dnat accept\n")
        self.program = self.host.start(sys.executable, HARNESS / "quirky.py", f"{HOME}.1", outside, *habits)
        self.program.wait_for("ready")

    def reboot(self):
        """What was opened is closed; the control port and the BOOTID are others."""
        so_far = len(self.program.log_file.read_text())
        self.program.process.send_signal(signal.SIGUSR1)
        self.program.wait_for("rebooted", after=so_far)

    def opened(self):
        """As Router.opened."""
        rules = self.host.run("nft", "list", "chain", "inet", "opened", "pre").stdout
        return {int(port): to for port, to in re.findall(r"dport (\d+) dnat ip to ([\d.]+:\d+)", rules)}

    def asked(self, action):
        """How often it was asked for this action so far."""
        return self.program.log_file.read_text().count(f"{action} {{")
