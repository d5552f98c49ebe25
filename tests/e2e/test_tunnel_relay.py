"""`doorstep relay`: what visitors get while agents come and go, and while the relay itself is replaced under them."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from harness.lender import Lender
from harness.process import BINARY, PATIENCE, run
from harness.visit import request


@pytest.fixture
def relay(tmp_path):
    relay = Lender(tmp_path / "relay", ports="none")
    relay.know(tmp_path / "doorstep")
    yield relay
    relay.kill()


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("hello from far")
    return folder


def lend(share, relay, site, name="blog"):
    doorstep = share(site, "--via", relay.domain, "--name", name)
    assert doorstep.wait_event("address", scope="tunnel")["url"].startswith(f"https://{name}.{relay.domain}")
    return doorstep


def status(relay):
    return json.loads(run("status", "--json", "--state", relay.state).stdout)


class Visitors:
    """Ask one after the other, without a pause, until they are told to stop."""

    def __init__(self, relay, name="blog", count=2):
        self.answers, self.failures, self.going = 0, [], True
        self.relay, self.name = relay, name
        self.threads = [threading.Thread(target=self._go) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _go(self):
        while self.going:
            try:
                answer = self.relay.get(self.name, timeout=2 * PATIENCE)
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if (answer.status, answer.text) == (200, "hello from far"):
                self.answers += 1
            else:
                self.failures.append((answer.status, answer.text))

    def more(self, count=20):
        """Waits until so many more have their answer."""
        wanted, deadline = self.answers + count, time.monotonic() + 4 * PATIENCE
        while self.answers < wanted:
            assert time.monotonic() < deadline, (self.answers, self.failures[-3:])
            time.sleep(0.02)

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join()


def test_the_relays_own_pages_say_nothing_of_others(relay, share, site):
    lend(share, relay, site)
    own = relay.get(relay.domain)
    assert own.status == 200 and "relay" in own.text and "blog" not in own.text
    unknown = relay.get("nobody")
    assert unknown.status == 404 and "blog" not in unknown.text and unknown.headers["X-Robots-Tag"] == "noindex"
    assert relay.get("blog").headers["X-Robots-Tag"] == "noindex"
    moved = relay.get("blog", "/a?b", tls=False)
    assert (moved.status, moved.headers["Location"]) == (308, f"https://blog.{relay.domain}:{relay.https}/a?b")
    # A name that is neither the relay's nor anybody's.
    assert request("GET", relay.http, "elsewhere.example").status == 421


def test_an_agent_that_is_away_and_comes_back(relay, share, site):
    lend(share, relay, site).stop()
    # It has just gone: requests wait, and get their answer when it is back within some seconds.
    visitors = Visitors(relay, count=1)
    again = lend(share, relay, site)
    visitors.more(5)
    visitors.stop()
    assert not visitors.failures
    again.stop()
    away = relay.get("blog", headers={"Accept": "text/html"}, timeout=2 * PATIENCE)
    assert away.status == 503 and away.headers["Retry-After"] == "5" and "data-reload" in away.text
    # Now it has been away for a while, and nobody waits any more.
    assert relay.get("blog").status == 503
    (agent,) = status(relay)["relay"]["agents"]
    assert (agent["name"], agent["sessions"], agent["names"]) == ("studio", 0, [f"blog.{relay.domain}"])


def test_an_upgrade_costs_no_visitor_anything(relay, share, site):
    lend(share, relay, site)
    before = status(relay)["worker"]["pid"]
    visitors = Visitors(relay)
    visitors.more()
    run("upgrade", "--binary", BINARY, "--state", relay.state)
    visitors.more(50)
    after = status(relay)
    assert after["worker"]["pid"] != before and after["upgrades"] == 1
    assert after["relay"]["agents"][0]["sessions"] == 1, "it came to the new one"
    visitors.stop()
    assert not visitors.failures


def test_a_worker_that_is_killed_is_missed_for_a_moment_only(relay, share, site):
    lend(share, relay, site)
    visitors = Visitors(relay)
    visitors.more()
    os.kill(status(relay)["worker"]["pid"], signal.SIGKILL)
    lost = len(visitors.failures)
    visitors.more(50)
    visitors.stop()
    # Those that were in flight, and those who came while nobody listened for a few milliseconds.
    assert all(not isinstance(failure, tuple) for failure in visitors.failures[lost:]), visitors.failures


def test_a_restart_of_the_relay_keeps_names(relay, share, site):
    lend(share, relay, site)
    relay.stop()
    relay.start()
    visitors = Visitors(relay, count=1)
    visitors.more(3)
    visitors.stop()
    assert not visitors.failures, "they waited until the agent was back"


def test_a_restart_does_not_wait_for_agents_that_only_rest(relay, share, site):
    lend(share, relay, site)
    assert relay.get("blog").status == 200, "so that a stream is kept for the next one"
    daemon = relay.processes[-1]
    daemon.terminate()
    # Half of what requests in flight would be given.
    assert daemon.wait(15) == 0


def test_a_name_that_is_switched_off_and_on_again(relay, share, site):
    doorstep = lend(share, relay, site)
    run("relay", "stop", "blog", "--state", relay.state)
    assert relay.get("blog", timeout=4).status == 410
    assert "switched this name off" in doorstep.wait_event("warning", id="tunnel-refused")["what"]
    run("relay", "start", "blog", "--state", relay.state)
    visitors = Visitors(relay, count=1)
    visitors.more(1)
    visitors.stop()
    assert doorstep.process.poll() is None


def test_who_is_refused_is_told_to_the_relays_owner(relay, share, site, tmp_path):
    lend(share, relay, site).stop()
    run("relay", "revoke", "studio", "--state", relay.state)
    # Nobody waits for who may not come back; others are waited for twice as long.
    assert relay.get("blog", timeout=4).status == 503
    late = share(site, "--via", relay.domain, "--name", "blog", wait=False)
    assert "revoked" in late.wait_event("tunnel", state="stopped")["why"]
    (refusal, *_) = status(relay)["relay"]["refusals"]
    key = next(word for word in run("relay", "agents", "--json", "--state", relay.state).stdout.split('"') if len(word) == 22)
    assert "from 127.0.0.1" in refusal["what"] and key in refusal["what"] and "revoked" in refusal["what"]
    assert refusal["what"] in relay.log
    assert refusal["what"] in run("status", "--state", relay.state).stdout


def test_what_the_command_line_means_can_be_written_down(tmp_path):
    said = subprocess.run(
        [BINARY, "relay", "--domain", "tun.example.com", "--email", "me@example.com", "--ssh", "2222", "--print-config"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / "doorstep.toml").write_text(said.stdout)
    run("check", cwd=tmp_path)
    nothing = subprocess.run([BINARY, "relay"], capture_output=True, text=True)
    assert nothing.returncode == 2 and "doorstep relay --domain" in nothing.stderr
