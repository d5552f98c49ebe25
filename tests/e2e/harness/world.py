"""A small internet in network namespaces: a laptop behind a home router, servers and a visitor outside, and what goes wrong there.

    laptop 192.168.7.10 ── router 192.168.7.1 │ 11.0.0.20 ─┐
           192.168.8.10 ── phone  192.168.8.1 │ 11.0.0.21 ─┼─ internet (bridge; names: 11.0.0.53)
                                                           ├─ vps 11.0.0.30, spare 11.0.0.31
                                                           └─ visitor 11.0.0.40

The addresses outside are not those reserved for documentation, because doorstep treats these as what they are: nobody's.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .process import PATIENCE

HARNESS = Path(__file__).resolve().parent
NAMES = "11.0.0.53"
HOME, PHONE = "192.168.7", "192.168.8"
PUBLIC = {"router": "11.0.0.20", "phone": "11.0.0.21", "vps": "11.0.0.30", "spare": "11.0.0.31", "visitor": "11.0.0.40", "isp": "11.0.0.25"}
NAT = """
table inet home {
    chain forward { type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
    }
    chain post { type nat hook postrouting priority 100;
        meta nfproto ipv4 oifname { "wan", "far", "cg", "net" } masquerade
    }
}
"""


class Program:
    """A program that runs on one of the hosts."""

    def __init__(self, host, command, log, prefix=None, **options):
        self.command = [str(word) for word in command]
        self.log_file = log
        with open(log, "ab") as output:
            options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT, **options}
            self.process = subprocess.Popen([*(prefix or host.prefix), *self.command], start_new_session=True, **options)

    @property
    def pid(self):
        """`ip netns exec` has become the program itself."""
        return self.process.pid

    @property
    def log(self):
        return f"$ {' '.join(self.command)}\n{self.log_file.read_text(errors='replace')}"

    def is_running(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM, timeout=PATIENCE):
        """Asks it to end; gives its exit code."""
        if self.is_running():
            self.process.send_signal(how)
        return self.process.wait(timeout)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def wait_for(self, text, timeout=PATIENCE, after=0):
        """Waits until it has printed `text` (after so many characters of its output), and gives the whole output."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            running = self.is_running()
            said = self.log_file.read_text(errors="replace")
            if text in said[after:]:
                return said
            if not running:
                break
            time.sleep(0.05)
        raise AssertionError(f"{'said' if self.is_running() else 'ended and never said'} nothing of {text!r}\n{self.log}")


