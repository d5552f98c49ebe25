//! The file service: folders, listings, zip downloads, uploads.
//!
//! [`root::Root`] is the only way to anything on the disk, and [`policy::Policy`] says which names may be seen.

pub mod disposition;
mod error;
#[expect(dead_code, reason = "the bounds of modules that follow")]
mod limits;
pub mod listing;
pub mod policy;
pub mod query;
mod random;
pub mod root;
pub mod zip;

pub use error::FilesError;
