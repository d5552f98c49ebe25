"""Services of dynamic DNS that really change a zone (by knsupdate): Duck DNS at `/update`, dyndns2 at `/nic/update`, `/myip`.

Arguments: address, the zone's server, its key, token, user, password, and the names at Duck DNS that the token owns. What is asked is
printed without secrets.
"""

import base64
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ADDRESS, SERVER, KEY, TOKEN, USER, PASSWORD, *OWNED = sys.argv[1:]
DUCK, DYN = "duckdns.org", "home.test"
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def change(zone, lines):
    script = "\n".join([f"server {SERVER}", f"zone {zone}.", *lines, "send", ""])
    done = subprocess.run(["knsupdate", "-y", KEY], input=script, text=True, capture_output=True, timeout=10)
    print(lines, done.stdout, done.stderr, flush=True)
    return done.returncode == 0


def kind(ip):
    return "AAAA" if ":" in ip else "A"


def put(name, values):
    """Lines that put these in place of what there is of the same kind."""
    for of, value in values:
        yield f"del {name}. {of}"
        yield f"add {name}. 5 {of} {value}"


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        pages = {"/update": self.duck, "/nic/update": self.dyndns2, "/myip": lambda _: f"{self.client_address[0]}\n"}
        page = pages.get(parts.path)
        self.answer(200 if page else 404, page(query) if page else "no such page")

    def duck(self, query):
        domains = [name.removesuffix(f".{DUCK}") for name in query.get("domains", "").split(",") if name]
        if query.get("token") != TOKEN or not domains or not set(domains) <= set(OWNED):
            return "KO"
        clear, lines = query.get("clear") == "true", []
        for name in (f"{domain}.{DUCK}" for domain in domains):
            if "txt" in query:
                for of in (name, f"_acme-challenge.{name}"):
                    lines += [f"del {of}. TXT"] if clear else put(of, [("TXT", f'"{query["txt"]}"')])
            elif clear:
                lines += [f"del {name}. A", f"del {name}. AAAA"]
            else:
                given = [ip for ip in (query.get("ip"), query.get("ipv6")) if ip] or [self.client_address[0]]
                lines += put(name, [(kind(ip), ip) for ip in given])
        return "OK" if change(DUCK, lines) else "KO"

    def dyndns2(self, query):
        if self.headers.get("Authorization") != LOGIN:
            return "badauth"
        if not self.headers.get("User-Agent"):
            return "badagent"
        words = []
        for name in query.get("hostname", "").split(","):
            ips = [ip for ip in query.get("myip", self.client_address[0]).split(",") if ip]
            if not name.endswith(f".{DYN}"):
                words.append("nohost" if "." in name else "notfqdn")
            else:
                words.append(f"good {','.join(ips)}" if change(DYN, list(put(name, [(kind(ip), ip) for ip in ips]))) else "dnserr")
        return "\n".join(words) + "\n"

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        print(self.client_address[0], self.path.replace(TOKEN, "TOKEN"), flush=True)


server = ThreadingHTTPServer((ADDRESS, 80), Service)
print("ready", flush=True)
server.serve_forever()
