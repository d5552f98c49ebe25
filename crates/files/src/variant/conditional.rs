//! Preconditions (RFC 9110 section 13).

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method};

/// What tells one state of a representation from another.
#[derive(Clone, Debug)]
pub struct Validators {
    /// With its quotes, and `W/` where it is weak.
    pub etag: HeaderValue,
    /// In whole seconds; `None` where the file's time makes no sense as an HTTP date.
    pub modified: Option<SystemTime>,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    NotModified,
    Failed,
}

/// Evaluates them in the order of RFC 9110 section 13.2.2.
pub fn evaluate(method: &Method, headers: &HeaderMap, validators: &Validators) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        if !any_tag(headers, header::IF_MATCH, |tag| strong_match(tag, &validators.etag)) {
            return Verdict::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, header::IF_UNMODIFIED_SINCE), validators.modified)
        && modified > since
    {
        return Verdict::Failed;
    }
    let safe = *method == Method::GET || *method == Method::HEAD;
    if headers.contains_key(header::IF_NONE_MATCH) {
        if any_tag(headers, header::IF_NONE_MATCH, |tag| weak_match(tag, &validators.etag)) {
            return if safe { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if safe
        && let (Some(since), Some(modified)) = (date(headers, header::IF_MODIFIED_SINCE), validators.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a `Range` may be honoured: there is no `If-Range`, or it names exactly this state.
pub fn range_applies(headers: &HeaderMap, validators: &Validators, now: SystemTime) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else { return true };
    let condition = condition.as_bytes().trim_ascii();
    if condition.starts_with(b"\"") || condition.starts_with(b"W/") {
        return strong_match(condition, &validators.etag);
    }
    let Some(date) = std::str::from_utf8(condition).ok().and_then(|text| httpdate::parse_http_date(text).ok()) else {
        return false;
    };
    // A date is a strong validator only once its second has passed (RFC 9110 section 8.8.2.2).
    let settled = now.duration_since(date).is_ok_and(|age| age >= Duration::from_secs(1));
    settled && validators.modified == Some(date)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn any_tag(headers: &HeaderMap, name: HeaderName, matches: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|value| {
        let value = value.as_bytes();
        value.trim_ascii() == b"*" || tags(value).any(&matches)
    })
}

fn strong_match(tag: &[u8], own: &HeaderValue) -> bool {
    tag == own.as_bytes() && !tag.starts_with(b"W/")
}

fn weak_match(tag: &[u8], own: &HeaderValue) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag).to_owned();
    opaque(tag) == opaque(own.as_bytes())
}

/// The entity tags of a list; commas may stand inside of quotes. Ends where the list is malformed.
fn tags(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        list = &list[start..];
        let open = if list.starts_with(b"W/") { 2 } else { 0 };
        if list.get(open) != Some(&b'"') {
            return None;
        }
        let close = list[open + 1..].iter().position(|byte| *byte == b'"')? + open + 2;
        let (tag, rest) = list.split_at(close);
        list = rest;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn validators() -> Validators {
        let modified = Some(UNIX_EPOCH + Duration::from_secs(784_111_777));
        Validators { etag: HeaderValue::from_static("\"a,b\""), modified }
    }

    fn headers(list: &[(HeaderName, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn table() {
        use Verdict::{Failed, NotModified, Proceed};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        let cases: &[(&[(HeaderName, &'static str)], Verdict)] = &[
            (&[], Proceed),
            (&[(IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"a,b\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"x\", W/\"y\" ,\"a,b\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"a\"")], Proceed),
            (&[(IF_NONE_MATCH, "a,b")], Proceed),
            (&[(IF_NONE_MATCH, "\"")], Proceed),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, THEN)], Proceed),
            (&[(IF_MODIFIED_SINCE, THEN)], NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Proceed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (&[(IF_MATCH, "\"a,b\"")], Proceed),
            (&[(IF_MATCH, "*")], Proceed),
            (&[(IF_MATCH, "W/\"a,b\"")], Failed),
            (&[(IF_MATCH, "\"x\"")], Failed),
            (&[(IF_UNMODIFIED_SINCE, THEN)], Proceed),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            (&[(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, BEFORE)], Proceed),
            (&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")], Failed),
        ];
        for (list, expected) in cases {
            let mut all = HeaderMap::new();
            for (name, value) in *list {
                all.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(evaluate(&Method::GET, &all, &validators()), *expected, "{list:?}");
        }
    }

    #[test]
    fn if_range_wants_exactly_this_state() {
        let validators = validators();
        let modified = validators.modified.unwrap();
        let later = modified + Duration::from_secs(60);
        let applies = |value, now| range_applies(&headers(&[(header::IF_RANGE, value)]), &validators, now);
        assert!(range_applies(&HeaderMap::new(), &validators, later));
        assert!(applies("\"a,b\"", later));
        assert!(applies(THEN, later));
        assert!(!applies(THEN, modified), "the second is not over");
        for value in ["W/\"a,b\"", "\"x\"", BEFORE, AFTER, "nonsense", ""] {
            assert!(!applies(value, later), "{value}");
        }
    }
}
