//! The file service: folders, listings, zip downloads, uploads.
