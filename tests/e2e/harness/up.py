"""`doorstep up` as a child process, with state, sockets and ports of its own."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

from .process import BINARY, PATIENCE
from .sockets import free_port
from .visit import request


class Up:
    """`doorstep up --config FILE`, running in `folder`.

    `config` is the text of the file; where to listen and where to keep the state are added to it. `files` are written beside it, by
    relative path.
    """

    def __init__(self, folder, config, files=None, env=None, binary=BINARY, wait=True, listen=None, args=()):
        self.wait = wait
        self.folder = Path(folder)
        open_way(self.folder)
        self.http, self.https = free_ports(2)
        self.listen = listen or f'listen = {{ http = "127.0.0.1:{self.http}", https = "127.0.0.1:{self.https}" }}'
        self.file = self.folder / "doorstep.toml"
        self.binary = Path(binary)
        self.args = [str(a) for a in args]
        self.env = {
            **os.environ,
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state-home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "NO_COLOR": "1",
            **(env or {}),
        }
        (self.folder / "run").mkdir(exist_ok=True, mode=0o700)
        for name, text in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.write(config)
        self.processes = []

    # The file

    def write(self, config):
        """Replaces the file as editors do: beside it, then renamed over it."""
        self.config = config
        text = f"{self.listen}\n{config}"
        if "[daemon]" in text:
            text = text.replace("[daemon]", f'[daemon]\nstate = "{self.state}"', 1)
        else:
            text += f'\n[daemon]\nstate = "{self.state}"\n'
        beside = self.folder / "doorstep.toml.new"
        beside.write_text(text)
        beside.rename(self.file)

    @property
    def state(self):
        return self.folder / "state"

    # Its life

    def begin(self):
        """Starts it, as it was told to."""
        self.start(self.wait)

    def start(self, wait=True):
        output = open(self.folder / f"up-{len(self.processes)}.log", "wb")
        self.processes.append(
            subprocess.Popen(
                [self.binary, "up", "--config", self.file, *self.args],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        )
        output.close()
        if wait:
            self.wait_until_ready()

    @property
    def process(self):
        return self.processes[-1]

    @property
    def pid(self):
        """Of the supervisor."""
        return self.process.pid

    def wait_until_ready(self, timeout=3 * PATIENCE):
        """Until its ports answer and every app has an instance that is ready."""
        deadline = time.monotonic() + timeout
        state = None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"doorstep up ended with {self.process.returncode}\n{self.log}")
            state = self.status(check=False)
            if state and all(is_ready(app) for app in state.get("apps", [])) and is_open(self.http):
                return state
            time.sleep(0.1)
        raise AssertionError(f"doorstep up was not ready in {timeout} s; status: {json.dumps(state)}\n{self.log}")

    def stop(self, how=signal.SIGTERM, timeout=2 * PATIENCE):
        """Asks it to end and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout)

    def kill(self):
        """Ends it and everything that it started, whatever state it is in."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(PATIENCE)
        for pid in self.descendants_by_folder():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    # Asking it

    def run(self, *args, timeout=2 * PATIENCE, check=True, binary=None):
        """`doorstep ARGS…` about this daemon."""
        command = [binary or BINARY, *map(str, args), "--config", self.file]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            raise AssertionError(f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}\n{self.log}")
        return done

    def status(self, check=True):
        done = self.run("status", "--json", check=check)
        try:
            return json.loads(done.stdout)
        except ValueError:
            if check:
                raise AssertionError(f"not JSON: {done.stdout}{done.stderr}\n{self.log}") from None
            return None

    def app(self, name):
        return next(app for app in self.status()["apps"] if app["name"] == name)

    def instances(self, name):
        """Process ids of the app's instances."""
        return sorted(instance["pid"] for instance in self.app(name)["instances"] if instance.get("pid"))

    def worker(self):
        """The process id of the process that talks to the network; 0 while there is none."""
        return self.status()["worker"]["pid"]

    def wait_for(self, true, what, timeout=2 * PATIENCE):
        """Waits until `true()` gives something, and gives it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if found := true():
                return found
            time.sleep(0.1)
        raise AssertionError(f"never {what}\n{self.log}")

    def descendants_by_folder(self):
        """Processes that have this folder in their environment: whatever doorstep started here, also without it."""
        mark = f"{self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in words:
                found.append(int(entry.name))
        return found

    # Visiting it

    def get(self, host, path="/", **options):
        return self.request("GET", host, path, **options)

    def request(self, method, host, path="/", tls=True, headers=None, body=None, sni=None, verify=True, timeout=PATIENCE, context=None):
        """One request on a connection of its own. The certificate is verified against the local authority's root, or by `context`."""
        if tls and context is None:
            context = self.trusting() if verify else unverified()
        port = self.https if tls else self.http
        return request(method, port, host, path, headers, body, context, sni, timeout)

    def trusting(self):
        """A TLS context that trusts this doorstep's own authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.root())
        return context

    def root(self):
        """The certificate of the local authority (docs: `doorstep trust`)."""
        found = self.wait_for(
            lambda: next((p for p in (self.state / "tls").rglob("*.pem") if is_root(p)), None), "a root of the local authority in the state"
        )
        return found

    @property
    def log(self):
        """Everything it and its apps printed, for people."""
        parts = [f"$ doorstep up  # {self.folder}\n{self.file.read_text()}"]
        for path in sorted(self.folder.glob("up-*.log")) + sorted(self.state.rglob("*.log")):
            parts.append(f"--- {path.relative_to(self.folder)}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)


def is_ready(app):
    return any(instance.get("state") == "ready" for instance in app.get("instances", []))


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def is_root(path):
    text = path.read_text(errors="replace")
    if "BEGIN CERTIFICATE" not in text or "PRIVATE" in text:
        return False
    shown = subprocess.run(["openssl", "x509", "-noout", "-text"], input=text, capture_output=True, text=True)
    return "CA:TRUE" in shown.stdout


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_alive(pid):
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def free_ports(count):
    """Different ports that were free a moment ago."""
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


def open_way(folder):
    """Makes a folder that others can get to: started by root, the part that talks to the network is nobody in particular."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [folder, *folder.parents]:
        stat = path.stat()
        if stat.st_uid == os.geteuid() and stat.st_mode & 0o011 != 0o011:
            path.chmod(stat.st_mode & 0o7777 | 0o011)


def copy_example(name, folder):
    """A copy of an example without its doorstep.toml and whatever running it left behind. It belongs to somebody without rights."""
    from .apps import EXAMPLES

    leave = shutil.ignore_patterns("doorstep.toml", "__pycache__", "db.sqlite3", "staticfiles")
    open_way(folder.parent)
    shutil.copytree(EXAMPLES / name, folder, ignore=leave)
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "www-data")
    return folder
