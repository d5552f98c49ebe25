//! Globs on paths, as regular expressions whose groups are what the wildcards stood for.

use std::fmt::Write;

/// The anchored regular expression of a glob: `*` stands for any text within a segment, `**` for any text, `?` for one
/// character of a segment; at the end `/*` stands for everything beneath, and `/**/` in the middle also for one `/`.
/// Each `*` and `**` is a group.
pub(crate) fn to_regex(glob: &str) -> String {
    let mut regex = String::with_capacity(glob.len() + 16);
    regex.push_str("(?s)^");
    let mut rest = glob;
    while let Some(next) = rest.chars().next() {
        if rest == "/*" || rest == "/**" {
            regex.push_str("/(.*)");
            break;
        }
        if let Some(after) = rest.strip_prefix("/**/") {
            regex.push_str("/(?:(.*)/)?");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("**") {
            regex.push_str("(.*)");
            rest = after;
        } else {
            match next {
                '*' => regex.push_str("([^/]*)"),
                '?' => regex.push_str("[^/]"),
                // Each character apart, so that no two can together mean something.
                c if c.is_ascii_alphanumeric() || c == '/' => regex.push(c),
                c => {
                    let _ = write!(regex, "\\x{{{:x}}}", u32::from(c));
                }
            }
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    regex.push('$');
    regex
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    /// The definition, without a word about how to do it well.
    fn matches(glob: &str, path: &str) -> bool {
        if glob == "/*" || glob == "/**" {
            return path.starts_with('/');
        }
        if let Some(after) = glob.strip_prefix("/**/") {
            let Some(rest) = path.strip_prefix('/') else { return false };
            return matches(after, rest)
                || rest.char_indices().any(|(at, c)| c == '/' && matches(after, &rest[at + 1..]));
        }
        if let Some(after) = glob.strip_prefix("**") {
            return (0..=path.len()).any(|at| path.is_char_boundary(at) && matches(after, &path[at..]));
        }
        let mut glob_rest = glob.chars();
        let mut path_rest = path.chars();
        match glob_rest.next() {
            None => path.is_empty(),
            Some('*') => {
                let most = path.find('/').unwrap_or(path.len());
                (0..=most).any(|at| path.is_char_boundary(at) && matches(glob_rest.as_str(), &path[at..]))
            }
            Some('?') => path_rest.next().is_some_and(|c| c != '/') && matches(glob_rest.as_str(), path_rest.as_str()),
            Some(c) => path_rest.next() == Some(c) && matches(glob_rest.as_str(), path_rest.as_str()),
        }
    }

    #[test]
    fn table() {
        for (glob, path, expected) in [
            ("/api/*", "/api/a/b", true),
            ("/api/*", "/api/", true),
            ("/api/*", "/api", false),
            ("/api/*", "/apix", false),
            ("/*.php", "/a.php", true),
            ("/*.php", "/a/b.php", false),
            ("/**.php", "/a/b.php", true),
            ("/a/**/b", "/a/b", true),
            ("/a/**/b", "/a/x/y/b", true),
            ("/a/**/b", "/ab", false),
            ("/?.txt", "/a.txt", true),
            ("/?.txt", "/ü.txt", true),
            ("/?.txt", "//.txt", false),
            ("/a.b", "/axb", false),
            ("/[a]", "/a", false),
            ("/a\n*", "/a\nb", true),
        ] {
            let regex = Regex::new(&to_regex(glob)).unwrap();
            assert_eq!(regex.is_match(path), expected, "{glob} {path}");
            assert_eq!(matches(glob, path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn wildcards_are_groups() {
        let regex = Regex::new(&to_regex("/u/*/files/*")).unwrap();
        let found = regex.captures("/u/ann/files/a/b.txt").unwrap();
        assert_eq!((&found[1], &found[2]), ("ann", "a/b.txt"));
    }

    proptest! {
        #[test]
        fn as_defined(glob in "/[ab/*?.]{0,8}", path in "/[ab/.]{0,8}") {
            let regex = Regex::new(&to_regex(&glob)).unwrap();
            prop_assert_eq!(regex.is_match(&path), matches(&glob, &path), "{} {}", glob, path);
        }

        #[test]
        fn every_glob_compiles(glob in "\\PC{0,24}") {
            let regex = Regex::new(&to_regex(&glob)).unwrap();
            if !glob.contains(['*', '?']) {
                prop_assert!(regex.is_match(&glob));
            }
        }
    }
}
