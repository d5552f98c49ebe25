use super::format::{FIELD, PATH, POSITIVE, SERVER_NAME, TEXT, URL, URL_PATH};
use super::{Key, Kind, Shape};

/// How requests are passed on, with `proxy` and `app`.
pub(super) const OPTIONS: &[Key] = &[
    Key::new(
        "balance",
        Kind::Either(&[Kind::Word(&["round_robin", "least_conn", "random_two", "ip_hash"]), Kind::Table(&BALANCE)]),
        "\"round_robin\"",
        "Which upstream gets the next request: each in turn, the least busy, the less busy of two at random, or by a hash, so that a visitor stays with one.",
        "balance = \"least_conn\"",
    ),
    Key::new(
        "health",
        Kind::Either(&[Kind::Text(&URL_PATH), Kind::Table(&HEALTH)]),
        "",
        "Ask upstreams from time to time whether they are well.",
        "health = { path = \"/healthz\", every = \"5s\" }",
    ),
    Key::new(
        "passive_health",
        Kind::Table(&PASSIVE),
        "3 failures, 10 s",
        "When an upstream rests because requests failed.",
        "passive_health = { max_fails = 3, rest = \"10s\" }",
    ),
    Key::new(
        "retries",
        Kind::Integer(0, 10),
        "2",
        "Further attempts when one fails; only for requests that can safely be sent again.",
        "retries = 1",
    ),
    Key::new(
        "timeouts",
        Kind::Table(&TIMEOUTS),
        "",
        "How long each phase may take.",
        "timeouts = { response = \"5m\" }",
    ),
    Key::new(
        "queue",
        Kind::Table(&QUEUE),
        "4096 requests, 15 s",
        "Requests wait here while no upstream is ready.",
        "queue = { wait = \"30s\" }",
    ),
    Key::new(
        "slow_start",
        Kind::Text(&POSITIVE),
        "",
        "An upstream that came (back) gets its full share only after this time.",
        "slow_start = \"30s\"",
    ),
    Key::new(
        "keep_host",
        Kind::Bool,
        "true",
        "Upstreams see the host that the visitor asked for. Otherwise they see their own, and redirects and cookies are translated back.",
        "keep_host = false",
    ),
    Key::new(
        "send_proxy",
        Kind::Word(&["v1", "v2"]),
        "",
        "Begin each connection with a PROXY protocol header that names the client.",
        "send_proxy = \"v2\"",
    ),
    Key::new(
        "keep_alive",
        Kind::Integer(0, 10_000),
        "256",
        "Idle connections that are kept per upstream and thread.",
        "keep_alive = 8",
    ),
];

/// An upstream with more than its address.
pub(super) const UPSTREAM: Shape = Shape {
    name: "upstream",
    about: "An upstream with options of its own.",
    keys: &[&[
        Key::required("url", Kind::Text(&URL), "Its address.", "url = \"https://10.0.0.5\""),
        Key::new("weight", Kind::Integer(1, 1000), "1", "Its share of requests relative to others.", "weight = 3"),
        Key::new("backup", Kind::Bool, "false", "Used only while no other is well.", "backup = true"),
        Key::new(
            "server_name",
            Kind::Text(&SERVER_NAME),
            "the host of `url`",
            "The name that its certificate must have, and that it is asked for (SNI).",
            "server_name = \"api.internal\"",
        ),
        Key::new(
            "roots",
            Kind::Text(&PATH),
            "the system's",
            "Certificates of the authorities (PEM) that its certificate may come from.",
            "roots = \"internal-ca.pem\"",
        ),
        Key::new("insecure", Kind::Bool, "false", "Do not verify its certificate.", "insecure = true"),
    ]],
};

const BALANCE: Shape = Shape {
    name: "balance",
    about: "Requests with the same value go to the same upstream as long as it is well.",
    keys: &[&[
        Key::new("header", Kind::Text(&FIELD), "", "By this header field.", "header = \"X-Tenant\""),
        Key::new(
            "cookie",
            Kind::Text(&TEXT),
            "",
            "By this cookie; visitors without one get one.",
            "cookie = \"upstream\"",
        ),
    ]],
};

const HEALTH: Shape = Shape {
    name: "health",
    about: "A question that a well upstream answers with a status from 200 to 399.",
    keys: &[&[
        Key::required("path", Kind::Text(&URL_PATH), "What is asked for.", "path = \"/healthz\""),
        Key::new("every", Kind::Text(&POSITIVE), "\"10s\"", "How often.", "every = \"5s\""),
        Key::new("timeout", Kind::Text(&POSITIVE), "\"5s\"", "How long an answer may take.", "timeout = \"2s\""),
        Key::new("status", Kind::Integer(100, 599), "200 to 399", "The only right status.", "status = 204"),
        Key::new(
            "healthy_after",
            Kind::Integer(1, 100),
            "1",
            "Right answers in a row to be well again.",
            "healthy_after = 2",
        ),
        Key::new(
            "unhealthy_after",
            Kind::Integer(1, 100),
            "2",
            "Wrong answers in a row to be unwell.",
            "unhealthy_after = 3",
        ),
    ]],
};

const PASSIVE: Shape = Shape {
    name: "passive-health",
    about: "Judging upstreams by the requests that they get.",
    keys: &[&[
        Key::new(
            "max_fails",
            Kind::Integer(0, 1000),
            "3",
            "Failures in a row before it rests; 0 is never.",
            "max_fails = 5",
        ),
        Key::new("rest", Kind::Text(&POSITIVE), "\"10s\"", "How long it rests.", "rest = \"30s\""),
    ]],
};

const TIMEOUTS: Shape = Shape {
    name: "timeouts",
    about: "How long each phase of a request to an upstream may take.",
    keys: &[&[
        Key::new("connect", Kind::Text(&POSITIVE), "\"5s\"", "Until it is connected.", "connect = \"2s\""),
        Key::new(
            "response",
            Kind::Text(&POSITIVE),
            "\"2m\"",
            "From the request's end until its answer begins.",
            "response = \"5m\"",
        ),
        Key::new("idle", Kind::Text(&POSITIVE), "\"1h\"", "The longest pause within an answer.", "idle = \"10m\""),
    ]],
};

const QUEUE: Shape = Shape {
    name: "queue",
    about: "Where requests wait while no upstream is ready.",
    keys: &[&[
        Key::new(
            "most",
            Kind::Integer(0, 1_000_000),
            "4096",
            "The most that wait; further ones are answered 503.",
            "most = 100",
        ),
        Key::new("wait", Kind::Text(&super::format::DURATION), "\"15s\"", "How long one waits.", "wait = \"30s\""),
    ]],
};
