//! A visitor's stream and the target that it is for: what every agent does, whatever carries its streams.

mod copy;
mod dial;
mod forbidden;
mod scratch;
mod serve;
mod udp;

pub use copy::both_ways;

use doorstep_net::{Drain, Io};
use doorstep_proto::tunnel::{Claim, Code};

use crate::{Sink, Target, Visitor};
pub use forbidden::is_forbidden;

/// A target that took a visitor, and is ready for bytes.
pub struct Delivery(Way);

enum Way {
    Serve(serve::Serving),
    App(Io),
    Datagrams(udp::Flow),
}

impl Delivery {
    /// Reaches `target` for a visitor: dials the app, where there is one to dial. Bounded in time ([`DIAL_APP`]).
    ///
    /// `vouched`: the other side of the stream speaks HTTP for many visitors and says by `X-Forwarded-*` for whom, as
    /// doorstep's relays do. Where visitors' own bytes come through, it must be false.
    ///
    /// # Errors
    /// With the code to refuse the stream with: the app got nothing.
    ///
    /// [`DIAL_APP`]: crate::limits::DIAL_APP
    pub async fn begin(target: &Target, visitor: &Visitor, vouched: bool) -> Result<Self, Code> {
        Ok(Self(match &target.sink {
            Sink::Serve(handler) => Way::Serve(serve::Serving::plain(handler, visitor, vouched)),
            Sink::ServeTls { select, handler } => Way::Serve(serve::Serving::tls(select, handler, visitor)),
            Sink::Dial(to) => Way::App(dial::app(to, target.proxy_header.then_some(visitor)).await?),
            Sink::DialUdp(to) => Way::Datagrams(udp::Flow::open(*to).await?),
        }))
    }

    /// The same for a stream of doorstep's own tunnel.
    ///
    /// # Errors
    /// As [`Delivery::begin`].
    pub async fn begin_relayed(target: &Target, visitor: &Visitor) -> Result<Self, Code> {
        Self::begin(target, visitor, matches!(target.claim, Claim::Http { .. })).await
    }

    /// Carries the stream until both directions are over. With datagrams, each read and each write of `stream` is one.
    pub async fn run(self, stream: Io, drain: Drain) {
        match self.0 {
            Way::Serve(serving) => serving.run(stream, drain).await,
            Way::App(app) => copy::both_ways(stream, app).await,
            Way::Datagrams(flow) => flow.run(stream).await,
        }
    }
}
