//! A channel of an ssh session as a stream of bytes.
//!
//! russh's session gives what arrives to a queue of each channel, waits while that queue is full, and acknowledges bytes
//! when they arrive rather than when they are read. So one reader that does not read would stop the whole session, and a
//! queue without an end would hold whole downloads. Here, the queue of a channel never makes the session wait. Instead:
//! - the session's socket is read less eagerly while a channel has a backlog and no other one is in use ([`Pace`]): with one slow
//!   visitor, the app feels it as over any connection;
//! - a channel whose backlog grows all the same is closed ([`limits::BACKLOG`]).
//!
//! [`limits::BACKLOG`]: crate::limits::BACKLOG

mod backlog;
mod pace;
mod stream;

pub(crate) use backlog::Backlog;
pub(crate) use pace::{Opening, Pace, Paced};
pub(crate) use stream::{ChannelStream, Held};
