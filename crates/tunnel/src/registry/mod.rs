//! A relay's memory and judgement: who may come in, who owns which name and port and serves it now, and how much each may use.
//!
//! Ask [`Registry::find`] for every visitor: it takes no lock. Everything else is for sessions and for the relay's owner, and
//! holds a lock for moments only. What is promised (a name, an admission) is on the disk before it is promised.

mod admin;
mod admit;
mod agent;
mod book;
mod claim;
mod error;
mod event;
mod files;
mod ledger;
mod lent;
mod memory;
mod meter;
mod metered;
mod names;
mod options;
mod places;
mod proof;
mod report;
mod settings;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_model::Hostname;
use doorstep_net::{BoxFuture, Quota};
use doorstep_proto::tunnel::{Claim, Code, Grant, SessionId, Taken, TunnelError};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast};

pub use admin::parse_ssh_key;
pub use agent::{Agent, AgentLimits, fingerprint};
pub use error::RegistryError;
pub use event::RegistryEvent;
pub use lent::{Admission, Found, Lent};
pub use meter::{Meter, StreamPass, Usage};
pub use options::{InviteOptions, RegistryOptions};
pub use proof::{DomainLookup, SystemLookup};
pub use report::{AgentReport, KeyReport, NameReport, SessionReport};
pub use settings::RegistrySettings;

pub(crate) use agent::sha256;
pub(crate) use lent::Place;

use crate::OpenFailed;
use crate::identity::RelayIdentity;
use crate::limits::{AGENT_NAME, EVENTS, PROOFS};
use crate::ports::Leases;
use book::{Book, Stage};
use memory::Memory;
use places::Places;

/// See the [module](self). A cheap copy of one memory.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    options: RegistryOptions,
    settings: ArcSwap<RegistrySettings>,
    domain: Hostname,
    identity: RelayIdentity,
    /// Known to this relay only: invitations and stable names are made with it.
    secret: hmac::Key,
    memory: Arc<Memory>,
    places: Arc<Places>,
    leases: Leases,
    events: broadcast::Sender<RegistryEvent>,
    proofs: Semaphore,
    writer: Option<JoinHandle<()>>,
}

/// A claim that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    pub grant: Grant,
    /// An older session of the same key that served it: end it with [`Code::Evicted`](doorstep_proto::tunnel::Code::Evicted).
    /// The registry has forgotten it already.
    pub evicts: Option<SessionId>,
}

impl Registry {
    /// Opens the memory in `dir`, which is made if need be, and makes the relay's identity the first time.
    ///
    /// # Errors
    /// Files that cannot be read or written, that make no sense (with the line), or that another relay works with.
    pub fn open(dir: &Path, options: RegistryOptions) -> Result<Self, RegistryError> {
        let io = |cause| RegistryError::Io { path: dir.to_owned(), cause };
        let domain: Hostname =
            options.domain.parse().map_err(|error| RegistryError::Domain(format!("{:?}: {error}", options.domain)))?;
        doorstep_store::make_private_dir(dir).map_err(io)?;
        let identity = RelayIdentity::open(&dir.join("identity.pem"), &domain)?;
        let secret = secret(&dir.join("secret"))?;
        let memory = Memory::new(dir, Book::new(domain.as_str(), options.ports.clone()));
        let lock = match options.standby {
            true => None,
            false => Some(memory.lock().map_err(io)?.ok_or_else(|| RegistryError::InUse { path: dir.to_owned() })?),
        };
        let places = Arc::new(Places::new());
        {
            let mut book = memory.book.lock();
            memory.read(&mut book, domain.as_str())?;
            places.follow(&book);
            if lock.is_some() {
                book.stage = Stage::Leading;
            }
        }
        let (events, _) = broadcast::channel(EVENTS);
        let reread = admit::reread(places.clone(), events.clone());
        let writer = Some(memory.start(lock, domain.to_string(), reread).map_err(io)?);
        let leases = Leases::new(options.bind.clone());
        let proofs = Semaphore::new(PROOFS);
        let settings = ArcSwap::default();
        let inner =
            Inner { options, settings, domain, identity, secret, memory, places, leases, events, proofs, writer };
        Ok(Self(Arc::new(inner)))
    }

    /// This process is the one that writes from now on, as soon as the one before has let go of the memory.
    pub fn lead(&self) {
        let mut book = self.0.memory.book.lock();
        if book.stage == Stage::Standby {
            book.stage = Stage::Waiting;
            self.0.memory.wake();
        }
    }

    /// Another process is to write from now on: lets go of the memory once everything is written, and of leased ports. Names
    /// that are owned can still be claimed.
    pub fn retire(&self) {
        self.0.memory.book.lock().stage = Stage::Retired;
        self.0.memory.wake();
        self.0.leases.close_all();
        self.0.memory.staged.notify_waiters();
    }

    pub fn domain(&self) -> &Hostname {
        &self.0.domain
    }

    /// Ports that may be lent.
    pub fn ports(&self) -> std::ops::RangeInclusive<u16> {
        self.0.options.ports.clone()
    }

