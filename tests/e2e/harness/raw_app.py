"""Apps that speak no HTTP, on 127.0.0.1: over TCP one that reads to the end and then tells what it got, over UDP one that returns it.

Argument: the port of both. The TCP answer is the length and the SHA-256.
"""

import asyncio
import hashlib
import sys


async def tell(reader, writer):
    digest, length = hashlib.sha256(), 0
    while part := await reader.read(1 << 18):
        digest.update(part)
        length += len(part)
    writer.write(f"{length} {digest.hexdigest()}\n".encode())
    writer.close()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(data, peer)


async def main():
    port = int(sys.argv[1])
    server = await asyncio.start_server(tell, "127.0.0.1", port)
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, ("127.0.0.1", port))
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
