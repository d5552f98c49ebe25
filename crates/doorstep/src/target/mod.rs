//! What is to be shared: from a word on the command line to an [`Action`].

mod app;
mod path;
pub mod raw;
mod spool;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use doorstep_model::{Action, Finding, Proxy, Upstream};

use crate::args::ShareArgs;
use crate::exit::{Code, Failure};
use crate::screen::Kind;

/// What is shared, resolved and looked at.
#[derive(Debug)]
pub struct Target {
    /// As given on the command line.
    pub given: String,
    pub kind: Kind,
    /// For a person: `./photos`, `http://127.0.0.1:8000`.
    pub title: String,
    /// More about it, such as a size; may be empty.
    pub detail: String,
    pub action: Action,
    /// Worth telling, but no reason not to share.
    pub findings: Vec<Finding>,
    /// Keeps what was read from standard input alive: it has no name any more.
    pub spool: Option<File>,
}

impl Target {
    /// What it is remembered by: the same for the same target, whatever it is called.
    pub fn identity(&self) -> String {
        match &self.action {
            Action::Folder { root: path, .. } | Action::File { path, .. } => path.display().to_string(),
            Action::Proxy(proxy) => format!("{}{}", proxy.upstream.authority, proxy.upstream.base_path),
            _ => self.given.clone(),
        }
    }
}

/// What the word stands for, before anything is touched.
#[derive(Debug, PartialEq, Eq)]
enum Reading<'a> {
    Stdin,
    Path(&'a Path),
    App(Upstream),
}

/// Finds out what `TARGET` is, and whether it can be shared.
///
/// # Errors
/// [`Code::Usage`] for what makes no sense, [`Code::Target`] for what cannot be read.
pub fn resolve(args: &ShareArgs) -> Result<Target, Failure> {
    let word = args.target.as_deref().unwrap_or(OsStr::new("."));
    match read(word)? {
        Reading::Stdin => spool::target(args),
        Reading::Path(path) => path::target(path, args),
        Reading::App(mut upstream) => {
            upstream.insecure = args.insecure_upstream;
            if upstream.insecure && !upstream.tls {
                return Err(Failure::new(Code::Usage, "--insecure-upstream is for targets that start with https://"));
            }
            let (title, findings) = app::look(&upstream);
            Ok(Target {
                given: word.to_string_lossy().into_owned(),
                kind: Kind::App,
                title,
                detail: String::new(),
                action: Action::Proxy(Proxy { upstream, keep_host: args.keep_host }),
                findings,
                spool: None,
            })
        }
    }
}

/// Reads the word by its shape; only when that leaves a choice does it matter whether a file of that name exists.
fn read(word: &OsStr) -> Result<Reading<'_>, Failure> {
    let path = Path::new(word);
    let Some(text) = word.to_str() else { return Ok(Reading::Path(path)) };
    if text.is_empty() {
        return Err(Failure::new(Code::Usage, "the target is empty").fix("Leave it out to share this folder."));
    }
    if text == "-" {
        return Ok(Reading::Stdin);
    }
    if let Some(socket) = text.strip_prefix("unix:") {
        return app::unix(socket).map(Reading::App);
    }
    if text.contains("://") {
        return app::url(text).map(Reading::App);
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(port) = Some(text.strip_prefix(':').unwrap_or(text)).filter(|port| digits(port)) {
        return app::port(port).map(Reading::App);
    }
    if text.contains('/') || path.exists() {
        return Ok(Reading::Path(path));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if digits(port) => app::host_port(host, port).map(Reading::App),
        _ => Ok(Reading::Path(path)),
    }
}

/// A path as it is shown: with `./` before what could be taken for something else.
fn shown(path: &Path) -> String {
    let text = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    let text = if text.len() > 1 { text.trim_end_matches('/').to_owned() } else { text };
    if text.starts_with(['/', '.']) { text } else { format!("./{text}") }
}

