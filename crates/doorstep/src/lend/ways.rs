//! Ways of each kind: what is asked of a relay, an ssh server, a PageKite front-end for each offer.

use std::time::Duration;

use doorstep_model::{Lent, Via};
use doorstep_net::{BoxFuture, Patience};
use doorstep_pagekite::client as pagekite;
use doorstep_proto::tunnel::Claim;
use doorstep_ssh::client as ssh;
use doorstep_tunnel::agent::{Agent, AgentHandle, AgentOptions, Proxy, Threads};
use doorstep_tunnel::identity::AgentIdentity;
use doorstep_tunnel::{AgentEvent, Target};
use tokio::sync::mpsc;

use super::{Carried, Carrier, Offer, Way};

/// What this program calls itself.
pub fn software() -> String {
    format!("doorstep {}", env!("CARGO_PKG_VERSION"))
}

/// A way, with what makes this computer known there.
#[derive(Clone)]
pub enum Known {
    Relay { via: Via, identity: Box<AgentIdentity> },
    Ssh(ssh::ClientOptions),
    Kite { via: Via, options: pagekite::ClientOptions },
}

/// The ways for `known`. Relays that follow each other are one way: their agent itself tries one after the other. `threads`
/// is where their connections live; the other kinds live in the runtime that the lending is started in.
pub fn ways(known: Vec<Known>, threads: &Threads) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut relays: Vec<(Via, AgentIdentity)> = Vec::new();
    let close = |ways: &mut Vec<Way>, relays: &mut Vec<(Via, AgentIdentity)>| {
        if !relays.is_empty() {
            let vias: Vec<String> = relays.iter().map(|(via, _)| via.to_string()).collect();
            let names = relays.iter().map(|(via, identity)| (identity.relay.clone(), via.to_string())).collect();
            let identities = std::mem::take(relays).into_iter().map(|(_, identity)| identity).collect();
            let carrier = Box::new(Relays { identities, threads: threads.clone() });
            ways.push(Way { via: vias.join(", "), names, carrier });
        }
    };
    for one in known {
        match one {
            Known::Relay { via, identity } => relays.push((via, *identity)),
            Known::Ssh(options) => {
                close(&mut ways, &mut relays);
                let via = options.server.to_string();
                ways.push(Way { via, names: Vec::new(), carrier: Box::new(Ssh(options)) });
            }
            Known::Kite { via, options } => {
                close(&mut ways, &mut relays);
                ways.push(Way { via: via.to_string(), names: Vec::new(), carrier: Box::new(Kite(options)) });
            }
        }
    }
    close(&mut ways, &mut relays);
    ways
}

/// What an offer is called on the wire.
fn claim(lent: &Lent) -> Claim {
    match lent {
        Lent::Web(web) if web.end_to_end => Claim::Tls { name: web.name.clone() },
        Lent::Web(web) => Claim::Http { name: web.name.clone(), label: web.label.clone() },
        Lent::Tcp { port, .. } => Claim::Tcp { port: *port },
        Lent::Udp { port, .. } => Claim::Udp { port: *port },
    }
}

fn targets(offers: &[Offer]) -> Vec<Target> {
    let target = |offer: &Offer| Target {
        proxy_header: matches!(offer.lent, Lent::Tcp { proxy_header: true, .. }),
        ..Target::new(claim(&offer.lent), offer.sink.clone())
    };
    offers.iter().map(target).collect()
}

struct Relays {
    identities: Vec<AgentIdentity>,
    threads: Threads,
}

impl Carrier for Relays {
    fn start(&self, offers: &[Offer], events: mpsc::UnboundedSender<AgentEvent>) -> Box<dyn Carried> {
        let options = AgentOptions {
            relays: self.identities.clone(),
            targets: targets(offers),
            threads: self.threads.clone(),
            software: software(),
            proxy: Proxy::from_environment(),
        };
        match Agent::start(options, events.clone()) {
            Ok(handle) => Box::new(handle),
            Err(error) => {
                let _ = events.send(AgentEvent::Stopped { why: error.to_string(), fix: String::new() });
                Box::new(NotStarted)
            }
        }
    }
}

impl Carried for AgentHandle {
    fn leave(self: Box<Self>, patience: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { AgentHandle::leave(*self, patience).await })
    }

    fn round_trip(&self) -> Option<Duration> {
        self.status().round_trip_us.map(Duration::from_micros)
    }
}

/// What could not be started.
struct NotStarted;

impl Carried for NotStarted {
    fn leave(self: Box<Self>, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

struct Ssh(ssh::ClientOptions);

impl Carrier for Ssh {
    fn start(&self, offers: &[Offer], events: mpsc::UnboundedSender<AgentEvent>) -> Box<dyn Carried> {
        let port = |offer: &Offer| match &offer.lent {
            Lent::Web(web) => web.port,
            Lent::Tcp { port, .. } | Lent::Udp { port, .. } => *port,
        };
        let options = ssh::ClientOptions { ports: offers.iter().map(port).collect(), ..self.0.clone() };
        Box::new(ssh::start(options, targets(offers), events))
    }
}

impl Carried for ssh::Handle {
    fn leave(self: Box<Self>, patience: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = tokio::time::timeout(patience, ssh::Handle::leave(*self, Patience::Gentle)).await;
        })
    }
}

struct Kite(pagekite::ClientOptions);

impl Carrier for Kite {
    fn start(&self, offers: &[Offer], events: mpsc::UnboundedSender<AgentEvent>) -> Box<dyn Carried> {
        Box::new(pagekite::start(self.0.clone(), targets(offers), events))
    }
}

impl Carried for pagekite::Handle {
    fn leave(self: Box<Self>, patience: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = tokio::time::timeout(patience, pagekite::Handle::leave(*self)).await;
        })
    }
}
