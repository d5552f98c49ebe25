"""Many agents with a name each, many slow visitors and a fast one. 1,000 and 500 of them with DOORSTEP_LOAD=100000
(and 32,000 descriptors), a tenth by default."""

import resource
import statistics
import subprocess
import time

import pytest

from harness.process import BINARY, PATIENCE
from harness.tunnel import Agent, Relay, app, scaled, visit
from harness.world import PUBLIC

pytestmark = [pytest.mark.needs("root", "ip", "nft", "curl"), pytest.mark.timeout(900)]

CROWD = BINARY.parent / "examples/crowd"


@pytest.fixture
def crowd(world):
    """Many agents in one process on the laptop, each with a key and a name of its own: agent-0, agent-1, …"""
    if not CROWD.exists():
        build = ["cargo", "build", "--quiet", "--package", "doorstep-tunnel", "--example", "crowd"]
        subprocess.run(build + ["--release"] * ("release" in BINARY.parts), check=True, cwd=CROWD.parents[3])
    app(world)
    # They all come from the router's one address, with up to three connections each; an address may have a quarter of those
    # that the relay has descriptors for, two to each.
    count = min(scaled(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 32)
    keys = world.folder / "crowd.keys"
    agents = subprocess.run([CROWD, "keys", keys, str(count)], check=True, capture_output=True, text=True).stdout
    relay = Relay(world, agents=agents)
    agent = Agent(world)
    agent.join(relay)  # whose identity says where the relay is, and which key it has
    program = world.laptop.start(CROWD, "serve", keys, agent.identities, relay.domain, "127.0.0.1:8000")
    program.wait_for("all stand", timeout=60 + count / 5)
    return relay, count


def test_every_one_of_many_names_leads_to_its_agent(world, crowd):
    relay, count = crowd
    urls = " ".join(f"https://agent-{n}.tun.test/" for n in range(count))
    script = f"ulimit -n 4096; curl -sS -Z --parallel-max 50 --cacert {world.trust} {urls}"
    assert world.visitor.run("bash", "-c", script, timeout=300).stdout == "app" * count
    assert len(relay.run("relay", "agents").stdout.splitlines()) >= count


def test_many_agents_come_back_after_a_restart_of_the_relay(world, crowd):
    relay, count = crowd
    relay.restart()
    deadline = time.monotonic() + 4 * PATIENCE
    missing = set(range(count))
    while missing and time.monotonic() < deadline:
        missing = {n for n in missing if visit(world, f"https://agent-{n}.tun.test/", timeout=10) != (200, "app")}
    assert not missing


def test_many_slow_visitors_and_one_fast(world):
    app(world)
    relay, agent = Relay(world), Agent(world)
    agent.join(relay)
    agent.share("http://127.0.0.1:8000", "--name", "blog")
    before = median_of_visits(world)
    count = scaled(500)
    program = world.visitor.start(
        "python3", "-c", SLOW, PUBLIC["vps"], count, world.trust, log=world.folder / "slow.log"
    )
    program.wait_for("all are slow", timeout=120)
    during = median_of_visits(world)
    program.kill()
    assert during < 5 * before + 0.25, f"{before:.3f} s before, {during:.3f} s among {count} slow visitors"
    assert relay.program.is_running()


def median_of_visits(world):
    times = []
    for _ in range(15):
        began = time.monotonic()
        assert visit(world, "https://blog.tun.test/") == (200, "app")
        times.append(time.monotonic() - began)
    return statistics.median(times)


# Reads a large answer a few bytes at a time, on so many connections.
SLOW = """
import asyncio, socket, ssl, sys
address, count, trust = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=trust)
async def one(started):
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (address, 443))
    reader, writer = await asyncio.open_connection(sock=raw, ssl=context, server_hostname="blog.tun.test", limit=4096)
    writer.write(b"GET /bytes/100000000 HTTP/1.1\\r\\nHost: blog.tun.test\\r\\n\\r\\n")
    await reader.read(1)
    started.release()
    while await reader.read(100):
        await asyncio.sleep(1)
async def main():
    started = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(one(started)) for _ in range(count)]
    for _ in range(count):
        await started.acquire()
    print("all are slow", flush=True)
    await asyncio.gather(*tasks)
asyncio.run(main())
"""
