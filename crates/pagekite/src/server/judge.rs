use std::sync::Arc;

use doorstep_proto::pagekite::{Claim, Claims, Judgement, Kite, KiteSecret, Policy, Refusal, Verdict};
use doorstep_proto::tunnel::{Code, TunnelError};

use super::carrier::Flying;
use super::{KiteNames, Server, ServerOptions};
use crate::link::unix;

impl Server {
    /// Who may fly what, and what follows for others.
    pub(super) async fn judge(&self, session: &str, claims: Claims, flying: &Arc<Flying>) -> Vec<(Claim, Verdict)> {
        let Judgement { mut verdicts, evict, ping } = {
            let policy = Rules { names: self.0.names.lock().clone(), options: &self.0.options };
            self.0.table.lock().sessions.judge(session, claims, &policy, unix())
        };
        {
            let table = self.0.table.lock();
            let link = |other: &String| table.live.get(other).map(|live| live.link.clone());
            evict.iter().filter_map(link).for_each(|link| link.with(|machine, _| machine.close()));
            ping.iter().filter_map(link).for_each(|link| link.with(|machine, now| machine.ping(now)));
        }
        // `http` before `https`: the relay can have but one of them under a name.
        verdicts.sort_by_key(|(claim, _)| claim.kite.protocol() == "https");
        for (claim, verdict) in &mut verdicts {
            if !matches!(verdict, Verdict::Flies | Verdict::FliesWithTls) {
                continue;
            }
            if let Err(error) = self.lend(&claim.kite, flying).await {
                self.0.table.lock().sessions.land(session, &claim.kite);
                *verdict = refusal(&error);
            }
        }
        verdicts
    }

    async fn lend(&self, kite: &Kite, flying: &Arc<Flying>) -> Result<(), TunnelError> {
        let owner = self.0.names.lock().owner(kite.domain()).ok_or(Code::Withdrawn)?;
        let Some((number, claim)) = flying.add(kite)? else { return Ok(()) };
        let session = flying.session(&owner, self.0.lending.as_ref())?;
        let claimed = session.claim(number, claim, flying.clone()).await;
        if claimed.is_err() {
            flying.remove(number);
        }
        claimed
    }
}

/// The nearest that PageKite has a word for.
fn refusal(error: &TunnelError) -> Verdict {
    match error.code {
        Code::NameTaken => Verdict::Duplicate,
        Code::BadName => Verdict::Refused(Refusal::Protocol),
        Code::TooManyNames | Code::TooMuch => Verdict::Refused(Refusal::Quota),
        _ => Verdict::Refused(Refusal::Unauthorized),
    }
}

struct Rules<'a> {
    names: KiteNames,
    options: &'a ServerOptions,
}

impl Policy for Rules<'_> {
    fn secret(&self, kite: &Kite) -> Option<KiteSecret> {
        self.names.secret(kite.domain()).cloned()
    }

    fn verdict(&self, kite: &Kite) -> Verdict {
        let open = kite.port().is_none_or(|port| self.options.ports.contains(&port));
        match kite.protocol() {
            "raw" => Verdict::Flies,
            "http" | "websocket" | "https" if !open => Verdict::Refused(Refusal::Port),
            "http" | "websocket" if self.options.https => Verdict::FliesWithTls,
            "http" | "websocket" => Verdict::Flies,
            "https" if self.options.end_to_end => Verdict::Flies,
            _ => Verdict::Refused(Refusal::Protocol),
        }
    }
}
