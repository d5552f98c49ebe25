"""Links that fail, addresses that change, programs that are killed: the tunnel comes back under the same name, and visitors wait or are told."""

import os
import re
import signal
import ssl
import time

import pytest
from websockets.sync.client import connect

from harness.process import BINARY
from harness.tunnel import SCALE, Agent, Relay, app, dial, downloads, kill, visit, wait_until
from harness.world import PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl"), pytest.mark.timeout(600)]

URL = "https://blog.tun.test"
CUTS = [3, 30] + [300] * (SCALE == 1.0)


@pytest.fixture
def lent(world):
    """An app on the laptop, lent as blog.tun.test."""
    app(world)
    relay, agent = Relay(world), Agent(world)
    agent.join(relay)
    door = agent.share("http://127.0.0.1:8000", "--name", "blog")
    door.relay, door.agent = relay, agent
    assert visit(world, URL) == (200, "app")
    return door


def back(world, within):
    """Waits until visitors get through again."""
    began = time.monotonic()
    wait_until(lambda: visit(world, URL, timeout=5) == (200, "app"), "did visitors get through again", timeout=within)
    return time.monotonic() - began


class TestAway:
    def test_browsers_get_a_page_and_programs_a_503(self, world, lent):
        assert lent.stop() == 0
        answer = world.visitor.curl(URL, "-D", "-", "-H", "Accept: application/json")
        assert " 503" in answer.splitlines()[0]
        assert re.search(r"(?im)^retry-after: \d+", answer)
        page = world.visitor.curl(URL, "-D", "-", "-H", "Accept: text/html,*/*", "-A", "Mozilla/5.0")
        assert " 503" in page.splitlines()[0] and "<html" in page.lower()

    def test_the_page_reloads_by_itself(self, world, lent):
        lent.stop()
        page = world.visitor.curl(URL, "-D", "-", "-H", "Accept: text/html", "-A", "Mozilla/5.0").lower()
        assert "http-equiv=\"refresh\"" in page or "\nrefresh: " in page or "location.reload" in page

    def test_a_name_that_nobody_has_is_not_found(self, world, lent):
        status, _ = visit(world, "http://nobody.tun.test/")
        assert status in (404, 308, 421)

    def test_requests_are_held_while_an_agent_comes_back(self, world, lent):
        lent.kill()
        began = time.monotonic()
        curls = [
            world.visitor.start("curl", "-sS", "--cacert", world.trust, "--max-time", 20, f"{URL}/?n={n}", log=world.folder / f"held-{n}.log")
            for n in range(10)
        ]
        lent.agent.share("http://127.0.0.1:8000", "--name", "blog")
        for n, curl in enumerate(curls):
            assert curl.process.wait(20) == 0
            assert (world.folder / f"held-{n}.log").read_text() == "app", f"after {time.monotonic() - began:.1f} s"


