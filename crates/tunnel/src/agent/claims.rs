use std::time::Instant;

use doorstep_proto::tunnel::{AgentSession, Claim, Code, Grant, Retry, TunnelError};

use super::board::TargetStatus;
use super::shared::Shared;
use crate::AgentEvent;
use crate::limits::{CLAIM_AGAIN, SWITCHED_OFF_AGAIN};

/// How far each target of a session is.
pub(super) struct Claims(Vec<State>);

#[derive(Clone, Default)]
struct State {
    /// Refused so often since it was granted last.
    refusals: u32,
    /// When to ask again.
    again: Option<Instant>,
    /// Refused for good.
    refused: bool,
    /// What people were told last.
    told: Option<Code>,
}

impl Claims {
    pub fn new(targets: usize) -> Self {
        Self(vec![State::default(); targets])
    }

    /// Claims every target.
    pub fn begin(&mut self, session: &Shared, machine: &mut AgentSession) {
        for index in 0..self.0.len() {
            claim(index, session, machine);
        }
    }

    /// When [`Self::again`] has something to do.
    pub fn again_at(&self) -> Option<Instant> {
        self.0.iter().filter_map(|state| state.again).min()
    }

    /// Claims those again whose time has come.
    pub fn again(&mut self, now: Instant, session: &Shared, machine: &mut AgentSession) {
        for (index, state) in self.0.iter_mut().enumerate() {
            if state.again.is_some_and(|at| now >= at) {
                state.again = None;
                claim(index, session, machine);
            }
        }
    }

    /// `tell`: people hear of it.
    pub fn granted(&mut self, session: &Shared, id: u32, grant: &Grant, tell: bool) {
        let Some(index) = session.links.target(id) else { return };
        let (Some(target), Some(state)) = (session.agent.targets.get(index), self.0.get_mut(index)) else { return };
        *state = State::default();
        if tell {
            let address = address(&target.claim, grant);
            session.agent.board.target(index, TargetStatus::Lent(address.clone()));
            session.agent.tell(AgentEvent::Lent { target: index, address });
        }
    }

    /// Gives the error if now every target is refused for good.
    pub fn denied(&mut self, session: &Shared, id: u32, error: TunnelError, tell: bool) -> Option<TunnelError> {
        let index = session.links.forbid(id)?;
        let state = self.0.get_mut(index)?;
        let news = state.told.replace(error.code) != Some(error.code);
        if tell && news {
            session.agent.board.target(index, TargetStatus::Refused(error.to_string()));
            session.agent.tell(AgentEvent::Refused { target: index, why: error.clone() });
        }
        match error.code.retry() {
            Retry::Never => state.refused = true,
            Retry::Later => {
                // People wait for what the relay's owner switches on again.
                let most = if error.code == Code::SwitchedOff { SWITCHED_OFF_AGAIN } else { CLAIM_AGAIN.1 };
                let wait = CLAIM_AGAIN.0.saturating_mul(1 << state.refusals.min(16)).min(most);
                state.refusals += 1;
                state.again = Some(Instant::now() + wait);
            }
        }
        self.0.iter().all(|state| state.refused).then_some(error)
    }

    /// Gives every claim back. Visitors may come until the relay knows.
    pub fn release(&mut self, session: &Shared, machine: &mut AgentSession) {
        self.0.iter_mut().for_each(|state| state.again = None);
        session.links.claims().into_iter().for_each(|id| machine.release(id));
    }

    /// No visitor is served any more who comes from now on.
    pub fn forbid(&self, session: &Shared) {
        for id in session.links.claims() {
            session.links.forbid(id);
        }
    }
}

fn claim(index: usize, session: &Shared, machine: &mut AgentSession) {
    let Some(target) = session.agent.targets.get(index) else { return };
    if let Some(id) = machine.claim(target.claim.clone()) {
        // Before it is sent: visitors may come sooner than the grant.
        session.links.allow(id, &target.claim, index);
    }
}

/// What to tell people to open.
fn address(claim: &Claim, grant: &Grant) -> String {
    let Grant { host, port, .. } = grant;
    match claim {
        Claim::Http { .. } | Claim::Tls { .. } if matches!(port, 0 | 443) => format!("https://{host}"),
        Claim::Http { .. } | Claim::Tls { .. } => format!("https://{host}:{port}"),
        Claim::Tcp { .. } => format!("tcp://{host}:{port}"),
        Claim::Udp { .. } => format!("udp://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn addresses_as_people_open_them() {
        let grant = |port| Grant { host: "blog.tun.example.com".into(), port, lease: Duration::from_secs(60) };
        let http = Claim::Http { name: "blog".into(), label: String::new() };
        assert_eq!(address(&http, &grant(443)), "https://blog.tun.example.com");
        assert_eq!(address(&http, &grant(8443)), "https://blog.tun.example.com:8443");
        assert_eq!(address(&Claim::Tcp { port: 0 }, &grant(2000)), "tcp://blog.tun.example.com:2000");
        assert_eq!(address(&Claim::Udp { port: 0 }, &grant(2000)), "udp://blog.tun.example.com:2000");
    }
}
