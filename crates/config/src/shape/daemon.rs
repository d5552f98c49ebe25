use super::format::{
    ADDRESS, BANDWIDTH, DURATION, EMAIL, LISTEN as LISTEN_FORMAT, NAME, NETWORK, PATH, TEXT, URL, USER,
};
use super::{Key, Kind, Shape, app, guards};
use crate::limits::THREADS;

/// How certificates are obtained.
pub(super) const ISSUANCE: &[Key] = &[
    Key::new(
        "email",
        Kind::Text(&EMAIL),
        "",
        "For the certificate authority to write to.",
        "email = \"me@example.com\"",
    ),
    Key::new(
        "issuers",
        Kind::Many(&Kind::Either(&[Kind::Word(&["letsencrypt", "letsencrypt-staging"]), Kind::Table(&ISSUER)])),
        "\"letsencrypt\"",
        "Certificate authorities; the next is asked when one fails.",
        "issuers = \"letsencrypt-staging\"",
    ),
    Key::new(
        "challenges",
        Kind::Many(&Kind::Word(&["http-01", "tls-alpn-01", "dns-01"])),
        "what can work",
        "How the authority may be shown that the name is yours.",
        "challenges = [\"dns-01\"]",
    ),
    Key::new(
        "dns",
        Kind::Map { key: "SETTING", names: &TEXT, value: &SETTING },
        "",
        "Where TXT records can be put, for wildcard certificates and `dns-01`: `provider`, and what that provider wants.",
        "dns = { provider = \"desec\", token = \"file:desec.txt\" }",
    ),
    Key::new(
        "precheck",
        Kind::Bool,
        "true",
        "Before a certificate is ordered, see whether the name points here and a challenge can be answered.",
        "precheck = false",
    ),
];

const SETTING: Kind = Kind::Either(&[Kind::Secret(&TEXT), Kind::Integer(i64::MIN, i64::MAX), Kind::Bool]);

const ISSUER: Shape = Shape {
    name: "issuer",
    about: "A certificate authority that speaks ACME.",
    keys: &[&[
        Key::new(
            "name",
            Kind::Text(&NAME),
            "the directory's host",
            "Names its folder in the state.",
            "name = \"internal\"",
        ),
        Key::required(
            "directory",
            Kind::Text(&URL),
            "The URL of its directory; or `letsencrypt`, `letsencrypt-staging`.",
            "directory = \"https://ca.internal/acme/directory\"",
        ),
        Key::new(
            "roots",
            Kind::Text(&PATH),
            "the system's",
            "Certificates (PEM) that are trusted when talking to it.",
            "roots = \"internal-ca.pem\"",
        ),
        Key::new(
            "profile",
            Kind::Text(&TEXT),
            "the authority's own",
            "Kind of certificate.",
            "profile = \"shortlived\"",
        ),
        Key::new(
            "eab",
            Kind::Table(&EAB),
            "",
            "External account binding, where the authority asks for it.",
            "eab = { key_id = \"k1\", hmac_key = \"file:eab.txt\" }",
        ),
    ]],
};

const EAB: Shape = Shape {
    name: "eab",
    about: "What ties the ACME account to one that you have with the authority.",
    keys: &[&[
        Key::required("key_id", Kind::Text(&TEXT), "As the authority hands it out.", "key_id = \"k1\""),
        Key::required(
            "hmac_key",
            Kind::Secret(&TEXT),
            "As the authority hands it out (base64url).",
            "hmac_key = \"file:eab.txt\"",
        ),
    ]],
};

pub(super) const LISTEN: Shape = Shape {
    name: "listen",
    about: "Addresses: `:8080` is every address of this computer. An empty list listens nowhere.",
    keys: &[&[
        Key::new(
            "http",
            Kind::Many(&Kind::Text(&LISTEN_FORMAT)),
            "\":80\" or \":8080\"",
            "Without TLS.",
            "http = \":8080\"",
        ),
        Key::new(
            "https",
            Kind::Many(&Kind::Text(&LISTEN_FORMAT)),
            "\":443\" or \":8443\", if a site has a certificate, or with `[relay]`",
            "With TLS.",
            "https = [\"192.0.2.1:443\", \"[2001:db8::1]:443\"]",
        ),
        Key::new(
            "proxy_from",
            Kind::Many(&Kind::Text(&NETWORK)),
            "",
            "Connections from here begin with a PROXY protocol header that names the client.",
            "proxy_from = \"10.0.0.1\"",
        ),
        Key::new(
            "max_connections",
            Kind::Integer(1, 10_000_000),
            "what memory and open files allow",
            "The most connections open at once on each address.",
            "max_connections = 5000",
        ),
    ]],
};

pub(super) const DAEMON: Shape = Shape {
    name: "daemon",
    about: "doorstep itself.",
    keys: &[&[
        Key::new(
            "state",
            Kind::Text(&PATH),
            "`/var/lib/doorstep` as root, else `$XDG_STATE_HOME/doorstep`",
            "Where certificates, accounts, logs and virtual environments are kept.",
            "state = \"/var/lib/doorstep\"",
        ),
        Key::new(
            "user",
            Kind::Text(&USER),
            "\"doorstep\"",
            "Who the part runs as that talks to the network, when started by root.",
            "user = \"doorstep\"",
        ),
        Key::new("workers", Kind::Integer(1, THREADS), "one per core", "Threads.", "workers = 2"),
        Key::new(
            "stop_within",
            Kind::Text(&DURATION),
            "\"30s\"",
            "After `doorstep stop`, what is under way is cut after this.",
            "stop_within = \"10s\"",
        ),
        Key::new(
            "handover_within",
            Kind::Text(&DURATION),
            "\"1h\"",
            "After a reload or an upgrade, what the old configuration still serves is cut after this.",
            "handover_within = \"12h\"",
        ),
        Key::new(
            "metrics",
            Kind::Text(&ADDRESS),
            "",
            "Prometheus metrics are at `/metrics` here.",
            "metrics = \"127.0.0.1:9090\"",
        ),
        Key::new(
            "trusted_proxies",
            Kind::Many(&Kind::Text(&NETWORK)),
            "",
            "Peers whose `X-Forwarded-…` fields are believed.",
            "trusted_proxies = [\"10.0.0.0/8\"]",
        ),
        Key::new(
            "uplink",
            Kind::Either(&[Kind::Text(&BANDWIDTH), Kind::Table(&guards::PER_CLIENT)]),
            "",
            "The bandwidth of all sites together, shared fairly between clients.",
            "uplink = \"4MB/s\"",
        ),
        Key::new("sandbox", Kind::Bool, "true", "Confine the part that talks to the network.", "sandbox = false"),
    ]],
};

pub(super) const LOG: Shape = Shape {
    name: "log",
    about: "The access log.",
    keys: &[&[Key::new(
        "access",
        Kind::Many(&Kind::Either(&[Kind::Text(&PATH), Kind::Table(&ACCESS)])),
        "",
        "`stdout`, a file, or a table with more; several are possible.",
        "access = { to = \"access.log\", format = \"json\" }",
    )]],
};

const ACCESS: Shape = Shape {
    name: "access-log",
    about: "Where requests are written down, and how.",
    keys: &[
        &[
            Key::required(
                "to",
                Kind::Text(&PATH),
                "`stdout`, or a file; a relative path is in the folder `access` of doorstep's log folder.",
                "to = \"access.log\"",
            ),
            Key::new(
                "format",
                Kind::Word(&["combined", "json"]),
                "\"combined\"",
                "Apache's lines, or JSON.",
                "format = \"json\"",
            ),
        ],
        app::ROTATION_KEYS,
    ],
};
