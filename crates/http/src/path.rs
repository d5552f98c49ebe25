//! The canonical path: what routing, access and the file service decide by.

use http::Uri;

/// Decodes a request path: percent-escapes resolved, empty and `.` segments removed, a trailing slash kept.
/// Bytes that are no UTF-8 become U+FFFD.
///
/// `None` for what no honest client sends: a broken escape, NUL, a bare `\` (browsers and others take it for `/`), or a `..`
/// segment, however it is written: also between backslashes, and with parameters (`..;x`), which apps in Java take off.
pub fn canonical(raw: &str) -> Option<String> {
    if is_canonical(raw.as_bytes()) {
        return Some(raw.to_owned());
    }
    let decoded = decode(raw.as_bytes())?;
    let text = String::from_utf8_lossy(&decoded);
    let mut path = String::with_capacity(text.len());
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment.split('\\').any(is_upwards) {
            return None;
        }
        match segment {
            "" | "." if segments.peek().is_some() => {}
            "" | "." => path.push('/'),
            segment => {
                path.push('/');
                path.push_str(segment);
            }
        }
    }
    Some(path)
}

/// The target with one slash at its start. An app that takes `//x/admin` for a reference to the host `x`, as the URL class of
/// JavaScript does, would answer for another path than the one that access was decided by.
pub(crate) fn one_leading_slash(target: Uri) -> Uri {
    let text = target.path_and_query().map_or("", |target| target.as_str());
    if !text.starts_with("//") {
        return target;
    }
    format!("/{}", text.trim_start_matches('/')).parse().unwrap_or(target)
}

/// `..`, or a segment with parameters that is `.` or `..` without them.
fn is_upwards(segment: &str) -> bool {
    segment == ".." || segment.split_once(';').is_some_and(|(name, _)| matches!(name, "." | ".."))
}

fn is_canonical(raw: &[u8]) -> bool {
    raw.first() == Some(&b'/')
        && !raw.iter().any(|byte| matches!(byte, b'%' | b'\\' | 0))
        && !raw.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

fn decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            if matches!(byte, 0 | b'\\') {
                return None;
            }
            decoded.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let byte = (hex(*high)? << 4) | hex(*low)?;
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
        rest = after;
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (raw, expected) in [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a//b/", Some("/a/b/")),
            ("//a", Some("/a")),
            ("/./a/.", Some("/a/")),
            ("/%61%20b", Some("/a b")),
            ("/a%2Fb", Some("/a/b")),
            ("/..", None),
            ("/a/../b", None),
            ("/a/%2e%2E/b", None),
            ("/a%2f..%2fb", None),
            ("/a%00", None),
            ("/a\0", None),
            ("/a%", None),
            ("/a%zz", None),
            ("/.a", Some("/.a")),
            ("/a..b", Some("/a..b")),
            ("/x/..;/a", None),
            ("/x/..;y=1/a", None),
            ("/x/.;/a", None),
            ("/x/%2e.%3b/a", None),
            ("/x;y=..", Some("/x;y=..")),
            ("/x/..%5ca", None),
            ("/x%5c..%5ca", None),
            ("/x\\a", None),
            ("/x%5ca", Some("/x\\a")),
            ("/%ff", Some("/\u{fffd}")),
        ] {
            assert_eq!(canonical(raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn no_target_looks_like_a_host() {
        for (raw, expected) in
            [("//x/a?b=//c", "/x/a?b=//c"), ("///", "/"), ("//", "/"), ("/a//b?//", "/a//b?//"), ("//?x", "/?x")]
        {
            let target: Uri = http::uri::PathAndQuery::from_maybe_shared(raw.to_owned().into_bytes()).unwrap().into();
            assert_eq!(one_leading_slash(target).to_string(), expected, "{raw}");
        }
        assert_eq!(one_leading_slash(Uri::from_static("*")), "*");
    }

    proptest! {
        #[test]
        fn no_dot_segments_survive(raw in "/[a./%2eEfF]{0,24}") {
            if let Some(path) = canonical(&raw) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(!path.contains("//"));
                prop_assert!(path.split('/').all(|segment| segment != ".." && segment != "."));
            }
        }

        #[test]
        fn idempotent_without_escapes(raw in "/[a-z./]{0,24}") {
            if let Some(once) = canonical(&raw) {
                let twice = canonical(&once);
                prop_assert_eq!(twice.as_deref(), Some(once.as_str()));
            }
        }
    }
}
