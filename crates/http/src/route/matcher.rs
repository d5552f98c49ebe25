use doorstep_model::{FieldMatcher, Matcher, PathMatcher, ValueMatcher};
use http::Method;
use http::header::HeaderName;
use percent_encoding::percent_decode;
use regex::Regex;

use super::{RouteError, glob};
use crate::captures::GroupNames;
use crate::{Captures, Request};

/// A [`Matcher`] made ready: patterns compiled, names parsed.
pub(super) struct Compiled {
    path: Path,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Value)>,
    query: Vec<(String, Value)>,
}

enum Path {
    Any,
    Exact(String),
    Prefix(String),
    Pattern { regex: Regex, names: GroupNames },
}

enum Value {
    Present,
    Absent,
    Is(String),
    Pattern(Regex),
}

impl Compiled {
    pub(super) fn new(matcher: &Matcher) -> Result<Self, RouteError> {
        let path = match &matcher.path {
            PathMatcher::Any => Path::Any,
            PathMatcher::Prefix(prefix) if prefix.trim_end_matches('/').is_empty() => Path::Any,
            PathMatcher::Exact(path) => Path::Exact(path.clone()),
            PathMatcher::Prefix(prefix) => Path::Prefix(prefix.trim_end_matches('/').to_owned()),
            PathMatcher::Glob(text) => pattern(&glob::to_regex(text))?,
            PathMatcher::Regex(text) => pattern(text)?,
        };
        let methods = matcher
            .methods
            .iter()
            .map(|method| Method::from_bytes(method.as_bytes()).map_err(|_| RouteError::Method(method.clone())));
        let headers = matcher.headers.iter().map(|field| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| RouteError::Field(field.name.clone()));
            Ok((name?, Value::new(field)?))
        });
        let query = matcher.query.iter().map(|field| Ok((field.name.clone(), Value::new(field)?)));
        Ok(Self {
            path,
            methods: methods.collect::<Result<_, _>>()?,
            headers: headers.collect::<Result<_, RouteError>>()?,
            query: query.collect::<Result<_, RouteError>>()?,
        })
    }

    /// The captures of the request's path if everything holds.
    pub(super) fn find(&self, request: &Request) -> Option<Captures> {
        let others = self.has_method(&request.method)
            && self.headers.iter().all(|(name, value)| value.holds_for_header(request, name))
            && self.query.iter().all(|(name, value)| value.holds_for_query(request, name));
        if !others {
            return None;
        }
        let path = request.path.as_str();
        let holds = match &self.path {
            Path::Any => true,
            Path::Exact(exact) => path == exact,
            Path::Prefix(prefix) => {
                path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Path::Pattern { regex, .. } if regex.captures_len() == 1 => regex.is_match(path),
            Path::Pattern { regex, names } => return Some(Captures::of(&regex.captures(path)?, names)),
        };
        holds.then(Captures::default)
    }

    fn has_method(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}

impl Value {
    fn new(field: &FieldMatcher) -> Result<Self, RouteError> {
        Ok(match &field.value {
            ValueMatcher::Present => Self::Present,
            ValueMatcher::Absent => Self::Absent,
            ValueMatcher::Is(text) => Self::Is(text.clone()),
            ValueMatcher::Regex(text) => Self::Pattern(anchored(text)?),
        })
    }

    fn holds_for_header(&self, request: &Request, name: &HeaderName) -> bool {
        let mut values = request.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Is(text) => values.any(|value| value == *text),
            Self::Pattern(regex) => values.any(|value| regex.is_match(&value)),
        }
    }

    fn holds_for_query(&self, request: &Request, name: &str) -> bool {
        let pairs = request.target.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        });
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Is(text) => values.any(|value| value == *text),
            Self::Pattern(regex) => values.any(|value| regex.is_match(&value)),
        }
    }
}

