//! Requests for a name as its owner sees them at a terminal that is connected by ssh.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorstep_http::{Exchange, Observer, Transfer};
use doorstep_model::Finding;
use doorstep_proto::tunnel::SessionId;
use doorstep_ssh::server::{LogLines, Surroundings};
use doorstep_tunnel::relay::Relay;
use parking_lot::Mutex;

use crate::screen::human::{bytes, took};

/// Tells the observer behind it everything, and followers what they asked for.
pub struct Followers {
    inner: Arc<dyn Observer>,
    relay: Relay,
    /// Looked at first: mostly nobody follows.
    any: AtomicBool,
    lines: Mutex<HashMap<String, Vec<LogLines>>>,
}

impl Followers {
    pub fn new(inner: Arc<dyn Observer>, relay: Relay) -> Self {
        Self { inner, relay, any: AtomicBool::new(false), lines: Mutex::default() }
    }

    fn tell(&self, exchange: &Exchange) {
        let host = exchange.host.split(':').next().unwrap_or_default();
        let mut lines = self.lines.lock();
        let Some(terminals) = lines.get_mut(host) else { return };
        let line = line(exchange);
        terminals.retain(|terminal| terminal.send(&line));
        if terminals.is_empty() {
            lines.remove(host);
            self.any.store(!lines.is_empty(), Ordering::Relaxed);
        }
    }
}

fn line(exchange: &Exchange) -> String {
    let Exchange { method, target, status, client, .. } = exchange;
    format!("{method} {target}  {}  {}  {}  {client}", status.as_u16(), took(exchange.took), bytes(exchange.sent))
}

impl Observer for Followers {
    fn finished(&self, exchange: Exchange) {
        if self.any.load(Ordering::Relaxed) {
            self.tell(&exchange);
        }
        self.inner.finished(exchange);
    }

    fn entered(&self, site: &Arc<str>) {
        self.inner.entered(site);
    }

    fn left(&self, site: &Arc<str>) {
        self.inner.left(site);
    }

    fn transfer(&self, transfer: Arc<Transfer>) {
        self.inner.transfer(transfer);
    }

    fn found(&self, finding: Finding) {
        self.inner.found(finding);
    }
}

impl Surroundings for Followers {
    fn follow(&self, host: &str, terminal: LogLines) {
        let mut lines = self.lines.lock();
        // Those who are gone are forgotten when somebody comes.
        lines.retain(|_, terminals| {
            terminals.retain(|terminal| !terminal.is_closed());
            !terminals.is_empty()
        });
        lines.entry(host.to_owned()).or_default().push(terminal);
        self.any.store(true, Ordering::Relaxed);
    }

    fn evict(&self, session: SessionId) {
        self.relay.evict(&session);
    }
}
