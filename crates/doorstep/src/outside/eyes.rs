use std::net::{IpAddr, SocketAddr};

use doorstep_proto::tunnel::{ProbeAsk, ProbeKind, ProbeOutcome};
use doorstep_tunnel::agent::{ProbeError, Prober};
use doorstep_tunnel::identity::AgentIdentity;

use crate::lend::ways::software;

/// Relays that look from outside whether visitors would get here.
#[derive(Clone)]
pub struct Eyes(Vec<Prober>);

/// What somebody outside saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The address that this computer's connections come from.
    pub from: IpAddr,
    pub outcome: ProbeOutcome,
}

impl Eyes {
    pub fn new(relays: impl IntoIterator<Item = AgentIdentity>) -> Self {
        let mut known: Vec<String> = Vec::new();
        let mut probers = Vec::new();
        for identity in relays {
            let relay = identity.relay.clone();
            if !known.contains(&relay) {
                known.push(relay);
                probers.push(Prober::new(identity, software()));
            }
        }
        Self(probers)
    }

    /// Whether there is nobody who could look.
    pub fn is_blind(&self) -> bool {
        self.0.is_empty()
    }

    /// Has `port` looked at, at the address that connections from `from` come from. `host` is what a visitor would type: the
    /// address itself where it is `None`, which takes a question more.
    ///
    /// # Errors
    /// Why nobody looked; `None` where there is nobody.
    pub async fn look(&self, from: IpAddr, port: u16, tls: bool, nonce: &str) -> Result<Seen, Option<ProbeError>> {
        let mut last = None;
        for prober in &self.0 {
            match look(prober, from, port, tls, nonce).await {
                Ok(seen) => return Ok(seen),
                Err(error) => last = Some(error),
            }
        }
        Err(last)
    }
}

impl Eyes {
    /// The address that connections from `from` come from, as the first relay sees it that answers.
    pub async fn observe(&self, from: IpAddr) -> Option<IpAddr> {
        for prober in &self.0 {
            if let Ok(probed) = prober.ask(Some(from), Vec::new()).await {
                return Some(probed.observed.ip().to_canonical());
            }
        }
        None
    }
}

async fn look(prober: &Prober, from: IpAddr, port: u16, tls: bool, nonce: &str) -> Result<Seen, ProbeError> {
    // Which name or number is asked for makes no difference to what answers the nonce.
    let host = SocketAddr::new(from, port).to_string();
    let nonce = nonce.to_owned();
    let kind = if tls { ProbeKind::Https { host, nonce } } else { ProbeKind::Http { host, nonce } };
    let probed = prober.ask(Some(from), vec![ProbeAsk { port, kind }]).await?;
    let silent = || ProbeError::Silent { relay: prober.relay() };
    let outcome = probed.outcomes.into_iter().next().ok_or_else(silent)?;
    Ok(Seen { from: probed.observed.ip().to_canonical(), outcome })
}
