use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use doorstep_net::Quota;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::{bind, tcp, udp};
use crate::limits::{PORT_GIVEN_BACK, PORT_GRACE, PORT_HELD};
use crate::registry::Place;

/// The ports that are bound.
#[derive(Clone)]
pub(crate) struct Leases(Arc<Shared>);

struct Shared {
    bind: Vec<IpAddr>,
    runtimes: Mutex<Vec<Handle>>,
    open: Mutex<HashMap<(Kind, u16), Lease>>,
    quota: OnceLock<Arc<Quota>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Tcp,
    Udp,
}

struct Lease {
    place: Arc<Place>,
    /// How often it was claimed.
    claims: u64,
    /// Closes the sockets when it is dropped.
    _close: watch::Sender<()>,
}

/// Why a port cannot be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("another program of the relay's computer has it")]
    InUse,
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for LeaseError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse { Self::InUse } else { Self::Io(error) }
    }
}

impl Leases {
    pub fn new(bind: Vec<IpAddr>) -> Self {
        Self(Arc::new(Shared { bind, runtimes: Mutex::default(), open: Mutex::default(), quota: OnceLock::new() }))
    }

    pub fn add_runtime(&self, runtime: Handle) {
        self.0.runtimes.lock().push(runtime);
    }

    /// Where connections to ports that are bound from now on are counted.
    pub fn count_in(&self, quota: Arc<Quota>) {
        // The first one is for all.
        let _ = self.0.quota.set(quota);
    }

    /// Binds a port, unless it is bound still. `owned`: it was the agent's before, and the worker before this one may have it
    /// open. Call it within a runtime.
    pub fn tcp(&self, port: u16, owned: bool) -> Result<Arc<Place>, LeaseError> {
        self.claim(Kind::Tcp, port, |place, closed| {
            let runtimes = self.runtimes();
            let held = Arc::new(Semaphore::new(PORT_HELD));
            for sockets in bind::tcp(&self.0.bind, port, runtimes.len(), owned)? {
                for (socket, runtime) in sockets.into_iter().zip(&runtimes) {
                    let quota = self.0.quota.get().cloned();
                    runtime.spawn(tcp::serve(socket, place.clone(), held.clone(), quota, closed.clone()));
                }
            }
            Ok(())
        })
    }

    /// The same for datagrams, which are received where the port was claimed.
    pub fn udp(&self, port: u16, owned: bool) -> Result<Arc<Place>, LeaseError> {
        self.claim(Kind::Udp, port, |place, closed| {
            for socket in bind::udp(&self.0.bind, port, owned)? {
                tokio::spawn(udp::serve(socket, place.clone(), closed.clone()));
            }
            Ok(())
        })
    }

    /// The session of whoever had it broke: it stays bound for [`PORT_GRACE`].
    pub fn leave_tcp(&self, port: u16) {
        self.leave((Kind::Tcp, port), PORT_GRACE);
    }

    pub fn leave_udp(&self, port: u16) {
        self.leave((Kind::Udp, port), PORT_GRACE);
    }

    /// Whoever had it left in order: it is closed, unless the one who takes over is there already.
    pub fn give_back_tcp(&self, port: u16) {
        self.leave((Kind::Tcp, port), PORT_GIVEN_BACK);
    }

    pub fn give_back_udp(&self, port: u16) {
        self.leave((Kind::Udp, port), PORT_GIVEN_BACK);
    }

    pub fn close_tcp(&self, port: u16) {
        self.0.open.lock().remove(&(Kind::Tcp, port));
    }

    pub fn close_udp(&self, port: u16) {
        self.0.open.lock().remove(&(Kind::Udp, port));
    }

    /// Takes no more connections and datagrams, so that another process can. Connections that there are go on.
    pub fn close_all(&self) {
        self.0.open.lock().clear();
    }

    fn runtimes(&self) -> Vec<Handle> {
        let runtimes = self.0.runtimes.lock();
        if runtimes.is_empty() { vec![Handle::current()] } else { runtimes.clone() }
    }

    fn claim(
        &self,
        kind: Kind,
        port: u16,
        serve: impl FnOnce(&Arc<Place>, watch::Receiver<()>) -> io::Result<()>,
    ) -> Result<Arc<Place>, LeaseError> {
        let mut open = self.0.open.lock();
        match open.entry((kind, port)) {
            Entry::Occupied(mut lease) => {
                lease.get_mut().claims += 1;
                Ok(lease.get().place.clone())
            }
            Entry::Vacant(vacant) => {
                let place = Arc::new(Place::new(Arc::default()));
                let (close, closed) = watch::channel(());
                serve(&place, closed)?;
                vacant.insert(Lease { place: place.clone(), claims: 1, _close: close });
                Ok(place)
            }
        }
    }

    /// Nobody serves it any more; it stays bound for a while, since whoever comes back must find it free.
    fn leave(&self, at: (Kind, u16), grace: Duration) {
        let open = self.0.open.lock();
        let Some(lease) = open.get(&at) else { return };
        lease.place.leave();
        let claims = lease.claims;
        drop(open);
        let leases = self.clone();
        let close = async move {
            tokio::time::sleep(grace).await;
            let mut open = leases.0.open.lock();
            if open.get(&at).is_some_and(|lease| lease.claims == claims && lease.place.lent().is_none()) {
                open.remove(&at);
            }
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(close)),
            // Nobody could wait: closed at once.
            Err(_) => drop(self.0.open.lock().remove(&at)),
        }
    }
}
