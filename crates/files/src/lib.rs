//! The file service: folders, listings, zip downloads, uploads.
//!
//! [`root::Root`] is the only way to anything on the disk, and [`policy::Policy`] says which names may be seen.

pub mod disposition;
mod error;
mod limits;
pub mod listing;
pub mod policy;
pub mod query;
mod random;
pub mod root;
pub mod upload;
pub mod zip;

pub use error::FilesError;
