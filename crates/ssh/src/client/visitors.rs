use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use doorstep_net::{Drain, Io};
use doorstep_proto::tunnel::Claim;
use doorstep_tunnel::{Delivery, Target, Visitor};
use tokio::sync::Semaphore;

use super::probe::Probe;
use crate::limits::VISITORS;

/// The door of a target: brings visitors to it, each in a task of its own.
pub(super) struct Door {
    target: Target,
    places: Arc<Semaphore>,
    drain: Drain,
}

impl Door {
    pub fn new(target: Target, drain: Drain) -> Self {
        Self { target, places: Arc::new(Semaphore::new(VISITORS)), drain }
    }

    /// `local` is the public address that the visitor connected to. `lender`: the server speaks HTTP for its visitors, and
    /// says by `X-Forwarded-*` for whom. One who comes when all places are taken is turned away.
    pub fn let_in(&self, io: Io, peer: SocketAddr, local: SocketAddr, lender: bool, probe: Option<Probe>) {
        if self.drain.is_draining() {
            return;
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let (target, drain) = (self.target.clone(), self.drain.clone());
        tokio::spawn(async move {
            let io = match probe {
                Some(probe) => probe.screen(io).await,
                None => Some(io),
            };
            let Some(io) = io else { return };
            let visitor = Visitor { peer, local, tls: None };
            let vouched = lender && matches!(target.claim, Claim::Http { .. });
            // An app that cannot be reached closes the connection, as it would on its own port.
            if let Ok(delivery) = Delivery::begin(&target, &visitor, vouched).await {
                delivery.run(io, drain).await;
            }
            drop(place);
        });
    }
}

/// Ends when no target has a visitor. From then on, none is let in.
pub(super) fn idle(doors: &[Door]) -> impl Future<Output = ()> + use<> {
    let places: Vec<_> = doors.iter().map(|door| door.places.clone()).collect();
    async move {
        for places in places {
            let all = places.acquire_many(u32::try_from(VISITORS).unwrap_or(u32::MAX)).await;
            // Nobody closes it.
            let _ = all.map(|all| all.forget());
        }
    }
}

/// The public address that visitors connect to, as far as it is known.
pub(super) fn public(server: Option<SocketAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(server.map_or(Ipv4Addr::UNSPECIFIED.into(), |server| server.ip()), port)
}