class Host:
    """A computer of the world: a network namespace, in which programs run."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.space = f"doorstep-{os.getpid()}-{name}"
        self.etc = Path("/etc/netns") / self.space
        self.folder = world.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count = 0
        # Whatever `ip netns exec` runs here sees these files in place of those in /etc.
        self.etc.mkdir(parents=True, exist_ok=True)
        (self.etc / "resolv.conf").write_text(f"nameserver {NAMES}\noptions timeout:1 attempts:2\n")
        (self.etc / "hosts").write_text("127.0.0.1 localhost\n")
        for name in ("passwd", "group"):
            shutil.copy(f"/etc/{name}", self.etc / name)
        self._users = 0
        subprocess.run(["ip", "netns", "add", self.space], check=True)
        self.ip("link set lo up")

    @property
    def prefix(self):
        """The command before a command that is to run here."""
        return ["ip", "netns", "exec", self.space]

    def user(self, name, home):
        """Adds an ordinary user, whose home that folder becomes; gives the command before a command of theirs."""
        self._users += 1
        number = 62000 + self._users
        with open(self.etc / "passwd", "a") as passwd, open(self.etc / "group", "a") as group:
            passwd.write(f"{name}:*:{number}:{number}::{home}:/bin/sh\n")
            group.write(f"{name}:x:{number}:\n")
        home.mkdir(parents=True, exist_ok=True)
        os.chown(home, number, number)
        rights = ["--reuid", str(number), "--regid", str(number), "--clear-groups", "--inh-caps=-all"]
        return [*self.prefix, "setpriv", *rights, "env", f"HOME={home}", f"USER={name}"]

    def ip(self, *lines):
        """Lines of ip(8), one after the other, in one process."""
        subprocess.run(["ip", "-n", self.space, "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=PATIENCE)

    def run(self, *command, check=True, timeout=2 * PATIENCE, prefix=None, **options):
        command = [str(word) for word in command]
        done = subprocess.run([*(prefix or self.prefix), *command], capture_output=True, text=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} on {self.name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *command, log=None, **options):
        """Starts a program that runs until the world ends, or until it is told to."""
        self._count += 1
        log = log or self.folder / f"{self._count:02}-{Path(str(command[0])).name}.log"
        program = Program(self, command, log, **options)
        self.world.programs.append(program)
        return program

    def filter(self, rules):
        """Adds rules of nft(8)."""
        self.run("nft", "-f", "-", input=rules)

    def curl(self, url, *args, check=True, timeout=PATIENCE):
        """Fetches `url` as a visitor does, whose browser knows the world's authority; gives what curl printed."""
        trust = ["--cacert", self.world.trust] if self.world.trust else ["--insecure"]
        done = self.run("curl", "-sS", "--noproxy", "*", "--max-time", timeout, *trust, *args, url, check=False, timeout=timeout + 5)
        if check and done.returncode != 0:
            raise AssertionError(f"curl {url} on {self.name}: {done.returncode} {done.stderr}{done.stdout}")
        return done.stdout if check else done

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.space], check=False)
        shutil.rmtree(self.etc, ignore_errors=True)

    def pids(self):
        """Whoever runs in this namespace."""
        listed = subprocess.run(["ip", "netns", "pids", self.space], capture_output=True, text=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]


