"""doorstep as a child process, heard through its --json events (docs/json-events.md)."""

import http.client
import json
import os
import resource
import signal
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("DOORSTEP_BIN", REPOSITORY / "target/debug/doorstep"))
SCRATCH = Path(os.environ.get("DOORSTEP_E2E", REPOSITORY / "target/e2e"))
PATIENCE = 30  # seconds until something that must happen counts as not happening


@dataclass
class Answer:
    """A response that was read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self):
        return self.body.decode()


class Doorstep:
    """`doorstep share ARGS…`, running; behind the command `prefix`, if there is one."""

    def __init__(self, args, folder, cwd=None, env=None, stdin=None, open_files=None, prefix=()):
        folder.mkdir(parents=True, exist_ok=True)
        self.arguments = [str(a) for a in args]
        self.events = []
        self.garbage = []  # lines of standard output that are no JSON object; there must never be any
        self._news = threading.Condition()
        self._stderr = folder / f"doorstep-{time.monotonic_ns()}.log"
        limit = None
        if open_files:
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))  # noqa: E731
        with open(self._stderr, "wb") as stderr:
            self.process = subprocess.Popen(
                [*prefix, BINARY, "share", *self.arguments],
                cwd=cwd or folder,
                env={**os.environ, "HOME": str(folder), "NO_COLOR": "1", **(env or {})},
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                preexec_fn=limit,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    # What it said

    def wait_event(self, kind, timeout=PATIENCE, **fields):
        """The first event of that kind with these fields, already there or still to come."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for event in self.events:
                    if event["event"] == kind and all(event.get(k) == v for k, v in fields.items()):
                        return event
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not self._reader.is_alive()
                if left <= 0 or ended:
                    how = f"ended with {self.process.returncode}" if ended else f"said nothing for {timeout} s"
                    raise AssertionError(f"doorstep {how}; no event {kind} {fields or ''}\n{self.log}")
                self._news.wait(min(left, 0.2))

    def all_events(self, kind):
        with self._news:
            return [event for event in self.events if event["event"] == kind]

    @property
    def log(self):
        """Everything it printed, for people."""
        telling = [event for event in self.events if event["event"] != "transfer" or event["done"]]
        events = "\n".join(json.dumps(event) for event in telling)
        stderr = self._stderr.read_text(errors="replace")
        return f"$ doorstep share {' '.join(self.arguments)}\n{events}\n{stderr}"

    # Where it is

    @property
    def sharing(self):
        return self.wait_event("sharing")

    @property
    def port(self):
        return self.sharing["port"]

    @property
    def scheme(self):
        return self.sharing["scheme"]

    @property
    def url(self):
        """Its address by number, so that no name resolution takes part: http://127.0.0.1:PORT"""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    # What it uses

    @property
    def pid(self):
        return self.process.pid

    def rss_kb(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # Talking to it

    def connect(self, timeout=PATIENCE):
        """A connection of http.client; any certificate is accepted."""
        if self.scheme == "https":
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=trusting())
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path="/", headers=None, body=None):
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path="/", headers=None):
        return self.request("GET", path, headers)

    # Its end

    def stop(self, how=signal.SIGINT, timeout=PATIENCE):
        """Asks it to end and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait(timeout)

    def wait(self, timeout=PATIENCE):
        """Waits until it ends by itself and gives its exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.garbage.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def run(*args, cwd=None, env=None, timeout=PATIENCE, stdin=None):
    """Runs the program to its end, with exactly these arguments."""
    return subprocess.run(
        [BINARY, *map(str, args)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def trusting():
    """A TLS context for certificates that nobody vouches for."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def port_of(url):
    return urlsplit(url).port
