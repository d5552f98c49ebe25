//! PageKite, both ends, as seen between stock programs (docs/protocol/pagekite.md). Machines without IO: the driver brings
//! bytes and the time, writes what [`BackEnd::output`] or [`FrontEnd::output`] holds, and takes events.
//!
//! A driver's loop: read only while `wants_input`; after `receive`, `wrote`, `read` and `tick` take all events; call `tick` at
//! `deadline`; close the connection once an `Ended` event came and the output is written.

mod arrival;
mod back_end;
mod dice;
mod error;
mod fields;
mod frame;
mod front_end;
mod kite;
pub mod limits;
mod message;
mod quota;
mod sessions;
mod sign;
#[cfg(test)]
mod simulation;
mod stream;
#[cfg(test)]
mod together;
mod tunnel;
mod zstream;

pub use arrival::{
    Arrival, CONNECT_ANSWER, Connect, Probe, parse_connect, parse_probe, parse_tls_answer, probe_answer, probe_request,
    recognise, tls_request,
};
pub use back_end::{Answer, BackEnd, BackEndEvent, BackEndOptions, Outcome, Welcome};
pub use error::{PageKiteError, Side};
pub use front_end::{Claim, Claims, FrontEnd, FrontEndEvent, FrontEndOptions, Refusal, Verdict};
pub use kite::{Kite, KiteError};
pub use message::{Opening, Sid};
pub use quota::Quota;
pub use sessions::{Judgement, Policy, Sessions};
pub use sign::{ChallengeKey, KiteSecret};
pub use stream::Read;

/// What happens to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A visitor came; only at a back-end, and only for a kite that flies.
    Opened { sid: Sid, kite: Kite, opening: Opening },
    /// Read until [`Read::Empty`] or [`Read::Finished`]; only then another such event comes.
    Readable(Sid),
    /// There is room again after `send` took less than it was given.
    Writable(Sid),
    /// The other side takes no more: stop sending. What it still sends can be read.
    Stopped(Sid),
    /// Both halves ended and all was read. The name means nothing from now on.
    Closed(Sid),
}

impl StreamEvent {
    pub fn sid(&self) -> &Sid {
        let (Self::Opened { sid, .. }
        | Self::Readable(sid)
        | Self::Writable(sid)
        | Self::Stopped(sid)
        | Self::Closed(sid)) = self;
        sid
    }
}

/// How a tunnel ended. What came of its streams can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By either side, in an orderly way.
    Closed,
    /// None of the kites may fly; the answers said why.
    Refused,
    /// The front-end wants the challenges answered on another connection: connect again, with [`BackEnd::again`].
    ConnectAgain,
    Broken(PageKiteError),
}
