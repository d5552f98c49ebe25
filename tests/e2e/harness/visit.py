"""One HTTP/1.1 request, with a host, SNI and trust of one's choice."""

import http.client
import socket

from .process import PATIENCE, Answer


def request(method, port, host, path="/", headers=None, body=None, tls=None, sni=None, timeout=PATIENCE):
    """Sends one request to 127.0.0.1 as if `host` led there, and reads its answer to the end. `sni=""` sends none."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    if tls:
        name = host if sni is None else sni or None
        if name is None:
            tls.check_hostname = False
        connection = tls.wrap_socket(connection, server_hostname=name)
    with connection:
        body = body.encode() if isinstance(body, str) else body or b""
        # Browsers name the port too, as it is not the usual one.
        fields = {"Host": f"{host}:{port}" if host else "", "Connection": "close", **(headers or {})}
        if body or method in ("POST", "PUT", "PATCH"):
            fields.setdefault("Content-Length", str(len(body)))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.sendall(head.encode() + b"\r\n" + body)
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())
