"""An app whose answers tell what became of requests on their way; it listens on 127.0.0.1.

Arguments: port, a name that it calls itself. Over HTTP/1.1:

    /                            its name
    /seen                        the request's fields and this connection's peer, in JSON
    /bytes/N?rate=R              N bytes of `pattern`, at most R per second
    /upload                      length and SHA-256 of the body, in JSON
    /events?count=N&every=S      Server-sent events with numbers
    /socket                      a WebSocket that returns what it gets
    /slow?seconds=S              an answer after that long
    /trailers                    chunks, and the field X-Checksum after them
    /count?of=KEY                how often this very path was asked for
"""

import asyncio
import collections
import hashlib
import json
import random
import sys
from urllib.parse import parse_qs, urlsplit

import h11
import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage

BLOCK = random.Random(7).randbytes(1 << 20)


def pattern(length):
    """The first `length` bytes of the block, again and again."""
    whole, rest = divmod(length, len(BLOCK))
    for _ in range(whole):
        yield BLOCK
    yield BLOCK[:rest]


def checksum(length):
    """SHA-256 of `pattern(length)`."""
    digest = hashlib.sha256()
    for part in pattern(length):
        digest.update(part)
    return digest.hexdigest()


class Client:
    """One connection."""

    def __init__(self, reader, writer, name, counts):
        self.reader, self.writer, self.name, self.counts = reader, writer, name, counts
        self.http = h11.Connection(h11.SERVER)

    async def run(self):
        while True:
            request = await self.event()
            if not isinstance(request, h11.Request):
                return
            url = urlsplit(request.target.decode())
            words = {key: values[0] for key, values in parse_qs(url.query).items()}
            if url.path == "/socket":
                return await self.socket(request)
            await self.answer(request, url.path, words)
            while self.http.their_state is h11.SEND_BODY:
                await self.event()
            if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
                return
            self.http.start_next_cycle()

    async def event(self):
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.http.receive_data(await self.reader.read(1 << 18))
        return event

    async def send(self, event):
        if data := self.http.send(event):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(self, request, path, words):
        if path.startswith("/bytes/"):
            return await self.bytes(int(path.split("/")[2]), float(words.get("rate", "inf")))
        if path == "/events":
            return await self.events(int(words.get("count", 10)), float(words.get("every", 0.1)))
        if path == "/trailers":
            await self.head(("Transfer-Encoding", "chunked"), ("Trailer", "X-Checksum"))
            await self.send(h11.Data(data=b"some"))
            await self.send(h11.Data(data=b"thing"))
            return await self.send(h11.EndOfMessage(headers=[("X-Checksum", "5")]))
        if path == "/upload":
            text = json.dumps(await self.upload())
        elif path == "/seen":
            peer = self.writer.get_extra_info("peername")[0]
            text = json.dumps({"fields": {key.decode(): value.decode() for key, value in request.headers}, "peer": peer})
        elif path == "/count":
            self.counts[words.get("of")] += 1
            text = str(self.counts[words.get("of")])
        else:
            await asyncio.sleep(float(words.get("seconds", 0)))
            text = self.name
        await self.head(("Content-Length", str(len(text))))
        await self.send(h11.Data(data=text.encode()))
        await self.send(h11.EndOfMessage())

    async def head(self, *fields):
        await self.send(h11.Response(status_code=200, headers=[("Content-Type", "text/plain"), *fields]))

    async def bytes(self, length, rate):
        await self.head(("Content-Length", str(length)))
        for part in pattern(length):
            step = max(1, len(part) if rate == float("inf") else int(rate / 20))
            for at in range(0, len(part), step):
                piece = part[at : at + step]
                await self.send(h11.Data(data=piece))
                if rate != float("inf"):
                    await asyncio.sleep(len(piece) / rate)
        await self.send(h11.EndOfMessage())

    async def events(self, count, every):
        await self.send(h11.Response(status_code=200, headers=[("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")]))
        for number in range(count):
            await self.send(h11.Data(data=f"data: {number}\n\n".encode()))
            await asyncio.sleep(every)
        await self.send(h11.EndOfMessage())

    async def upload(self):
        digest, length = hashlib.sha256(), 0
        while isinstance(event := await self.event(), h11.Data):
            digest.update(event.data)
            length += len(event.data)
        return {"length": length, "sha256": digest.hexdigest()}

    async def socket(self, request):
        socket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        socket.initiate_upgrade_connection(request.headers, request.target)
        data = self.http.trailing_data[0]
        while True:
            if data:
                socket.receive_data(data)
            for event in socket.events():
                if isinstance(event, Request):
                    answer = AcceptConnection()
                elif isinstance(event, (TextMessage, BytesMessage)):
                    answer = type(event)(data=event.data, message_finished=event.message_finished)
                elif isinstance(event, (CloseConnection, Ping)):
                    answer = event.response()
                else:
                    continue
                self.writer.write(socket.send(answer))
                await self.writer.drain()
                if isinstance(event, CloseConnection):
                    return
            if not (data := await self.reader.read(1 << 16)):
                return


async def main():
    port, name = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "app"
    counts = collections.Counter()

    async def serve(reader, writer):
        try:
            await Client(reader, writer, name, counts).run()
        except (ConnectionError, h11.RemoteProtocolError, h11.LocalProtocolError, wsproto.utilities.RemoteProtocolError):
            pass  # Visitors go away when they like.
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
