"""A name server for a few made-up names (RFC 1035 section 4; wildcards as in RFC 4592).

Arguments: the address to listen on, and a JSON file: name → {"A": address, "AAAA": address, "TXT": text, "CNAME": name}. It is read
anew for each question, so that it may change. A CNAME is answered together with the address that it leads to. Questions about a name
with {"FORWARD": address} are for the server there.
"""

import json
import socket
import struct
import sys

KINDS = {1: "A", 5: "CNAME", 16: "TXT", 28: "AAAA"}
NUMBERS = {kind: number for number, kind in KINDS.items()}


def find(records, name):
    if name in records:
        return records[name]
    while "." in name:
        name = name.split(".", 1)[1]
        if f"*.{name}" in records:
            return records[f"*.{name}"]
    return {}


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "CNAME":
        return wire_name(value)
    return bytes([len(value)]) + value.encode()


def answers(records, name, kind):
    found = find(records, name)
    if "CNAME" in found and kind != "CNAME":
        yield name, "CNAME", found["CNAME"]
        yield from answers(records, found["CNAME"], kind)
    elif kind in found:
        yield name, kind, found[kind]


def name_of(question):
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return ".".join(labels), at


def forward(server, question):
    """What that server says, as if it were known here: resolvers want to hear that recursion was available."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(question, (server, 53))
        said = bytearray(asking.recv(4096))
    said[3] |= 0x80
    return bytes(said)


def answer(records, question):
    name, at = name_of(question)
    if server := find(records, name).get("FORWARD"):
        return forward(server, question)
    end = at + 5
    kind = KINDS.get(struct.unpack(">H", question[at + 1 : at + 3])[0], "?")
    found = list(answers(records, name, kind))
    known = found or find(records, name) or any(other.endswith(f".{name}") for other in records)
    header = question[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, len(found), 0, 0)
    body = b""
    for owner, kind, value in found:
        value = data(kind, value)
        body += wire_name(owner) + struct.pack(">HHIH", NUMBERS[kind], 1, 1, len(value)) + value
    return header + question[12:end] + body


def main():
    listener = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((sys.argv[1], 53))
    print("ready", flush=True)
    while True:
        question, client = listener.recvfrom(4096)
        try:
            with open(sys.argv[2]) as file:
                listener.sendto(answer(json.load(file), question), client)
        except (IndexError, ValueError, struct.error, TimeoutError) as error:
            print(f"an odd question: {error!r}", flush=True)


main()
