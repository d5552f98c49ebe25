//! Tunnels over ssh: an agent at anybody's sshd ([`client`]), and a gateway for anybody's `ssh -R` ([`server`]).

mod channel;
pub mod client;
pub mod limits;
pub mod server;
mod socket;
