//! Processes: how they end, what belongs to them, signals to all of it.

mod exit;
mod procfs;
mod strays;
mod unit;

pub use exit::Exit;
pub(crate) use procfs::{MARK, usage};
pub(crate) use strays::reap_strays;
pub(crate) use unit::{Unit, end_orphans};
