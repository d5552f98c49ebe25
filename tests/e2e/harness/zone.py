"""Names that can be changed: Knot with a key, and services of dynamic DNS in front of it, on the world's internet."""

import sys
import tempfile
from pathlib import Path

from .tunnel import wait_until
from .world import HARNESS

SERVER, SERVICE = "11.0.0.54", "11.0.0.55"
KEY_NAME, KEY = "home.", "aG9tZSBvZiB0aGUgd29ybGQncyBuYW1lcywgMzIgYnk="
TOKEN, USER, PASSWORD = "4a6f2b1e-0000-4000-8000-5d1c0c9b7e21", "ada", "s3cr3t"
ZONES = ("home.test", "duckdns.org")
ZONE_FILE = """$TTL 5
@ SOA ns hostmaster 1 3600 600 86400 5
@ NS ns
ns A {server}
"""


class Zone:
    """Knot answers for `home.test` and `duckdns.org`; the world's own name server passes questions about them on to it.

    `http://11.0.0.55` is Duck DNS (`/update`), a dyndns2 service (`/nic/update`), and says who asks (`/myip`).
    """

    def __init__(self, world, *owned):
        self.world, self.host = world, world.internet
        # Short, since Knot makes a Unix socket in it.
        self._folder = tempfile.TemporaryDirectory(prefix="doorstep-knot-")
        folder = Path(self._folder.name)
        self.host.ip(f"address add {SERVER}/24 dev inet", f"address add {SERVICE}/24 dev inet")
        zones = ""
        for zone in ZONES:
            (folder / f"{zone}.zone").write_text(ZONE_FILE.format(server=SERVER))
            zones += f"  - domain: {zone}\n    file: {zone}.zone\n    acl: changes\n    zonefile-sync: -1\n    journal-content: all\n    storage: {folder}\n"
            for name in (zone, f"*.{zone}"):
                world.name(name, SERVER, kind="FORWARD")
        file = folder / "knot.conf"
        file.write_text(
            f"server:\n    rundir: {folder}\n    listen: [ {SERVER}@53 ]\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n"
            f"log:\n  - target: stderr\n    any: info\ndatabase:\n    storage: {folder}\n"
            f"key:\n  - id: {KEY_NAME}\n    algorithm: hmac-sha256\n    secret: {KEY}\n"
            f"acl:\n  - id: changes\n    action: [ update, transfer ]\n    key: {KEY_NAME}\nzone:\n{zones}"
        )
        self.program = self.host.start("knotd", "-c", file)
        self.program.wait_for("server started")
        owned = owned or ("blog",)
        self.service = self.host.start(sys.executable, HARNESS / "duck.py", SERVICE, SERVER, f"hmac-sha256:{KEY_NAME}:{KEY}", TOKEN, USER, PASSWORD, *owned)
        self.service.wait_for("ready")

    @property
    def dns(self):
        """Settings for `[dns]`, by the name of the provider."""
        return {
            "duckdns": f'provider = "duckdns"\ntoken = "{TOKEN}"\nserver = "http://{SERVICE}"\n',
            "dyndns2": f'provider = "dyndns2"\nserver = "http://{SERVICE}"\nuser = "{USER}"\npassword = "{PASSWORD}"\n',
            "rfc2136": f'provider = "rfc2136"\nserver = "{SERVER}"\nkey_name = "{KEY_NAME}"\nkey = "{KEY}"\n',
        }

    def values(self, name, kind="A"):
        """What the zone's own server says."""
        said = self.host.run("kdig", "+short", "+timeout=2", f"@{SERVER}", name, kind, check=False).stdout
        return sorted(line.strip('"').rstrip(".") for line in said.splitlines() if line and not line.startswith(";"))

    def wait_until(self, name, values, kind="A", timeout=60):
        wait_until(lambda: self.values(name, kind) == sorted(values), f"was {name} {values}", timeout=timeout)
