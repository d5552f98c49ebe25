use std::time::SystemTime;

use doorstep_model::{Blame, Finding, Severity};
use instant_acme::{Error, Problem};

use crate::status::CertFault;

/// Why an attempt to obtain a certificate failed, in words, and what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub id: &'static str,
    pub what: String,
    pub fix: String,
    pub blame: Blame,
    pub then: Then,
    /// The authority wants to be left alone until then.
    pub not_before: Option<SystemTime>,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Wait, then the same again: other authorities would fail alike.
    Retry,
    /// Nobody was asked yet, so it costs nothing to look again soon.
    LookAgain,
    /// It is this authority's own trouble, so the next one may be asked.
    NextIssuer,
    /// The authority looked and did not find what it wanted: counted, since it counts too.
    Refuted,
    /// The order is gone: start over with a new one.
    NewOrder,
    /// The authority does not know our account any more.
    NewAccount,
}

impl From<doorstep_dns::DnsFault> for Fault {
    fn from(fault: doorstep_dns::DnsFault) -> Self {
        Self::from_dns(fault)
    }
}

impl Fault {
    pub fn new(id: &'static str, blame: Blame, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, what: what.into(), fix: fix.into(), blame, then: Then::Retry, not_before: None }
    }

    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// Where something about names went wrong.
    fn from_dns(fault: doorstep_dns::DnsFault) -> Self {
        let looks = matches!(fault.id, "dns-lookup" | "dns-resolver");
        let then = if looks { Then::LookAgain } else { Then::Retry };
        Self::new(fault.id, fault.blame, fault.what, fault.fix).then(then)
    }

    /// The authority could not be talked with.
    pub fn unreachable(issuer: &str, why: &dyn std::fmt::Display) -> Self {
        let what = format!("The certificate authority {issuer} cannot be reached: {why}.");
        let fix = "Nothing if it is its own trouble: doorstep goes on trying. Otherwise let this computer reach it.";
        Self::new("acme-unreachable", Blame::Upstream, what, fix).then(Then::NextIssuer)
    }

    /// From an error of a request to `issuer`.
    pub fn from_acme(issuer: &str, error: &Error) -> Self {
        match error {
            Error::Api(problem) => Self::from_problem(issuer, problem),
            Error::Http(_) | Error::Hyper(_) | Error::Other(_) | Error::Timeout(_) | Error::Json(_) => {
                Self::unreachable(issuer, &chain(error))
            }
            error => {
                let what =
                    format!("The certificate authority {issuer} answered what doorstep does not understand: {error}.");
                Self::new("acme-protocol", Blame::Upstream, what, "").then(Then::NextIssuer)
            }
        }
    }

    /// From what the authority itself says is wrong (RFC 8555 section 6.7).
    pub fn from_problem(issuer: &str, problem: &Problem) -> Self {
        let details = problem.subproblems.iter().filter_map(|sub| sub.detail.clone());
        let said: Vec<String> = problem.detail.clone().into_iter().chain(details).collect();
        let said = if said.is_empty() { "no reason given".to_owned() } else { said.join("; ") };
        let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
        let what = format!("{issuer} said: {} ({kind})", said.trim_end_matches('.'));
        let new = |id, blame, fix: &str, then| Self::new(id, blame, format!("{what}."), fix).then(then);
        let ours = Blame::Environment;
        match kind {
            "dns" => new("acme-dns", ours, "Check the name's DNS records, CAA among them.", Then::Refuted),
            "caa" => new(
                "acme-caa",
                ours,
                "Allow this authority in the name's CAA record, or remove that record.",
                Then::Refuted,
            ),
            "connection" | "tls" => {
                new("acme-connection", ours, "Let the internet reach this computer at ports 80 and 443.", Then::Refuted)
            }
            "unauthorized" | "incorrectResponse" => new(
                "acme-unauthorized",
                ours,
                "Let the name point to this computer, at no other besides.",
                Then::Refuted,
            ),
            "rejectedIdentifier" | "unsupportedIdentifier" => new(
                "acme-rejected",
                ours,
                "Use another issuer for this name, or `certificate = \"local\"`.",
                Then::NextIssuer,
            ),
            "rateLimited" => new(
                "acme-rate-limited",
                Blame::Upstream,
                "Nothing: doorstep waits, or asks the next issuer.",
                Then::NextIssuer,
            ),
            "accountDoesNotExist" => new("acme-account", Blame::Upstream, "", Then::NewAccount),
            "externalAccountRequired" => new(
                "acme-external-account",
                ours,
                "Give the issuer's `eab` key id and key, as the authority hands them out.",
                Then::NextIssuer,
            ),
            "invalidContact" | "unsupportedContact" => new("acme-contact", ours, "Correct `email`.", Then::Retry),
            "userActionRequired" => new("acme-action", ours, "Do what it says.", Then::NextIssuer),
            "orderNotReady" | "alreadyReplaced" => new("acme-order", Blame::Upstream, "", Then::NewOrder),
            "malformed" if problem.status == Some(404) => new("acme-order", Blame::Upstream, "", Then::NewOrder),
            _ if problem.status == Some(404) => new("acme-order", Blame::Upstream, "", Then::NewOrder),
            "badNonce" | "serverInternal" => {
                new("acme-trouble", Blame::Upstream, "Nothing: doorstep goes on trying.", Then::NextIssuer)
            }
            _ if problem.status.is_some_and(|status| status >= 500) => {
                new("acme-trouble", Blame::Upstream, "Nothing: doorstep goes on trying.", Then::NextIssuer)
            }
            _ => new("acme-refused", Blame::Upstream, "", Then::NextIssuer),
        }
    }

    pub fn remembered(&self, at: i64, failures: u32) -> CertFault {
        CertFault { what: self.what.clone(), fix: self.fix.clone(), blame: self.blame, at, failures }
    }

    /// As something to tell. How much it matters depends on whether a good certificate serves on.
    pub fn finding(&self, name: &str, serves_on: bool) -> Finding {
        let (severity, why) = match serves_on {
            true => (Severity::Warning, "The certificate that is there serves on."),
            false => (Severity::Error, "There is no HTTPS for this name until then."),
        };
        Finding {
            severity,
            blame: self.blame,
            id: self.id,
            what: format!("No new certificate for {name}: {}", self.what),
            why: why.into(),
            fix: self.fix.clone(),
        }
    }
}

/// An error with its causes, where "client error" alone says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, status: u16) -> Fault {
        let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"because","status":{status}}}"#);
        Fault::from_problem("ca", &serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn whose_side_and_what_next() {
        for (kind, status, blame, then) in [
            ("connection", 400, Blame::Environment, Then::Refuted),
            ("unauthorized", 403, Blame::Environment, Then::Refuted),
            ("rateLimited", 429, Blame::Upstream, Then::NextIssuer),
            ("serverInternal", 500, Blame::Upstream, Then::NextIssuer),
            ("accountDoesNotExist", 400, Blame::Upstream, Then::NewAccount),
            ("malformed", 404, Blame::Upstream, Then::NewOrder),
            ("never-heard-of", 503, Blame::Upstream, Then::NextIssuer),
        ] {
            let fault = problem(kind, status);
            assert_eq!((fault.blame, fault.then), (blame, then), "{kind}");
            assert!(fault.what.contains("because"), "{}", fault.what);
        }
    }
}
