//! The state folder's part that is ours; docs/state.md describes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use doorstep_store::{
    make_private_dir, read_private, write_private, write_private_unsynced, write_public, write_public_unsynced,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::CertName;
use crate::ledger::Ledger;
use crate::plan::Suggestion;
use crate::status::CertFault;

#[derive(Clone, Debug)]
pub(crate) struct Storage {
    dir: PathBuf,
}

/// A chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub chain: String,
    pub key: String,
}

/// `meta.json`: what is remembered about a name besides its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Meta {
    /// Which issuer the certificate is from; `local` for this computer's own authority.
    pub issuer: String,
    pub obtained_at: Option<i64>,
    pub failures: u32,
    pub retry_at: Option<i64>,
    pub error: Option<CertFault>,
    pub suggestion: Option<Suggestion>,
}

/// `order.json`: an order that is not finished, and the key that it will be for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenOrder {
    pub issuer: String,
    pub directory: String,
    pub url: String,
    pub key: String,
    pub since: i64,
}

impl Storage {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub fn certificate_dir(&self, name: &CertName) -> PathBuf {
        self.dir.join("certs").join(name.folder())
    }

    pub fn account_dir(&self, issuer: &str) -> PathBuf {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        self.dir.join("accounts").join(issuer.chars().map(safe).collect::<String>().trim_matches('.'))
    }

    pub fn authority_dir(&self) -> PathBuf {
        self.dir.join("authority")
    }

    /// The certificate kept for `name`. Finishes what a crash left half done.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none, else what is wrong with the files.
    pub fn pair(&self, name: &CertName) -> io::Result<Pair> {
        let dir = self.certificate_dir(name);
        if let Ok(pair) = read_private(&dir.join("next.pem")).and_then(|text| split(&text)) {
            // Without room for it, it can be used all the same, and stays where it is.
            let _ = unfold(&dir, &pair);
            return Ok(pair);
        }
        Ok(Pair { chain: std::fs::read_to_string(dir.join("chain.pem"))?, key: read_private(&dir.join("key.pem"))? })
    }

    /// Keeps a new certificate. Chain and key come into one file first, so that after a crash they fit together.
    pub fn keep(&self, name: &CertName, pair: &Pair) -> io::Result<()> {
        let dir = self.make(self.certificate_dir(name))?;
        write_private(&dir.join("next.pem"), join(pair).as_bytes())?;
        unfold(&dir, pair)
    }

    /// Keeps one that can be made again, which is why nothing waits for the disk: after a crash of the computer it may be
    /// damaged. A thousand of them are made in the time in which a disk takes thirty.
    pub fn keep_local(&self, name: &CertName, pair: &Pair, meta: &Meta) -> io::Result<()> {
        let dir = self.make(self.certificate_dir(name))?;
        // Of an authority's, which the name had before.
        let _ = std::fs::remove_file(dir.join("next.pem"));
        write_private_unsynced(&dir.join("key.pem"), pair.key.as_bytes())?;
        write_public_unsynced(&dir.join("chain.pem"), pair.chain.as_bytes())?;
        write_private_unsynced(&dir.join("meta.json"), &to_json(meta)?)
    }

    /// The right to be the only one who works here; `None` while somebody else has it. It ends when the file is closed.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn lock(&self) -> io::Result<Option<File>> {
        make_private_dir(&self.dir)?;
        let path = self.dir.join("manager.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub fn meta(&self, name: &CertName) -> Meta {
        read_json(&self.certificate_dir(name).join("meta.json")).unwrap_or_default()
    }

    pub fn keep_meta(&self, name: &CertName, meta: &Meta) -> io::Result<()> {
        write_json(&self.make(self.certificate_dir(name))?.join("meta.json"), meta)
    }

    pub fn order(&self, name: &CertName) -> Option<OpenOrder> {
        read_json(&self.certificate_dir(name).join("order.json")).ok()
    }

    pub fn keep_order(&self, name: &CertName, order: &OpenOrder) -> io::Result<()> {
        write_json(&self.make(self.certificate_dir(name))?.join("order.json"), order)
    }

    pub fn forget_order(&self, name: &CertName) {
        let _ = std::fs::remove_file(self.certificate_dir(name).join("order.json"));
    }

    /// The ledger; one that cannot be read counts as empty, as it would on the first start.
    pub fn ledger(&self) -> Ledger {
        read_json(&self.dir.join("ledger.json")).unwrap_or_default()
    }