class TestCuts:
    @pytest.mark.parametrize("seconds", CUTS)
    def test_a_silent_path_comes_back(self, world, lent, seconds):
        with world.silence():
            time.sleep(seconds)
        assert back(world, 40) < 40
        assert lent.process.poll() is None

    def test_a_dead_path_is_noticed_within_ten_seconds(self, world, lent):
        with world.silence():
            began = time.monotonic()
            lent.wait_event("tunnel", state="waiting", timeout=15)
            assert time.monotonic() - began < 11

    def test_a_socket_and_a_download_outlive_a_short_silence(self, world, lent):
        trust = ssl.create_default_context(cafile=world.trust)
        with connect("wss://blog.tun.test/socket", sock=dial(world.visitor, PUBLIC["vps"], 443), ssl=trust) as websocket:
            outcome = downloads(world, URL, 20_000_000, rate=4_000_000)
            time.sleep(1)
            with world.silence():
                time.sleep(3)
            websocket.send("still here")
            assert websocket.recv(timeout=20) == "still here"
            whole, why = outcome()
            assert whole, why

    def test_a_cable_that_was_out(self, world, lent):
        with world.unplugged():
            time.sleep(3)
        back(world, 20)

    def test_another_address_is_noticed_at_once(self, world, lent):
        world.change_address(77)
        began = time.monotonic()
        back(world, 20)
        assert time.monotonic() - began < 9, "sooner than a dead path is noticed by silence"

    def test_another_network_is_noticed_at_once(self, world, lent):
        world.change_network()
        began = time.monotonic()
        back(world, 20)
        assert time.monotonic() - began < 9, "sooner than a dead path is noticed by silence"

    def test_downloads_over_a_far_and_lossy_way(self, world, lent):
        with world.far(delay=0.15, loss=0.01):
            back(world, 40)
            began = time.monotonic()
            assert visit(world, URL) == (200, "app")
            assert time.monotonic() - began < 8
            whole, why = downloads(world, URL, 500_000)()
            assert whole, why

    def test_one_narrow_line_is_shared_by_downloads_and_clicks(self, world, lent):
        with world.narrow("20mbit"):
            outcomes = [downloads(world, URL, 5_000_000) for _ in range(4)]
            time.sleep(1)
            began = time.monotonic()
            assert visit(world, URL) == (200, "app")
            assert time.monotonic() - began < 5
            for outcome in outcomes:
                whole, why = outcome()
                assert whole, why


class TestEnds:
    def test_the_relay_restarts_and_the_name_stays(self, world, lent):
        lent.relay.restart()
        back(world, 20)
        assert [event["url"] for event in lent.all_events("address")][-1].rstrip("/") == URL

    def test_a_killed_worker_is_replaced(self, world, lent):
        kill(lent.relay.worker)
        back(world, 30)

    def test_a_killed_relay_that_starts_again(self, world, lent):
        lent.relay.program.kill()
        wait_until(lambda: not lent.relay.port_is_open(443), "was the port closed")
        lent.relay.start()
        back(world, 40)

    def test_a_killed_agent_that_starts_again_evicts_its_dead_session(self, world, lent):
        with world.silence():  # so that the relay does not hear of its end
            lent.kill()
        lent.agent.share("http://127.0.0.1:8000", "--name", "blog")
        assert back(world, 5) < 5

    def test_an_upgrade_of_the_relay_cuts_no_download(self, world, lent):
        outcome = downloads(world, URL, 40_000_000, rate=5_000_000)
        time.sleep(1)
        lent.relay.run("upgrade", "--binary", BINARY)
        for _ in range(5):
            assert visit(world, URL) == (200, "app")
            time.sleep(0.3)
        whole, why = outcome()
        assert whole, why

    def test_a_reload_of_the_relay_cuts_no_download(self, world, lent):
        outcome = downloads(world, URL, 20_000_000, rate=5_000_000)
        time.sleep(1)
        text = lent.relay.file.read_text()
        lent.relay.file.write_text(text + '[site."www.tun.test"]\nrespond = "ours"\n')
        lent.relay.run("reload")
        assert visit(world, URL) == (200, "app")
        whole, why = outcome()
        assert whole, why

    def test_an_agent_that_is_asked_to_end_finishes_first(self, world, lent):
        outcome = downloads(world, URL, 10_000_000, rate=4_000_000)
        time.sleep(1)
        os.kill(lent.pid, signal.SIGINT)
        whole, why = outcome()
        assert whole, why
        assert lent.wait() == 0


class TestTwoRelays:
    def test_the_next_relay_takes_over(self, world):
        app(world)
        first, spare = Relay(world), Relay(world, world.spare, "spare.test")
        agent = Agent(world)
        agent.join(first)
        agent.join(spare)
        door = agent.share("http://127.0.0.1:8000", "--name", "blog", via="tun.test,spare.test")
        assert visit(world, URL) == (200, "app")
        first.program.kill()
        wait_until(lambda: visit(world, "https://blog.spare.test", timeout=5) == (200, "app"), "did the next take over", timeout=30)
        assert door.process.poll() is None
