//! The name of this computer on the local network: `my-laptop.local` by multicast DNS (RFC 6762), and the service
//! behind it by DNS-SD (RFC 6763), so that it shows up in file managers and browsers that look for services.
//!
//! Another responder on this computer (Avahi, macOS) may hold the name already, with our own addresses. That is no
//! conflict: the name is used as it is and nothing is announced, because two responders that withdraw the same
//! records at different times would take the name away from each other.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::interfaces::{self, Kind};
use crate::limits;

mod name;
mod querier;
mod responder;

use querier::Querier;
use responder::{Events, Outcome, Responder};

/// What to announce.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The name to ask for, in any form a computer's name has; see [`host_name`].
    pub host_name: String,
    /// What people see in a list of services: `photos on my-laptop`.
    pub service_name: String,
    pub port: u16,
    /// The service is `_https._tcp`, not `_http._tcp`.
    pub tls: bool,
    /// The addresses listened on: only these are announced. `0.0.0.0` stands for all of IPv4, `::` for all of IPv6.
    pub bind: Vec<IpAddr>,
}

/// How far the name has come. Changes over time: networks come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Asking whether the name is free, announcing it, asking for it.
    Publishing,
    /// The name was heard on the network, by multicast, with this computer's addresses.
    Published {
        /// `my-laptop.local`
        name: String,
        /// The name that was wanted, if another computer has it.
        taken: Option<Taken>,
    },
    /// Why there is no name, in words for a person. It is tried again every few seconds.
    Failed(String),
}

/// A name that another computer on the network holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub name: String,
    /// One address of that computer, if it told.
    pub by: Option<IpAddr>,
}

/// Publishes a name for as long as it lives. Dropping it withdraws the name, so that no visitor is sent into the void
/// for the two minutes that the records are good for.
pub struct Publisher {
    status: watch::Receiver<Status>,
    live: Live,
    task: JoinHandle<()>,
}

/// The responder while there is one, shared so that dropping the [`Publisher`] can say goodbye without the task.
type Live = Arc<Mutex<Option<Responder>>>;

/// This computer's own name, as it would introduce itself; empty if it has none.
pub fn host_name() -> String {
    #[cfg(unix)]
    return rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    return std::env::var("COMPUTERNAME").unwrap_or_default();
}

/// The name that a computer called `host_name` asks for: `My Laptop` becomes `my-laptop.local`.
pub fn local_name(host_name: &str) -> String {
    format!("{}.local", name::host_label(host_name))
}

impl Publisher {
    /// Starts publishing in the background and returns at once. Needs a tokio runtime with timers.
    pub fn start(announcement: Announcement) -> Self {
        let (sender, status) = watch::channel(Status::Publishing);
        let live = Live::default();
        let task = tokio::spawn(run(announcement, sender, live.clone()));
        Self { status, live, task }
    }

