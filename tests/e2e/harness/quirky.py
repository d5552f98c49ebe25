"""A router with habits of real ones (UPnP IGD:1), which really opens ports, by rules of nft(8) in the table `opened`.

Arguments: its address at home, its device outside, and habits:

    permanent-only   leases are refused (725)           finite-only     leases for good are refused (402), and beyond a week
    same-port        both ports must be equal (724)     no-low-ports    ports below 1024 are refused (606)
    conflict=PORT    this one is taken (718)            full            no mapping is left (728)
    longest=SECONDS  leases are cut short, unsaid       ghost           mappings are granted, and not made
    external=IP      a lie, or empty                    no-external     its address is refused (501)
    no-delete        nothing is taken back (501)        forgetful       it lists nothing
    ppp              the service is WANPPPConnection    strict          the protocol must be upper-case (402)
    elsewhere        LOCATION leads to 10.9.9.9         other-port      searches are answered from another port
    garbage          broken answers come first          slow=SECONDS    each action takes its time
    bomb             the description never ends         fast-forget     a mapping is gone at the next action

SIGUSR1 is a reboot: no mapping, another control port, another BOOTID.
"""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE, OUTSIDE = sys.argv[1:3]
HABITS = dict(word.partition("=")[::2] for word in sys.argv[3:])
KIND = "WANPPPConnection" if "ppp" in HABITS else "WANIPConnection"
SERVICE = f"urn:schemas-upnp-org:service:{KIND}:1"
GROUP = "239.255.255.250"
WEEK = 604800

TABLE = """
add table inet opened
add chain inet opened pre { type nat hook prerouting priority -100; }
flush chain inet opened pre
"""
DEVICE = """<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType><friendlyName>{kind}</friendlyName>
<manufacturer>Habits</manufacturer><modelName>Habits 1</modelName><UDN>uuid:habits-{kind}</UDN>{inside}</device>"""
SERVICES = f"""<serviceList><service><serviceType>{SERVICE}</serviceType><serviceId>urn:upnp-org:serviceId:WANConn1</serviceId>
<SCPDURL>/service.xml</SCPDURL><controlURL>/control</controlURL><eventSubURL>/events</eventSubURL></service></serviceList>"""


COMMON = """<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType>
<serviceId>urn:upnp-org:serviceId:WANCommonIFC1</serviceId><SCPDURL>/common.xml</SCPDURL><controlURL>/common</controlURL>
<eventSubURL>/events</eventSubURL></service></serviceList>"""


def description():
    inside = DEVICE.format(kind="WANConnectionDevice", inside=SERVICES)
    inside = DEVICE.format(kind="WANDevice", inside=f"{COMMON}<deviceList>{inside}</deviceList>")
    inside = DEVICE.format(kind="InternetGatewayDevice", inside=f"<deviceList>{inside}</deviceList>")
    return f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{inside}</root>'


class Refused(Exception):
    pass


class Mappings:
    """(outer port, protocol) → (client, inner port, description, when it ends or 0)."""

    def __init__(self):
        self.entries, self.booted, self.lock = {}, int(time.time()), threading.Lock()
        self.apply()

    def apply(self):
        rules = TABLE
        for (port, protocol), (client, inner, _, _) in self.entries.items():
            if "ghost" not in HABITS:
                rules += f'add rule inet opened pre iifname "{OUTSIDE}" {protocol.lower()} dport {port} dnat ip to {client}:{inner}\n'
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True)
        print("applied", self.entries, done.stderr, flush=True)

    def expire(self):
        over = [key for key, (*_, end) in self.entries.items() if end and end < time.time()]
        for key in over:
            del self.entries[key]
        if over:
            self.apply()

    def reboot(self):
        self.entries.clear()
        self.booted = int(time.time())
        self.apply()

    def act(self, action, given):
        with self.lock:
            if "fast-forget" in HABITS and action == "GetSpecificPortMappingEntry" and self.entries:
                self.entries.clear()
                self.apply()
            self.expire()
            method = getattr(self, action, None)
            if not action[:1].isupper() or not method:
                raise Refused(401, "Invalid Action")
            return method(given) or {}

    # The actions (UPnP WANIPConnection:1, section 2.4)

    def GetExternalIPAddress(self, _):
        if "no-external" in HABITS:
            raise Refused(501, "ActionFailed")
        shown = subprocess.run(["ip", "-4", "-o", "address", "show", "dev", OUTSIDE], capture_output=True, text=True).stdout.split()
        return {"NewExternalIPAddress": HABITS.get("external", shown[3].split("/")[0])}

    def GetStatusInfo(self, _):
        up = int(time.time()) - self.booted
        return {"NewConnectionStatus": "Connected", "NewLastConnectionError": "ERROR_NONE", "NewUptime": up}

    def AddPortMapping(self, given):
        key = (int(given["NewExternalPort"]), given["NewProtocol"])
        client, inner, lease = given["NewInternalClient"], int(given["NewInternalPort"]), int(given["NewLeaseDuration"] or 0)
        refusals = (
            ("strict" in HABITS and key[1] not in ("TCP", "UDP"), 402, "Invalid Args"),
            ("permanent-only" in HABITS and lease, 725, "OnlyPermanentLeasesSupported"),
            ("finite-only" in HABITS and not 0 < lease <= WEEK, 402, "Invalid Args"),
            ("same-port" in HABITS and key[0] != inner, 724, "SamePortValuesRequired"),
            ("no-low-ports" in HABITS and key[0] < 1024, 606, "Action not authorized"),
            ("full" in HABITS and key not in self.entries, 728, "NoPortMapsAvailable"),
            (HABITS.get("conflict") == str(key[0]), 718, "ConflictInMappingEntry"),
            (key in self.entries and self.entries[key][0] != client, 718, "ConflictInMappingEntry"),
        )
        for wrong, code, words in refusals:
            if wrong:
                raise Refused(code, words)
        if "longest" in HABITS:
            lease = min(lease or WEEK, int(HABITS["longest"]))
        self.entries[key] = (client, inner, given.get("NewPortMappingDescription", ""), time.time() + lease if lease else 0)
        self.apply()

    def DeletePortMapping(self, given):
        if "no-delete" in HABITS:
            raise Refused(501, "ActionFailed")
        if self.entries.pop((int(given["NewExternalPort"]), given["NewProtocol"]), None) is None:
            raise Refused(714, "NoSuchEntryInArray")
        self.apply()

    def GetSpecificPortMappingEntry(self, given):
        key = (int(given["NewExternalPort"]), given["NewProtocol"])
        if "forgetful" in HABITS or key not in self.entries:
            raise Refused(714, "NoSuchEntryInArray")
        return self.shown(key)

    def GetGenericPortMappingEntry(self, given):
        keys, index = list(self.entries), int(given["NewPortMappingIndex"])
        if "forgetful" in HABITS or index >= len(keys):
            raise Refused(713, "SpecifiedArrayIndexInvalid")
        port, protocol = keys[index]
        return {"NewRemoteHost": "", "NewExternalPort": port, "NewProtocol": protocol, **self.shown(keys[index])}

    def shown(self, key):
        client, inner, words, end = self.entries[key]
        left = max(1, int(end - time.time())) if end else 0
        names = ("NewInternalPort", "NewInternalClient", "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration")
        return dict(zip(names, (inner, client, 1, words, left)))


