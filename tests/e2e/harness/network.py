"""Computers on one network: network namespaces, joined by a cable."""

import os
import subprocess
import sys
import time
from pathlib import Path

HARNESS = Path(__file__).resolve().parent


class Computer:
    """A network namespace with an interface `lan0`."""

    def __init__(self, name, address):
        self.name = name
        self.address = address
        self._space = f"doorstep-{os.getpid()}-{name}"
        subprocess.run(["ip", "netns", "add", self._space], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def remove(self):
        subprocess.run(["ip", "netns", "del", self._space], check=False)

    @property
    def prefix(self):
        """The command before a command that is to run on this computer, which calls itself `name`."""
        return ["ip", "netns", "exec", self._space, "unshare", "--uts", "sh", "-c", f'hostname "{self.name}" && exec "$0" "$@"']

    def run(self, *command, check=True):
        done = subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} on {self.name}: {done.stderr or done.stdout}")
        return done

    def connect(self, other):
        """Plugs a cable into both computers."""
        self.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", other._space)
        for computer in (self, other):
            computer.run("ip", "address", "add", f"{computer.address}/24", "dev", "lan0")
            computer.run("ip", "link", "set", "lan0", "up")
        for computer in (self, other):
            while "LOWER_UP" not in computer.run("ip", "link", "show", "lan0").stdout:
                time.sleep(0.05)

    def look_up(self, name):
        """The address that the network answers for a `.local` name, or None."""
        return self.run(sys.executable, HARNESS / "mdns.py", name, self.address).stdout.strip() or None

    def curl(self, url, *args):
        """Fetches `url`; None if nothing comes back within some seconds."""
        curl = ["curl", "--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "5", *args, url]
        done = self.run(*curl, check=False)
        return done.stdout if done.returncode == 0 else None
