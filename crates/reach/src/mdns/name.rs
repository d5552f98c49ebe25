/// The longest label of a DNS name, in bytes (RFC 1035 section 2.3.4).
const LABEL: usize = 63;

/// Makes a label for a `.local` name out of a computer's host name: the part before the first dot, lower case,
/// letters, digits and single hyphens only. `doorstep` if nothing is left.
pub(crate) fn host_label(host_name: &str) -> String {
    let first = host_name.split('.').next().unwrap_or_default();
    // macOS and Android like "Anna's MacBook"; what joins letters in writing vanishes, the rest becomes a hyphen.
    let mut label = String::new();
    for c in first.chars().filter(|c| !matches!(c, '\'' | '’')) {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(LABEL);
    let label = label.trim_end_matches('-');
    if label.is_empty() || label == "localhost" { "doorstep".into() } else { label.into() }
}

/// The label to try as number `attempt`, counted from 1: `name`, `name-2`, `name-3` … (RFC 6762 section 9).
pub(crate) fn numbered(label: &str, attempt: u32) -> String {
    if attempt <= 1 {
        return label.to_owned();
    }
    let suffix = format!("-{attempt}");
    let mut label = label.to_owned();
    label.truncate(LABEL - suffix.len());
    label.trim_end_matches('-').to_owned() + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_become_labels() {
        for (host, label) in [
            ("my-laptop", "my-laptop"),
            ("My Laptop", "my-laptop"),
            ("nas.home.arpa", "nas"),
            ("Anna’s MacBook Pro", "annas-macbook-pro"),
            ("under_score", "under-score"),
            ("--x--", "x"),
            ("żółw", "w"),
            ("日本", "doorstep"),
            ("", "doorstep"),
            ("localhost", "doorstep"),
            ("localhost.localdomain", "doorstep"),
        ] {
            assert_eq!(host_label(host), label, "{host:?}");
        }
        assert_eq!(host_label(&"a".repeat(100)).len(), 63);
    }

    #[test]
    fn the_next_name_is_numbered_and_never_too_long() {
        assert_eq!(numbered("nas", 1), "nas");
        assert_eq!(numbered("nas", 2), "nas-2");
        assert_eq!(numbered("nas-2", 2), "nas-2-2");
        let long = numbered(&"a".repeat(63), 12);
        assert!(long.len() == 63 && long.ends_with("a-12"));
    }
}
