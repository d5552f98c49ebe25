"""Opens connections, makes one request on each, and then holds them, idle.

Arguments: port, how many, `tls` or `plain`. Says `held` when all are open; ends when standard input does.
"""

import resource
import socket
import ssl
import sys

port, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

held = []
for number in range(count):
    raw = socket.socket()
    # Many visitors, as far as the server can see: servers bound how much one address may hold.
    raw.bind((f"127.0.{1 + number // 50 // 200}.{1 + number // 50 % 200}", 0))
    raw.settimeout(10)
    raw.connect(("127.0.0.1", port))
    connection = context.wrap_socket(raw, server_hostname="localhost") if kind == "tls" else raw
    connection.sendall(f"GET /100b.bin HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    answer = connection.recv(65536)
    while not answer.endswith(b"x" * 100):
        more = connection.recv(65536)
        if not more:
            sys.exit(f"connection {number} was closed: {answer!r}")
        answer += more
    held.append(connection)

print("held", flush=True)
sys.stdin.read()
