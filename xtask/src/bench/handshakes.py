"""Full TLS 1.3 handshakes with one server under many names in turn, one request after each.

Arguments: port, seconds, threads, how many names (s0.example.com and so on), path. Prints how many requests there were, how many
failed, and the median and 99th percentile in milliseconds.
"""

import socket
import ssl
import sys
import threading
import time

port, seconds, threads, names, path = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.minimum_version = ssl.TLSVersion.TLSv1_3

times, failures = [], []
end = time.monotonic() + seconds


def visit(host):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(raw, server_hostname=host) as connection:
            connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = connection.recv(65536)
            while connection.recv(65536):
                pass
    if b" 200 " not in answer[:20]:
        raise ValueError(answer[:100])


def work(number):
    while (began := time.monotonic()) < end:
        try:
            visit(f"s{number % names}.example.com")
            times.append(time.monotonic() - began)
        except (OSError, ValueError) as error:
            failures.append(error)
        number += threads


workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()

times.sort()
if failures:
    print(failures[0], file=sys.stderr)
if not times:
    sys.exit("no request succeeded")
print(len(times) + len(failures), len(failures), times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3)
