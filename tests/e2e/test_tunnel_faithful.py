"""What visitors send and apps answer passes a tunnel unchanged: the app sees the visitor, the visitor sees the app."""

import json
import socket
import ssl
import subprocess
import time

import pytest
from websockets.sync.client import connect

from harness.tunnel import Agent, Relay, app, checksum, dial, downloads, inside, raw_app, scaled
from harness.tunnel_app import pattern
from harness.world import PUBLIC

pytestmark = pytest.mark.needs("root", "ip", "nft", "curl")

GIB = 1 << 30


@pytest.fixture
def lent(world):
    """An app on the laptop, lent as blog.tun.test."""
    app(world)
    relay, agent = Relay(world), Agent(world)
    agent.join(relay)
    return agent.share("http://127.0.0.1:8000", "--name", "blog")


class TestWeb:
    def test_the_name_leads_to_the_app_and_says_who_visits(self, world, lent):
        assert lent.address == "https://blog.tun.test"
        seen = json.loads(world.visitor.curl("https://blog.tun.test/seen?a=b%20c", "-A", "Mozilla/5.0 (a browser)"))
        assert seen["peer"] == "127.0.0.1"
        fields = seen["fields"]
        assert fields["x-forwarded-for"] == PUBLIC["visitor"]
        assert fields["x-forwarded-proto"] == "https"
        assert fields.get("x-forwarded-host", fields["host"]) == "blog.tun.test"

    def test_what_a_visitor_claims_to_be_is_not_believed(self, world, lent):
        claims = ["-H", "X-Forwarded-For: 9.9.9.9", "-H", "Forwarded: for=9.9.9.9", "-H", "X-Forwarded-Proto: gopher"]
        fields = json.loads(world.visitor.curl("https://blog.tun.test/seen", *claims))["fields"]
        assert "9.9.9.9" not in json.dumps(fields) and "gopher" not in json.dumps(fields)
        assert fields["x-forwarded-for"] == PUBLIC["visitor"]

    def test_plain_http_leads_to_https(self, world, lent):
        answer = world.visitor.curl("http://blog.tun.test/seen?x=1", "-D", "-", "-o", "/dev/null")
        assert " 308" in answer.splitlines()[0] and "location: https://blog.tun.test/seen?x=1" in answer.lower()

    @pytest.mark.parametrize("version", ["--http1.1", "--http2"])
    def test_a_large_download_is_whole(self, world, lent, version):
        length = scaled(5 * GIB)
        script = f"set -o pipefail; curl -sS {version} --cacert {world.trust} https://blog.tun.test/bytes/{length} | sha256sum"
        assert world.visitor.run("bash", "-c", script, timeout=600).stdout.split()[0] == checksum(length)

    @pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
    def test_a_large_upload_is_whole(self, world, lent, framing):
        length = scaled(2 * GIB)
        file = world.folder / "upload.bin"
        with open(file, "wb") as output:
            for part in pattern(length):
                output.write(part)
        how = ["-T", file] if framing == "Content-Length" else ["-T", "-", "--http1.1"]
        with open(file, "rb") as body:
            stdin = body if framing == "chunked" else subprocess.DEVNULL
            curl = ["curl", "-sS", "--cacert", world.trust, *how, "https://blog.tun.test/upload"]
            told = json.loads(world.visitor.run(*curl, timeout=600, stdin=stdin).stdout)
        assert told == {"length": length, "sha256": checksum(length)}

    def test_events_arrive_one_by_one(self, world, lent):
        curl = ["curl", "-sSN", "--cacert", world.trust, "https://blog.tun.test/events?count=5&every=0.5"]
        running = subprocess.Popen([*world.visitor.prefix, *map(str, curl)], stdout=subprocess.PIPE)
        began = time.monotonic()
        assert running.stdout.readline() == b"data: 0\n"
        first = time.monotonic() - began
        rest = running.stdout.read()
        assert rest.count(b"data: ") == 4
        assert time.monotonic() - began - first > 1.5, "the first came before the last was made"
        running.wait()

    def test_a_websocket_echoes_small_and_large_messages(self, world, lent):
        trust = ssl.create_default_context(cafile=world.trust)
        connection = dial(world.visitor, PUBLIC["vps"], 443)
        with connect("wss://blog.tun.test/socket", sock=connection, ssl=trust, max_size=None) as websocket:
            websocket.send("hello")
            assert websocket.recv() == "hello"
            large = bytes(range(256)) * 8192
            websocket.send(large)
            assert websocket.recv() == large

    @pytest.mark.parametrize("version", ["--http1.1", "--http2"])
    def test_trailers_reach_the_visitor(self, world, lent, version):
        answer = world.visitor.curl("https://blog.tun.test/trailers", version, "-D", "-", "-H", "TE: trailers")
        assert "something" in answer and "x-checksum: 5" in answer.lower()

    def test_many_requests_at_once_on_one_http2_connection(self, world, lent):
        urls = " ".join(f"https://blog.tun.test/slow?seconds=0.5\\&n={n}" for n in range(100))
        script = f"curl -sS -Z --parallel-max 100 --cacert {world.trust} {urls}"
        began = time.monotonic()
        assert world.visitor.run("bash", "-c", script).stdout == "app" * 100
        assert time.monotonic() - began < 20

    def test_a_visitor_who_reads_nothing_stops_nobody(self, world, lent):
        trust = ssl.create_default_context(cafile=world.trust)
        asleep = []
        for _ in range(50):  # more than there are data connections of their own
            raw = dial(world.visitor, PUBLIC["vps"], 443, receive_buffer=4096)
            asleep.append(trust.wrap_socket(raw, server_hostname="blog.tun.test"))
            asleep[-1].sendall(b"GET /bytes/100000000 HTTP/1.1\r\nHost: blog.tun.test\r\n\r\n")
        time.sleep(1)
        began = time.monotonic()
        assert world.visitor.curl("https://blog.tun.test/") == "app"
        whole, why = downloads(world, "https://blog.tun.test", 20_000_000)()
        assert whole, why
        assert time.monotonic() - began < 10
        for connection in asleep:
            connection.close()


