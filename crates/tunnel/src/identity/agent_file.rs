use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_model::{Blame, Hostname, Secret};
use serde::Deserialize;
use toml::Spanned;

use super::AgentKeyPair;

/// What this computer is to one relay: made by `doorstep join`, kept in a file of its own, which only its owner may read.
#[derive(Clone, Debug)]
pub struct AgentIdentity {
    /// Where the relay is: host and port.
    pub relay: String,
    /// Names under the relay end so; also the name of the file.
    pub domain: Hostname,
    /// SHA-256 of the public key (SubjectPublicKeyInfo) that the relay must show. `None`: a certificate that verifies.
    pub pin: Option<[u8; 32]>,
    /// What the relay calls this agent.
    pub name: String,
    pub key: AgentKeyPair,
}

/// Why there is no identity to use.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("this computer has not joined the relay {domain}")]
    Missing { domain: Hostname, path: PathBuf },
    #[error("{path} belongs to another user")]
    NotReadable { path: PathBuf },
    #[error("{path} has this computer's key in it, and other users may read it")]
    TooOpen { path: PathBuf },
    #[error("{path}, line {line}: {reason}")]
    Corrupt { path: PathBuf, line: usize, reason: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no place to keep keys: HOME is not set")]
    NoPlace,
}

impl IdentityError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> String {
        match self {
            Self::Missing { domain, .. } => format!(
                "Ask the owner of {domain} for an invitation (`doorstep relay invite NAME` there), and paste the line that it prints."
            ),
            Self::NotReadable { path } => {
                format!("Run doorstep as that user, or join as yourself; `ls -l {}` tells who it is.", path.display())
            }
            Self::TooOpen { path } => {
                format!(
                    "chmod 600 {}   (if somebody may have read it, join again with a new invitation)",
                    path.display()
                )
            }
            Self::Corrupt { path, .. } => {
                format!("Correct the line, or remove {} and join again with a new invitation.", path.display())
            }
            Self::Io { .. } => String::new(),
            Self::NoPlace => "Set HOME.".to_owned(),
        }
    }
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    relay: String,
    domain: Spanned<String>,
    name: String,
    pin: Option<Spanned<String>>,
    key: Spanned<Secret32>,
}

/// Text that is not printed.
struct Secret32(Secret<String>);

