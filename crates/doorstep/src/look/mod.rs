//! A look before sharing: what in this folder would its owner rather keep?

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use doorstep_files::policy::Policy;
use doorstep_model::{Blame, Finding, Severity};

use crate::limits;
use crate::screen::counted;

/// Looks at a folder, within [`limits::LOOK_TIME`] and [`limits::LOOK_ENTRIES`]. `hidden` says whether `--hidden` is given.
pub fn folder(root: &Path, hidden: bool) -> Vec<Finding> {
    let home = std::env::var_os("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok());
    let mut findings: Vec<Finding> = whole(root, home.as_deref(), hidden).into_iter().collect();
    let secrets = Secrets::find(root);
    findings.extend(secrets.kept(hidden));
    findings.extend(secrets.shown());
    findings
}

/// Looks at one file that is shared by name: then it is served, whatever it is.
pub fn file(path: &Path) -> Vec<Finding> {
    let name = path.file_name().unwrap_or_default();
    if Policy::default().allows(name.as_bytes()) && !looks_secret(name.as_bytes()) {
        return Vec::new();
    }
    vec![warning(
        "secret-file",
        format!("{} looks like something to keep to yourself.", name.display()),
        "Everyone who can open the address can read it.",
        "Add --password, or --local.",
    )]
}

/// Sharing everything there is.
fn whole(root: &Path, home: Option<&Path>, hidden: bool) -> Option<Finding> {
    let but = if hidden { "hidden files included" } else { "hidden files excepted" };
    let (id, what, why) = if root == Path::new("/") {
        let why = format!("Visitors can read whatever you can, {but}.");
        ("whole-disk", "This shares the whole disk of this computer.".to_owned(), why)
    } else if Some(root) == home {
        let why = format!("Visitors can read everything in it, {but}.");
        ("home-folder", "This shares your whole home folder.".to_owned(), why)
    } else if home.is_some_and(|home| home.starts_with(root)) {
        let why = format!("Visitors can read everything in it, {but}.");
        ("home-folder", format!("{} contains your home folder.", root.display()), why)
    } else {
        return None;
    };
    Some(warning(id, what, &why, "Share one folder of it: doorstep share FOLDER"))
}

/// What was found, relative to the folder.
#[derive(Default)]
struct Secrets {
    /// Not served unless `--hidden`.
    kept: Vec<String>,
    /// Served.
    shown: Vec<String>,
}

impl Secrets {
    /// Breadth first: what lies at the top is found first, whatever the bounds leave out.
    fn find(root: &Path) -> Self {
        let end = Instant::now() + limits::LOOK_TIME;
        let mut secrets = Self::default();
        let mut folders = VecDeque::from([(root.to_owned(), 0)]);
        let mut seen = 0;
        'look: while let Some((folder, depth)) = folders.pop_front() {
            // A folder that we may not read, nobody else reads through us either.
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                seen += 1;
                if seen > limits::LOOK_ENTRIES || Instant::now() > end {
                    break 'look;
                }
                let name = entry.file_name();
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let path = entry.path();
                let relative = || path.strip_prefix(root).unwrap_or(&path).display().to_string();
                if !Policy::default().allows(name.as_bytes()) {
                    if telling(name.as_bytes()) {
                        secrets.kept.push(relative());
                    }
                } else if !is_folder && looks_secret(name.as_bytes()) {
                    secrets.shown.push(relative());
                } else if is_folder && depth < limits::LOOK_DEPTH && name != "node_modules" {
                    folders.push_back((path, depth + 1));
                }
            }
        }
        let by_depth = |name: &String| (name.matches('/').count(), name.clone());
        secrets.kept.sort_by_key(by_depth);
        secrets.shown.sort_by_key(by_depth);
        secrets
    }

    fn kept(&self, hidden: bool) -> Option<Finding> {
        if self.kept.is_empty() {
            return None;
        }
        let names = some(&self.kept);
        Some(if hidden {
            warning(
                "secrets-served",
                format!("{names} can be read by every visitor."),
                "--hidden serves what doorstep otherwise keeps back: dotfiles, private keys and databases.",
                "Leave --hidden out, or add --password.",
            )
        } else {
            Finding {
                severity: Severity::Note,
                blame: Blame::Environment,
                id: "secrets-kept",
                what: format!("{names} {} not served.", if self.kept.len() == 1 { "is" } else { "are" }),
                why: "Dotfiles, private keys and databases stay private unless you add --hidden.".to_owned(),
                fix: String::new(),
            }
        })
    }

    fn shown(&self) -> Option<Finding> {
        (!self.shown.is_empty()).then(|| {
            warning(
                "secrets-served",
                format!("{} can be read by every visitor.", some(&self.shown)),
                "By the name, it looks like something to keep to yourself.",
                "Move it elsewhere, or add --password.",
            )
        })
    }
}

