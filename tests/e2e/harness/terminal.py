"""A real terminal to look at: tmux, without a person in front of it."""

import itertools
import os
import shlex
import subprocess
import time

from .process import BINARY, PATIENCE

_count = itertools.count()


class Terminal:
    """A shell in a window of `columns` × `rows`, and what stands on its screen."""

    def __init__(self, folder, columns=80, rows=24, env=None, prefix=(), prompt="ready> "):
        self._socket = f"doorstep-{os.getpid()}-{next(_count)}"
        # Settings of the person who runs the tests (~/.tmux.conf) stay out.
        clean = {key: value for key, value in os.environ.items() if key not in ("TMUX", "NO_COLOR")}
        clean.update({"HOME": str(folder), "LC_ALL": "C.UTF-8", **(env or {})})
        self._env = clean
        folder.mkdir(parents=True, exist_ok=True)
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(folder),
            shlex.join([*prefix, "env", f"PS1={prompt}", "bash", "--norc", "--noprofile"]),
        )  # fmt: skip
        self._tmux("set-option", "-g", "history-limit", "5000")
        self.wait(prompt.strip())

    def share(self, *args):
        """Types `doorstep share ARGS…`."""
        self.type(shlex.join([str(BINARY), "share", *map(str, args)]))
        self.press("Enter")

    def type(self, text):
        self._tmux("send-keys", "-l", text)

    def press(self, *keys):
        self._tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def rows(self, styles=False):
        """What stands on the screen now, row by row."""
        return self._tmux("capture-pane", "-p", *(["-e", "-N"] if styles else [])).split("\n")[:-1]

    def screen(self):
        return "\n".join(self.rows())

    def scrollback(self, styles=False):
        """What has scrolled out at the top, oldest first, and the screen beneath it."""
        return self._tmux("capture-pane", "-p", "-S", "-", *(["-e", "-N"] if styles else [])).split("\n")[:-1]

    def wait(self, text, timeout=PATIENCE, gone=False):
        """Waits until `text` is on the screen, or is not any more."""
        deadline = time.monotonic() + timeout
        while True:
            screen = self.screen()
            if (text in screen) != gone:
                return screen
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} {'still' if gone else 'never'} on the screen:\n{screen}")
            time.sleep(0.05)

    def wait_for(self, true_of, what, timeout=PATIENCE):
        """Waits until `true_of(rows)`."""
        deadline = time.monotonic() + timeout
        while not true_of(self.rows()):
            if time.monotonic() > deadline:
                raise AssertionError(f"never {what}:\n{self.screen()}")
            time.sleep(0.05)

    def close(self):
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], env=self._env, capture_output=True, check=False)

    def _tmux(self, *args):
        command = ["tmux", "-L", self._socket, *args]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout
