"""A doorstep relay on loopback, and computers that it knows."""

import base64
import hashlib
import itertools
import os
import ssl
import subprocess
import time
from pathlib import Path

from .process import BINARY, PATIENCE
from .up import free_ports, is_open, open_way
from .visit import request

NUMBERS = itertools.count(1)


class Lender:
    """`doorstep relay --local` with a domain of its own, and agents `names`, each with a key."""

    def __init__(self, folder, names=("studio",), ports="none"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        open_way(self.folder)
        self.domain = f"t{os.getpid()}-{next(NUMBERS)}.example.com"
        self.http, self.https = free_ports(2)
        self.ports = ports
        self.state = self.folder / "state"
        self.keys = {name: key_pair() for name in names}
        self.identities = []
        self.processes = []
        self.start()
        self.stop()
        self._introduce()
        self.start()

    def start(self):
        output = open(self.folder / f"relay-{len(self.processes)}.log", "wb")
        listen = ["--http", f"127.0.0.1:{self.http}", "--https", f"127.0.0.1:{self.https}"]
        command = [BINARY, "relay", "--domain", self.domain, "--local", "--ports", self.ports, "--state", self.state, *listen]
        env = {**os.environ, "HOME": str(self.folder), "NO_COLOR": "1"}
        self.processes.append(
            subprocess.Popen(command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        )
        output.close()
        deadline = time.monotonic() + PATIENCE
        while not (is_open(self.https) and (self.state / "relay" / "identity.pem").exists()):
            if self.processes[-1].poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the relay did not start\n{self.log}")
            time.sleep(0.05)

    def stop(self):
        process = self.processes[-1]
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)

    def kill(self):
        self.stop()
        for path in self.identities:
            path.unlink(missing_ok=True)

    @property
    def log(self):
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("relay-*.log")))

    def identity(self, agent):
        """The text of the file that makes this computer known to the relay as `agent`."""
        pem = (self.state / "relay" / "identity.pem").read_bytes()
        key = openssl(openssl(pem[pem.index(b"-----BEGIN CERTIFICATE") :], "x509", "-noout", "-pubkey"), "pkey", "-pubin", "-outform", "DER")
        return (
            f'relay = "127.0.0.1:{self.https}"\ndomain = "{self.domain}"\nname = "{agent}"\n'
            f'pin = "{text(hashlib.sha256(key).digest())}"\nkey = "{text(self.keys[agent][0])}"\n'
        )

    def know(self, folder, agent="studio"):
        """Makes the user whose home is `folder` known as `agent`; root has one place for all."""
        place = Path("/etc/doorstep/relays") if os.geteuid() == 0 else Path(folder) / ".config/doorstep/relays"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{self.domain}.toml"
        path.touch(mode=0o600)
        path.write_text(self.identity(agent))
        self.identities.append(path)

    def get(self, name, path="/", tls=True, **options):
        """A request of a visitor: to `name` beneath the domain, or to a whole name."""
        host = name if "." in name else f"{name}.{self.domain}"
        context = options.pop("context", None) or (self.trusting() if tls else None)
        return request(options.pop("method", "GET"), self.https if tls else self.http, host, path, tls=context, **options)

    def trusting(self):
        """Trusts this relay's own authority."""
        return trusting(self.state / "tls")

    def _introduce(self):
        place = self.state / "relay"
        agents = [
            f'[[agent]]\nname = "{name}"\njoined = 2026-01-01T00:00:00Z\n'
            f'[[agent.key]]\nkey = "{text(key[1])}"\nadded = 2026-01-01T00:00:00Z\n'
            for name, key in self.keys.items()
        ]
        path = place / "agents.toml"
        path.touch(mode=0o600)
        owner = place.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        path.write_text("\n".join(agents))


def key_pair():
    """An Ed25519 key: secret and public part, which stand at the end of their DER forms (RFC 8410)."""
    pem = openssl(b"", "genpkey", "-algorithm", "ed25519")
    return openssl(pem, "pkey", "-outform", "DER")[-32:], openssl(pem, "pkey", "-pubout", "-outform", "DER")[-32:]


def openssl(given, *args):
    return subprocess.run(["openssl", *args], input=given, capture_output=True, check=True).stdout


def trusting(certificates):
    """Trusts the authority that keeps itself in this folder, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for root in certificates.glob("authority/*/root.pem"):
        context.load_verify_locations(root)
    return context


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
