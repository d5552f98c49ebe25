//! Certificates: from authorities by ACME, from this computer's own, from files, and the one that `doorstep share --tls`
//! signs itself.
//!
//! A [`Manager`] keeps a [`CertTable`] filled, from which the listeners take what each connection needs. Decisions are in
//! `plan` and `ledger`, which know neither clocks nor sockets; `acme`, `dns` and `precheck` talk with the world.

mod acme;
mod answers;
mod authority;
mod bundle;
mod dns;
mod error;
mod fault;
mod fingerprint;
mod leaf;
mod ledger;
mod limits;
pub mod local;
mod manager;
mod name;
mod plan;
mod precheck;
mod request;
mod status;
mod storage;
mod table;
mod tls;

pub use answers::Http01Answers;
pub use authority::roots;
pub use error::CertsError;
pub use fingerprint::fingerprint;
pub use manager::{Manager, RenewError};
pub use name::CertName;
pub use request::{CertRequest, Checkpoint, ManagerOptions, Ports};
pub use status::{CertFacts, CertFault, CertState, CertStatus, SourceKind};
pub use table::CertTable;
