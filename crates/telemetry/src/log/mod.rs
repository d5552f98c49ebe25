//! Access logs: one line for each request, in the combined format or as JSON ([docs/logs.md]).

mod access_log;
mod combined;
mod file;
mod inbox;
mod json;
mod redact;
mod writer;

pub use access_log::AccessLog;
pub(crate) use writer::Writer;
