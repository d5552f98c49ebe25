use super::format::{FIELD, METHOD, ORIGIN, PATH, POSITIVE, REGEX, SIZE, STATUSES, TEMPLATE, URL_PATH};
use super::{Key, Kind, Shape};

/// What is altered on the way; of a site and of a route, which both count.
pub(super) const FILTERS: &[Key] = &[
    Key::new("max_body", Kind::Text(&SIZE), "", "The largest body of a request; more is 413.", "max_body = \"10MB\""),
    Key::new(
        "headers",
        Kind::Map { key: "FIELD", names: &FIELD, value: &EDIT },
        "",
        "Fields of answers: a text sets one, `false` removes it, `{ add = … }` adds another, `{ default = … }` sets it if it is not there.",
        "headers = { X-Frame-Options = \"DENY\", Server = false }",
    ),
    Key::new(
        "request_headers",
        Kind::Map { key: "FIELD", names: &FIELD, value: &EDIT },
        "",
        "Fields of requests, before the app sees them; as `headers`.",
        "request_headers = { X-Client = \"{client}\" }",
    ),
    Key::new(
        "strip_prefix",
        Kind::Text(&URL_PATH),
        "",
        "Taken off the front of the path before the app sees it.",
        "strip_prefix = \"/api\"",
    ),
    Key::new(
        "rewrite",
        Kind::Many(&Kind::Table(&REWRITE)),
        "",
        "Give requests another path; each that matches is applied in turn.",
        "rewrite = { from = \"/old/(.*)\", to = \"/new/{1}\" }",
    ),
    Key::new(
        "compression",
        Kind::Either(&[Kind::Bool, Kind::List(&CODING), Kind::Table(&COMPRESSION)]),
        "false",
        "Compress answers for clients that understand it; `true` is zstd, br and gzip.",
        "compression = true",
    ),
    Key::new(
        "hsts",
        Kind::Either(&[Kind::Bool, Kind::Text(&POSITIVE), Kind::Table(&HSTS)]),
        "false",
        "Tell browsers to come by HTTPS only, for the given time; `true` is one year. Hard to take back.",
        "hsts = \"30d\"",
    ),
    Key::new(
        "cors",
        Kind::Either(&[Kind::Bool, Kind::Text(&ORIGIN), Kind::List(&Kind::Text(&ORIGIN)), Kind::Table(&CORS)]),
        "false",
        "Pages of these origins may read the answers; `true` is everybody.",
        "cors = [\"https://app.example.com\"]",
    ),
    Key::new(
        "error_pages",
        Kind::Map { key: "STATUS", names: &STATUSES, value: &Kind::Text(&PATH) },
        "",
        "HTML files that stand in for errors, by status or class.",
        "error_pages = { \"404\" = \"404.html\", \"5xx\" = \"sorry.html\" }",
    ),
];

const EDIT: Kind = Kind::Either(&[Kind::Text(&TEMPLATE), Kind::Bool, Kind::Table(&HEADER)]);

const HEADER: Shape = Shape {
    name: "header",
    about: "A change of a header field; one of the two.",
    keys: &[&[
        Key::new(
            "add",
            Kind::Text(&TEMPLATE),
            "",
            "Add it besides those that are there.",
            "add = \"<style.css>; rel=preload\"",
        ),
        Key::new("default", Kind::Text(&TEMPLATE), "", "Set it if it is not there.", "default = \"no-store\""),
    ]],
};

const REWRITE: Shape = Shape {
    name: "rewrite",
    about: "Another path for a request.",
    keys: &[&[
        Key::required("from", Kind::Text(&REGEX), "A regular expression for the whole path.", "from = \"/old/(.*)\""),
        Key::required(
            "to",
            Kind::Text(&TEMPLATE),
            "The new path; `{1}` … are the groups of `from`.",
            "to = \"/new/{1}\"",
        ),
    ]],
};

const CODING: Kind = Kind::Word(&["zstd", "br", "gzip"]);

const COMPRESSION: Shape = Shape {
    name: "compression",
    about: "How answers are compressed.",
    keys: &[&[
        Key::new(
            "codings",
            Kind::List(&CODING),
            "all",
            "Which codings, the best first.",
            "codings = [\"br\", \"gzip\"]",
        ),
        Key::new("min", Kind::Text(&SIZE), "\"1kB\"", "Shorter answers are left alone.", "min = \"500B\""),
    ]],
};

const HSTS: Shape = Shape {
    name: "hsts",
    about: "`Strict-Transport-Security`.",
    keys: &[&[
        Key::new("max_age", Kind::Text(&POSITIVE), "\"365d\"", "For how long.", "max_age = \"30d\""),
        Key::new("subdomains", Kind::Bool, "false", "Names beneath too.", "subdomains = true"),
        Key::new("preload", Kind::Bool, "false", "Browsers may know it by heart.", "preload = true"),
    ]],
};

const CORS: Shape = Shape {
    name: "cors",
    about: "Which pages of other origins may do what.",
    keys: &[&[
        Key::required(
            "origins",
            Kind::Many(&Kind::Text(&ORIGIN)),
            "Origins; `*` is everybody.",
            "origins = \"https://app.example.com\"",
        ),
        Key::new(
            "methods",
            Kind::Many(&Kind::Text(&METHOD)),
            "GET, HEAD, POST",
            "Methods.",
            "methods = [\"GET\", \"PUT\"]",
        ),
        Key::new(
            "headers",
            Kind::Many(&Kind::Text(&FIELD)),
            "",
            "Fields that requests may have.",
            "headers = [\"X-Token\"]",
        ),
        Key::new(
            "expose",
            Kind::Many(&Kind::Text(&FIELD)),
            "",
            "Fields of answers that pages may read.",
            "expose = [\"X-Total\"]",
        ),
        Key::new("credentials", Kind::Bool, "false", "With cookies and passwords.", "credentials = true"),
        Key::new("max_age", Kind::Text(&POSITIVE), "\"10m\"", "How long browsers remember it.", "max_age = \"1h\""),
    ]],
};
