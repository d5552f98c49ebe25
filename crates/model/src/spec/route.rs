use std::path::PathBuf;

use super::{AppName, Filters, Guards, Pool, Upstream};

#[derive(Clone, Debug)]
pub struct Route {
    pub matcher: Matcher,
    pub action: Action,
    /// Inside the site's own: a request passes both.
    pub guards: Guards,
    /// Inside the site's own.
    pub filters: Filters,
}

impl Route {
    /// A route without guards or filters of its own.
    pub fn new(matcher: Matcher, action: Action) -> Self {
        Self { matcher, action, guards: Guards::default(), filters: Filters::default() }
    }
}

/// A route's pure predicate on a request: every part must hold. The default matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    pub path: PathMatcher,
    /// Upper case; empty matches all. `GET` also matches `HEAD`.
    pub methods: Vec<String>,
    pub headers: Vec<FieldMatcher>,
    pub query: Vec<FieldMatcher>,
}

impl Matcher {
    /// Matches every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches the canonical path `prefix` and what lies beneath it.
    pub fn prefix(prefix: &str) -> Self {
        Self { path: PathMatcher::Prefix(prefix.to_owned()), ..Self::default() }
    }
}

/// Decides by the canonical (decoded) path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathMatcher {
    #[default]
    Any,
    Exact(String),
    /// The path is this or lies beneath it, by whole segments. Starts with `/`, has no trailing slash.
    Prefix(String),
    /// `*` matches within a segment, `**` across segments, `?` one character. A trailing `/*` matches everything beneath.
    Glob(String),
    /// Anchored at both ends. Valid for the `regex` crate.
    Regex(String),
}

/// A predicate on one header field (name in lower case) or one query parameter (decoded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatcher {
    pub name: String,
    pub value: ValueMatcher,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatcher {
    Present,
    Absent,
    Is(String),
    /// Anchored at both ends.
    Regex(String),
}

/// What a route does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Serve the folder `root`.
    Folder {
        root: PathBuf,
        options: FileOptions,
    },
    /// Serve one file under its own name, and a small page at `/` that offers it.
    File {
        path: PathBuf,
        options: FileOptions,
    },
    /// Serve what was read from standard input, spooled at `spool`, under `name`.
    Spool {
        spool: PathBuf,
        name: String,
    },
    /// Pass the request to one app that somebody else runs (`doorstep share 8000`).
    Proxy(Proxy),
    /// Pass the request to one of several upstreams.
    Pool(Pool),
    /// Pass the request to an instance of an app that doorstep runs, static files of a framework served in front of it.
    App {
        app: AppName,
        pool: Pool,
    },
    Redirect(Redirect),
    Respond(Respond),
    Maintenance(Maintenance),
}

/// Sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    pub to: Template,
}

/// A text with `{…}` to be filled in from the request: `{scheme}`, `{host}` (without port), `{authority}` (with port),
/// `{path}` (as the client sent it), `{query}` (without `?`), `{?query}` (with `?`, or nothing), `{uri}` (path and query),
/// `{method}`, `{client}` (address), `{request_id}`, `{1}` … `{9}` (captures of the route's path: groups of a regex, or the
/// text that each `*` of a glob stood for), `{name}` (named groups). `{{` and `}}` are braces. Known to be well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub String);

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// A page that says when it is over: 503 with Retry-After.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// For people; empty has a text of doorstep's own.
    pub message: String,
    pub retry_after: std::time::Duration,
}

/// Options of the file service.
#[derive(Clone, Debug, Default)]
pub struct FileOptions {
    /// Answer paths that do not exist with `/index.html` (single-page applications).
    pub spa: bool,
    /// Let pages of any origin read the files (`Access-Control-Allow-Origin: *`).
    pub cors: bool,
    /// Serve dotfiles, private keys and databases too.
    pub hidden: bool,
    /// Folders without an index page are not listed (404).
    pub no_listing: bool,
    pub upload: UploadPolicy,
}

/// Whether visitors may add files. They can never replace one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UploadPolicy {
    #[default]
    Off,
    /// Visitors may add files and see what is there.
    Allowed { max_bytes: Option<u64> },
    /// Visitors may add files and see nothing.
    Only { max_bytes: Option<u64> },
}

/// A reverse proxy to one app.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub upstream: Upstream,
    /// Pass the visitor's `Host` on. Otherwise the app sees a host it accepts ([`Upstream::authority`]), and redirects
    /// and cookies are translated back to the visitor's address.
    pub keep_host: bool,
}
