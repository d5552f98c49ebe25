use doorstep_model::Blame;
use serde::{Deserialize, Serialize};

use crate::CertName;

/// A certificate as `doorstep cert list`, `doorstep status` and metrics show it. Times are seconds since 1970 (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertStatus {
    /// What was asked for.
    pub name: CertName,
    /// Which sites use it.
    pub sites: Vec<String>,
    pub source: SourceKind,
    pub state: CertState,
    /// What the certificate that is served says; `None` while there is none.
    pub certificate: Option<CertFacts>,
    /// When the next one is asked for, or the next attempt is made.
    pub next_at: Option<i64>,
    /// What went wrong last, until something works again.
    pub error: Option<CertFault>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertFacts {
    /// All names in it.
    pub names: Vec<String>,
    /// The common name of whoever signed it, else its whole distinguished name.
    pub issuer: String,
    pub not_before: i64,
    pub not_after: i64,
    /// Hexadecimal.
    pub serial: String,
    /// SHA-256 as browsers show it.
    pub fingerprint: String,
    /// Where the files are.
    pub path: String,
    /// Kept on disk; otherwise it is used from memory only, and a restart asks for it again.
    pub stored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    Acme,
    Local,
    Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertState {
    /// None yet; the first is being asked for.
    Pending,
    /// In use, with more than a third of its life left.
    Valid,
    /// In use, with less than a third of its life left.
    Expiring,
    /// In use all the same: browsers refuse it.
    Expired,
}

/// Why there is no new certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertFault {
    pub what: String,
    /// What to do next; may be empty.
    pub fix: String,
    pub blame: Blame,
    pub at: i64,
    /// How often in a row.
    pub failures: u32,
}
