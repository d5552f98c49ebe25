"""A certificate authority on loopback: Debian's Pebble, and a name server for which every name is this computer."""

import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from .process import PATIENCE
from .sockets import free_port


class NameServer:
    """Answers every A question with 127.0.0.1 and everything else with nothing (RFC 1035 section 4)."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                question, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if len(question) < 12:
                continue
            end = question.index(0, 12) + 5
            is_a = question[end - 4 : end - 2] == b"\x00\x01"
            header = question[:2] + struct.pack(">HHHHH", 0x8400, 1, int(is_a), 0, 0)
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01" if is_a else b""
            self.socket.sendto(header + question[12:end] + answer, client)

    def close(self):
        self.socket.close()


class Authority:
    """Pebble, whose validation reaches `http` and `tls` on loopback; or on a `host` of harness.world, by its `address` and `names`."""

    def __init__(self, folder, http, tls, reject_nonces=5, host=None, address="127.0.0.1", names=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host, self.address = host, address
        self.names = None if names else NameServer()
        self.name_server = names or self.names.address
        self.port, self.management = free_port(), free_port()
        self.root = self._api_certificate()
        config = {
            "listenAddress": f"{address}:{self.port}",
            "managementListenAddress": f"{address}:{self.management}",
            "certificate": str(self.folder / "api.pem"),
            "privateKey": str(self.folder / "api.key"),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        self.environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_AUTHZREUSE": "0",
            "PEBBLE_WFE_NONCEREJECT": str(reject_nonces),
        }
        self.process = None
        self.start()

    @staticmethod
    def is_there():
        return shutil.which("pebble") is not None

    @property
    def directory(self):
        return f"https://{self.address}:{self.port}/dir"

    def start(self):
        log = open(self.folder / "pebble.log", "ab")
        prefix = self.host.prefix if self.host else []
        command = [*prefix, "pebble", "-config", "pebble.json", "-dnsserver", self.name_server]
        self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self._get(self.directory)
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "pebble.log").read_text())

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self):
        self.stop()
        if self.names:
            self.names.close()

    def issuing_root(self):
        """The root of the certificates that it issues, in PEM: another one at each start."""
        return self._get(f"https://{self.address}:{self.management}/roots/0").decode()

    def _get(self, url):
        if self.host:
            done = self.host.run("curl", "-sSf", "--cacert", self.root, url, check=False)
            if done.returncode != 0:
                raise OSError(done.stderr)
            return done.stdout.encode()
        context = ssl.create_default_context(cafile=self.root)
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return answer.read()

    def _api_certificate(self):
        """A certificate for Pebble's own API, signed by itself."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + ["-keyout", "api.key", "-out", "api.pem", "-subj", "/CN=pebble", "-addext", f"subjectAltName=IP:{self.address}", "-addext", "basicConstraints=critical,CA:FALSE"],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
        return self.folder / "api.pem"
