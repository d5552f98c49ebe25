use super::format::{FIELD, METHOD, NAME, PATH, POSITIVE, REGEX, ROUTE_PATH, SIZE, TEMPLATE, TEXT, URL};
use super::{Key, Kind, Shape, filters, guards, pool};

/// `[[site."NAME".route]]`.
pub(super) const ROUTE: Shape = Shape {
    name: "route",
    about: "A rule for some requests of a site: which ones, and what answers them. All that is said of `path` or `regex`, `methods`, `header` and `query` must hold.",
    keys: &[MATCH, ACTION, guards::GUARDS, filters::FILTERS, pool::OPTIONS],
};

const MATCH: &[Key] = &[
    Key::new(
        "path",
        Kind::Many(&Kind::Text(&ROUTE_PATH)),
        "all paths",
        "`/about` is exactly this; `/blog/` is `/blog` and everything beneath; `*` stands for anything within a segment, `**` for anything, `?` for one character, \
         `/*` at the end for everything beneath; `/` is everything. Of several, one must match.",
        "path = \"/api/*\"",
    ),
    Key::new(
        "regex",
        Kind::Text(&REGEX),
        "",
        "The whole path matches this regular expression. Its groups are `{1}`, `{2}` or `{name}` in templates.",
        "regex = '/article/(?<id>[0-9]+)'",
    ),
    Key::new(
        "methods",
        Kind::Many(&Kind::Text(&METHOD)),
        "all",
        "Methods; `GET` includes `HEAD`.",
        "methods = [\"GET\", \"POST\"]",
    ),
    Key::new(
        "header",
        Kind::Map { key: "FIELD", names: &FIELD, value: &FIELD_VALUE },
        "",
        "Header fields: a text that must be their value, `true` or `false` for being there or not, or a regular expression for the whole value.",
        "header = { X-Beta = true, User-Agent = { regex = \".*curl.*\" } }",
    ),
    Key::new(
        "query",
        Kind::Map { key: "PARAMETER", names: &TEXT, value: &FIELD_VALUE },
        "",
        "Parameters of the query, as `header`.",
        "query = { version = \"2\" }",
    ),
];

const FIELD_VALUE: Kind = Kind::Either(&[Kind::Text(&TEXT), Kind::Bool, Kind::Table(&FIELD_REGEX)]);

const FIELD_REGEX: Shape = Shape {
    name: "field-regex",
    about: "A value by regular expression.",
    keys: &[&[Key::required("regex", Kind::Text(&REGEX), "Matches the whole value.", "regex = \"v[0-9]+\"")]],
};

/// What answers; a site or a route has exactly one of the first seven.
pub(super) const ACTION: &[Key] = &[
    Key::new("root", Kind::Text(&PATH), "", "Serve the files of this folder.", "root = \"/srv/files\""),
    Key::new("file", Kind::Text(&PATH), "", "Offer this one file.", "file = \"talk.pdf\""),
    Key::new(
        "proxy",
        Kind::Many(&Kind::Either(&[Kind::Text(&URL), Kind::Table(&pool::UPSTREAM)])),
        "",
        "Pass requests on to a server that runs by itself, or to one of several. `http://`, `https://`, `h2://` (HTTP/2 over TLS), `h2c://` (in the clear, gRPC for instance), `unix:/path`.",
        "proxy = [\"http://10.0.0.5:3000\", \"http://10.0.0.6:3000\"]",
    ),
    Key::new("app", Kind::Text(&NAME), "", "Pass requests on to an app of this file.", "app = \"blog\""),
    Key::new(
        "redirect",
        Kind::Either(&[Kind::Text(&TEMPLATE), Kind::Table(&REDIRECT)]),
        "",
        "Send visitors elsewhere (302). `{scheme}`, `{host}`, `{path}`, `{uri}`, `{?query}`, `{1}` … stand for parts of the request.",
        "redirect = \"https://new.example.com{uri}\"",
    ),
    Key::new(
        "respond",
        Kind::Either(&[Kind::Text(&TEXT), Kind::Integer(200, 599), Kind::Table(&RESPOND)]),
        "",
        "Answer with a text, or with a status.",
        "respond = \"pong\"",
    ),
    Key::new(
        "maintenance",
        Kind::Either(&[Kind::Bool, Kind::Text(&TEXT), Kind::Table(&MAINTENANCE)]),
        "false",
        "Answer 503 with a page that says so. On a site, before all its routes.",
        "maintenance = \"Back at noon.\"",
    ),
    Key::new(
        "spa",
        Kind::Bool,
        "false",
        "With `root`: paths that do not exist are answered with `/index.html` (single-page applications).",
        "spa = true",
    ),
    Key::new(
        "listing",
        Kind::Bool,
        "false",
        "With `root`: folders without an index page are listed.",
        "listing = true",
    ),
    Key::new(
        "hidden",
        Kind::Bool,
        "false",
        "With `root`: dotfiles, private keys and databases are served too.",
        "hidden = true",
    ),
    Key::new(
        "upload",
        Kind::Either(&[Kind::Bool, Kind::Word(&["only"]), Kind::Table(&UPLOAD)]),
        "false",
        "With `root`: visitors may add files, never replace any; `only` lets them add and see nothing.",
        "upload = \"only\"",
    ),
];

const REDIRECT: Shape = Shape {
    name: "redirect",
    about: "A redirect with its status.",
    keys: &[&[
        Key::required("to", Kind::Text(&TEMPLATE), "Where to.", "to = \"/new/{1}\""),
        Key::new("status", Kind::Integer(301, 308), "302", "301, 302, 303, 307 or 308.", "status = 301"),
    ]],
};

const RESPOND: Shape = Shape {
    name: "respond",
    about: "A fixed answer.",
    keys: &[&[
        Key::new("status", Kind::Integer(200, 599), "200", "The status.", "status = 410"),
        Key::new(
            "content_type",
            Kind::Text(&TEXT),
            "\"text/plain; charset=utf-8\"",
            "The type of the body.",
            "content_type = \"text/html; charset=utf-8\"",
        ),
        Key::new("body", Kind::Text(&TEXT), "empty", "The body.", "body = \"gone\""),
    ]],
};

const MAINTENANCE: Shape = Shape {
    name: "maintenance",
    about: "A page that says when it is over.",
    keys: &[&[
        Key::new(
            "message",
            Kind::Text(&TEXT),
            "a text of doorstep's own",
            "For people.",
            "message = \"Back at noon.\"",
        ),
        Key::new("retry_after", Kind::Text(&POSITIVE), "\"5m\"", "When to try again.", "retry_after = \"1h\""),
    ]],
};

const UPLOAD: Shape = Shape {
    name: "upload",
    about: "How files may be added.",
    keys: &[&[
        Key::new("only", Kind::Bool, "false", "Visitors add files and see nothing.", "only = true"),
        Key::new("max", Kind::Text(&SIZE), "", "The largest file.", "max = \"1GB\""),
    ]],
};
