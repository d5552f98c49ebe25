"""Asks the local network for a name, once, the way a phone does (RFC 6762 section 5.1): `mdns.py NAME OWN_ADDRESS`."""

import socket
import struct
import sys

GROUP = ("224.0.0.251", 5353)
A, IN = 1, 1


def look_up(name, own_address, patience=2.5):
    """The IPv4 address that somebody answers, or None."""
    query = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + encoded(name) + struct.pack(">2H", A, IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((own_address, 0))
        asking.settimeout(patience)
        asking.sendto(query, GROUP)
        try:
            answer = asking.recv(9000)
        except TimeoutError:
            return None
    # The question is repeated, then comes the first answer: name, type, class, time to live, length, address.
    at = len(query)
    while answer[at] and answer[at] < 0xC0:
        at += 1 + answer[at]
    at += 2 if answer[at] else 1
    kind, _, _, length = struct.unpack_from(">HHIH", answer, at)
    assert (kind, length) == (A, 4), answer
    return socket.inet_ntoa(answer[at + 10 : at + 14])


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


if __name__ == "__main__":
    print(look_up(*sys.argv[1:]) or "")