    /// Follows the status. The sender is gone once the publisher is.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Says goodbye and waits until it is sent, half a second at most.
    pub async fn withdraw(self) {
        self.task.abort();
        let goodbye = take(&self.live).and_then(Responder::goodbye);
        if let Some(goodbye) = goodbye {
            let _ = timeout(limits::GOODBYE_TIME, goodbye.recv_async()).await;
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
        // The responder's own thread sends the goodbye in a millisecond or so; without this wait the process could
        // end before.
        if let Some(goodbye) = take(&self.live).and_then(Responder::goodbye) {
            let _ = goodbye.recv_timeout(limits::GOODBYE_TIME);
        }
    }
}

fn take(live: &Live) -> Option<Responder> {
    live.lock().unwrap_or_else(PoisonError::into_inner).take()
}

async fn run(announcement: Announcement, status: watch::Sender<Status>, live: Live) {
    loop {
        let published = publish(&announcement, &live).await;
        let next = match &published {
            Ok(published) => Status::Published { name: published.name.clone(), taken: published.taken.clone() },
            Err(reason) => Status::Failed(reason.clone()),
        };
        status.send_if_modified(|status| std::mem::replace(status, next.clone()) != next);
        match published {
            Ok(published) => stay(&announcement, &published).await,
            Err(_) => sleep(limits::MDNS_RECHECK).await,
        }
        if let Some(goodbye) = take(&live).and_then(Responder::goodbye) {
            let _ = timeout(limits::GOODBYE_TIME, goodbye.recv_async()).await;
        }
    }
}

struct Published {
    name: String,
    taken: Option<Taken>,
    holder: Holder,
}

/// Who answers for the name, and how we hear that it no longer does.
enum Holder {
    /// Our responder.
    Us(Events),
    /// Another responder of this computer: Avahi, or a doorstep that was here before. It may end before we do.
    Other(Querier),
}

impl Holder {
    async fn gave_up(&self) {
        match self {
            Self::Us(events) => events.conflict().await,
            Self::Other(querier) => querier.gone().await,
        }
    }
}

/// Finds a free name, announces it, and hears it announced.
async fn publish(announcement: &Announcement, live: &Live) -> Result<Published, String> {
    let label = name::host_label(&announcement.host_name);
    let failed = |error: mdns_sd::Error| format!("multicast DNS does not work here: {error}");
    let mut taken: Option<Taken> = None;
    for attempt in 1..=limits::NAME_TRIES {
        let own = own_addresses().await;
        if !own.iter().any(|(kind, ip)| *kind == Kind::Lan && responder::announces(&announcement.bind, *ip)) {
            return Err("this computer is not connected to a local network".into());
        }
        let is_own = |ip: &IpAddr| own.iter().any(|(_, own)| own == ip);
        let stranger = |heard: &BTreeSet<IpAddr>| heard.iter().find(|ip| !is_own(ip)).copied();
        let name = format!("{}.local", name::numbered(&label, attempt));
        let mut querier = Querier::ask(&name, responder::interfaces(&announcement.bind)).map_err(failed)?;
        let holders = querier.listen(limits::LOOKUP_TIME).await;
        if let Some(by) = stranger(holders) {
            taken.get_or_insert(Taken { name, by: Some(by) });
            continue;
        }
        if !holders.is_empty() {
            return Ok(Published { name, taken, holder: Holder::Other(querier) });
        }
        let (responder, events) = Responder::start(announcement, &name).map_err(failed)?;
        *live.lock().unwrap_or_else(PoisonError::into_inner) = Some(responder);
        match events.announced().await {
            Outcome::Announced => {}
            Outcome::Conflict => {
                drop(take(live));
                let by = stranger(querier.listen(limits::LOOKUP_TIME).await);
                taken.get_or_insert(Taken { name, by });
                continue;
            }
            Outcome::Silent => return Err("this computer could not announce its name on the network".into()),
        }
        if querier.listen(limits::PUBLISH_TIME).await.iter().any(is_own) {
            return Ok(Published { name, taken, holder: Holder::Us(events) });
        }
        return Err(format!("{name} was announced, but nothing on the network answers for it"));
    }
    Err(format!("{label}.local and {} more names like it are taken", limits::NAME_TRIES - 1))
}

/// Returns when the name does not hold any longer.
async fn stay(announcement: &Announcement, published: &Published) {
    loop {
        tokio::select! {
            () = sleep(limits::MDNS_VERIFY) => {}
            () = published.holder.gave_up() => return,
        }
        let interfaces = responder::interfaces(&announcement.bind);
        let Ok(mut querier) = Querier::ask(&published.name, interfaces) else { return };
        let heard = querier.listen(limits::LOOKUP_TIME).await;
        let own: BTreeSet<IpAddr> = own_addresses().await.into_iter().map(|(_, ip)| ip).collect();
        if heard.is_empty() || !heard.is_subset(&own) {
            return;
        }
    }
}

async fn own_addresses() -> Vec<(Kind, IpAddr)> {
    let list = || {
        interfaces::list()
            .into_iter()
            .filter(|i| i.up)
            .flat_map(|i| i.addresses.into_iter().map(move |a| (i.kind, a.ip)))
    };
    tokio::task::spawn_blocking(move || list().collect()).await.unwrap_or_default()
}
