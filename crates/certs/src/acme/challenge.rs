use doorstep_model::{Blame, ChallengeKind, Issuance};
use instant_acme::{ChallengeType, KeyAuthorization};

use crate::dns::{Lookup, Record};
use crate::fault::Fault;
use crate::manager::Shared;
use crate::precheck;
use crate::{CertName, answers, table};

/// An answer that stands while this lives.
pub(super) enum Answer {
    Http(#[allow(dead_code, reason = "its drop takes the answer away")] answers::Answer),
    Tls(#[allow(dead_code, reason = "its drop takes the answer away")] table::ShownChallenge),
    Dns(Box<Record>),
}

impl Answer {
    pub async fn provide(
        shared: &Shared,
        issuance: &Issuance,
        name: &CertName,
        kind: ChallengeKind,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Self, Fault> {
        match kind {
            ChallengeKind::Http01 => Ok(Self::Http(shared.answers.provide(token, authorization.as_str()))),
            ChallengeKind::TlsAlpn01 => {
                let digest: Option<[u8; 32]> = authorization.digest().as_ref().try_into().ok();
                let shown = digest.map(|digest| shared.table.show_challenge(&name.base(), &digest));
                shown.and_then(Result::ok).map(Self::Tls).ok_or_else(|| {
                    Fault::new("challenge", Blame::Doorstep, "the certificate for tls-alpn-01 could not be made.", "")
                })
            }
            ChallengeKind::Dns01 => {
                let provider = issuance.dns.as_ref().ok_or_else(|| no_provider(name))?;
                let lookup = Lookup::new(shared.options.resolver)?;
                Record::put(&lookup, provider, &name.base(), authorization.dns_value())
                    .await
                    .map(|record| Self::Dns(Box::new(record)))
            }
        }
    }

    pub async fn remove(self) {
        if let Self::Dns(record) = self {
            record.remove().await;
        }
    }
}

/// Which challenge can work: the first whose answer we could fetch ourselves. Where that is not to be tried
/// (`skip_precheck`), they take turns from one failure to the next.
pub(super) async fn choose(
    shared: &Shared,
    issuance: &Issuance,
    name: &CertName,
    failures: u32,
) -> Result<ChallengeKind, Fault> {
    let possible = possible(issuance, name)?;
    if issuance.skip_precheck {
        return Ok(possible[failures as usize % possible.len()]);
    }
    let lookup = Lookup::new(shared.options.resolver)?;
    let (host, ports) = (name.base(), shared.options.ports);
    let mut first_fault = None;
    for kind in possible {
        let checked = match kind {
            ChallengeKind::Http01 => precheck::http(&lookup, &shared.answers, &host, ports).await,
            ChallengeKind::TlsAlpn01 => precheck::tls_alpn(&lookup, &shared.table, &host, ports).await,
            ChallengeKind::Dns01 => Ok(()),
        };
        match checked {
            Ok(()) => return Ok(kind),
            Err(fault) => drop(first_fault.get_or_insert(fault)),
        }
    }
    Err(first_fault.unwrap_or_else(|| no_provider(name)))
}

/// The challenges that the configuration allows and the name permits, best first; never empty.
fn possible(issuance: &Issuance, name: &CertName) -> Result<Vec<ChallengeKind>, Fault> {
    let allowed = |kind| issuance.challenges.is_empty() || issuance.challenges.contains(&kind);
    let mut kinds = Vec::new();
    if !name.is_wildcard() {
        kinds.extend([ChallengeKind::Http01, ChallengeKind::TlsAlpn01].into_iter().filter(|kind| allowed(*kind)));
    }
    if issuance.dns.is_some() && allowed(ChallengeKind::Dns01) {
        kinds.push(ChallengeKind::Dns01);
    }
    if kinds.is_empty() { Err(no_provider(name)) } else { Ok(kinds) }
}

fn no_provider(name: &CertName) -> Fault {
    let why = if name.is_wildcard() { "a wildcard needs dns-01" } else { "only dns-01 is allowed" };
    let what = format!("{why}, and no DNS provider is configured for {name}.");
    Fault::new(
        "dns-provider-missing",
        Blame::Environment,
        what,
        "Add the provider: dns = { provider = \"desec\", token = \"file:desec-token.txt\" }",
    )
}

pub(super) fn acme_type(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

#[cfg(test)]
mod tests {
    use doorstep_model::DnsProvider;

    use super::*;

    #[test]
    fn what_can_work() {
        use ChallengeKind::{Dns01, Http01, TlsAlpn01};
        let (plain, wildcard) = ("a.example.com".parse().unwrap(), "*.example.com".parse().unwrap());
        let mut issuance = Issuance::default();
        assert_eq!(possible(&issuance, &plain).unwrap(), [Http01, TlsAlpn01]);
        assert_eq!(possible(&issuance, &wildcard).unwrap_err().id, "dns-provider-missing");
        issuance.dns = Some(DnsProvider { kind: "desec".into(), settings: Default::default() });
        assert_eq!(possible(&issuance, &plain).unwrap(), [Http01, TlsAlpn01, Dns01]);
        assert_eq!(possible(&issuance, &wildcard).unwrap(), [Dns01]);
        issuance.challenges = vec![TlsAlpn01];
        assert_eq!(possible(&issuance, &plain).unwrap(), [TlsAlpn01]);
        assert!(possible(&issuance, &wildcard).is_err());
    }
}