class Control(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Habits/1.0 UPnP/1.0"

    def do_GET(self):
        if self.path != "/description.xml":
            return self.answer(404, "no such page")
        if "bomb" in HABITS:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b"<device>" * 8192)
            except OSError:
                return None
        return self.answer(200, description())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = self.headers["SOAPAction"].strip('"').rpartition("#")[2]
        given = dict(re.findall(r"<(New\w+)[^>]*>([^<]*)</", body))
        time.sleep(float(HABITS.get("slow", 0)))
        try:
            said = "".join(f"<{key}>{value}</{key}>" for key, value in MAPPINGS.act(action, given).items())
            status, inside = 200, f'<u:{action}Response xmlns:u="{SERVICE}">{said}</u:{action}Response>'
        except Refused as refused:
            code, words = refused.args
            error = f"<errorCode>{code}</errorCode><errorDescription>{words}</errorDescription>"
            error = f'<detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0">{error}</UPnPError></detail>'
            status, inside = 500, f"<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>{error}</s:Fault>"
        print(action, given, status, inside, flush=True)
        envelope = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        self.answer(status, f'<?xml version="1.0"?>{envelope}<s:Body>{inside}</s:Body></s:Envelope>')

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", 'text/xml; charset="utf-8"')
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def listen():
    """A control port of its own, as after each start."""
    server = ThreadingHTTPServer((HERE, 0), Control)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def reboot(*_):
    global server
    threading.Thread(target=server.shutdown, daemon=True).start()
    MAPPINGS.reboot()
    server = listen()
    print("rebooted", flush=True)


def answer_searches():
    searches = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    searches.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    searches.bind(("", 1900))
    searches.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(HERE))
    print("ready", flush=True)
    while True:
        question, asker = searches.recvfrom(2048)
        target = re.search(rb"(?im)^ST:\s*(\S+)", question)
        wanted = (b"InternetGateway", b"WANIP", b"WANPPP", b"rootdevice", b"ssdp:all")
        if not question.startswith(b"M-SEARCH") or not target or not any(word in target[1] for word in wanted):
            continue
        speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if "other-port" in HABITS else searches
        if "garbage" in HABITS:
            for junk in (b"", b"\xff" * 300, b"HTTP/1.1 200 OK\r\nLOCATION: http://[::\r\n\r\n", b"HTTP/1.1 200 OK\r\n" * 40):
                speaker.sendto(junk, asker)
        where = "10.9.9.9" if "elsewhere" in HABITS else HERE
        st = target[1].decode()
        speaker.sendto(
            f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nST: {st}\r\nUSN: uuid:habits::{st}\r\nEXT:\r\nSERVER: Habits/1.0 UPnP/1.0\r\n"
            f"LOCATION: http://{where}:{server.server_port}/description.xml\r\nBOOTID.UPNP.ORG: {MAPPINGS.booted}\r\n\r\n".encode(),
            asker,
        )


MAPPINGS = Mappings()
server = listen()
signal.signal(signal.SIGUSR1, reboot)
answer_searches()
