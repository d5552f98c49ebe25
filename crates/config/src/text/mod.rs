//! Small languages within strings: durations, sizes, addresses, templates, hashes.
//!
//! Each reader returns, as its error, one sentence that goes on from "`VALUE` …" or stands for itself.

pub(crate) mod address;
pub(crate) mod env_file;
pub(crate) mod hash;
pub(crate) mod host;
pub(crate) mod path;
pub(crate) mod place;
pub(crate) mod ports;
pub(crate) mod quantity;
pub(crate) mod template;
pub(crate) mod upstream;
