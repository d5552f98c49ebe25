use std::path::PathBuf;
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Error, PrivateKeyWithHashAlg, load_secret_key};
use russh::{MethodKind, MethodSet};

use super::session::Events;
use crate::client::{Fault, Server};

/// Names of keys in `~/.ssh`, as OpenSSH looks for them.
const USUAL: &[&str] = &["id_ed25519", "id_ecdsa"];

/// Shows the keys of the agent, then `files`, or those of `~/.ssh`, until the server takes one.
pub(super) async fn authenticate(handle: &mut Handle<Events>, server: &Server, files: &[PathBuf]) -> Result<(), Fault> {
    let user = server.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "root".to_owned());
    let mut tried = Tried::default();
    if files.is_empty() && by_agent(handle, &user, &mut tried).await? {
        return Ok(());
    }
    let home = std::env::home_dir().unwrap_or_default().join(".ssh");
    let usual = || USUAL.iter().map(|name| home.join(name)).filter(|path| path.exists()).collect();
    let files: Vec<PathBuf> = if files.is_empty() { usual() } else { files.to_vec() };
    for file in files {
        // A few hundred bytes, read once.
        let key = match load_secret_key(&file, None) {
            Ok(key) => key,
            Err(Error::KeyIsEncrypted) => {
                tried.encrypted = true;
                continue;
            }
            Err(error) => return Err(Fault::Lost(format!("{} cannot be read: {error}", file.display()))),
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
            self.password_only = !offers(remaining_methods, MethodKind::PublicKey);
        }
        answer.success()
    }
}

fn offers(methods: &MethodSet, method: MethodKind) -> bool {
    methods.iter().any(|offered| *offered == method)
}
