//! The client side of HTTP/2: requests share a few connections per member and thread.

mod body;
mod exchange;
mod goaway;
mod lines;
mod request;
mod upload;

pub use exchange::{Terms, Unanswered, exchange};
pub use lines::{line, own_line};