    /// From now on. What is lent and reserved from now on is taken back.
    pub fn set(&self, settings: RegistrySettings) {
        let settings = Arc::new(settings);
        self.0.settings.store(settings.clone());
        let mut book = self.0.memory.book.lock();
        for host in &settings.reserved {
            let taken = Taken::Name(host.clone());
            if let Some((session, id)) = book.claims.serving(&taken) {
                book.claims.release(session, id);
                self.0.leave(&taken);
                let _ = self.0.events.send(RegistryEvent::ClaimWithdrawn { session, id, error: reserved(host) });
            }
        }
    }

    pub fn identity(&self) -> &RelayIdentity {
        &self.0.identity
    }

    /// A runtime on which connections to leased ports may be accepted; say it in each thread that serves. Without any, they
    /// are accepted where the port was claimed.
    pub fn add_runtime(&self, runtime: Handle) {
        self.0.leases.add_runtime(runtime);
    }

    /// Connections to leased ports count among those of `quota`, as those to any listener: say so before any port is claimed.
    pub fn count_in(&self, quota: Arc<Quota>) {
        self.0.leases.count_in(quota);
    }

    /// What is behind a host name, in lower case and without a port or a dot at its end. Takes no lock.
    pub fn find(&self, host: &str) -> Found {
        match self.0.places.get(host) {
            Some(place) => place.found(),
            None => Found::Unknown,
        }
    }

    /// Leave for a stream to `agent` that is not opened by a claim, under a name that may or may not be known here.
    ///
    /// # Errors
    /// The name is switched off, or the agent has all the streams it may have, or its time is over.
    pub fn admit(&self, agent: &Agent, host: &str) -> Result<Admission, OpenFailed> {
        let place = self.0.places.get(host).unwrap_or_else(|| Arc::new(Place::new(host.into())));
        Admission::of(agent, place)
    }

    /// Whose TLS does not end at the relay, by server name. Takes no lock.
    pub fn find_tls(&self, server_name: &str) -> Option<Arc<Lent>> {
        self.0.places.get(server_name)?.lent().filter(|lent| matches!(lent.claim, Claim::Tls { .. }))
    }

    /// Waits until the agent of `host` is there again, or it is known that it will not be. Bound it in time.
    pub fn returned(&self, host: &str) -> BoxFuture<'static, Found> {
        let (inner, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            match inner.places.get(&host) {
                Some(place) => place.returned_if(|| inner.may_return(&host)).await,
                None => Found::Unknown,
            }
        })
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<RegistryEvent> {
        self.0.events.subscribe()
    }
}

impl Inner {
    /// Whether the owner of a name may come in at all.
    fn may_return(&self, host: &str) -> bool {
        let book = self.memory.book.lock();
        let owner = book.claims.owner(&Taken::Name(host.to_owned()));
        owner.and_then(|owner| book.owners.get(&owner)).is_some_and(|name| book.may_come(name))
    }
}

impl Drop for Inner {
    /// What was promised is on the disk; what is being promised gets there, and the lock goes to the next one.
    fn drop(&mut self) {
        self.memory.book.lock().stage = Stage::Retired;
        self.memory.wake();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn reserved(host: &str) -> TunnelError {
    TunnelError::new(Code::NameNotAllowed, format!("{host} is a site of the relay's own"))
}

/// The relay's own key for MACs; made the first time.
fn secret(path: &Path) -> Result<hmac::Key, RegistryError> {
    let io = |cause| RegistryError::Io { path: path.to_owned(), cause };
    let broken = |reason: &str| RegistryError::Identity { path: path.to_owned(), reason: reason.to_owned() };
    if !path.exists() {
        let text =
            URL_SAFE_NO_PAD.encode(random::<32>().ok_or_else(|| broken("this computer gave no random numbers"))?);
        crate::identity::make_once(path, &text).map_err(io)?;
    }
    let text = doorstep_store::read_private(path).map_err(io)?;
    let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().filter(|bytes| bytes.len() == 32);
    let bytes = bytes.ok_or_else(|| broken("it is damaged"))?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// `None`: this computer gave none.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit first.
pub(super) fn is_agent_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let all = name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    first && all && name.len() <= AGENT_NAME
}

/// A pattern for names under the relay's domain.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.matches('*').count() > 1 {
        return Err(format!("{pattern:?}: at most one `*` in a pattern"));
    }
    let name = pattern.replace('*', "x");
    match name.parse::<Hostname>() {
        Ok(name) if name.as_str() == pattern.replace('*', "x") => Ok(()),
        Ok(_) => Err(format!("{pattern:?}: write it in lower case, without a dot at its end")),
        Err(error) => Err(format!("{pattern:?} is no pattern for names, such as studio-*: {error}")),
    }
}

impl Places {
    /// As the book has it, where nothing was lent yet or everything is still right.
    fn follow(&self, book: &Book) {
        let owned = book.owners.keys().flat_map(|owner| book.claims.owned(*owner));
        self.make(owned.filter_map(|taken| if let Taken::Name(name) = taken { Some(name.as_str()) } else { None }));
        self.make(book.stopped.iter().map(String::as_str));
        for place in self.all() {
            let stopped = book.stopped.contains(&*place.host);
            if stopped != place.is_stopped() {
                place.set_stopped(stopped);
            }
            if !stopped && book.claims.owner(&Taken::Name(place.host.to_string())).is_none() {
                self.remove(&place.host);
            }
        }
    }
}
