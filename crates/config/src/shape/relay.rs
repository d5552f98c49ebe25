use super::format::{BANDWIDTH, CONTACT, DURATION, HOST, LISTEN, PORTS, RATE, SERVER_NAME, TEXT};
use super::{Key, Kind, Shape, site};

/// A port of every address, or addresses.
const SOCKETS: Kind = Kind::Many(&Kind::Either(&[Kind::Integer(1, 65_535), Kind::Text(&LISTEN)]));

/// `[relay]`.
pub(super) const RELAY: Shape = Shape {
    name: "relay",
    about: "Lends a public address to computers that have none: names beneath a domain, and ports. Who may is said by `doorstep relay invite`. \
            Agents come to the same address as visitors, `https` of `[listen]`.",
    keys: &[&[
        Key::required(
            "domain",
            Kind::Text(&SERVER_NAME),
            "Names beneath it are lent; agents come to this name itself. It and `*.` beneath it point here in the DNS.",
            "domain = \"tun.example.com\"",
        ),
        Key::new(
            "ports",
            Kind::Text(&PORTS),
            "\"20000-29999\"",
            "TCP and UDP ports that may be lent; `none` lends names only.",
            "ports = \"30000-30099\"",
        ),
        Key::new(
            "certificate",
            Kind::Either(&[Kind::Word(&["auto", "local"]), Kind::Table(&site::CERTIFICATE)]),
            "\"auto\"",
            "For the domain and all names lent. `auto`: with `dns` one for all names, otherwise one for each when an agent you invited claims it; `local`: \
             from this computer's own authority, for trials; or your own files.",
            "certificate = { chain = \"wildcard.pem\", key = \"wildcard.key\" }",
        ),
        Key::new("ssh", SOCKETS, "", "Where `ssh -R` arrives, for people who have installed nothing.", "ssh = 2222"),
        Key::new(
            "pagekite",
            Kind::Table(&PAGEKITE),
            "",
            "Back-ends of PageKite may come as well.",
            "pagekite = { listen = 8081, kite = { \"ann.tun.example.com\" = \"file:ann.txt\" } }",
        ),
        Key::new(
            "abuse",
            Kind::Text(&CONTACT),
            "",
            "Whom visitors can tell of abuse; shown on the relay's own pages.",
            "abuse = \"abuse@example.com\"",
        ),
        Key::new(
            "noindex",
            Kind::Bool,
            "true",
            "Ask search engines to leave out whatever is lent a name.",
            "noindex = false",
        ),
        Key::new(
            "probe",
            Kind::Bool,
            "true",
            "Look from here, for an agent that asks, whether visitors would get to its own address (`doorstep share --public`).",
            "probe = false",
        ),
        Key::new("limits", Kind::Table(&LIMITS), "", "What one agent may take at most.", "limits = { streams = 200 }"),
        Key::new(
            "hold",
            Kind::Text(&DURATION),
            "\"8s\"",
            "How long requests wait for an agent that has just gone to come back.",
            "hold = \"15s\"",
        ),
    ]],
};

const LIMITS: Shape = Shape {
    name: "relay-limits",
    about: "What one agent may take, unless its invitation says otherwise.",
    keys: &[&[
        Key::new("names", Kind::Integer(1, 100_000), "100", "Names at once.", "names = 5"),
        Key::new("ports", Kind::Integer(0, 10_000), "3", "Ports at once.", "ports = 0"),
        Key::new(
            "streams",
            Kind::Integer(1, 1_000_000),
            "2048",
            "Visitors' connections open at once; further ones are answered 503.",
            "streams = 200",
        ),
        Key::new(
            "requests",
            Kind::Text(&RATE),
            "",
            "Requests of all visitors together; more are answered 429.",
            "requests = \"100/s\"",
        ),
        Key::new(
            "bandwidth",
            Kind::Text(&BANDWIDTH),
            "",
            "What all visitors get together, in each direction.",
            "bandwidth = \"16Mbit/s\"",
        ),
    ]],
};

const PAGEKITE: Shape = Shape {
    name: "relay-pagekite",
    about: "Stock `pagekite.py` as an agent.",
    keys: &[&[
        Key::required(
            "listen",
            SOCKETS,
            "Where back-ends arrive (`--frontend=tun.example.com:8081`).",
            "listen = 8081",
        ),
        Key::required(
            "kite",
            Kind::Map { key: "NAME", names: &HOST, value: &Kind::Secret(&TEXT) },
            "Names of kites and their secrets; `*.ann.tun.example.com` stands for all beneath.",
            "kite = { \"ann.tun.example.com\" = \"file:ann.txt\" }",
        ),
    ]],
};
