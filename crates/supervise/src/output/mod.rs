//! What apps say: read from pipes that outlive the supervisor, time-stamped, written to rotated files, kept for reports.

mod fifo;
mod logs;
mod rotate;

pub(crate) use fifo::{Fifo, Reader};
pub(crate) use logs::{AppLog, Logs};
