use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::probe::{Probe, Reach};
use crate::limits::{CONNECT, FORWARDED, PROBE_AGAIN};

/// What is known of the session under way.
pub(super) struct Session {
    pub server: Option<SocketAddr>,
    pub deadline: Instant,
    is_authenticated: bool,
    /// Requests that the server has not answered.
    pub open: usize,
    /// The port that each target got.
    pub ports: Vec<u16>,
    pub probes: Vec<Option<Probe>>,
    reaches: mpsc::UnboundedSender<(usize, Reach)>,
    pub reached: mpsc::UnboundedReceiver<(usize, Reach)>,
    pub urls: Vec<String>,
    pub named: bool,
    pub notices: usize,
}

impl Session {
    pub fn new(wishes: usize, targets: usize) -> Self {
        let (reaches, reached) = mpsc::unbounded_channel();
        Self {
            server: None,
            deadline: Instant::now() + CONNECT,
            is_authenticated: false,
            open: wishes,
            ports: vec![0; targets],
            probes: vec![None; targets],
            reaches,
            reached,
            urls: Vec::new(),
            named: false,
            notices: 0,
        }
    }

    pub fn authenticated(&mut self) {
        self.is_authenticated = true;
        self.deadline = Instant::now() + FORWARDED;
    }

    pub fn answered(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Something is still to come before the deadline.
    pub fn is_late(&self) -> bool {
        !self.is_authenticated || self.open > 0
    }

    /// Finds out whether visitors reach the port, until they do.
    pub fn probe(&mut self, target: usize, host: String, port: u16) {
        let probe = Probe::new();
        if let Some(place) = self.probes.get_mut(target) {
            *place = Some(probe.clone());
        }
        let reaches = self.reaches.clone();
        tokio::spawn(async move {
            loop {
                let reach = probe.ask(&host, port).await;
                let is_over = reach == Reach::Ours;
                if reaches.send((target, reach)).is_err() || is_over {
                    return;
                }
                tokio::select! {
                    () = sleep(PROBE_AGAIN) => {}
                    () = reaches.closed() => return,
                }
            }
        });
    }
}
