//! A front-end for stock back-ends: they fly kites here, which become names of the relay.
//!
//! Where a relay's listeners are shared with visitors, [`Server::in_front_of`] stands before the HTTP engine and takes what
//! is for it; or [`recognise`] and [`Server::serve`] are called by whoever reads first bytes anyway. On a port of its own,
//! the same with an engine that refuses.

mod carrier;
mod door;
mod judge;
mod lending;
mod names;
mod raw;
mod recognise;
mod session;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_net::{BoxFuture, ConnInfo, Drain, Handler, Io};
use doorstep_proto::pagekite::{ChallengeKey, FrontEnd, Kite, Sessions};
use parking_lot::Mutex;
use rustls::ServerConfig;

use crate::link::Link;
pub use lending::{Lending, LendingSession, RegistryLending};
pub use names::KiteNames;
pub use recognise::{Recognised, recognise};

/// What a front-end is told by the relay it belongs to.
#[derive(Clone)]
pub struct ServerOptions {
    pub names: KiteNames,
    /// TLS for the tunnels of back-ends that ask with `CONNECT`, for a name of the relay itself.
    pub tls: OwnTls,
    /// The relay ends visitors' TLS for the names of kites, so that an `http` kite is reached by https as well.
    pub https: bool,
    /// The relay passes visitors' TLS on by its server name, so that there can be `https` kites.
    pub end_to_end: bool,
    /// Where visitors come.
    pub ports: Vec<u16>,
    /// A line for people at the back-end.
    pub message: Option<String>,
}

/// The settings of TLS with the certificate of a name (lower case); `None` where it is no name of the relay. Stock back-ends do
/// not say it again within TLS. Called on the data plane: must not wait.
pub type OwnTls = Arc<dyn Fn(&str) -> Option<Arc<ServerConfig>> + Send + Sync>;

/// The front-end of a relay. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    options: ServerOptions,
    names: Mutex<KiteNames>,
    key: ChallengeKey,
    /// What it is called in answers to probes: anew with each start.
    uuid: String,
    lending: Arc<dyn Lending>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: Sessions,
    live: HashMap<String, Live>,
}

/// A back-end's tunnel, as others need it.
struct Live {
    link: Link<FrontEnd>,
    flying: Arc<carrier::Flying>,
    peer: SocketAddr,
}

/// A back-end that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackEndStatus {
    pub peer: SocketAddr,
    pub kites: Vec<Kite>,
    /// Visitors' streams that are open.
    pub streams: usize,
}

impl Server {
    pub fn new(options: ServerOptions, lending: Arc<dyn Lending>) -> Self {
        let names = Mutex::new(options.names.clone());
        let (key, uuid) = (ChallengeKey::new(crate::random()), crate::random_name());
        Self(Arc::new(Inner { options, names, key, uuid, lending, table: Mutex::default() }))
    }

    /// Other names and secrets from now on. Sessions that fly what may no longer be flown, or with another secret, are
    /// ended; their back-ends come again for the rest.
    pub fn set_names(&self, names: KiteNames) {
        let mut own = self.0.names.lock();
        let table = self.0.table.lock();
        for (session, live) in &table.live {
            let changed = |kite: &Kite| names.secret(kite.domain()) != own.secret(kite.domain());
            if table.sessions.kites(session).any(changed) {
                live.link.with(|machine, _| machine.close());
            }
        }
        *own = names;
    }

    /// Serves a connection that [`recognise`] says is ours: `early` are the bytes that were read from it already. Ends
    /// with the connection. Bounded in time until it is known for what it is, and in the end by `drain`.
    pub fn serve(&self, io: Io, early: Vec<u8>, info: Arc<ConnInfo>, drain: Drain) -> BoxFuture<'static, ()> {
        let server = self.clone();
        Box::pin(async move { server.arrive(io, early, info, drain).await })
    }

    /// Takes what is for the front-end, and leaves everything else to `inner`.
    pub fn in_front_of(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(door::Door::new(self.clone(), inner))
    }

    pub fn status(&self) -> Vec<BackEndStatus> {
        let table = self.0.table.lock();
        let status = |(session, live): (&String, &Live)| BackEndStatus {
            peer: live.peer,
            kites: table.sessions.kites(session).cloned().collect(),
            streams: live.link.streams(),
        };
        table.live.iter().map(status).collect()
    }
}
