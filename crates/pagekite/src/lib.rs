//! Tunnels over PageKite: an agent at a stock front-end ([`client`]), and a front-end for stock back-ends ([`server`]).
//! The protocol is `doorstep_proto::pagekite` (docs/protocol/pagekite.md); what people see of it is in docs/pagekite.md.

pub mod client;
pub mod limits;
mod link;
pub mod server;

pub use doorstep_proto::pagekite::{Kite, KiteError, KiteSecret};

/// Bytes that nobody can guess.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It fails where the operating system has no randomness to give, and nothing could be safe there.
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A name that nobody can guess, in hexadecimal digits.
fn random_name() -> String {
    random::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}
