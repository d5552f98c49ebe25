"""The first run, by a stranger's words: a relay on a VPS, a laptop behind a router, and a friend with a browser somewhere else."""

import json
import re
import sys

import pytest

from harness.apps import EXAMPLES
from harness.authority import Authority
from harness.process import BINARY, PATIENCE
from harness.tunnel import Agent, Relay, visit, wait_until
from harness.up import open_way
from harness.world import HARNESS, NAMES

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl", "pebble"), pytest.mark.timeout(300)]


def flask(world):
    """A Flask app on the laptop, as its documentation says to run it."""
    program = world.laptop.start(sys.executable, "-m", "flask", "--app", EXAMPLES / "flask/app.py", "run", "--port", 8000)
    wait_until(lambda: world.laptop.run("curl", "-s", "http://127.0.0.1:8000/", check=False).returncode == 0, "did Flask listen")
    return program


def test_two_commands_and_a_friend_sees_the_page(world):
    flask(world)
    authority = Authority(world.folder / "authority", 80, 443, host=world.internet, address=NAMES, names=f"{NAMES}:53")
    folder = world.vps.folder / "relay"
    open_way(folder)
    env = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PATH": "/usr/bin:/usr/sbin:/bin:/sbin"}
    relay = world.vps.start(
        BINARY, "relay", "--domain", "tun.test", "--email", "me@example.com", "--directory", authority.directory,
        "--directory-roots", authority.root, "--state", folder / "state", env=env, cwd=folder,
    )  # fmt: skip
    wait_until(lambda: world.visitor.run("curl", "-sk", "https://tun.test", check=False).returncode == 0, "did the relay answer")

    line = wait_until(lambda: invitation(world, env, folder), "was there an invitation")
    agent = Agent(world, "me")
    joined = agent.run("join", line)
    assert "tun.test" in joined.stdout + joined.stderr
    door = agent.share("8000", "--name", "blog")
    assert door.address == "https://blog.tun.test"

    world.trust = world.folder / "issued.pem"
    world.trust.write_text(authority.issuing_root())
    wait_until(lambda: visit(world, "https://blog.tun.test")[0] == 200, "did the name have a certificate", timeout=2 * PATIENCE)
    assert "Flask is at home" in visit(world, "https://blog.tun.test")[1]
    assert relay.is_running()


def invitation(world, env, folder):
    done = world.vps.run(BINARY, "relay", "invite", "me", "--state", folder / "state", env=env, cwd=folder, check=False)
    found = re.search(r"doorstep join (\S+)", done.stdout)
    return found and found.group(1)


def test_the_screen_of_somebody_who_has_not_joined_says_how(world):
    flask(world)
    Relay(world)
    door = Agent(world).share("8000", wait=False)
    assert door.wait() != 0
    assert "doorstep join" in door.log and "relay invite" in door.log


def browse(world, name, url, wanted=""):
    """Starts a visit in the visitor's browser."""
    return world.visitor.start(sys.executable, HARNESS / "browse.py", world.folder / f"profile-{name}", name, url, wanted)


def seen(visit):
    assert visit.process.wait(3 * PATIENCE) == 0, visit.log
    return json.loads(visit.log.splitlines()[-1])


@pytest.mark.needs("chromium", "chromedriver")
def test_a_friend_with_a_browser(world):
    flask(world)
    relay, agent = Relay(world), Agent(world)
    agent.join(relay)
    door = agent.share("8000", "--name", "blog")
    page = seen(browse(world, "tunnel-flask", door.address))
    assert page["url"].startswith("https://blog.tun.test") and "Flask is at home" in page["text"]
    assert not [error for error in page["errors"] if "favicon" not in error]

    # Away, the page says so, and comes by itself when the laptop is back.
    door.stop()
    waiting = browse(world, "tunnel-away", door.address, page["text"].strip().splitlines()[0])
    waiting.wait_for("open")
    agent.share("8000", "--name", "blog")
    assert seen(waiting)["text"] == page["text"]


def test_the_relays_own_name_says_what_it_is(world):
    Relay(world)
    status, page = visit(world, "https://tun.test/")
    assert status == 200 and "doorstep" in page.lower()