/// A form's way of writing text (URL standard, "application/x-www-form-urlencoded").
fn decode(text: &str) -> String {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

fn pattern(text: &str) -> Result<Path, RouteError> {
    let regex = anchored(text)?;
    Ok(Path::Pattern { names: GroupNames::of(&regex), regex })
}

/// Compiles `text` so that it stands for whole texts only. `.` is any character, also a line feed: by `%0A` in a path nobody
/// gets past `/admin/.*`.
///
/// # Errors
/// [`RouteError::Pattern`].
pub fn anchored(text: &str) -> Result<Regex, RouteError> {
    let failed = |error| RouteError::Pattern(text.to_owned(), Box::new(error));
    // By itself first: brackets that do not match must not be mended by ours.
    Regex::new(text).map_err(failed)?;
    Regex::new(&format!("(?s)^(?:{text})$")).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(matcher: &Matcher, request: &Request) -> bool {
        Compiled::new(matcher).unwrap().find(request).is_some()
    }

    fn field(name: &str, value: ValueMatcher) -> Vec<FieldMatcher> {
        vec![FieldMatcher { name: name.to_owned(), value }]
    }

    #[test]
    fn paths() {
        let exact = PathMatcher::Exact("/a".to_owned());
        let prefix = PathMatcher::Prefix("/api".to_owned());
        let root = PathMatcher::Prefix("/".to_owned());
        let regex = PathMatcher::Regex("/p/[0-9]+|/q".to_owned());
        let glob = PathMatcher::Glob("/*.css".to_owned());
        for (path, target, expected) in [
            (&exact, "/a", true),
            (&exact, "/a/", false),
            (&exact, "/%61?x", true),
            (&prefix, "/api", true),
            (&prefix, "/api/x", true),
            (&prefix, "/apix", false),
            (&prefix, "/", false),
            (&root, "/anything", true),
            (&regex, "/p/1", true),
            (&regex, "/p/1/x", false),
            (&regex, "/x/q", false),
            (&regex, "/q", true),
            (&glob, "/a.css", true),
        ] {
            let matcher = Matcher { path: path.clone(), ..Matcher::default() };
            assert_eq!(finds(&matcher, &Request::get(target)), expected, "{path:?} {target}");
        }
    }

    #[test]
    fn methods_headers_and_query() {
        let get = Matcher { methods: vec!["GET".to_owned()], ..Matcher::default() };
        let mut request = Request::get("/?a=1&b=x%20y&c");
        request.headers.insert("x-kind", http::HeaderValue::from_static("blue"));
        assert!(finds(&get, &request));
        request.method = Method::HEAD;
        assert!(finds(&get, &request));
        request.method = Method::POST;
        assert!(!finds(&get, &request));
        for (headers, expected) in [
            (field("x-kind", ValueMatcher::Present), true),
            (field("x-kind", ValueMatcher::Absent), false),
            (field("x-other", ValueMatcher::Absent), true),
            (field("x-kind", ValueMatcher::Is("blue".to_owned())), true),
            (field("x-kind", ValueMatcher::Is("blu".to_owned())), false),
            (field("x-kind", ValueMatcher::Regex("bl.*".to_owned())), true),
            (field("x-kind", ValueMatcher::Regex("l".to_owned())), false),
        ] {
            assert_eq!(
                finds(&Matcher { headers: headers.clone(), ..Matcher::default() }, &request),
                expected,
                "{headers:?}"
            );
        }
        for (query, expected) in [
            (field("b", ValueMatcher::Is("x y".to_owned())), true),
            (field("c", ValueMatcher::Present), true),
            (field("d", ValueMatcher::Present), false),
            (field("d", ValueMatcher::Absent), true),
            (field("a", ValueMatcher::Regex("[0-9]".to_owned())), true),
        ] {
            assert_eq!(finds(&Matcher { query: query.clone(), ..Matcher::default() }, &request), expected, "{query:?}");
        }
    }

    #[test]
    fn whole_texts_only() {
        let regex = anchored("a|b").unwrap();
        assert!(regex.is_match("b") && !regex.is_match("ab") && !regex.is_match("b\n"));
        assert!(anchored("/a/.*").unwrap().is_match("/a/b\nc"));
        assert!(anchored("a)|(?:b").is_err());
    }
}
