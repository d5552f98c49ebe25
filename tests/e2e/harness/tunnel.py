"""A relay on one of the world's servers, agents on its laptop, and what visitors find."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

from .load import TOTAL
from .process import BINARY, PATIENCE, Doorstep
from .tunnel_app import checksum
from .up import open_way
from .world import HARNESS, PUBLIC

# How much of the whole: all of it with DOORSTEP_LOAD=100000, a tenth by default.
SCALE = min(1.0, TOTAL / 100_000)
LEASED = range(20000, 20100)


def scaled(whole, least=1):
    """A size that is meant to be `whole`, as far as DOORSTEP_LOAD allows."""
    return max(least, int(whole * SCALE))


class Relay:
    """`doorstep up` with `[relay]`. Its names have certificates of its own authority, which the world's visitors trust."""

    def __init__(self, world, host=None, domain="tun.test", more="", certificate='"local"', before="", agents=None, also=None):
        self.world, self.host, self.domain = world, host or world.vps, domain
        self.folder = self.host.folder / "relay"
        open_way(self.folder)
        self.state = self.folder / "state"
        self.file = self.folder / "doorstep.toml"
        self.address = PUBLIC[self.host.name]
        http, https = ([f"{ip}:{port}" for ip in (self.address, also) if ip] for port in (80, 443))
        self.file.write_text(
            f"{before}\n"
            f"listen = {{ http = {json.dumps(http)}, https = {json.dumps(https)} }}\n"
            f'daemon = {{ state = "{self.state}" }}\n'
            f'[relay]\ndomain = "{domain}"\nports = "{LEASED.start}-{LEASED.stop - 1}"\ncertificate = {certificate}\n{more}\n'
        )
        if agents:
            (self.state / "relay").mkdir(parents=True)
            (self.state / "relay/agents.toml").write_text(agents)
        self.env = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder / "run"), "NO_COLOR": "1"}
        (self.folder / "run").mkdir(exist_ok=True, mode=0o700)
        self.start()

    def start(self, wait=True):
        self.program = self.host.start(BINARY, "up", "--config", self.file, cwd=self.folder, env=self.env)
        if wait:
            self.wait()

    def wait(self):
        """Until it answers for its own name."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            done = self.host.run("curl", "-sk", "--max-time", 2, f"https://{self.domain}/", check=False)
            if done.returncode == 0:
                break
            assert self.program.is_running(), self.program.log
            time.sleep(0.05)
        else:
            raise AssertionError(f"the relay does not answer\n{self.program.log}")
        roots = [path for path in (self.state / "tls").rglob("*.pem") if is_root(path)]
        if roots:
            trust = self.world.folder / "roots.pem"
            seen = trust.read_text() if trust.exists() else ""
            trust.write_text(seen + "".join(path.read_text() for path in roots if path.read_text() not in seen))
            self.world.trust = trust

    def restart(self):
        """The daemon ends and another one starts: a reboot of the server, in short."""
        assert self.program.stop(timeout=2 * PATIENCE) == 0, self.program.log
        self.start()

    def run(self, *args, check=True):
        """`doorstep ARGS…` about this relay."""
        return self.host.run(BINARY, *args, "--config", self.file, check=check, cwd=self.folder, env=self.env)

    def invite(self, name, *args):
        """The line that an agent is joined with."""
        said = self.run("relay", "invite", name, *args).stdout
        words = said.split()
        return words[words.index("join") + 1]

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    @property
    def worker(self):
        return self.status()["worker"]["pid"]

    def port_is_open(self, port):
        with contextlib.suppress(AssertionError):
            self.world.visitor.run("timeout", 2, "bash", "-c", f"exec 3<>/dev/tcp/{self.address}/{port}")
            return True
        return False


class Agent:
    """An ordinary user of the laptop (or another host), with an identity of their own for each relay."""

    def __init__(self, world, name="studio", host=None):
        self.world, self.name, self.host = world, name, host or world.laptop
        self.folder = self.host.folder / name
        open_way(self.folder)
        self.prefix = self.host.user(name, self.folder)
        self.identities = self.folder / ".config/doorstep/relays"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}

    def run(self, *args, check=True, env=None):
        env = {**self.env, "NO_COLOR": "1", **(env or {})}
        return self.host.run(BINARY, *args, check=check, cwd=self.folder, env=env, prefix=self.prefix)

    def join(self, relay, *invitation, check=True):
        """Is invited to the relay, and joins."""
        return self.run("join", relay.invite(self.name, *invitation), check=check)

    def share(self, target, *args, via="tun.test", wait=True, env=None, port=0):
        """`doorstep share TARGET --via …`; waits until there is an address for visitors."""
        here = [] if str(target).startswith(("tcp:", "udp:")) else ["--local", "--port", 0]
        here = ["--port", port] if via is None else here
        args = [target, *(["--via", via] if via else []), *here, "--no-qr", "--json", *args]
        door = Doorstep(args, self.folder, prefix=self.prefix, env=env)
        self.world.programs.append(Shared(door))
        if wait:
            door.address = address(door)
        return door


class Shared:
    """A `doorstep share` among the world's programs."""

    def __init__(self, door):
        self.process, self._door = door.process, door

    @property
    def log(self):
        return self._door.log


