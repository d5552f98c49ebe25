//! The system's `ssh`: it forwards to unix sockets of ours in a private folder, and what it says on its standard error
//! tells us the rest.

mod command;
mod lines;
mod pairing;
mod session;

pub(super) use command::{by_hand, program};
pub(super) use session::{host_name, login, run};
