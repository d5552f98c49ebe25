use super::format::{BANDWIDTH, FIELD, HASH, NETWORK, PATH, POSITIVE, RATE, TEXT, URL};
use super::{Key, Kind, Shape};

/// Who may come in and how much they get; of a site and of a route, which both count.
pub(super) const GUARDS: &[Key] = &[
    Key::new(
        "password",
        Kind::Map { key: "USER", names: &TEXT, value: &Kind::Secret(&HASH) },
        "",
        "Users and the hashes of their passwords (argon2, bcrypt), as `doorstep hash-password` prints them.",
        "password = { family = \"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$rVqbYPWwGXVQ9Cnvq3Nsrm6AmMvyBVbJxnCBhTYeAEM\" }",
    ),
    Key::new(
        "htpasswd",
        Kind::Text(&PATH),
        "",
        "A file of users and hashes (argon2, bcrypt, `{SHA}`).",
        "htpasswd = \"/etc/doorstep/users\"",
    ),
    Key::new(
        "realm",
        Kind::Text(&TEXT),
        "the site's name",
        "What the browser asks a password for.",
        "realm = \"Family\"",
    ),
    Key::new(
        "forward_auth",
        Kind::Either(&[Kind::Text(&URL), Kind::Table(&FORWARD_AUTH)]),
        "",
        "Ask another service whether a request may pass: 2xx lets it, everything else is the answer.",
        "forward_auth = \"http://127.0.0.1:9091/verify\"",
    ),
    Key::new(
        "allow",
        Kind::Many(&Kind::Text(&NETWORK)),
        "everybody",
        "Only these networks come in. `private` and `loopback` stand for the usual ones.",
        "allow = [\"192.168.1.0/24\", \"loopback\"]",
    ),
    Key::new(
        "deny",
        Kind::Many(&Kind::Text(&NETWORK)),
        "nobody",
        "These networks never come in, whatever `allow` says.",
        "deny = \"203.0.113.0/24\"",
    ),
    Key::new(
        "rate",
        Kind::Either(&[Kind::Text(&RATE), Kind::Table(&REQUESTS)]),
        "",
        "Requests per client (IPv6: per /64); more are answered 429.",
        "rate = \"100/s\"",
    ),
    Key::new(
        "max_concurrent",
        Kind::Integer(1, 1_000_000),
        "",
        "The most requests of one client at once; more are answered 429.",
        "max_concurrent = 20",
    ),
    Key::new(
        "bandwidth",
        Kind::Either(&[Kind::Text(&BANDWIDTH), Kind::Table(&PER_CLIENT)]),
        "",
        "The most that one client gets, in each direction; with `total` also all together.",
        "bandwidth = { per_client = \"2MB/s\", total = \"20MB/s\" }",
    ),
];

const FORWARD_AUTH: Shape = Shape {
    name: "forward-auth",
    about: "Who is asked, and what is taken over from the answer.",
    keys: &[&[
        Key::required("url", Kind::Text(&URL), "Who is asked.", "url = \"http://127.0.0.1:9091/verify\""),
        Key::new(
            "copy_headers",
            Kind::Many(&Kind::Text(&FIELD)),
            "",
            "Fields of its answer that go on with the request; those that a client sent are removed.",
            "copy_headers = [\"Remote-User\"]",
        ),
        Key::new("timeout", Kind::Text(&POSITIVE), "\"10s\"", "How long it may take.", "timeout = \"2s\""),
    ]],
};

const REQUESTS: Shape = Shape {
    name: "rate",
    about: "Requests per client, and how many may come at once.",
    keys: &[&[
        Key::required("limit", Kind::Text(&RATE), "The rate in the long run.", "limit = \"10/s\""),
        Key::new(
            "burst",
            Kind::Integer(1, 1_000_000),
            "what comes in one second",
            "Requests that may come at once.",
            "burst = 50",
        ),
    ]],
};

/// Also the daemon's uplink.
pub(super) const PER_CLIENT: Shape = Shape {
    name: "bandwidth",
    about: "Limits of bandwidth, in each direction.",
    keys: &[&[
        Key::new("per_client", Kind::Text(&BANDWIDTH), "", "For one client.", "per_client = \"2MB/s\""),
        Key::new("total", Kind::Text(&BANDWIDTH), "", "For all together.", "total = \"20MB/s\""),
    ]],
};
