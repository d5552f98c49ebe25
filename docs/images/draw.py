"""Draws the pictures in README.md: what doorstep really shows, in a real terminal.

    python3 docs/images/draw.py share up     (as root)

share.svg: a laptop shares the Django app of examples/django, and a phone on the same network visits it
(see tests/e2e/harness/network.py). up.svg: the Flask app of examples/flask, in the folder `blog` of somebody's home.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/e2e"))

from harness.network import Computer  # noqa: E402
from harness.process import BINARY  # noqa: E402
from harness.terminal import Terminal  # noqa: E402

COLUMNS, ROWS = 90, 27
VISITS = ["/", "/form", "/whoami", "/caf%C3%A9/men%C3%BC", "/oops", "/form"]

# Terminal colours on a dark ground.
GROUND, INK = "#12161d", "#d7dce4"
COLOURS = ["#12161d", "#f0717a", "#8ccf7e", "#e5c76b", "#67b0e8", "#c47fd5", "#6cbfbf", "#d7dce4"]
BRIGHT = ["#5b6575", "#f0717a", "#8ccf7e", "#e5c76b", "#67b0e8", "#c47fd5", "#6cbfbf", "#ffffff"]
CELL, LINE, SIZE, MARGIN = 8.4, 18, 14, 16
BLOCKS = {"█": (0, 1), "▀": (0, 0.5), "▄": (0.5, 1)}


def share():
    """The rows of the screen, the typed command first, with their escape sequences."""
    laptop, phone = Computer("my-laptop", "192.168.1.23"), Computer("phone", "192.168.1.40")
    with tempfile.TemporaryDirectory() as home:
        path = f"{BINARY.parent}:{os.environ['PATH']}"
        screen = None
        try:
            laptop.connect(phone)
            screen = Terminal(Path(home), COLUMNS, ROWS, {"PATH": path}, laptop.prefix, "$ ")
            django = REPOSITORY / "examples/django/manage.py"
            screen.type(f"{sys.executable} {django} runserver --noreload >/dev/null 2>&1 & sleep 3; clear")
            screen.press("Enter")
            screen.wait("runserver", gone=True)
            screen.type("doorstep share 8000")
            screen.press("Enter")
            screen.wait("http://my-laptop.local:8080")
            screen.wait("DEBUG = True")
            for visit in VISITS:
                phone.curl(f"http://192.168.1.23:8080{visit}")
            screen.wait_for(lambda rows: sum("GET" in row for row in rows) == len(VISITS), "all visits shown")
            rows = screen.scrollback(styles=True)
            screen.press("C-c")
            screen.wait("requests in")
            screen.type("kill %1; wait")
            screen.press("Enter")
            screen.wait("Terminated")
            return rows[-ROWS - 1 :]
        finally:
            if screen:
                screen.close()
            laptop.remove()
            phone.remove()


def up():
    """The same of two windows, one below the other: in the second, somebody asks how the daemon in the first is."""
    with tempfile.TemporaryDirectory() as homes:
        home = Path(homes) / "ada"
        shutil.copytree(REPOSITORY / "examples/flask", home / "blog", ignore=shutil.ignore_patterns("doorstep.toml"))
        shutil.copy(BINARY, homes)
        subprocess.run(["chown", "-R", "65534:65534", homes], check=True)
        as_ada = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        inside = f'mount --bind {homes} /home && cd /home/ada/blog && exec "$0" "$@"'
        prefix = ["unshare", "--mount", "sh", "-c", inside, *as_ada, "env", "HOME=/home/ada"]
        path = {"PATH": f"/home:{os.environ['PATH']}", "XDG_RUNTIME_DIR": "", "XDG_STATE_HOME": ""}
        first, second = (Terminal(home, COLUMNS, ROWS, path, prefix, "$ ") for _ in range(2))
        try:
            first.type("doorstep init && doorstep up")
            first.press("Enter")
            first.wait("https://blog.localhost", timeout=120)
            curl = ["curl", "--silent", "--insecure", "--max-time", "5", "https://blog.localhost:8443/whoami"]
            for _ in range(300):
                subprocess.run(curl, capture_output=True, check=True)
            second.type("doorstep status")
            second.press("Enter")
            second.wait("3-3")
            rows = [used(window.scrollback(styles=True)) for window in (first, second)]
            first.press("C-c")
            first.wait("Stopped.")
            return [*rows[0], "", *rows[1]]
        finally:
            first.close()
            second.close()


def used(rows):
    """Without the empty end of the screen, and the prompt that waits there."""
    while not re.sub(r"\x1b\[[0-9;]*m", "", rows[-1]).strip(" $"):
        rows = rows[:-1]
    return rows


def spans(row):
    """The row's text in pieces: (text, colour, ground, bold)."""
    colour, ground, bold, dim = INK, None, False, False
    for piece in re.split(r"(\x1b\[[0-9;]*m)", row):
        if not piece.startswith("\x1b"):
            if piece:
                yield piece, ("#8b95a5" if dim and colour == INK else colour), ground, bold
            continue
        for code in [int(code or 0) for code in piece[2:-1].split(";")]:
            if code == 0:
                colour, ground, bold, dim = INK, None, False, False
            elif code == 1:
                bold = True
            elif code == 2:
                dim = True
            elif 30 <= code <= 37:
                colour = COLOURS[code - 30]
            elif 90 <= code <= 97:
                colour = BRIGHT[code - 90]
            elif 40 <= code <= 47:
                ground = COLOURS[code - 40]
            elif 100 <= code <= 107:
                ground = BRIGHT[code - 100]
            elif code == 39:
                colour = INK
            elif code == 49:
                ground = None


def draw(title, rows):
    """Rows as an SVG. Blocks are drawn as such, so that no font leaves gaps in the QR code."""
    width, height = COLUMNS * CELL + 2 * MARGIN, len(rows) * LINE + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="{SIZE}">',
        f"<title>{title}</title>",
        f'<rect width="100%" height="100%" rx="10" fill="{GROUND}"/>',
    ]
    for number, row in enumerate(rows):
        top, column = MARGIN + number * LINE, 0
        for text, colour, ground, bold in spans(row):
            left = MARGIN + column * CELL
            if ground:
                out.append(rect(left, top, len(text) * CELL, LINE, ground))
            for run in re.finditer(r"([█▀▄])\1*", text):
                upper, lower = BLOCKS[run[1]]
                at = left + run.start() * CELL
                out.append(rect(at, top + upper * LINE, len(run[0]) * CELL, (lower - upper) * LINE, colour))
            for run in re.finditer(r"[^\s█▀▄](?: ?[^\s█▀▄])*", text):
                at, long = left + run.start() * CELL, len(run[0]) * CELL
                weight = ' font-weight="bold"' if bold else ""
                out.append(
                    f'<text x="{at:.1f}" y="{top + 13.5:.1f}" fill="{colour}"{weight} textLength="{long:.1f}"'
                    f' lengthAdjust="spacingAndGlyphs">{escape(run[0])}</text>'
                )
            column += len(text)
    return "\n".join([*out, "</svg>", ""])


def rect(x, y, width, height, fill):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" shape-rendering="crispEdges"/>'


PICTURES = {"share": ("doorstep share 8000", share), "up": ("doorstep init, up and status", up)}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        title, show = PICTURES[name]
        (REPOSITORY / f"docs/images/{name}.svg").write_text(draw(title, show()))
