"""A long way: two TAP devices, `far` here and `far-router` in another network namespace, and what comes into one leaves by the other later.

Arguments: the other namespace, seconds for each direction, the part of the packets that is lost. The kernel hands over whole packets
with their checksums, since a TAP device does not promise to make any.
"""

import collections
import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
MOST_WAITING = 20_000  # packets in one direction; more are dropped, as on any long line


def tap(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return device


def enter(space):
    with open(f"/run/netns/{space}") as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {space}")


def main():
    space, delay, loss = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    chance = random.Random(1)
    here = tap("far")
    enter(space)
    there = tap("far-router")
    ways = {here: (there, collections.deque()), there: (here, collections.deque())}
    print("ready", flush=True)
    while True:
        due = min((queue[0][0] for _, queue in ways.values() if queue), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        for source in select.select(list(ways), [], [], wait)[0]:
            _, queue = ways[source]
            for _ in range(64):
                try:
                    packet = os.read(source, 65536)
                except BlockingIOError:
                    break
                if chance.random() >= loss and len(queue) < MOST_WAITING:
                    queue.append((time.monotonic() + delay, packet))
        now = time.monotonic()
        for target, queue in ways.values():
            while queue and queue[0][0] <= now:
                try:
                    os.write(target, queue.popleft()[1])
                except OSError:
                    pass  # A full or closed device loses packets; that is what networks do.


main()
