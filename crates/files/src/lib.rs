//! The file service: folders, listings, zip downloads, uploads.

#[expect(dead_code, reason = "the bounds of modules that follow")]
mod limits;
pub mod policy;
pub mod root;
