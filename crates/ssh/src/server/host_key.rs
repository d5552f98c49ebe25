use std::path::Path;

use doorstep_store::{make_private_dir, read_private, write_private};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use rustix::rand::{GetRandomFlags, getrandom};

use super::GatewayError;

/// The gateway's own key, made the first time.
pub(super) fn open(folder: &Path) -> Result<PrivateKey, GatewayError> {
    let path = folder.join("ssh_host_ed25519_key");
    let broken = |reason: String| GatewayError::HostKey { path: path.clone(), reason };
    if !path.exists() {
        make_private_dir(folder).map_err(|error| broken(error.to_string()))?;
        let text = make().map_err(&broken)?;
        write_private(&path, text.as_bytes()).map_err(|error| broken(error.to_string()))?;
    }
    let text = read_private(&path).map_err(|error| broken(error.to_string()))?;
    PrivateKey::from_openssh(text).map_err(|error| broken(error.to_string()))
}

fn make() -> Result<String, String> {
    let mut seed = [0; 32];
    match getrandom(&mut seed, GetRandomFlags::empty()) {
        Ok(32) => {}
        _ => return Err("this computer gave no random numbers".to_owned()),
    }
    let key = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    let key = PrivateKey::new(key, "doorstep relay").map_err(|error| error.to_string())?;
    Ok(key.to_openssh(LineEnding::LF).map_err(|error| error.to_string())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_stays_the_same_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        assert_eq!(open(folder.path()).unwrap().public_key(), first.public_key());
        let path = folder.path().join("ssh_host_ed25519_key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(open(folder.path()).unwrap_err().fix().contains("ssh_host_ed25519_key"));
    }
}
