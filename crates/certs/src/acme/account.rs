use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_model::{Blame, ExternalAccount, Issuer};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::http::AuthorityHttp;
use super::patient;
use crate::fault::{Fault, Then};
use crate::limits::CLOCK_SKEW;
use crate::storage::{Storage, read_json, write_json};

/// The accounts with all authorities, each looked up or made when it is first needed.
#[derive(Default)]
pub(crate) struct Accounts {
    open: Mutex<HashMap<String, Arc<OnceCell<Opened>>>>,
}

/// An account, and the connections to its authority.
#[derive(Clone)]
pub(crate) struct Opened {
    pub account: Account,
    pub http: AuthorityHttp,
}

/// `account.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    contact: Vec<String>,
    /// The external account's key id, where there is one.
    external: Option<String>,
    credentials: AccountCredentials,
}

impl Accounts {
    /// The account with `issuer`; made if there is none.
    pub async fn open(&self, storage: &Storage, issuer: &Issuer, email: Option<&str>) -> Result<Opened, Fault> {
        let cell = self.open.lock().entry(key(issuer)).or_default().clone();
        let opened = cell.get_or_try_init(|| open(storage.clone(), issuer.clone(), email.map(str::to_owned))).await?;
        check_clock(issuer, opened)?;
        Ok(opened.clone())
    }

    /// Until when `issuer` wants nothing of us.
    pub fn busy_until(&self, issuer: &Issuer) -> Option<SystemTime> {
        let cell = self.open.lock().get(&key(issuer))?.clone();
        cell.get()?.http.busy_until()
    }

    /// Forgets all that is open; what is kept on disk stays. After the configuration changed.
    pub fn clear(&self) {
        self.open.lock().clear();
    }

    /// Forgets an account that the authority does not know.
    pub fn forget(&self, storage: &Storage, issuer: &Issuer) {
        self.open.lock().remove(&key(issuer));
        let _ = std::fs::remove_file(storage.account_dir(&issuer.name).join("account.json"));
    }
}

fn key(issuer: &Issuer) -> String {
    format!("{} {}", issuer.name, issuer.directory)
}

async fn open(storage: Storage, issuer: Issuer, email: Option<String>) -> Result<Opened, Fault> {
    let name = issuer.name.as_str();
    let http = AuthorityHttp::new(issuer.roots.as_ref()).map_err(|error| no_roots(&issuer, &error))?;
    let build = || Account::builder_with_http(Box::new(http.clone()));
    let contact: Vec<String> = email.iter().map(|email| format!("mailto:{email}")).collect();
    let addresses: Vec<&str> = contact.iter().map(String::as_str).collect();
    let external = issuer.account.as_ref().map(|account| account.key_id.clone());
    let path = storage.account_dir(name).join("account.json");
    match read_json::<Kept>(&path) {
        // Another directory under the same name, or another external account, is another account.
        Ok(kept) if kept.directory == issuer.directory && kept.external == external => {
            let same_contact = kept.contact == contact;
            let account = build().from_credentials(kept.credentials).await;
            let account = account.map_err(|error| Fault::from_acme(name, &error))?;
            if !same_contact {
                patient!(account.update_contacts(&addresses)).map_err(|error| Fault::from_acme(name, &error))?;
                if let Ok(kept) = read_json::<Kept>(&path) {
                    let _ = write_json(&path, &Kept { contact, ..kept });
                }
            }
            return Ok(Opened { account, http });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&path, &error)),
    }
    let wanted = NewAccount { contact: &addresses, terms_of_service_agreed: true, only_return_existing: false };
    let binding = issuer.account.as_ref().map(|account| external_key(name, account)).transpose()?;
    let made = patient!(build().create(&wanted, issuer.directory.clone(), binding.as_ref()));
    let (account, credentials) = made.map_err(|error| Fault::from_acme(name, &error))?;
    let kept = Kept { directory: issuer.directory.clone(), contact, external, credentials };
    // Without room for it, the account is good until the next start, which makes another.
    let _ = storage.make(storage.account_dir(name)).and_then(|dir| write_json(&dir.join("account.json"), &kept));
    Ok(Opened { account, http })
}

/// With a wrong clock certificates look old, or not valid yet, and none should be asked for because of that.
fn check_clock(issuer: &Issuer, opened: &Opened) -> Result<(), Fault> {
    let skew = opened.http.skew().unwrap_or(0);
    if skew.unsigned_abs() < CLOCK_SKEW.as_secs() {
        return Ok(());
    }
    let (hours, way) = (skew.unsigned_abs() / 3600, if skew > 0 { "behind" } else { "ahead of" });
    let what = format!("this computer's clock is {hours} hours {way} that of {}.", issuer.name);
    Err(Fault::new(
        "clock-wrong",
        Blame::Environment,
        what,
        "Set the clock, or let it be set: timedatectl set-ntp true",
    ))
}

fn external_key(issuer: &str, account: &ExternalAccount) -> Result<ExternalAccountKey, Fault> {
    let text = account.hmac_key.reveal().trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        let what = format!("the external account's key for {issuer} is not base64url.");
        let fix = "Copy the key again as the authority hands it out.";
        Fault::new("acme-external-account", Blame::Environment, what, fix).then(Then::NextIssuer)
    })?;
    Ok(ExternalAccountKey::new(account.key_id.clone(), &bytes))
}

fn no_roots(issuer: &Issuer, error: &dyn std::fmt::Display) -> Fault {
    let (source, fix) = match &issuer.roots {
        Some(pem) => (pem.path.display().to_string(), "Put its root certificate as PEM into that file."),
        None => ("this computer".to_owned(), "Install the root certificates: apt-get install ca-certificates"),
    };
    let what = format!("{} cannot be trusted by the roots of {source}: {error}.", issuer.name);
    Fault::new("acme-roots", Blame::Environment, what, fix).then(Then::NextIssuer)
}

/// Rather nothing than a new account by mistake: some authorities hand out the right to one only once.
fn unreadable(path: &std::path::Path, error: &io::Error) -> Fault {
    let what = format!("the account kept in {} cannot be read: {error}.", path.display());
    let fix = format!(
        "Let it be readable for doorstep alone (chmod 600), or remove it, which makes a new account: rm {}",
        path.display()
    );
    Fault::new("acme-account-unreadable", Blame::Environment, what, fix)
}
