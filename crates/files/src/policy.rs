//! Which names a share shows. What people keep secret by habit is left out unless they ask for it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// How the name of an unfinished upload begins. Never served, whatever the policy.
pub const PARTIAL_PREFIX: &str = ".doorstep-upload-";

/// Decides by name alone, so that a page, a listing, an archive and an upload all agree.
///
/// A link that the owner made is judged by its own name: `notes.txt -> .notes` is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Show dotfiles, private keys, databases and backups too.
    pub hidden: bool,
}

/// What kind of secret a name stands for by habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `.git`, `.env`, `.ssh`; `.well-known` is not one (RFC 8615).
    Dotfile,
    PrivateKey,
    Database,
    /// What an editor or a careful person left beside a file; it bypasses whatever protects the file itself.
    Backup,
    /// doorstep's own file, which tells of passwords' hashes and of the inside of the network.
    Configuration,
    /// An upload that is not complete.
    Partial,
}

impl Policy {
    /// Whether an entry of this name may be seen.
    pub fn allows(self, name: &[u8]) -> bool {
        match secret(name) {
            None => true,
            Some(Secret::Partial) => false,
            Some(_) => self.hidden,
        }
    }

    /// Whether every component of a path relative to the root may be seen.
    pub fn allows_path(self, relative: &Path) -> bool {
        relative.components().all(|component| match component {
            Component::Normal(name) => self.allows(name.as_bytes()),
            Component::CurDir => true,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
        })
    }
}

/// What a file or folder of this name is by habit, if it is a secret. Letter case makes no difference.
pub fn secret(name: &[u8]) -> Option<Secret> {
    if name.starts_with(PARTIAL_PREFIX.as_bytes()) {
        Some(Secret::Partial)
    } else if name.starts_with(b".") && name != b".well-known" {
        Some(Secret::Dotfile)
    } else if is_private_key(name) {
        Some(Secret::PrivateKey)
    } else if is_database(name) {
        Some(Secret::Database)
    } else if is_backup(name) {
        Some(Secret::Backup)
    } else if name.eq_ignore_ascii_case(b"doorstep.toml") {
        Some(Secret::Configuration)
    } else {
        None
    }
}

fn is_private_key(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] =
        [b"id_rsa", b"id_dsa", b"id_ecdsa", b"id_ed25519", b"id_ecdsa_sk", b"id_ed25519_sk", b"secring.gpg"];
    const ENDS: [&[u8]; 9] = [b".pem", b".key", b".p12", b".pfx", b".jks", b".keystore", b".ppk", b".kdb", b".kdbx"];
    NAMES.iter().any(|key| name.eq_ignore_ascii_case(key)) || ends_with_any(name, &ENDS)
}

fn is_database(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 7] = [b".sqlite", b".sqlite2", b".sqlite3", b".db", b".db3", b".mdb", b".accdb"];
    const SIDE_FILES: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];
    let side = SIDE_FILES.iter().find(|end| ends_with(name, end));
    ends_with_any(side.map_or(name, |end| &name[..name.len() - end.len()]), &ENDS)
}

fn is_backup(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 7] = [b"~", b".bak", b".old", b".orig", b".swp", b".swo", b".swn"];
    ends_with_any(name, &ENDS)
}

fn ends_with_any(name: &[u8], ends: &[&[u8]]) -> bool {
    ends.iter().any(|end| ends_with(name, end))
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    name.len() > end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_until_asked_for() {
        let secrets = [
            (".env", Secret::Dotfile),
            (".git", Secret::Dotfile),
            ("..data", Secret::Dotfile),
            ("id_rsa", Secret::PrivateKey),
            ("server.KEY", Secret::PrivateKey),
            ("vault.kdbx", Secret::PrivateKey),
            ("db.sqlite3", Secret::Database),
            ("app.DB-wal", Secret::Database),
            ("config.php~", Secret::Backup),
            ("config.php.bak", Secret::Backup),
            ("a.swp", Secret::Backup),
            ("doorstep.toml", Secret::Configuration),
        ];
        for (name, kind) in secrets {
            assert_eq!(secret(name.as_bytes()), Some(kind), "{name}");
            assert!(!Policy { hidden: false }.allows(name.as_bytes()), "{name}");
            assert!(Policy { hidden: true }.allows(name.as_bytes()), "{name}");
        }
        for name in ["index.html", "id_rsa.pub", "key", "database.txt", ".well-known", "notes-wal", "~", "bak"] {
            assert!(Policy { hidden: false }.allows(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn unfinished_uploads_are_never_shown() {
        assert!(!Policy { hidden: true }.allows(b".doorstep-upload-0123"));
    }

    #[test]
    fn every_component_counts() {
        let policy = Policy::default();
        assert!(policy.allows_path(Path::new("a/b.txt")));
        assert!(policy.allows_path(Path::new(".well-known/acme-challenge/x")));
        assert!(!policy.allows_path(Path::new(".git/config")));
        assert!(!policy.allows_path(Path::new("a/id_rsa/b")));
        assert!(!policy.allows_path(Path::new("../a")));
        assert!(!Policy { hidden: true }.allows_path(Path::new("/etc/passwd")));
    }
}
