//! Which names a share shows. What people keep secret by habit is left out unless they ask for it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// How the name of an unfinished upload begins. Never served, whatever the policy.
pub const PARTIAL_PREFIX: &str = ".doorstep-upload-";

/// Decides by name alone, so that a listing, a download, an archive and an upload all agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Show dotfiles, private keys and databases too.
    pub hidden: bool,
}

impl Policy {
    /// Whether an entry of this name may be seen.
    pub fn allows(self, name: &[u8]) -> bool {
        if name.starts_with(PARTIAL_PREFIX.as_bytes()) {
            return false;
        }
        self.hidden || !(is_dotfile(name) || is_private_key(name) || is_database(name))
    }

    /// Whether every component of a relative path may be seen.
    pub fn allows_path(self, relative: &Path) -> bool {
        relative.components().all(|component| match component {
            Component::Normal(name) => self.allows(name.as_bytes()),
            Component::CurDir => true,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
        })
    }
}

/// `.well-known` is meant to be read (RFC 8615).
fn is_dotfile(name: &[u8]) -> bool {
    name.starts_with(b".") && name != b".well-known"
}

fn is_private_key(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [b"id_rsa", b"id_dsa", b"id_ecdsa", b"id_ed25519", b"id_ecdsa_sk", b"id_ed25519_sk"];
    const ENDS: [&[u8]; 8] = [b".pem", b".key", b".p12", b".pfx", b".jks", b".keystore", b".ppk", b".kdbx"];
    NAMES.iter().any(|key| name.eq_ignore_ascii_case(key)) || ENDS.iter().any(|end| ends_with(name, end))
}

fn is_database(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 5] = [b".sqlite", b".sqlite3", b".db", b".db3", b".mdb"];
    const SIDE_FILES: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];
    let main = SIDE_FILES.iter().find(|end| ends_with(name, end)).map_or(name, |end| &name[..name.len() - end.len()]);
    ENDS.iter().any(|end| ends_with(main, end))
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    name.len() > end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_until_asked_for() {
        for name in [".env", ".git", "id_rsa", "server.KEY", "db.sqlite3", "app.db-wal", "vault.kdbx"] {
            assert!(!Policy { hidden: false }.allows(name.as_bytes()), "{name}");
            assert!(Policy { hidden: true }.allows(name.as_bytes()), "{name}");
        }
        for name in ["index.html", "id_rsa.pub", "key", "database.txt", ".well-known", "notes-wal"] {
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
        assert!(!policy.allows_path(Path::new(".git/config")));
        assert!(!policy.allows_path(Path::new("../a")));
    }
}
