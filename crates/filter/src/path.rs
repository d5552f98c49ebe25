//! Another path for the request. `target`, which apps are asked for, and `path`, which decides about access and files,
//! always stay two ways to write the same.

use doorstep_http::{Captures, GroupNames, Place, Request, RouteError, Template, anchored, path};
use doorstep_model::spec;
use http::Uri;
use http::header::{self, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use regex::Regex;

/// What may not stand in a path as it is.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Tells the app what was taken off the front of its path.
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Takes a prefix off, and puts it back where the app redirects.
pub(crate) struct Prefix(String);

impl Prefix {
    /// `None` for a prefix that is empty.
    pub(crate) fn new(prefix: &str) -> Option<Self> {
        let canonical = path::canonical(&format!("/{}", utf8_percent_encode(prefix, PATH)))?;
        let trimmed = canonical.trim_matches('/');
        (!trimmed.is_empty()).then(|| Self(format!("/{trimmed}")))
    }

    /// Whether the request's path lay beneath the prefix, which is gone now.
    pub(crate) fn strip(&self, request: &mut Request) -> bool {
        let Some(rest) = beneath(&request.path, &self.0) else { return false };
        let rest = if rest.is_empty() { "/" } else { rest }.to_owned();
        // As the client wrote it, if it wrote the prefix plainly; else in our own spelling.
        let raw = request.target.path().strip_prefix(self.0.as_str()).map(|raw| if raw.is_empty() { "/" } else { raw });
        let raw = raw.filter(|raw| raw.starts_with('/') && !raw.starts_with("//"));
        let raw = raw.filter(|raw| path::canonical(raw).is_some_and(|canonical| canonical == rest)).map(str::to_owned);
        let raw = raw.unwrap_or_else(|| utf8_percent_encode(&rest, PATH).to_string());
        let Some(target) = with_query(&raw, request.target.query()) else { return false };
        request.target = target;
        request.path = rest;
        let before = request.vouched.headers.get(&X_FORWARDED_PREFIX).and_then(|value| value.to_str().ok());
        let prefix = format!("{}{}", before.unwrap_or_default(), utf8_percent_encode(&self.0, PATH));
        if let Ok(value) = HeaderValue::from_str(&prefix) {
            request.vouched.set(X_FORWARDED_PREFIX, value);
        }
        true
    }

    /// Puts the prefix back into a `Location` on this site, unless the app knows of it and did so itself.
    pub(crate) fn restore(&self, headers: &mut http::HeaderMap, own_origin: &str) {
        let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) else { return };
        let (origin, target) = match location.strip_prefix(own_origin) {
            Some(target) if target.starts_with('/') => (own_origin, target),
            _ => ("", location),
        };
        let prefix = utf8_percent_encode(&self.0, PATH).to_string();
        let elsewhere = !target.starts_with('/') || target.starts_with("//") || target.starts_with("/\\");
        let path = target.split(['?', '#']).next().unwrap_or_default();
        if elsewhere || beneath(path, &prefix).is_some() {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&format!("{origin}{prefix}{target}")) {
            headers.insert(header::LOCATION, value);
        }
    }
}

/// What follows `prefix`, by whole segments.
fn beneath<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// One rewrite.
pub(crate) struct Rewrite {
    from: Regex,
    names: GroupNames,
    to: Template,
}

/// The new path would lead out of the site, or is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Rewrite {
    pub(crate) fn new(rewrite: &spec::Rewrite) -> Result<Self, RouteError> {
        let from = anchored(&rewrite.from)?;
        Ok(Self { names: GroupNames::of(&from), from, to: Template::compile(&rewrite.to)? })
    }

    /// Whether it applied. A template with a `?` decides the query too; else the client's stays.
    pub(crate) fn apply(&self, request: &mut Request) -> Result<bool, Malformed> {
        let Some(found) = self.from.captures(&request.path) else { return Ok(false) };
        let filled = self.to.fill_with(request, &Captures::of(&found, &self.names), Place::Url);
        let filled = filled.split('#').next().unwrap_or_default();
        let (raw, query) = match filled.split_once('?') {
            Some((raw, query)) => (raw, (!query.is_empty()).then_some(query)),
            None => (filled, request.target.query()),
        };
        let raw = if raw.starts_with('/') { raw.to_owned() } else { format!("/{raw}") };
        let path = path::canonical(&raw).ok_or(Malformed)?;
        request.target = with_query(&raw, query).ok_or(Malformed)?;
        request.path = path;
        Ok(true)
    }
}

