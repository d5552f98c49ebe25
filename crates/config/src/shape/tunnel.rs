use super::format::{LENT_NAME, PATH, PLACE, TEXT, VIA};
use super::{Key, Kind, Shape};

/// `[tunnel]`.
pub(super) const TUNNEL: Shape = Shape {
    name: "tunnel",
    about: "An address of the internet for a computer that has none, lent by a doorstep relay, an ssh server or a PageKite front-end. Sites are lent under \
            their own names, if these are names of the internet, else under one that the relay makes up; `tunnel` in a site says otherwise.",
    keys: &[&[
        Key::required(
            "via",
            Kind::Many(&Kind::Text(&VIA)),
            "Who lends: `tun.example.com` (a relay that this computer has joined), `ssh://user@host` or `pagekite://name.example.net`. Of several the first \
             that works.",
            "via = \"tun.example.com\"",
        ),
        Key::new(
            "e2e",
            Kind::Bool,
            "false",
            "TLS of visitors ends on this computer, for all sites: the relay sees ciphertext only.",
            "e2e = true",
        ),
        Key::new(
            "tcp",
            Kind::List(&Kind::Table(&TCP)),
            "",
            "TCP ports that are lent as they are.",
            "tcp = [{ to = \"localhost:22\", port = 20022 }]",
        ),
        Key::new(
            "udp",
            Kind::List(&Kind::Table(&UDP)),
            "",
            "UDP ports that are lent as they are.",
            "udp = [{ to = \"127.0.0.1:51820\" }]",
        ),
        Key::new(
            "identities",
            Kind::Text(&PATH),
            "`/etc/doorstep/relays` as root, else `relays` in `$XDG_CONFIG_HOME/doorstep`",
            "The folder where `doorstep join` put this computer's keys, one file for each relay.",
            "identities = \"relays\"",
        ),
        Key::new(
            "kite_secret",
            Kind::Secret(&TEXT),
            "",
            "What a kite's owner shares with its front-end.",
            "kite_secret = \"file:kite.txt\"",
        ),
        Key::new(
            "ssh_key",
            Kind::Text(&PATH),
            "",
            "The private key for `ssh://`, without a passphrase.",
            "ssh_key = \"/etc/doorstep/ssh_key\"",
        ),
        Key::new(
            "known_hosts",
            Kind::Text(&PATH),
            "`/etc/ssh/ssh_known_hosts`",
            "The keys of ssh servers: lines such as `ssh-keyscan` prints.",
            "known_hosts = \"/etc/doorstep/known_hosts\"",
        ),
    ]],
};

const PORT: Key = Key::new(
    "port",
    Kind::Integer(0, 65_535),
    "0: any that is free, the same each time",
    "The relay's port that visitors come to.",
    "port = 20022",
);

const TCP: Shape = Shape {
    name: "tunnel-tcp",
    about: "A TCP port that is lent as it is: ssh, a database, a game.",
    keys: &[&[
        Key::required(
            "to",
            Kind::Either(&[Kind::Integer(1, 65_535), Kind::Text(&PLACE)]),
            "Where connections go: a port of this computer, or `host:port`.",
            "to = \"localhost:22\"",
        ),
        PORT,
        Key::new(
            "proxy_header",
            Kind::Bool,
            "false",
            "Begin each connection with a PROXY protocol header (version 2) that says who the visitor is.",
            "proxy_header = true",
        ),
    ]],
};

const UDP: Shape = Shape {
    name: "tunnel-udp",
    about: "A UDP port that is lent as it is.",
    keys: &[&[
        Key::required(
            "to",
            Kind::Either(&[Kind::Integer(1, 65_535), Kind::Text(&PLACE)]),
            "Where datagrams go: a port of this computer, or an IP address with its port.",
            "to = \"127.0.0.1:51820\"",
        ),
        PORT,
    ]],
};

/// `tunnel` of a site.
pub(super) const SITE_KEY: &[Key] = &[Key::new(
    "tunnel",
    Kind::Either(&[Kind::Bool, Kind::Text(&LENT_NAME), Kind::Table(&SITE)]),
    "`true`, where there is `[tunnel]`; `false` for names with `*`",
    "Whether the site is lent, and under which name: `blog` beneath the relay's domain, or a whole name that leads to the relay.",
    "tunnel = \"blog\"",
)];

const SITE: Shape = Shape {
    name: "site-tunnel",
    about: "How a site is lent.",
    keys: &[&[
        Key::new("name", Kind::Text(&LENT_NAME), "as without this table", "Under which name.", "name = \"blog\""),
        Key::new("e2e", Kind::Bool, "as in `[tunnel]`", "TLS of its visitors ends on this computer.", "e2e = true"),
        Key::new(
            "port",
            Kind::Integer(0, 65_535),
            "0: any that is free",
            "The port, where a server lends no names (`ssh://`).",
            "port = 20080",
        ),
    ]],
};
