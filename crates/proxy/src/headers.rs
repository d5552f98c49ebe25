//! What becomes of header fields on their way to the app and back.

mod cookies;
mod forwarded;
mod hop;
mod origin;
mod request;
mod response;

pub use forwarded::came_from_us;
pub use hop::strip_hop_by_hop;
pub use origin::{Origins, Presented, host_of};
pub use request::{HeadPlan, NEXT_ACTION, offered_protocols, write_head};
pub use response::{Translated, translate};

#[cfg(test)]
pub use origin::tests;