def address(door, timeout=PATIENCE, count=1):
    """Where visitors from the internet come, once that is so (the last of `count`)."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = [event["url"] for event in door.all_events("address") if event["scope"] == "tunnel"]
        if len(found) >= count:
            return found[-1].rstrip("/")
        if door.process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"no address for visitors\n{door.log}")


def app(world, name="app", port=8000, host=None):
    """harness/tunnel_app.py on the laptop."""
    program = (host or world.laptop).start(sys.executable, HARNESS / "tunnel_app.py", port, name)
    program.wait_for("ready")
    return program


def raw_app(world, port=7000):
    """harness/raw_app.py on the laptop."""
    program = world.laptop.start(sys.executable, HARNESS / "raw_app.py", port)
    program.wait_for("ready")
    return program


def downloads(world, url, length, rate=None, visitor=None):
    """Starts a download and gives what to call for its outcome: the checksum of what came, and whether it is the right one."""
    visitor = visitor or world.visitor
    query = f"?rate={rate}" if rate else ""
    trust = f"--cacert {world.trust}" if world.trust else "--insecure"
    script = f"set -o pipefail; curl -sS --noproxy '*' {trust} '{url}/bytes/{length}{query}' | sha256sum"
    running = subprocess.Popen(
        [*visitor.prefix, "bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )

    def outcome(timeout=300):
        said, errors = running.communicate(timeout=timeout)
        return running.returncode == 0 and said.split()[0] == checksum(length), errors

    outcome.process = running
    return outcome


def visit(world, url, timeout=PATIENCE):
    """Status and text, whatever they are; status 0 where there is no answer."""
    done = world.visitor.curl(url, "-w", "\n%{http_code}", check=False, timeout=timeout)
    text, _, status = done.stdout.rpartition("\n")
    return int(status or 0), text


def wait_until(true, what, timeout=PATIENCE, every=0.1):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(every)
    raise AssertionError(f"never {what}")


@contextlib.contextmanager
def inside(host):
    """Sockets that this thread opens meanwhile are the host's: a socket stays in the namespace that it was made in."""
    import ctypes

    setns = ctypes.CDLL(None, use_errno=True).setns
    with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{host.space}") as there:
        if setns(there.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            setns(here.fileno(), 0)


def dial(host, address, port, timeout=PATIENCE, receive_buffer=None):
    """A TCP connection from the host; a small receive buffer makes it a slow reader from the first byte."""
    with inside(host):
        connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout)
    connection.connect((address, port))
    return connection


def is_root(path):
    text = path.read_text(errors="replace")
    if "BEGIN CERTIFICATE" not in text or "PRIVATE" in text:
        return False
    shown = subprocess.run(["openssl", "x509", "-noout", "-text"], input=text, capture_output=True, text=True)
    return "CA:TRUE" in shown.stdout


def kill(pid):
    os.kill(pid, signal.SIGKILL)