fn with_query(path: &str, query: Option<&str>) -> Option<Uri> {
    let text = query.map(|query| format!("{path}?{query}"));
    let target: Uri = text.as_deref().unwrap_or(path).parse().ok()?;
    // What looks like an authority would not be a path any more.
    (target.path() == path && target.authority().is_none()).then_some(target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped(prefix: &str, target: &str) -> Option<(String, String)> {
        let mut request = Request::get(target);
        let prefix = Prefix::new(prefix).unwrap();
        prefix.strip(&mut request).then(|| (request.target.to_string(), request.path.clone()))
    }

    fn rewrite(from: &str, to: &str) -> Rewrite {
        Rewrite::new(&spec::Rewrite { from: from.to_owned(), to: spec::Template(to.to_owned()) }).unwrap()
    }

    #[test]
    fn prefixes() {
        for (target, expected) in [
            ("/api/x?y", Some(("/x?y", "/x"))),
            ("/api", Some(("/", "/"))),
            ("/api?y", Some(("/?y", "/"))),
            ("/api/", Some(("/", "/"))),
            ("/api/a%2Fb%20c", Some(("/a%2Fb%20c", "/a/b c"))),
            ("/api//evil.example", Some(("/evil.example", "/evil.example"))),
            ("/%61pi/x%20y", Some(("/x%20y", "/x y"))),
            ("//api/x", Some(("/x", "/x"))),
            ("/api%2Fx", Some(("/x", "/x"))),
            ("/apix", None),
            ("/", None),
        ] {
            let expected = expected.map(|(target, path)| (target.to_owned(), path.to_owned()));
            assert_eq!(stripped("/api/", target), expected, "{target}");
        }
        assert!(Prefix::new("/").is_none());
        let mut request = Request::get("/a/b/c");
        assert!(Prefix::new("/a").unwrap().strip(&mut request) && Prefix::new("b").unwrap().strip(&mut request));
        assert_eq!(request.vouched.headers[X_FORWARDED_PREFIX], "/a/b");
    }

    #[test]
    fn redirects_of_the_app_get_the_prefix_back() {
        let prefix = Prefix::new("/my app").unwrap();
        for (location, expected) in [
            ("/login?next=/", "/my%20app/login?next=/"),
            ("http://a.example/login", "http://a.example/my%20app/login"),
            ("/my%20app/login", "/my%20app/login"),
            ("http://a.example.evil/login", "http://a.example.evil/login"),
            ("//other.example/", "//other.example/"),
            ("login", "login"),
            ("https://other.example/x", "https://other.example/x"),
        ] {
            let mut headers = http::HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_static(location));
            prefix.restore(&mut headers, "http://a.example");
            assert_eq!(headers[header::LOCATION], expected, "{location}");
        }
    }

    #[test]
    fn rewrites() {
        for (from, to, target, expected) in [
            ("/old/(.*)", "/new/{1}", "/old/a%20b?x", Some("/new/a%20b?x")),
            ("/old/(.*)", "/new?p={1}&q={query}", "/old/a%26b?x=1", Some("/new?p=a%26b&q=x=1")),
            ("/(?P<id>[0-9]+)", "/item/{id}?", "/7?x", Some("/item/7")),
            ("/.*", "/index.php{?query}", "/a?b", Some("/index.php?b")),
            ("/.*", "plain", "/a", Some("/plain")),
            ("/x", "/y", "/xx", None),
        ] {
            let mut request = Request::get(target);
            let applied = rewrite(from, to).apply(&mut request).unwrap();
            assert_eq!(applied.then(|| request.target.to_string()).as_deref(), expected, "{from} {to} {target}");
        }
        let mut request = Request::get("/x.");
        assert_eq!(rewrite("/x(.)", "/a/.{1}/b").apply(&mut request), Err(Malformed));
        assert_eq!(request.path, "/x.");
    }

    proptest! {
        #[test]
        fn target_and_path_stay_the_same_thing(
            target in "(/api|/%61pi|//api|/./api|/ap)?(/[a-z%0-9A-F./;=:@ü]{0,6}){0,4}(\\?[a-z=&]{0,4})?",
            to in "/?[a-z./]{0,6}(\\{1\\})?[a-z./?]{0,4}",
        ) {
            let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
            let Some(canonical) = path::canonical(uri.path()) else { return Ok(()) };
            let request = || {
                let mut request = Request::get("/");
                (request.target, request.path) = (uri.clone(), canonical.clone());
                request
            };
            let mut stripped = request();
            Prefix::new("/api").unwrap().strip(&mut stripped);
            let mut rewritten = request();
            let _ = rewrite("/(?s:(.*))", &to).apply(&mut rewritten);
            for request in [stripped, rewritten] {
                prop_assert_eq!(path::canonical(request.target.path()), Some(request.path.clone()));
                prop_assert!(request.target.authority().is_none() && request.path.starts_with('/'));
            }
        }
    }
}
