//! The file service: folders, listings, zip downloads, uploads.
//!
//! [`FolderService`] shares a folder, [`FileService`] a single file. [`root::Root`] is the only way to anything on the
//! disk, and [`policy::Policy`] says which names may be seen.

mod cors;
pub mod disposition;
mod error;
mod folder;
mod limits;
pub mod listing;
mod mime;
mod offer;
pub mod policy;
pub mod query;
mod random;
mod read;
pub mod root;
mod stamp;
pub mod upload;
mod variant;
pub mod zip;

pub use error::FilesError;
pub use folder::FolderService;
pub use offer::FileService;
