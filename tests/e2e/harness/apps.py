"""Apps to stand behind doorstep, run the way their frameworks tell people to run them."""

import os
import socket
import subprocess
import sys
import time

from .process import PATIENCE, REPOSITORY, SCRATCH
from .sockets import free_port

EXAMPLES = REPOSITORY / "examples"
NODE = SCRATCH / "node"  # where `cargo xtask test` put Vite


class App:
    """A program that listens on a port."""

    def __init__(self, command, port, folder, cwd=None, env=None, host="127.0.0.1"):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.command = [str(word) for word in command]
        self._output = folder / f"app-{port}.log"
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=cwd or folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_it_listens(host)

    @property
    def log(self):
        return f"$ {' '.join(self.command)}\n{self._output.read_text(errors='replace')}"

    def stop(self):
        """Ends it and whatever it started: development servers run a reloader's child."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, 9)
                self.process.wait(PATIENCE)

    def _wait_until_it_listens(self, host):
        deadline = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the app ended at once\n{self.log}")
            try:
                socket.create_connection((host, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the app never listened on {self.port}\n{self.log}")


def flask(folder, port=None, debug=False, app=EXAMPLES / "flask/app.py"):
    port = port or free_port()
    command = [sys.executable, "-m", "flask", "--app", app, "run", "--port", port]
    return App(command + (["--debug"] if debug else []), port, folder)


def django(folder, port=None, manage=EXAMPLES / "django/manage.py"):
    port = port or free_port()
    return App([sys.executable, manage, "runserver", "--noreload", f"127.0.0.1:{port}"], port, folder, cwd=manage.parent)


def node(folder, port=None, script=EXAMPLES / "node/server.js"):
    port = port or free_port()
    return App(["node", script], port, folder, env={"PORT": str(port)})


def vite(folder, project, port=None):
    """Vite's development server for the project in that folder (needs an index.html)."""
    port = port or free_port()
    command = ["node", NODE / "node_modules/vite/bin/vite.js", "--port", port, "--strictPort", "--host", "127.0.0.1"]
    return App(command, port, folder, cwd=project)


def python(folder, script, *args, port=None):
    """A Python program that is told its port as its first argument."""
    port = port or free_port()
    return App([sys.executable, script, port, *args], port, folder)