impl<'de> Deserialize<'de> for Secret32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// The folder with the identities of whoever runs this: `/etc/doorstep/relays` for root, else `relays` in
/// `$XDG_CONFIG_HOME/doorstep` or `~/.config/doorstep` (XDG Base Directory Specification).
///
/// # Errors
/// There is no home.
pub fn agent_identities_dir() -> Result<PathBuf, IdentityError> {
    if rustix::process::geteuid().is_root() {
        return Ok("/etc/doorstep/relays".into());
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Ok(base.ok_or(IdentityError::NoPlace)?.join("doorstep/relays"))
}

impl AgentIdentity {
    /// The file for a relay's domain.
    pub fn path(dir: &Path, domain: &Hostname) -> PathBuf {
        dir.join(format!("{domain}.toml"))
    }

    /// # Errors
    /// [`IdentityError`].
    pub fn load(dir: &Path, domain: &Hostname) -> Result<Self, IdentityError> {
        let path = Self::path(dir, domain);
        match doorstep_store::read_private(&path) {
            Ok(text) => Self::parse(&text, domain).map_err(|(at, reason)| {
                let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
                IdentityError::Corrupt { path, line, reason }
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(IdentityError::Missing { domain: domain.clone(), path })
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // Of the system's own refusals it has a number.
                Err(match error.raw_os_error() {
                    Some(_) => IdentityError::NotReadable { path },
                    None => IdentityError::TooOpen { path },
                })
            }
            Err(source) => Err(IdentityError::Io { path, source }),
        }
    }

    /// The domains of the relays that this computer has joined.
    ///
    /// # Errors
    /// The folder cannot be read. One that does not exist is an empty one.
    pub fn list(dir: &Path) -> Result<Vec<Hostname>, IdentityError> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(IdentityError::Io { path: dir.to_owned(), source }),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut domains: Vec<Hostname> = names.filter_map(|name| name.strip_suffix(".toml")?.parse().ok()).collect();
        domains.sort_unstable();
        Ok(domains)
    }

    /// Writes it in place of whatever was there for this relay.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, dir: &Path) -> Result<PathBuf, IdentityError> {
        let path = Self::path(dir, &self.domain);
        let fail = |source| IdentityError::Io { path: path.clone(), source };
        doorstep_store::make_private_dir(dir).map_err(fail)?;
        doorstep_store::write_private(&path, self.text().as_bytes()).map_err(fail)?;
        Ok(path)
    }

    fn text(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut text = format!(
            "# This computer's key for the relay {domain}. Whoever has it can take this computer's place there.\n\
             # Made by `doorstep join`.\n\
             relay = {}\ndomain = {}\nname = {}\n",
            quoted(&self.relay),
            quoted(self.domain.as_str()),
            quoted(&self.name),
            domain = self.domain,
        );
        if let Some(pin) = &self.pin {
            text += &format!("# SHA-256 of the relay's public key\npin = {}\n", quoted(&URL_SAFE_NO_PAD.encode(pin)));
        }
        text + &format!("# Ed25519, secret\nkey = {}\n", quoted(&URL_SAFE_NO_PAD.encode(self.key.seed().reveal())))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// A place in the text, and what is wrong there.
    pub fn parse(text: &str, expected: &Hostname) -> Result<Self, (usize, String)> {
        let file: IdentityFile = toml::from_str(text)
            .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        let bytes = |text: &str, at: usize, what: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            bytes.ok_or_else(|| (at, format!("`{what}` is not whole: 43 letters and digits")))
        };
        let at = file.domain.span().start;
        let domain: Hostname = file.domain.into_inner().parse().map_err(|error| (at, format!("`domain`: {error}")))?;
        if domain != *expected {
            return Err((at, format!("this is the identity for {domain}, in a file named after {expected}")));
        }
        let at = file.pin.as_ref().map_or(0, |pin| pin.span().start);
        let pin = file.pin.map(|pin| bytes(pin.as_ref(), at, "pin")).transpose()?;
        let at = file.key.span().start;
        let seed = bytes(file.key.as_ref().0.reveal(), at, "key")?;
        let key = AgentKeyPair::from_seed(seed).ok_or_else(|| (at, "`key` is no Ed25519 key".to_owned()))?;
        Ok(Self { relay: file.relay, domain, pin, name: file.name, key })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn identity() -> AgentIdentity {
        AgentIdentity {
            relay: "tun.example.com:443".into(),
            domain: "tun.example.com".parse().unwrap(),
            pin: Some([7; 32]),
            name: "studio \"one\"".into(),
            key: AgentKeyPair::generate().unwrap(),
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("doorstep/relays");
        let new = identity();
        assert!(matches!(AgentIdentity::load(&dir, &new.domain), Err(IdentityError::Missing { .. })));
        assert!(AgentIdentity::list(&dir).unwrap().is_empty());
        let path = new.save(&dir).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let old = AgentIdentity::load(&dir, &new.domain).unwrap();
        assert_eq!((old.relay, old.pin, old.name, old.key.public()), (new.relay, new.pin, new.name, new.key.public()));
        assert_eq!(AgentIdentity::list(&dir).unwrap(), [new.domain]);
    }

    #[test]
    fn each_fault_has_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let new = identity();
        let path = new.save(dir.path()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let fault = |text: &str| {
            std::fs::write(&path, text).unwrap();
            AgentIdentity::load(dir.path(), &new.domain).unwrap_err().to_string()
        };
        let lines = |text: &str| text.rsplit_once("relays").map_or(text.to_owned(), |(_, rest)| rest.to_owned());
        let cut = lines(&fault(&text[..text.len() - 6]));
        assert!(cut.contains("line 9: "), "{cut}");
        let short = fault(&text.replace("pin = \"Bw", "pin = \"B"));
        assert!(short.ends_with("line 7: `pin` is not whole: 43 letters and digits"), "{short}");
        let other = fault(&text.replace("domain = \"tun.", "domain = \"own."));
        assert!(other.contains("line 4: this is the identity for own.example.com"), "{other}");
        std::fs::write(&path, &text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = AgentIdentity::load(dir.path(), &new.domain).unwrap_err();
        assert!(matches!(&open, IdentityError::TooOpen { .. }) && open.fix().starts_with("chmod 600 "), "{open}");
    }
}
