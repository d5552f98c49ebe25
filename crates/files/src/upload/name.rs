//! Names that visitors give to what they send.

use crate::limits::{MAX_NAME, MAX_UPLOAD_DEPTH};
use crate::policy::{self, Policy, Secret};

/// Why a name is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("A file needs a name.")]
    Empty,
    #[error("Names that begin with a dot, and names of keys, databases and backups, are not taken here.")]
    Hidden,
    #[error("That is too many folders within folders.")]
    TooDeep,
}

/// The name under which a file or folder is kept: the last component of what the client says, without control and
/// invisible characters, not longer than [`MAX_NAME`] bytes, and nothing that Windows takes for a device.
///
/// # Errors
/// Nothing is left of it, or the share's policy hides such names.
pub fn sanitise(said: &str, policy: Policy) -> Result<String, NameError> {
    let last = said.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible: String = last.chars().filter(|c| !is_invisible(*c)).collect();
    let trimmed = visible.trim().trim_end_matches(['.', ' ']);
    if trimmed.is_empty() {
        return Err(if visible.contains('.') { NameError::Hidden } else { NameError::Empty });
    }
    let mut name = shortened(trimmed, MAX_NAME);
    if is_device(&name) {
        name.insert(0, '_');
    }
    match policy::secret(name.as_bytes()) {
        Some(Secret::Partial) => Err(NameError::Hidden),
        Some(_) if !policy.hidden => Err(NameError::Hidden),
        _ => Ok(name),
    }
}

/// The folders that a file comes in, outermost first: `holiday/day 1` gives two.
///
/// # Errors
/// As [`sanitise`], and [`NameError::TooDeep`].
pub fn folders(said: &str, policy: Policy) -> Result<Vec<String>, NameError> {
    let parts: Vec<&str> = said.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.len() > MAX_UPLOAD_DEPTH {
        return Err(NameError::TooDeep);
    }
    parts.into_iter().map(|part| sanitise(part, policy)).collect()
}

/// `name (2).txt` for the second try, the name itself for the first.
pub fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    let (stem, end) = name.split_at(extension_at(name));
    format!("{stem} ({number}){end}")
}

/// Where the extension begins, its dot included; `.tar.gz` is one.
fn extension_at(name: &str) -> usize {
    let Some(dot) = name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= 12) else { return name.len() };
    let stem = &name[..dot];
    if stem.len() > 4 && stem.is_char_boundary(stem.len() - 4) && stem[stem.len() - 4..].eq_ignore_ascii_case(".tar") {
        return stem.len() - 4;
    }
    dot
}

fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let (stem, end) = name.split_at(extension_at(name));
    let mut keep = most.saturating_sub(end.len());
    while !stem.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{end}", stem[..keep].trim_end())
}

/// Control characters, and those that reorder or hide text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Names that Windows opens as a device, whatever their extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" => true,
        _ => {
            stem.len() == 4
                && (stem.starts_with("COM") || stem.starts_with("LPT"))
                && stem.as_bytes()[3].is_ascii_digit()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRICT: Policy = Policy { hidden: false };

    #[test]
    fn names_are_made_harmless() {
        for (said, kept) in [
            ("report.pdf", "report.pdf"),
            ("  spaced name.txt  ", "spaced name.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
            ("two\nlines\u{202E}.txt", "twolines.txt"),
            ("trailing dots...", "trailing dots"),
            ("con.txt", "_con.txt"),
            ("COM1", "_COM1"),
            ("common.txt", "common.txt"),
            ("größe 😀.txt", "größe 😀.txt"),
        ] {
            assert_eq!(sanitise(said, STRICT).as_deref(), Ok(kept), "{said:?}");
        }
    }

    #[test]
    fn hidden_names_are_refused_unless_shown() {
        for said in [".htaccess", "..", "...", ".", "a/..", "id_rsa", "x.sqlite3", " .env"] {
            assert_eq!(sanitise(said, STRICT), Err(NameError::Hidden), "{said}");
        }
        assert_eq!(sanitise("", STRICT), Err(NameError::Empty));
        assert_eq!(sanitise("a/", STRICT), Err(NameError::Empty));
        assert_eq!(sanitise(".htaccess", Policy { hidden: true }).as_deref(), Ok(".htaccess"));
        assert_eq!(sanitise(".doorstep-upload-00", Policy { hidden: true }), Err(NameError::Hidden));
        assert_eq!(sanitise("..", Policy { hidden: true }), Err(NameError::Hidden));
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = sanitise(&format!("{}.tar.gz", "ä".repeat(400)), STRICT).unwrap();
        assert!(name.len() <= MAX_NAME && name.ends_with(".tar.gz") && name.starts_with('ä'));
    }

    #[test]
    fn numbers_come_before_the_extension() {
        assert_eq!(numbered("a.txt", 0), "a.txt");
        assert_eq!(numbered("a.txt", 1), "a (1).txt");
        assert_eq!(numbered("a.tar.gz", 12), "a (12).tar.gz");
        assert_eq!(numbered("noextension", 2), "noextension (2)");
        assert_eq!(numbered(".hidden", 2), ".hidden (2)");
    }

    #[test]
    fn folders_are_names_too() {
        assert_eq!(folders("holiday/day 1", STRICT).unwrap(), ["holiday", "day 1"]);
        assert_eq!(folders("", STRICT).unwrap(), Vec::<String>::new());
        assert_eq!(folders("a/../b", STRICT), Err(NameError::Hidden));
        assert_eq!(folders(&"a/".repeat(40), STRICT), Err(NameError::TooDeep));
    }

    proptest! {
        #[test]
        fn whatever_is_said_becomes_one_component(said in ".{0,300}") {
            if let Ok(name) = sanitise(&said, STRICT) {
                prop_assert!(!name.is_empty() && name.len() <= MAX_NAME + 1);
                prop_assert!(!name.contains(['/', '\\', '\0']) && name != "." && name != "..");
                prop_assert!(STRICT.allows(name.as_bytes()));
            }
        }
    }
}
