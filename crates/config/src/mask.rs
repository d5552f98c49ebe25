//! Snippets without secrets.

use std::ops::Range;

/// Words in the name of a key that make its value a secret.
const SECRET_WORDS: &[&str] =
    &["pass", "pwd", "secret", "token", "key", "hmac", "credential", "auth", "private", "cookie"];

/// Whether a value under this name is better not shown.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // Of nginx, and what people try first; an address.
    let name = name.replace("proxy_pass", "");
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// `text` of the same length with `*` in place of what is secret: at `spans`; and if the file is `malformed`, so that nobody
/// can tell what belongs to what, in each line and section that looks so.
pub(crate) fn mask<'a>(text: &str, spans: impl Iterator<Item = &'a Range<usize>>, malformed: bool) -> String {
    let mut hide = vec![false; text.len()];
    for span in spans {
        let end = span.end.min(text.len());
        hide[span.start.min(end)..end].fill(true);
    }
    if malformed {
        suspicious(text, &mut hide);
    }
    // What cannot be shown of a character, cannot be shown of all its bytes: one `*` each keeps the length.
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let hidden = hide[at..at + c.len_utf8()].iter().any(|hidden| *hidden);
        if hidden && c != '\n' && c != '\r' {
            out.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}

fn suspicious(text: &str, hide: &mut [bool]) {
    let mut start = 0;
    let mut in_section = false;
    // The delimiter of a text over several lines that a suspicious line has opened.
    let mut open: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        if let Some(delimiter) = open {
            hide[range.clone()].fill(true);
            if line.contains(delimiter) {
                open = None;
            }
            continue;
        }
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            let lower = trimmed.to_ascii_lowercase();
            in_section = lower.contains("dns") || lower.contains("env") || is_secret_name(&lower);
        }
        let lower = line.to_ascii_lowercase();
        if in_section || is_secret_name(&lower) || lower.contains("env") || lower.contains("dns") {
            let from = line.find('=').map_or(0, |at| at + 1);
            if line.contains('=') || !trimmed.starts_with('[') {
                hide[range.start + from..range.end].fill(true);
            }
            open = ["\"\"\"", "'''"].into_iter().find(|delimiter| line.matches(delimiter).count() % 2 == 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_lengths_and_lines() {
        let text = "a = \"süß\"\nb";
        let masked = mask(text, std::iter::once(&(4..text.len() - 2)), false);
        assert_eq!(masked.len(), text.len());
        assert!(masked.starts_with("a = ***") && masked.ends_with("\nb"));
    }

    #[test]
    fn malformed_files_show_no_secret() {
        let text =
            "[dns]\nx = \"hunter2\n[app.a]\npassword = \"hunter2\nTOKEN = \"\"\"\nhunter2\n\"\"\"\nrun = \"ok\"\n";
        let masked = mask(text, std::iter::empty(), true);
        assert!(!masked.contains("hunter2") && masked.contains("run = \"ok\""), "{masked}");
    }
}
