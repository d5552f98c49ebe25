//! What documents say of files and limits is so.

use std::collections::BTreeSet;
use std::path::Path;

use super::TextFile;

/// Each breach in words. `exists` tells of a path from the workspace's root.
pub fn check(files: &[TextFile], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let names = names_of_limits(files);
    let mut breaches = Vec::new();
    for file in files.iter().filter(|file| is_ours(&file.path)) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (number, line) in file.text.lines().enumerate() {
            let place = format!("{}:{}", file.path, number + 1);
            for link in links(line).filter(|link| !exists(&normal(&folder.join(link)))) {
                breaches.push(format!("{place}: there is no {link}"));
            }
            for path in quoted(line).filter(|word| is_path(word) && !exists(word)) {
                breaches.push(format!("{place}: there is no {path}"));
            }
            for limit in quoted(line).filter(|word| is_limit(&file.path, word) && !names.contains(*word)) {
                breaches.push(format!("{place}: no limits.rs has {limit}"));
            }
        }
    }
    breaches
}

/// Examples are documents too, but for readers of their own.
fn is_ours(path: &str) -> bool {
    path.ends_with(".md") && !path.starts_with("examples/")
}

/// Targets of Markdown links within the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let link = rest.split([')', '#']).next()?;
        (!link.is_empty() && !link.contains("://")).then_some(link)
    })
}

fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_path(word: &str) -> bool {
    ["crates/", "xtask/", "tests/", "docs/", "fuzz/", "examples/"].iter().any(|start| word.starts_with(start))
        && !word.contains([' ', '*', '<'])
}

/// SECURITY.md names constants, and fields of `Limits`, in a table of their own.
fn is_limit(file: &str, word: &str) -> bool {
    file == "SECURITY.md"
        && word.contains('_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !word.starts_with("RESOLVE_")
}

fn names_of_limits(files: &[TextFile]) -> BTreeSet<&str> {
    let limits = files.iter().filter(|file| file.path.ends_with("limits.rs"));
    let words = limits.flat_map(|file| file.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.contains('_')).collect()
}

/// `docs/../README.md` is `README.md`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().filter_map(|part| part.to_str()) {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        let limits = TextFile { path: "crates/a/src/limits.rs".into(), text: "pub const MAX_HEAD: usize = 1;".into() };
        let page = TextFile { path: path.into(), text: text.into() };
        check(&[limits, page], |path| ["README.md", "docs/a.md", "crates/a"].contains(&path))
    }

    #[test]
    fn links_and_paths_lead_somewhere() {
        let good = "[a](a.md) [home](../README.md#top) [web](https://example.com/x) `crates/a` `cargo xtask test`";
        assert_eq!(breaches("docs/b.md", good), Vec::<String>::new());
        assert_eq!(breaches("docs/b.md", "[gone](gone.md) and `crates/gone/`").len(), 2);
    }

    #[test]
    fn limits_are_named_as_in_the_code() {
        assert!(breaches("SECURITY.md", "| `MAX_HEAD` |").is_empty());
        assert_eq!(breaches("SECURITY.md", "| `MAX_TAIL` |"), ["SECURITY.md:1: no limits.rs has MAX_TAIL"]);
    }
}
