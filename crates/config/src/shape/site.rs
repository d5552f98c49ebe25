use super::format::{HOST, PATH};
use super::{Key, Kind, Shape, filters, guards, pool, route, tunnel};

/// `[site."NAME"]`.
pub(super) const SITE: Shape = Shape {
    name: "site",
    about: "A site. What answers is said by one of `root`, `file`, `proxy`, `app`, `redirect`, `respond` and `maintenance`, \
            for everything that none of its routes takes.",
    keys: &[NAMES, route::ACTION, ROUTES, TLS, tunnel::SITE_KEY, guards::GUARDS, filters::FILTERS, pool::OPTIONS],
};

const NAMES: &[Key] = &[
    Key::new(
        "aliases",
        Kind::Many(&Kind::Text(&HOST)),
        "",
        "Further names. Visitors are redirected to the name above, unless `serve_aliases` is on.",
        "aliases = [\"www.example.com\"]",
    ),
    Key::new(
        "serve_aliases",
        Kind::Bool,
        "false",
        "Answer under the aliases as well instead of redirecting.",
        "serve_aliases = true",
    ),
    Key::new(
        "www",
        Kind::Bool,
        "false",
        "The name with `www.` in front is an alias. (For the other direction name the site `www.example.com` and let `example.com` be its alias.)",
        "www = true",
    ),
];

const ROUTES: &[Key] = &[Key::new(
    "route",
    Kind::List(&Kind::Table(&route::ROUTE)),
    "",
    "Rules for some of the requests; the first that matches, from top to bottom, answers.",
    "route = [{ path = \"/api/*\", proxy = \"http://10.0.0.5:3000\" }]",
)];

const TLS: &[Key] = &[
    Key::new(
        "https",
        Kind::Word(&["redirect", "optional"]),
        "\"redirect\"; \"optional\" for `default`",
        "What becomes of requests that come without TLS: redirected to `https:`, or answered as they are.",
        "https = \"optional\"",
    ),
    Key::new(
        "certificate",
        Kind::Either(&[Kind::Word(&["auto", "local", "none"]), Kind::Table(&CERTIFICATE)]),
        "\"auto\"; \"none\" for `default`",
        "Where the certificate comes from. `auto`: from a certificate authority, or for names that only this network knows from this computer's own; \
         `local`: from this computer's own in any case; `none`: no HTTPS; or your own files.",
        "certificate = { chain = \"cert.pem\", key = \"key.pem\" }",
    ),
    Key::new(
        "client_ca",
        Kind::Text(&PATH),
        "",
        "Only clients with a certificate that is signed by one of the authorities in this PEM file come in (mutual TLS).",
        "client_ca = \"staff-ca.pem\"",
    ),
    Key::new("access_log", Kind::Bool, "true", "Requests appear in the access log.", "access_log = false"),
];

pub(super) const CERTIFICATE: Shape = Shape {
    name: "certificate",
    about: "Your own certificate. The files are watched and read again when they change.",
    keys: &[&[
        Key::required(
            "chain",
            Kind::Text(&PATH),
            "The certificate and its intermediates, PEM.",
            "chain = \"fullchain.pem\"",
        ),
        Key::required("key", Kind::Text(&PATH), "Its private key, PEM.", "key = \"privkey.pem\""),
    ]],
};
