//! What a route's path matches.

use doorstep_model::PathMatcher;
use regex::Regex;

/// How `path` of a route is read: `/about` is exactly this, `/blog/` is this and everything beneath, `*`, `**` and `?` make a
/// pattern, and `/` is everything.
pub(crate) fn matcher(text: &str) -> Result<PathMatcher, String> {
    if !text.starts_with('/') {
        return Err(if text.starts_with('^') || text.starts_with('~') {
            "a regular expression goes to `regex`, not to `path`".to_owned()
        } else {
            format!("a path begins with `/`: `/{text}`")
        });
    }
    if text.contains('#') {
        return Err("a path has no `#`: browsers do not send it".to_owned());
    }
    if text.contains("//") || text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("a path with `//`, `.` or `..` never comes: paths are simplified first".to_owned());
    }
    if text.contains(['*', '?']) {
        glob(text)?;
        return Ok(PathMatcher::Glob(text.to_owned()));
    }
    Ok(match text.strip_suffix('/') {
        Some("") => PathMatcher::Any,
        Some(prefix) => PathMatcher::Prefix(prefix.to_owned()),
        None => PathMatcher::Exact(text.to_owned()),
    })
}

fn glob(text: &str) -> Result<(), String> {
    if text.contains("***") {
        return Err("`***` means nothing; there are `*` and `**`".to_owned());
    }
    // They match literally, which nobody means who writes them next to a `*`.
    if let Some(other) = text.chars().find(|c| ['[', ']', '{', '}', '\\'].contains(c)) {
        return Err(format!(
            "`{other}` has no meaning in a path with `*`; for more than `*`, `**` and `?` there is `regex`"
        ));
    }
    Ok(())
}

/// A regular expression that is anchored at both ends.
pub(crate) fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| match error {
        regex::Error::Syntax(text) => text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        other => other.to_string(),
    })
}

/// What a template may name: how many numbered captures, and which named ones.
pub(crate) fn captures(matcher: &PathMatcher) -> (usize, Vec<String>) {
    match matcher {
        PathMatcher::Glob(text) => (text.replace("**", "*").matches('*').count(), Vec::new()),
        PathMatcher::Regex(text) => regex(text).map_or((0, Vec::new()), |regex| captures_of(&regex)),
        PathMatcher::Any | PathMatcher::Exact(_) | PathMatcher::Prefix(_) => (0, Vec::new()),
    }
}

/// The same for a regular expression.
pub(crate) fn captures_of(regex: &Regex) -> (usize, Vec<String>) {
    (regex.captures_len() - 1, regex.capture_names().flatten().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_paths() {
        assert_eq!(matcher("/"), Ok(PathMatcher::Any));
        assert_eq!(matcher("/a"), Ok(PathMatcher::Exact("/a".into())));
        assert_eq!(matcher("/a/"), Ok(PathMatcher::Prefix("/a".into())));
        assert_eq!(matcher("/a/*"), Ok(PathMatcher::Glob("/a/*".into())));
        for bad in ["a", "^/a$", "/a/../b", "/a//b", "/a#b", "/***", "/[*", "/*.{css,js}"] {
            assert!(matcher(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn captures_are_counted() {
        assert_eq!(captures(&PathMatcher::Glob("/a/*/**".into())).0, 2);
        assert_eq!(captures(&PathMatcher::Regex("/(a)/(?<rest>.*)".into())), (2, vec!["rest".to_owned()]));
        assert!(regex("(").unwrap_err().contains("unclosed group"));
    }
}
