//! Talking to the daemon that runs: one unix socket, `control.sock`, one request per connection, JSON by the line.
//!
//! The daemon's side is [`server`], the person's side [`client`] and [`commands`]; both speak [`protocol`].

pub mod client;
pub mod commands;
pub mod logs;
pub mod protocol;
pub mod public_status;
pub mod relay_orders;
pub mod relay_status;
pub mod server;
mod status;
pub mod table;
pub mod tunnel_status;