class TestPorts:
    @pytest.fixture
    def port(self, world):
        """harness/raw_app.py, lent by a TCP port and a UDP port with the same number."""
        raw_app(world)
        relay, agent = Relay(world), Agent(world)
        agent.join(relay)
        self.relay, self.agent = relay, agent
        return 20007

    def test_half_closed_connections_and_their_bytes(self, world, port):
        door = self.agent.share("tcp:7000", "--remote-port", port)
        assert door.address == f"tcp://tun.test:{port}"
        length = 30_000_000
        with dial(world.visitor, PUBLIC["vps"], port) as connection:
            for part in pattern(length):
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            told = b""
            while part := connection.recv(1024):
                told += part
        assert told.decode().split() == [str(length), checksum(length)]

    @pytest.mark.needs("iperf3")
    def test_iperf_over_tcp_both_ways(self, world, port):
        world.laptop.start("iperf3", "-s", "--forceflush", "-p", 7001, "-B", "127.0.0.1").wait_for("Server listening")
        self.agent.share("tcp:7001", "--remote-port", port)
        for way in ([], ["-R"], ["-P", "4"]):
            report = json.loads(world.visitor.run("iperf3", "-J", "-c", "tun.test", "-p", port, "-t", 1, *way).stdout)
            assert report["end"]["sum_received"]["bits_per_second"] > 50e6

    def test_datagrams_come_back_to_who_sent_them(self, world, port):
        door = self.agent.share("udp:7000", "--remote-port", port)
        assert door.address == f"udp://tun.test:{port}"
        with inside(world.visitor):
            visitors = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(10)]
        for number, visitor in enumerate(visitors):
            visitor.settimeout(5)
            visitor.connect((PUBLIC["vps"], port))
            for size in (1, 500, 1400, 8000):
                message = bytes([number]) * size
                visitor.send(message)
                assert visitor.recv(65536) == message

    @pytest.mark.needs("iperf3")
    def test_iperf_over_udp(self, world, port):
        # iperf3 speaks TCP first, then UDP, to the same port.
        world.laptop.start("iperf3", "-s", "--forceflush", "-p", 7001, "-B", "127.0.0.1").wait_for("Server listening")
        self.agent.share("tcp:7001", "--remote-port", port)
        self.agent.share("udp:7001", "--remote-port", port)
        report = json.loads(world.visitor.run("iperf3", "-J", "-u", "-b", "10M", "-c", "tun.test", "-p", port, "-t", 2).stdout)
        assert report["end"]["sum"]["lost_percent"] < 5

    def test_visitors_of_a_port_wait_a_moment_for_its_agent(self, world, port):
        assert self.agent.share("tcp:7000", "--remote-port", port).stop() == 0
        with dial(world.visitor, PUBLIC["vps"], port) as connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            self.agent.share("tcp:7000", "--remote-port", port)
            assert connection.recv(1024).startswith(b"5 ")

    def test_visitors_of_a_port_whose_agent_does_not_come_back_are_sent_away(self, world, port):
        assert self.agent.share("tcp:7000", "--remote-port", port).stop() == 0
        with dial(world.visitor, PUBLIC["vps"], port) as connection:
            connection.sendall(b"hello")
            try:
                assert connection.recv(1024) == b""
            except ConnectionResetError:
                pass
