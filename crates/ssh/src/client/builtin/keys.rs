use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Error, PrivateKeyWithHashAlg, decode_secret_key, load_secret_key};

use super::session::Events;
use crate::client::{Fault, Key, Server};

/// Names of keys in `~/.ssh`, as OpenSSH looks for them.
const USUAL: &[&str] = &["id_ed25519", "id_ecdsa"];

/// Shows `keys`, or those of the agent and of `~/.ssh`, until the server takes one.
pub(super) async fn authenticate(handle: &mut Handle<Events>, server: &Server, keys: &[Key]) -> Result<(), Fault> {
    let user = server.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".to_owned());
    let mut tried = Tried::default();
    if keys.is_empty() && by_agent(handle, &user, &mut tried).await? {
        return Ok(());
    }
    let home = std::env::home_dir().unwrap_or_default().join(".ssh");
    let usual = || USUAL.iter().map(|name| home.join(name)).filter(|path| path.exists()).map(Key::File).collect();
    let keys: Vec<Key> = if keys.is_empty() { usual() } else { keys.to_vec() };
    for key in keys {
        let (read, name) = match &key {
            // A few hundred bytes, read once.
            Key::File(path) => (load_secret_key(path, None), path.display().to_string()),
            Key::Text(text) => (decode_secret_key(text.reveal(), None), "the key".to_owned()),
        };
        let key = match read {
            Ok(key) => key,
            Err(Error::KeyIsEncrypted) => {
                tried.encrypted = true;
                continue;
            }
            Err(error) => return Err(Fault::Lost(format!("{name} cannot be read: {error}"))),
        };
        tried.keys += 1;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        if tried.is_taken(handle.authenticate_publickey(user.clone(), key).await.map_err(super::lost)?) {
            return Ok(());
        }
    }
    Err(match tried {
        Tried { encrypted: true, .. } => Fault::Passphrase,
        Tried { keys: 0, .. } => Fault::NoKey,
        Tried { password_only: true, .. } => Fault::PasswordOnly,
        Tried { keys, .. } => Fault::Denied(format!("{keys} tried")),
    })
}

async fn by_agent(handle: &mut Handle<Events>, user: &str, tried: &mut Tried) -> Result<bool, Fault> {
    let Ok(mut agent) = AgentClient::connect_env().await else { return Ok(false) };
    let Ok(identities) = agent.request_identities().await else { return Ok(false) };
    for identity in identities {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        tried.keys += 1;
        // An agent that does not sign (it asks its owner, perhaps) is not the end: there may be another key.
        let Ok(answer) = handle.authenticate_publickey_with(user, key, None, &mut agent).await else { continue };
        if tried.is_taken(answer) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[derive(Default)]
struct Tried {
    keys: usize,
    encrypted: bool,
    password_only: bool,
}

impl Tried {
    fn is_taken(&mut self, answer: AuthResult) -> bool {
        if let AuthResult::Failure { remaining_methods, .. } = &answer {
            self.password_only = !remaining_methods.contains(&MethodKind::PublicKey);
        }
        answer.success()
    }
}
