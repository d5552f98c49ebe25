//! Short cuts for exclusive connections: what a stream's consumer reads and writes need not go through this machine, as long
//! as the machine knows of it.

use std::time::Instant;

use bytes::BytesMut;

use super::DataLink;
use crate::tunnel::limits::MAX_DATA;
use crate::tunnel::{Code, Sharing, TunnelError, data_header};

impl DataLink {
    /// Bytes of the stream on an exclusive connection that come next from the peer. As many may be read past this machine,
    /// straight into the consumer's buffer; tell [`passed`](Self::passed). 0 where something else comes next.
    pub fn direct(&self, stream: u32) -> usize {
        let known = || self.streams.get(&stream).is_some_and(|state| state.receiving && !state.datagrams);
        match self.decoder.ahead() {
            Some((number, left)) if number == stream && self.sharing == Sharing::Exclusive && known() => left,
            _ => 0,
        }
    }

    /// So many of the [`direct`](Self::direct) bytes were read past this machine.
    pub fn passed(&mut self, now: Instant, bytes: usize) {
        self.heard = self.heard.max(now);
        if !self.decoder.skip(bytes) {
            self.fail(TunnelError::new(Code::Malformed, "more bytes than the frame has"), true);
        }
    }

    /// How many bytes from the peer make the next header or message whole, at least 1: reading no more than these leaves
    /// the bytes of a stream for its consumer.
    pub fn needs(&self) -> usize {
        self.decoder.needs()
    }

    /// Writes into `head` what must be on the wire before the next `length` bytes of a stream, at most [`MAX_DATA`]: what
    /// was to be said anyway, and their header. The caller writes all of it, and all of the bytes, before anything else.
    /// Says whether this is possible; where it is not, `head` is as it was.
    #[must_use]
    pub fn transmit_direct(&mut self, now: Instant, stream: u32, length: usize, head: &mut BytesMut) -> bool {
        let free = self.sharing == Sharing::Exclusive && self.started.is_none() && self.turns.is_empty();
        let sending = self.streams.get(&stream).is_some_and(|state| state.sending && state.is_drained());
        if self.closed || !free || !sending || length > MAX_DATA {
            return false;
        }
        if !self.urgent.is_empty() {
            head.extend_from_slice(&self.urgent);
            self.urgent.clear();
            self.urgent_count = 0;
            self.reset_since = None;
        }
        head.extend_from_slice(&data_header(stream, length));
        self.sent = self.sent.max(now);
        true
    }

    /// Whether something waits to be transmitted.
    pub fn wants_transmit(&self) -> bool {
        self.started.is_some() || !self.urgent.is_empty() || !self.turns.is_empty()
    }

    /// Whether this side may still send on the stream, and the peer. Both false for one that is over.
    pub fn open_ends(&self, stream: u32) -> (bool, bool) {
        self.streams.get(&stream).map_or((false, false), |state| (state.sending, state.receiving))
    }

    /// Whether everything up to our end of the stream was handed out for transmission.
    pub fn end_is_sent(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_none_or(|state| state.fin_sent)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;

    use super::super::{DataInput, DataOutput, Role};
    use super::*;
    use crate::tunnel::Open;

    #[test]
    fn what_goes_past_the_machine_is_what_goes_through_it() {
        let now = Instant::now();
        let mut relay = DataLink::new(now, Role::Relay, Sharing::Exclusive);
        let mut agent = DataLink::new(now, Role::Agent, Sharing::Exclusive);
        agent.allow(1, false);
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let open = Open { claim: 1, visitor: nobody, local: nobody, tls: None, datagrams: false };
        let stream = relay.open(now, open).unwrap();
        let mut wire = BytesMut::new();
        assert!(relay.transmit_direct(now, stream, 5, &mut wire));
        assert!(!relay.wants_transmit());
        wire.extend_from_slice(b"hello");
        relay.finish(stream);
        wire.extend_from_slice(&relay.poll_transmit(now).unwrap());
        // Byte by byte as the machine asks, so that the payload is left for the consumer.
        let mut wire = wire.freeze();
        let mut got = Vec::new();
        let mut finished = false;
        while !wire.is_empty() {
            let direct = agent.direct(stream);
            if direct > 0 {
                got.extend_from_slice(&wire.split_to(2.min(direct)));
                agent.passed(now, 2.min(direct));
                continue;
            }
            let needs = agent.needs();
            agent.handle_input(now, DataInput::Received(wire.split_to(needs)));
            while let Some(output) = agent.poll_output() {
                match output {
                    DataOutput::Opened { stream: 1, .. } => {}
                    DataOutput::Finished { stream: 1 } => finished = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((got.as_slice(), finished), (&b"hello"[..], true));
        assert!(!agent.transmit_direct(now, 7, 1, &mut BytesMut::new()));
        let late = Bytes::from_static(b"late");
        assert_eq!(agent.open_ends(stream), (true, false));
        assert!(agent.send(stream, late));
        // Something queued comes first: nothing may overtake it.
        assert!(!agent.transmit_direct(now, stream, 1, &mut BytesMut::new()));
    }
}
