//! Visitors who come straight to this computer: by a port of the home router, or by IPv6. Each is a way like those of
//! tunnels ([`crate::lend::Carrier`]), so that one order decides between all of them.

pub mod consent;
mod direct;
mod eyes;
mod ledger;
mod words;

pub use direct::Direct;
pub use eyes::Eyes;
pub use ledger::FileLedger;
pub use words::{is_direct, is_public, not_public};
