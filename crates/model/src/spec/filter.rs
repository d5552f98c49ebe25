use std::path::PathBuf;
use std::time::Duration;

use super::Template;

/// What is altered in requests on their way in and in responses on their way out. In: `max_body`, `cors` (which answers
/// preflights), `strip_prefix`, `rewrite`, `request_headers`. Out: `error_pages`, `compression`, `cors`, `hsts`,
/// `response_headers`, which have the last word. The default alters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The largest request body in bytes; more is 413.
    pub max_body: Option<u64>,
    pub cors: Option<CorsPolicy>,
    /// Taken off the front of the path before the action sees it. By whole segments. The app finds it in
    /// `X-Forwarded-Prefix`, and gets it back in a `Location` that does not have it.
    pub strip_prefix: Option<String>,
    /// Applied after [`Filters::strip_prefix`]; the first that matches, and no other.
    pub rewrite: Vec<Rewrite>,
    pub request_headers: Vec<HeaderEdit>,
    pub response_headers: Vec<HeaderEdit>,
    pub hsts: Option<Hsts>,
    pub compression: Option<Compression>,
    /// Replace the body of an upstream's error, or of doorstep's own; first match.
    pub error_pages: Vec<ErrorPage>,
}

/// One change of header fields. Names are lower case and valid, and none that frame the message or belong to the
/// connection (`Host`, `Content-Length`, `Connection`, …).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    Set(String, Template),
    Add(String, Template),
    Remove(String),
    /// Set only where the field is absent.
    Default(String, Template),
}

/// Gives the request another path, and query if the template has a `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Anchored at both ends, on the canonical path.
    pub from: String,
    /// Captures of `from` are `{1}` … and `{name}`.
    pub to: Template,
}

/// `Strict-Transport-Security` (RFC 6797), sent over TLS only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsts {
    pub max_age: Duration,
    pub include_subdomains: bool,
    pub preload: bool,
}

/// Content codings offered for responses that an upstream sent uncompressed, in order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// `zstd`, `br`, `gzip`.
    pub codings: Vec<String>,
    /// Bodies known to be shorter are left alone.
    pub min_bytes: u64,
}

/// Cross-origin resource sharing (Fetch standard, "CORS protocol").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsPolicy {
    /// Origins such as `https://app.example.com`; `*` is everybody, then without credentials.
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub expose: Vec<String>,
    pub credentials: bool,
    pub max_age: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// Statuses, such as 404, or a whole class by its first digit, such as 5; 4 leaves 401 out, whose page may be a form to
    /// log in with.
    pub statuses: Vec<u16>,
    /// An HTML file, read when the configuration is loaded.
    pub file: PathBuf,
    pub html: String,
}
