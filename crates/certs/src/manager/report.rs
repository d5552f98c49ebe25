use std::time::SystemTime;

use doorstep_model::{Blame, Finding, Severity};

use super::Shared;
use super::book::{Held, Source};
use crate::leaf::{Leaf, seconds};
use crate::plan::{Step, plan, renewal_at};
use crate::status::{CertFacts, CertFault, CertState, CertStatus};
use crate::{CertName, CertsError};

impl Shared {
    pub(super) fn status(&self, now: SystemTime) -> Vec<CertStatus> {
        let book = self.book.lock();
        book.held.values().map(|held| self.status_of(held, &book.issuance, now)).collect()
    }

    fn status_of(&self, held: &Held, issuance: &doorstep_model::Issuance, now: SystemTime) -> CertStatus {
        let facts = held.facts(issuance, now);
        let next = match (&held.source, plan(now, &facts)) {
            (Source::Files(_), _) => None,
            (_, Step::Obtain) => Some(now),
            // Until the authority is asked for its window, or the next attempt.
            (_, Step::AskForSuggestion) => Some(renewal_at(&facts)),
            (_, Step::Wait { until }) => Some(renewal_at(&facts).max(until.min(facts.retry_at.unwrap_or(now)))),
        };
        let path = match &held.source {
            Source::Files(files) => files.chain.path.clone(),
            _ => self.storage.certificate_dir(held.name()),
        };
        CertStatus {
            name: held.name().clone(),
            sites: held.sites.clone(),
            source: held.source.kind(),
            state: held.served.as_ref().map_or(CertState::Pending, |served| state(&served.leaf, now)),
            certificate: held.served.as_ref().map(|served| CertFacts {
                names: served.leaf.names.clone(),
                issuer: served.leaf.issuer.clone(),
                not_before: seconds(served.leaf.life.from),
                not_after: seconds(served.leaf.life.to),
                serial: served.leaf.serial.clone(),
                fingerprint: served.leaf.fingerprint.clone(),
                path: path.display().to_string(),
                stored: served.unstored.is_none(),
            }),
            next_at: next.map(seconds),
            error: held.meta.error.clone(),
        }
    }
}

fn state(leaf: &Leaf, now: SystemTime) -> CertState {
    if leaf.life.to <= now {
        CertState::Expired
    } else if leaf.life.part(2, 3) <= now {
        CertState::Expiring
    } else {
        CertState::Valid
    }
}

/// What to say about the end of a certificate that is served: when a third of its life is left, a tenth, and none. Each
/// once. Before the first renewal was tried there is nothing to say.
pub(super) fn warning(held: &mut Held, now: SystemTime) -> Option<Finding> {
    let life = held.served.as_ref()?.leaf.life;
    let renewed_by_itself = !matches!(held.source, Source::Files(_));
    let level = match state(&held.served.as_ref()?.leaf, now) {
        CertState::Expired => 3,
        CertState::Expiring if renewed_by_itself && held.meta.failures == 0 => 0,
        CertState::Expiring if life.part(9, 10) <= now => 2,
        CertState::Expiring => 1,
        _ => 0,
    };
    if level <= held.warned {
        return None;
    }
    held.warned = level;
    let days = life.to.duration_since(now).map_or(0, |left| left.as_secs() / 86400);
    let last = held.meta.error.as_ref().map(|error| format!(" The last attempt: {}", error.what)).unwrap_or_default();
    let what = match level {
        3 => format!("The certificate for {} has expired, and is served all the same.{last}", held.name()),
        _ => format!("The certificate for {} ends in {days} days and is not renewed.{last}", held.name()),
    };
    let fix = match (&held.source, &held.meta.error) {
        (Source::Files(files), _) => format!("Put a new one into {}.", files.chain.path.display()),
        (_, Some(error)) if !error.fix.is_empty() => error.fix.clone(),
        _ => format!("doorstep cert renew {}", held.name()),
    };
    Some(Finding {
        severity: if level == 1 { Severity::Warning } else { Severity::Error },
        blame: held.meta.error.as_ref().map_or(Blame::Environment, |error| error.blame),
        id: if level == 3 { "certificate-expired" } else { "certificate-expiring" },
        what,
        why: "Browsers refuse an expired certificate.".into(),
        fix,
    })
}

pub(super) fn obtained(name: &CertName, leaf: &Leaf, now: SystemTime) -> Finding {
    let days = leaf.life.to.duration_since(now).map_or(0, |left| left.as_secs() / 86400);
    Finding {
        severity: Severity::Note,
        blame: Blame::Doorstep,
        id: "certificate-obtained",
        what: format!("{name} has a new certificate from {}, good for {days} days.", leaf.issuer),
        why: String::new(),
        fix: String::new(),
    }
}

pub(super) fn no_local(name: &CertName, error: &CertsError) -> Finding {
    Finding {
        severity: Severity::Error,
        blame: error.blame(),
        id: "local-certificate-failed",
        what: format!("There is no certificate for {name}: {error}."),
        why: "There is no HTTPS for this name until then.".into(),
        fix: String::new(),
    }
}

/// A finding as the last error of a status.
pub(super) fn remembered(finding: &Finding, now: SystemTime) -> CertFault {
    CertFault {
        what: finding.what.clone(),
        fix: finding.fix.clone(),
        blame: finding.blame,
        at: seconds(now),
        failures: 1,
    }
}
