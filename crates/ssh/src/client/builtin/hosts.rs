use std::borrow::Cow;
use std::path::{Path, PathBuf};

use russh::Preferred;
use russh::keys::known_hosts::{check_known_hosts_path, known_host_keys_path};
use russh::keys::{Error, PublicKey};

use crate::client::Fault;

/// What known_hosts says of a server.
pub(super) struct Hosts {
    host: String,
    port: u16,
    file: PathBuf,
}

impl Hosts {
    /// `file`: another one than `~/.ssh/known_hosts`.
    pub fn new(host: &str, port: u16, file: Option<&Path>) -> Self {
        let usual = || std::env::home_dir().unwrap_or_default().join(".ssh/known_hosts");
        Self { host: host.to_owned(), port, file: file.map_or_else(usual, Path::to_owned) }
    }

    /// Has the server show a key of the kinds that are known first.
    pub fn prefer(&self, preferred: &mut Preferred) {
        let known = known_host_keys_path(&self.host, self.port, &self.file).unwrap_or_default();
        let is_known = |algorithm| known.iter().any(|(_, key)| key.algorithm() == algorithm);
        let (mut first, rest): (Vec<_>, Vec<_>) =
            preferred.key.iter().cloned().partition(|algorithm| is_known(algorithm.clone()));
        first.extend(rest);
        preferred.key = Cow::Owned(first);
    }

    /// # Errors
    /// Nobody said that this key is the server's, or somebody said that another one is.
    pub fn check(&self, key: &PublicKey) -> Result<(), Fault> {
        match check_known_hosts_path(&self.host, self.port, key, &self.file) {
            Ok(true) => Ok(()),
            Err(Error::KeyChanged { .. }) => Err(Fault::HostKeyChanged),
            // A line that cannot be read is no reason to believe.
            Ok(false) | Err(_) => Err(Fault::HostKeyUnknown),
        }
    }
}
