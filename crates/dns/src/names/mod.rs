//! Names that follow this computer's addresses (dynamic DNS).

mod keeper;
mod memory;
mod there;
mod undo;
mod wanted;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use doorstep_model::{DynamicDns, Hostname, Ledger};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::keeper::Keeper;
pub use self::memory::Memory;
use self::memory::Remembered;
pub use self::undo::undo;
use crate::Provider;
use crate::fault::DnsFault;

/// Where visitors are to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    /// Another name that leads here, for while there is no address: each name's own.
    pub aliases: Vec<(Hostname, Hostname)>,
}

/// What keeping names takes.
#[derive(Clone)]
pub struct Options {
    pub ledger: Arc<dyn Ledger>,
    pub memory: Arc<dyn Memory>,
    /// Who is asked for names instead of the system's servers.
    pub resolver: Option<SocketAddr>,
    /// The file that has the provider's settings, for the journal.
    pub config: Option<PathBuf>,
}

/// What becomes of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The provider took these values, or has them already.
    Published {
        name: Hostname,
        values: Vec<String>,
    },
    /// The zone's own servers answer with them.
    Seen {
        name: Hostname,
    },
    Failed {
        name: Hostname,
        fault: DnsFault,
    },
}

/// How a name fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameStatus {
    pub name: Hostname,
    /// As `provider` in the configuration names it.
    pub provider: String,
    pub state: NameState,
    /// What the provider took last.
    pub values: Vec<String>,
    /// Since when it is so.
    pub since: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameState {
    /// No address is known that could be published.
    Waiting,
    /// The provider has it; the zone's servers do not answer with it yet.
    Published,
    /// The zone's servers answer with it.
    Seen,
    Failed {
        what: String,
        fix: String,
    },
}

/// Names that are kept. Dropped, they stay as they are.
pub struct Names {
    status: Arc<Mutex<Vec<NameStatus>>>,
    _tasks: JoinSet<()>,
}

impl Names {
    /// Keeps `groups` leading to whatever `addresses` says. A provider that is not known or not told what it needs is a
    /// failure of its names.
    pub fn start(
        groups: Vec<DynamicDns>,
        addresses: &watch::Receiver<Addresses>,
        options: &Options,
        news: &mpsc::UnboundedSender<News>,
    ) -> Self {
        let status: Arc<Mutex<Vec<NameStatus>>> = Arc::default();
        let remembered = Arc::new(Remembered::new(options.memory.clone()));
        let mut tasks = JoinSet::new();
        for group in groups {
            let provider = Provider::new(&group.provider).map(Arc::new);
            for name in &group.names {
                let at = status.lock().len();
                let state = NameState::Waiting;
                let since = SystemTime::now();
                let provider_name = group.provider.kind.clone();
                status.lock().push(NameStatus {
                    name: name.clone(),
                    provider: provider_name,
                    state,
                    values: Vec::new(),
                    since,
                });
                let board = keeper::Board { at, status: status.clone(), news: news.clone(), name: name.clone() };
                match &provider {
                    Err(fault) => board.failed(fault),
                    Ok(provider) => {
                        let keeper = Keeper::new(board, provider.clone(), &group, options, remembered.clone());
                        tasks.spawn(keeper.run(addresses.clone()));
                    }
                }
            }
        }
        Self { status, _tasks: tasks }
    }

    pub fn status(&self) -> Vec<NameStatus> {
        self.status.lock().clone()
    }
}