/// Hidden names that hold secrets or history; others (`.gitignore`, `.DS_Store`) are not worth a word.
fn telling(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 11] = [
        b".git",
        b".hg",
        b".svn",
        b".ssh",
        b".gnupg",
        b".aws",
        b".kube",
        b".netrc",
        b".npmrc",
        b".pypirc",
        b".htpasswd",
    ];
    !name.starts_with(b".") || NAMES.contains(&name) || name.starts_with(b".env")
}

/// Names of visible files that tend to hold secrets.
fn looks_secret(name: &[u8]) -> bool {
    const NAMES: [&str; 12] = [
        "credentials.json",
        "credentials",
        "secrets.yml",
        "secrets.yaml",
        "secrets.json",
        "secrets.toml",
        "wp-config.php",
        "settings_local.py",
        "local_settings.py",
        "passwords.txt",
        "passwd",
        "shadow",
    ];
    const ENDS: [&str; 7] = [".sql", ".sql.gz", ".dump", ".ovpn", ".tfstate", ".rdp", ".pcap"];
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || ENDS.iter().any(|end| name.ends_with(end))
}

/// The first few names, and how many more.
fn some(names: &[String]) -> String {
    const NAMED: usize = 3;
    let more = names.len().saturating_sub(NAMED);
    match names {
        [.., _] if more > 0 => format!("{} and {}", names[..NAMED].join(", "), counted(more as u64, "other")),
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.concat(),
    }
}

fn warning(id: &'static str, what: String, why: &str, fix: &str) -> Finding {
    let (why, fix) = (why.to_owned(), fix.to_owned());
    Finding { severity: Severity::Warning, blame: Blame::Environment, id, what, why, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn says_truthfully_what_is_and_is_not_served() {
        let shared = with(&[".env", ".gitignore", "sub/id_rsa", "index.html"]);
        let kept = folder(shared.path(), false);
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].severity, kept[0].what.as_str()), (Severity::Note, ".env and sub/id_rsa are not served."));
        let served = folder(shared.path(), true);
        assert_eq!(served[0].severity, Severity::Warning);
        assert_eq!(served[0].what, ".env and sub/id_rsa can be read by every visitor.");
    }

    #[test]
    fn warns_of_secrets_that_look_like_ordinary_files() {
        let findings = folder(with(&["backup/all.sql", "readme.md"]).path(), false);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].what, "backup/all.sql can be read by every visitor.");
        assert!(folder(with(&["index.html"]).path(), false).is_empty());
    }

    #[test]
    fn home_and_everything_are_named() {
        let home = Some(Path::new("/home/ada"));
        assert_eq!(whole(Path::new("/"), home, false).unwrap().id, "whole-disk");
        assert_eq!(whole(Path::new("/home/ada"), home, false).unwrap().what, "This shares your whole home folder.");
        assert_eq!(whole(Path::new("/home"), home, false).unwrap().what, "/home contains your home folder.");
        assert!(whole(Path::new("/home/ada/site"), home, false).is_none());
    }

    #[test]
    fn a_key_shared_by_name_is_served_and_said_so() {
        let shared = with(&["server.key", "notes.txt"]);
        assert_eq!(file(&shared.path().join("server.key")).len(), 1);
        assert!(file(&shared.path().join("notes.txt")).is_empty());
    }

    #[test]
    fn many_names_are_summed_up() {
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        assert_eq!(some(&names), "a, b, c and 2 others");
        assert_eq!(some(&names[..2]), "a and b");
        assert_eq!(some(&names[..1]), "a");
        assert_eq!(some(&[]), "");
    }
}
