use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Secret;

/// Where a site's certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CertificateSource {
    /// The site is not served over TLS.
    #[default]
    None,
    /// From a certificate authority by ACME, or, for names that no public authority can know (`.localhost`, `.local`,
    /// `.internal`, `.home.arpa`, IP addresses), from this computer's own.
    Auto,
    /// From this computer's own authority, whatever the name.
    Local,
    /// From files that somebody else keeps up to date.
    Files(PemPair),
}

/// Text of a PEM file (RFC 7468) and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem {
    pub path: PathBuf,
    pub text: Arc<str>,
}

/// A certificate chain, and its private key where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemPair {
    pub chain: Pem,
    pub key: Option<Secret<Pem>>,
}

/// How certificates are obtained (RFC 8555).
#[derive(Clone, Debug, Default)]
pub struct Issuance {
    /// For the certificate authority to write to.
    pub email: Option<String>,
    /// Tried in order; the next takes over when one fails for its own reasons.
    pub issuers: Vec<Issuer>,
    /// Challenges that may be used; empty lets doorstep choose what can work.
    pub challenges: Vec<ChallengeKind>,
    /// For dns-01 and wildcards.
    pub dns: Option<DnsProvider>,
    /// Order without first checking that the name points here and a challenge can be answered.
    pub skip_precheck: bool,
}

/// An ACME server.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Names its folder in the state: `letsencrypt`, `letsencrypt-staging`, or the directory's host.
    pub name: String,
    /// URL of its directory.
    pub directory: String,
    /// Trust these roots (PEM) when talking to it, instead of the system's.
    pub roots: Option<Pem>,
    pub account: Option<ExternalAccount>,
    /// ACME profile, such as `shortlived`; `None` is the server's own default.
    pub profile: Option<String>,
}

/// External account binding (RFC 8555 section 7.3.4).
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    pub key_id: String,
    /// Base64url, as the authority hands it out.
    pub hmac_key: Secret<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    Http01,
    TlsAlpn01,
    Dns01,
}

/// Where TXT records can be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsProvider {
    /// `rfc2136`, `cloudflare`, `desec`, … as [`crate::DNS_PROVIDERS`] lists them.
    pub kind: String,
    /// Named settings of that provider, such as `token`, `server`, `zone`.
    pub settings: BTreeMap<String, Secret<String>>,
}
