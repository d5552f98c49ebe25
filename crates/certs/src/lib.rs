//! Certificates: the local one that `doorstep share --tls` signs itself.

mod bundle;
mod error;
mod fingerprint;
mod limits;
pub mod local;
mod store;

pub use error::CertsError;
pub use fingerprint::fingerprint;
pub use store::state_dir;
