//! What no tracked file may name: the registry that one machine happens to use, or a path that only one machine has.

use super::TextFile;

/// Lock files and licences are written by others.
const EXEMPT: [&str; 2] = ["Cargo.lock", "LICENSE-APACHE"];

/// The names are put together here, so that this file does not break its own rule.
fn forbidden() -> Vec<(String, &'static str)> {
    let registry = "a package registry's host; each machine configures its own";
    let machine = "a path of one machine";
    let mut list: Vec<(String, &str)> = [
        ["registry.npm", "js.org"],
        ["py", "pi.org"],
        ["files.python", "hosted.org"],
        ["static.", "crates.io"],
        ["index.", "crates.io"],
    ]
    .map(|parts| (parts.concat(), registry))
    .into();
    list.extend(
        [["/ro", "ot/"], ["/wo", "rk/"], ["/home/run", "ner"], ["/Us", "ers/"]].map(|parts| (parts.concat(), machine)),
    );
    list
}

/// Each breach in words.
pub fn check(files: &[TextFile]) -> Vec<String> {
    let forbidden = forbidden();
    let mut breaches = Vec::new();
    for file in files.iter().filter(|file| !EXEMPT.iter().any(|exempt| file.path.ends_with(exempt))) {
        for (number, line) in file.text.lines().enumerate() {
            for (words, why) in forbidden.iter().filter(|(words, _)| names(line, words)) {
                breaches.push(format!("{}:{}: {words} is {why}", file.path, number + 1));
            }
        }
    }
    breaches
}

/// Whether a line has these words; a path counts only where it starts (`/a/` in `docs/a/b` is no absolute path).
fn names(line: &str, words: &str) -> bool {
    let starts_a_path = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '~'))
    };
    line.match_indices(words).any(|(at, _)| !words.starts_with('/') || starts_a_path(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_machine_paths_are_breaches() {
        for (words, _) in forbidden() {
            let file = TextFile { path: "docs/a.md".into(), text: format!("see\n{words}x\n") };
            assert_eq!(check(&[file]).len(), 1, "{words}");
        }
    }

    #[test]
    fn the_same_words_inside_a_longer_path_are_not() {
        let text = format!("docs{}x and https://example.com{}y", forbidden()[6].0, forbidden()[5].0);
        assert!(check(&[TextFile { path: "a.md".into(), text }]).is_empty());
    }
}
