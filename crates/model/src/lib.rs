//! The vocabulary of doorstep: what should be reachable ([`Spec`]), who may reach it ([`Guards`]),
//! and what was found out about the world ([`Finding`]).
//!
//! Plain data, without IO. `doorstep share`, a configuration file and the relay all build a
//! [`Spec`], and one engine makes it true.

mod backoff;
mod change;
mod finding;
mod hostname;
mod login_hash;
mod secret;
pub mod spec;

pub use backoff::Backoff;
pub use change::{Change, Ledger, LedgerFuture, MappingChange, RecordChange};
pub use finding::{Blame, Finding, Severity};
pub use hostname::{Hostname, HostnameError, ip_literal};
pub use login_hash::{Htpasswd, HtpasswdError, LoginHash, LoginHashError, read_htpasswd};
pub use secret::Secret;
pub use spec::*;