class World:
    """All of it, ready when made. `close` ends every program in it by its pid, and removes every namespace by its name."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.programs = []
        self.hosts = []
        self.trust = None  # a file with roots for `curl`; set by whoever starts an authority
        self.records = {}
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self.internet = self._host("internet")
        # An address of its own, since otherwise a bridge takes another one when cables come and go.
        bridge = "link add inet address 02:00:00:00:00:53 type bridge forward_delay 0"
        self.internet.ip(bridge, f"address add {NAMES}/24 dev inet", "link set inet up")
        self.router, self.phone = self._host("router"), self._host("phone")
        self.laptop = self._host("laptop")
        self.vps, self.spare, self.visitor = self._host("vps"), self._host("spare"), self._host("visitor")
        for host in (self.router, self.phone, self.vps, self.spare, self.visitor):
            device = "wan" if host in (self.router, self.phone) else "net"
            self._cable(host, device, self.internet, host.name)
            self.internet.ip(f"link set {host.name} master inet")
            host.ip(f"address add {PUBLIC[host.name]}/24 dev {device}", f"route add default via {NAMES}")
        for home, device, net in ((self.router, "lan0", HOME), (self.phone, "lan1", PHONE)):
            self._cable(self.laptop, device, home, "lan")
            home.ip(f"address add {net}.1/24 dev lan")
            home.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
            home.filter(NAT)
        self.laptop.ip(f"address add {HOME}.10/24 dev lan0", f"route add default via {HOME}.1", "link set lan1 down")
        self.name("tun.test", "vps")
        self.name("*.tun.test", "vps")
        self.name("spare.test", "spare")
        self.name("*.spare.test", "spare")
        self.internet.start(sys.executable, HARNESS / "names.py", NAMES, self.folder / "names.json").wait_for("ready")

    def _host(self, name):
        self.hosts.append(Host(self, name))
        return self.hosts[-1]

    def _cable(self, one, device, other, other_device):
        one.ip(f"link add {device} type veth peer name {other_device} netns {other.space}", f"link set {device} up")
        other.ip(f"link set {other_device} up")

    def isp(self, network="100.64.0"):
        """A provider's translator, which has one address for many customers: the router may be one of them (device `cg`).

        With a private network it is one more router, in front of the home's own.
        """
        isp = self._host("isp")
        self._cable(isp, "net", self.internet, "isp")
        self.internet.ip("link set isp master inet")
        isp.ip(f"address add {PUBLIC['isp']}/24 dev net", f"route add default via {NAMES}")
        self._cable(self.router, "cg", isp, "lan")
        isp.ip(f"address add {network}.1/24 dev lan")
        isp.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        isp.filter(NAT)
        self.router.ip(f"address add {network}.2/24 dev cg", "link set cg down")
        return isp

    def close(self):
        for how, patience in ((signal.SIGTERM, 0.5), (signal.SIGKILL, PATIENCE)):
            for pid in self._pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
            deadline = time.monotonic() + patience
            while self._pids() and time.monotonic() < deadline:
                time.sleep(0.02)
        for host in self.hosts:
            host.remove()
        for program in self.programs:
            program.process.wait(PATIENCE)

    def _pids(self):
        return [pid for host in self.hosts for pid in host.pids()]

    @property
    def log(self):
        return "\n".join(program.log[-3000:] for program in self.programs)

    # Names

    def name(self, name, where=None, kind="A"):
        """What the name server says of `name` (`*.name` for all below it): the address of a host, or of another `kind` a text."""
        self.records.setdefault(name, {})[kind] = PUBLIC.get(where, where)
        beside = self.folder / "names.json.new"
        beside.write_text(json.dumps(self.records))
        beside.rename(self.folder / "names.json")

    # What goes wrong

    @contextlib.contextmanager
    def silence(self):
        """The router passes nothing on, and nobody is told: what a dead path is like."""
        chain = "chain {0} {{ type filter hook {0} priority -10; policy drop; }}\n"
        self.router.filter(f"table inet cut {{\n{chain.format('forward')}{chain.format('input')}}}\n")
        try:
            yield
        finally:
            self.router.run("nft", "delete", "table", "inet", "cut")

    @contextlib.contextmanager
    def unplugged(self):
        """The laptop's cable is out: its link is down and its routes are gone."""
        self.laptop.ip("link set lan0 down")
        try:
            yield
        finally:
            self.laptop.ip("link set lan0 up", f"route add default via {HOME}.1")

    def change_address(self, last):
        """The laptop gets another address in the same home."""
        self.laptop.ip(
            "address flush dev lan0 scope global", f"address add {HOME}.{last}/24 dev lan0", f"route replace default via {HOME}.1"
        )

    def change_network(self):
        """From the home to the phone's hotspot: another link, another address, another default route."""
        self.laptop.ip(
            "link set lan0 down", "link set lan1 up", f"address add {PHONE}.10/24 dev lan1", f"route add default via {PHONE}.1"
        )

    @contextlib.contextmanager
    def far(self, delay=0.15, loss=0.0):
        """The router's way out takes `delay` seconds in each direction, and loses this part of the packets in each.

        Kernels without netem can do it too: the way leads through a program, harness/far.py.
        """
        program = self.router.start(sys.executable, HARNESS / "far.py", self.internet.space, delay, loss)
        program.wait_for("ready")
        self.internet.ip("link set far-router master inet up")
        address = f"{PUBLIC['router']}/24"
        # The same hardware address, so that nobody has to learn another one.
        hardware = json.loads(self.router.run("ip", "-json", "link", "show", "wan").stdout)[0]["address"]
        self.router.ip(f"link set far address {hardware}")
        self.router.ip(f"address del {address} dev wan", f"address add {address} dev far", f"route replace default via {NAMES}")
        try:
            yield
        finally:
            program.stop()
            self.router.ip(f"address add {address} dev wan", f"route replace default via {NAMES}")

    @contextlib.contextmanager
    def narrow(self, rate="20mbit"):
        """The router's line carries no more than `rate` each way."""
        lines = ((self.router, "wan"), (self.internet, "router"))
        for host, device in lines:
            host.run("tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "64kb", "latency", "100ms")
        try:
            yield
        finally:
            for host, device in lines:
                host.run("tc", "qdisc", "del", "dev", device, "root")