    pub fn keep_ledger(&self, ledger: &Ledger) -> io::Result<()> {
        make_private_dir(&self.dir)?;
        write_json(&self.dir.join("ledger.json"), ledger)
    }

    /// `dir` and the folders between it and the state folder, all for their owner alone.
    pub fn make(&self, dir: PathBuf) -> io::Result<PathBuf> {
        make_private_dir(&self.dir)?;
        if let Some(parent) = dir.parent() {
            make_private_dir(parent)?;
        }
        make_private_dir(&dir)?;
        Ok(dir)
    }
}

/// Writes the files that people and other programs read, and then removes the one that made it safe.
fn unfold(dir: &Path, pair: &Pair) -> io::Result<()> {
    write_private(&dir.join("key.pem"), pair.key.as_bytes())?;
    write_public(&dir.join("chain.pem"), pair.chain.as_bytes())?;
    let _ = std::fs::remove_file(dir.join("next.pem"));
    Ok(())
}

fn join(pair: &Pair) -> String {
    format!("{}\n{}", pair.key.trim_end(), pair.chain)
}

/// The first block is the key.
fn split(text: &str) -> io::Result<Pair> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
    let at = text.find("-----BEGIN CERTIFICATE").ok_or_else(damaged)?;
    let (key, chain) = text.split_at(at);
    Ok(Pair { chain: chain.to_owned(), key: key.to_owned() })
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_str(&read_private(path)?).map_err(io::Error::from)
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write_private(path, &to_json(value)?)
}

fn to_json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(format!("{:#}\n", serde_json::to_value(value)?).into_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn pair(number: u32) -> Pair {
        Pair {
            chain: format!("-----BEGIN CERTIFICATE-----\nleaf{number}\n-----END CERTIFICATE-----\n"),
            key: format!("-----BEGIN PRIVATE KEY-----\nkey{number}\n-----END PRIVATE KEY-----\n"),
        }
    }

    #[test]
    fn a_pair_is_kept_and_a_crash_between_its_files_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path());
        let name: CertName = "a.example.com".parse().unwrap();
        assert_eq!(storage.pair(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
        storage.keep(&name, &pair(1)).unwrap();
        assert_eq!(storage.pair(&name).unwrap(), pair(1));
        let folder = dir.path().join("certs/a.example.com");
        let mode = |file: &str| std::fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode("chain.pem")), (0o600, 0o644));
        // As a crash leaves it: the new pair is safe, the key is new, the chain is old.
        write_private(&folder.join("next.pem"), join(&pair(2)).as_bytes()).unwrap();
        write_private(&folder.join("key.pem"), pair(2).key.as_bytes()).unwrap();
        assert_eq!(storage.pair(&name).unwrap().chain, pair(2).chain);
        assert!(!folder.join("next.pem").exists());
        assert_eq!(storage.pair(&name).unwrap().chain, pair(2).chain);
        assert_eq!(storage.pair(&name).unwrap().key.trim(), pair(2).key.trim());
    }

    #[test]
    fn a_local_one_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path());
        let name: CertName = "a.localhost".parse().unwrap();
        let folder = storage.make(storage.certificate_dir(&name)).unwrap();
        write_private(&folder.join("next.pem"), join(&pair(1)).as_bytes()).unwrap();
        let meta = Meta { issuer: "local".to_owned(), ..Meta::default() };
        storage.keep_local(&name, &pair(2), &meta).unwrap();
        assert_eq!((storage.pair(&name).unwrap(), storage.meta(&name)), (pair(2), meta));
        let mode = |file: &str| std::fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode("meta.json"), mode("chain.pem")), (0o600, 0o600, 0o644));
    }

    #[test]
    fn one_lock_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(&dir.path().join("tls"));
        let first = storage.lock().unwrap();
        assert!(first.is_some() && storage.lock().unwrap().is_none());
        drop(first);
        assert!(storage.lock().unwrap().is_some());
    }

    #[test]
    fn issuers_cannot_leave_their_folder() {
        let storage = Storage::new(Path::new("/state"));
        assert_eq!(storage.account_dir("../../etc"), Path::new("/state/accounts/_.._etc"));
        assert_eq!(storage.account_dir(".."), Path::new("/state/accounts/"));
    }
}