#[cfg(test)]
mod tests {
    use doorstep_model::UpstreamAddr;

    use super::*;

    fn app(word: &str) -> (UpstreamAddr, String, bool, String) {
        match read(OsStr::new(word)) {
            Ok(Reading::App(upstream)) => (upstream.addr, upstream.authority, upstream.tls, upstream.base_path),
            other => panic!("{word}: {other:?}"),
        }
    }

    fn tcp(host: &str, port: u16) -> UpstreamAddr {
        UpstreamAddr::Tcp { host: host.into(), port }
    }

    #[test]
    fn reads_apps_by_their_shape() {
        for (word, addr, authority, tls, base) in [
            ("8000", tcp("localhost", 8000), "localhost:8000", false, ""),
            (":8000", tcp("localhost", 8000), "localhost:8000", false, ""),
            ("127.0.0.1:8000", tcp("127.0.0.1", 8000), "127.0.0.1:8000", false, ""),
            ("nas.local:81", tcp("nas.local", 81), "nas.local:81", false, ""),
            ("[::1]:8000", tcp("::1", 8000), "[::1]:8000", false, ""),
            ("http://localhost:3000", tcp("localhost", 3000), "localhost:3000", false, ""),
            ("http://localhost:3000/app/", tcp("localhost", 3000), "localhost:3000", false, "/app"),
            ("https://Example.com", tcp("example.com", 443), "example.com", true, ""),
            ("http://example.com:80/", tcp("example.com", 80), "example.com", false, ""),
            ("http://[::1]", tcp("::1", 80), "[::1]", false, ""),
            ("unix:/run/app.sock", UpstreamAddr::Unix("/run/app.sock".into()), "localhost", false, ""),
        ] {
            assert_eq!(app(word), (addr, authority.to_owned(), tls, base.to_owned()), "{word}");
        }
    }

    #[test]
    fn reads_paths() {
        for word in ["photos", "./8000", "/tmp", "photos/2026", "a:b", ":", "no.such.file", "~"] {
            assert!(matches!(read(OsStr::new(word)), Ok(Reading::Path(_))), "{word}");
        }
        assert_eq!(read(OsStr::new("-")), Ok(Reading::Stdin));
        assert!(matches!(read(OsStr::from_bytes(b"\xff\xfe")), Ok(Reading::Path(_))));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (word, reason) in [
            ("", "empty"),
            ("0", "ports go from 1 to 65535"),
            ("70000", "ports go from 1 to 65535"),
            (":99999999999999999999999", "ports go from 1 to 65535"),
            ("localhost:70000", "ports go from 1 to 65535"),
            ("ftp://example.com", "http:// or https://"),
            ("file:///tmp/x", "doorstep share /tmp/x"),
            ("http://", "no host"),
            ("http://:80", "no host"),
            ("http://a b/", "cannot stand in a URL"),
            ("http://user:secret@example.com", "a user name"),
            ("http://example.com:port/", "ports go from 1 to 65535"),
            ("http://example.com/?q=1", "query"),
            ("http://example.com/#top", "query"),
            ("http://[::1/", "bracket"),
            ("http://exa_mple..com/", "host"),
            ("unix:", "path"),
        ] {
            let failure = read(OsStr::new(word)).unwrap_err();
            assert_eq!(failure.code, Code::Usage, "{word}");
            assert!(failure.to_string().contains(reason), "{word}: {failure}");
        }
        let failure = read(OsStr::new("http://user:secret@example.com")).unwrap_err();
        assert!(!failure.to_string().contains("secret"));
    }

    #[test]
    fn paths_are_shown_so_that_they_read_as_paths() {
        assert_eq!(shown(Path::new("photos/")), "./photos");
        assert_eq!(shown(Path::new(".")), ".");
        assert_eq!(shown(Path::new("/")), "/");
        assert_eq!(shown(Path::new("../x")), "../x");
    }
}
