//! Small words.

use std::path::Path;

/// Between backticks.
pub fn code(name: impl AsRef<Path>) -> String {
    format!("`{}`", name.as_ref().display())
}

/// With its article.
pub fn a(noun: &str) -> String {
    let vowel = noun.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// `x`, `x and y`, `x, y and z`.
pub fn listed(items: &[impl AsRef<str>]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// As a label of a host name: lower case, letters, digits and hyphens. `None` if nothing is left.
pub fn label(name: &str) -> Option<String> {
    let mut label = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => label.push(c),
            _ if !label.is_empty() && !label.ends_with('-') => label.push('-'),
            _ => {}
        }
    }
    const LONGEST: usize = 40;
    label.truncate(LONGEST);
    let label = label.trim_matches('-').to_owned();
    (!label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(a("Astro site"), "an Astro site");
        assert_eq!(a("Flask app"), "a Flask app");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(label("My Shop_2!"), Some("my-shop-2".to_owned()));
        assert_eq!(label("…"), None);
    }
}
