//! Keeps mappings for as long as it lives.

mod held;
mod keeper;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_model::Ledger;
use doorstep_proto::gateway::Protocol;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::keeper::{Keeper, Order};
use crate::error::GatewayError;
use crate::surroundings::Surroundings;

/// Which road visitors are to come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A port of the gateway's address leads here.
    V4,
    /// The gateway's firewall lets visitors through to this computer's own address.
    V6,
}

/// A port that visitors are to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    pub protocol: Protocol,
    pub family: Family,
    /// Here.
    pub port: u16,
    /// Outside, if it can be had; the gateway may grant another one. A pinhole's is that of this computer.
    pub external: u16,
}

/// What a mapper needs.
pub struct Options {
    pub wants: Vec<Want>,
    pub ledger: Arc<dyn Ledger>,
    /// Where to look for gateways; asked again whenever the network changes. May block.
    pub look: Arc<dyn Fn() -> Surroundings + Send + Sync>,
}

/// What becomes of the wants. `want` is an index.
#[derive(Clone, Debug)]
pub enum News {
    /// The gateway sends visitors here, or does so at another address or port than before.
    Mapped { want: usize, mapped: Mapped },
    /// It does not any more; it is asked again.
    Gone { want: usize, why: String },
    /// It did not do it. It is asked again after a while.
    Refused { want: usize, why: Arc<GatewayError> },
}

/// A mapping that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// This computer's address that visitors are sent to.
    pub internal: IpAddr,
    pub gateway: IpAddr,
    /// The address outside, as the gateway tells it: it may be private, or wrong, or not told.
    pub outside: Option<IpAddr>,
    pub external: u16,
    /// `UPnP`, `NAT-PMP` or `PCP`.
    pub by: &'static str,
    /// For how long it is granted each time; `None` is for good.
    pub lease: Option<Duration>,
}

/// How a want fares.
#[derive(Clone, Debug)]
pub struct MappingStatus {
    pub want: Want,
    pub state: State,
}

#[derive(Clone, Debug)]
pub enum State {
    Asking,
    /// It ends at `until` unless it is renewed, which happens long before.
    Mapped {
        mapped: Mapped,
        until: Option<Instant>,
    },
    Refused {
        why: Arc<GatewayError>,
        again: Instant,
    },
}

/// Mappings that are kept. Dropped without [`Mapper::leave`], it gives nothing back: leases run out by themselves.
pub struct Mapper {
    orders: mpsc::UnboundedSender<Order>,
    status: Arc<Mutex<Vec<MappingStatus>>>,
    keeper: Option<JoinHandle<()>>,
}

impl Mapper {
    /// Asks for `wants`, and goes on asking. Tells by `news` what becomes of them.
    pub fn start(options: Options, news: mpsc::UnboundedSender<News>) -> Self {
        let status = options.wants.iter().map(|want| MappingStatus { want: *want, state: State::Asking }).collect();
        let status = Arc::new(Mutex::new(status));
        let (orders, heard) = mpsc::unbounded_channel();
        let keeper = Keeper::new(options, status.clone(), news);
        Self { orders, status, keeper: Some(tokio::spawn(keeper.run(heard))) }
    }

    pub fn status(&self) -> Vec<MappingStatus> {
        self.status.lock().clone()
    }

    /// Looks at everything now: somebody found out that a mapping does not work.
    pub fn refresh(&self) {
        let _ = self.orders.send(Order::Refresh);
    }

    /// Gives everything back, as far as that can be done within `patience`. What could not be given back stays in the
    /// journal.
    pub async fn leave(mut self, patience: Duration) {
        let _ = self.orders.send(Order::Leave);
        if let Some(mut keeper) = self.keeper.take()
            && tokio::time::timeout(patience, &mut keeper).await.is_err()
        {
            keeper.abort();
        }
    }

    /// Ends without giving anything back: whoever comes next takes it over.
    pub fn hand_over(mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}
