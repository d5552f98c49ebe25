//! What the file may say: one description, from which come the check of every key and type, the JSON Schema and the
//! reference.

mod app;
mod daemon;
mod filters;
pub(crate) mod format;
mod guards;
mod pool;
mod public;
mod relay;
mod route;
mod site;
mod tunnel;

use format::Format;

/// What a value may be.
pub(crate) enum Kind {
    /// A text in which `${VARIABLES}` are filled in.
    Text(&'static Format),
    /// For a shell, which fills in variables by itself.
    Shell,
    /// As [`Kind::Text`], or `file:PATH`; never shown.
    Secret(&'static Format),
    Bool,
    /// Bounds, both inclusive.
    Integer(i64, i64),
    Word(&'static [&'static str]),
    List(&'static Kind),
    /// One, or a list.
    Many(&'static Kind),
    Table(&'static Shape),
    /// A table whose keys are names.
    Map {
        /// What stands for a key in the reference.
        key: &'static str,
        names: &'static Format,
        value: &'static Kind,
    },
    /// The first that fits the type of the value.
    Either(&'static [Kind]),
}

impl Kind {
    /// Whether a value of this kind may have a secret in it.
    pub(crate) fn has_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Many(kind) | Self::List(kind) => kind.has_secret(),
            Self::Map { value, .. } => value.has_secret(),
            Self::Either(kinds) => kinds.iter().any(Self::has_secret),
            Self::Table(shape) => shape.keys().any(|key| key.kind.has_secret()),
            Self::Text(_) | Self::Shell | Self::Bool | Self::Integer(..) | Self::Word(_) => false,
        }
    }
}

/// A table with certain keys.
pub(crate) struct Shape {
    /// Unique; names its definition in the schema.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Keys in groups, of which some belong to several shapes.
    pub(crate) keys: &'static [&'static [Key]],
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What holds without it, in words. Empty: nothing.
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
    /// A line of TOML.
    pub(crate) example: &'static str,
    pub(crate) required: bool,
}

impl Key {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        about: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, kind, default, about, example, required: false }
    }

    const fn required(name: &'static str, kind: Kind, about: &'static str, example: &'static str) -> Self {
        Self { name, kind, default: "", about, example, required: true }
    }
}

impl Shape {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().flatten()
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// The whole file.
pub(crate) const FILE: Shape = Shape { name: "file", about: "The file itself.", keys: &[TOP, daemon::ISSUANCE] };

/// The table of a site; others by their names.
pub(crate) fn site() -> &'static Shape {
    &site::SITE
}

pub(crate) fn route() -> &'static Shape {
    &route::ROUTE
}

pub(crate) fn app() -> &'static Shape {
    &app::APP
}

pub(crate) fn job() -> &'static Shape {
    &app::JOB
}

pub(crate) fn daemon() -> &'static Shape {
    &daemon::DAEMON
}

pub(crate) fn relay() -> &'static Shape {
    &relay::RELAY
}

pub(crate) fn tunnel() -> &'static Shape {
    &tunnel::TUNNEL
}

pub(crate) fn public() -> &'static Shape {
    &public::PUBLIC
}

pub(crate) fn listen() -> &'static Shape {
    &daemon::LISTEN
}

/// A file that another includes: whatever the file itself may say, except for further files.
const TOP: &[Key] = &[
    Key::new(
        "include",
        Kind::Many(&Kind::Text(&format::PATH)),
        "",
        "Further files, relative to this one; `*` and `?` in the last part of a path stand for any name. What they say counts as if it stood here; \
         paths in them start at their own folder, and they include no others.",
        "include = [\"sites/*.toml\"]",
    ),
    Key::new(
        "site",
        Kind::Map { key: "NAME", names: &format::SITE, value: &Kind::Table(&site::SITE) },
        "",
        "Sites by host name. `*.example.com` answers names beneath that have no site of their own, `default` whatever no other site answers.",
        "site.\"example.com\".root = \"public\"",
    ),
    Key::new(
        "app",
        Kind::Map { key: "NAME", names: &format::NAME, value: &Kind::Table(&app::APP) },
        "",
        "Programs that doorstep starts and keeps running, by a name of your choice.",
        "app.blog.run = \"node server.js\"",
    ),
    Key::new(
        "job",
        Kind::Map { key: "NAME", names: &format::NAME, value: &Kind::Table(&app::JOB) },
        "",
        "Programs that run at certain times, by a name of your choice.",
        "job.backup = { run = \"./backup.sh\", every = \"1d\" }",
    ),
    Key::new(
        "listen",
        Kind::Table(&daemon::LISTEN),
        "ports 80 and 443, without the right to these 8080 and 8443",
        "Where doorstep listens.",
        "listen = { http = \":8080\", https = \":8443\" }",
    ),
    Key::new(
        "relay",
        Kind::Table(&relay::RELAY),
        "",
        "Lend a public address to computers that have none.",
        "relay = { domain = \"tun.example.com\" }",
    ),
    Key::new(
        "tunnel",
        Kind::Table(&tunnel::TUNNEL),
        "",
        "Borrow a public address for the sites, and for ports.",
        "tunnel = { via = \"tun.example.com\" }",
    ),
    Key::new(
        "public",
        Kind::Table(&public::PUBLIC),
        "",
        "Straight from the internet to this computer: ports of the router, names that follow its address.",
        "public = { map = true }",
    ),
    Key::new("daemon", Kind::Table(&daemon::DAEMON), "", "doorstep itself.", "daemon = { workers = 2 }"),
    Key::new("log", Kind::Table(&daemon::LOG), "", "The access log.", "log = { access = \"stdout\" }"),
];
