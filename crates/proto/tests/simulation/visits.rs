use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use doorstep_proto::tunnel::{Code, DataLink, DataOutput, Open, Role};

use super::Random;
use super::conn::{AgentEnd, Conn, RelayEnd};

/// Every visitor's stream: what each side sent and got. Visitors are told apart by their address.
#[derive(Default)]
pub struct Visits {
    all: Vec<Visit>,
    /// Which visitor a side's stream is: by side, connection and stream.
    streams: BTreeMap<(bool, usize, u32), u32>,
}

#[derive(Default)]
struct Visit {
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    sent: u64,
    got: u64,
    unconsumed: usize,
    wants: u64,
    finishing: bool,
    finished: bool,
    peer_finished: bool,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Whole,
    Broken,
}

const SIDES: [Role; 2] = [Role::Agent, Role::Relay];

fn index(role: Role) -> usize {
    usize::from(role == Role::Relay)
}

/// The byte that `role` sends at `at` to or from visitor `tag`.
fn byte(tag: u32, role: Role, at: u64) -> u8 {
    ((u64::from(tag) * 31 + at * 7 + index(role) as u64 * 101).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u8
}

impl Visits {
    pub fn open(&mut self, link: &mut DataLink, conn: usize, claim: u32, now: Instant) -> Option<u32> {
        let tag = self.all.len() as u32;
        let visitor = SocketAddr::from((Ipv4Addr::from(tag), 1));
        let stream = link.open(now, Open { claim, visitor, local: visitor, tls: None, datagrams: false }).ok()?;
        let mut visit = Visit::default();
        for (at, side) in visit.sides.iter_mut().enumerate() {
            side.wants =
                u64::from((tag * 7919 + at as u32 * 104_729) % 40_000) / if tag.is_multiple_of(5) { 1 } else { 20 };
        }
        self.all.push(visit);
        self.streams.insert((true, conn, stream), tag);
        Some(tag)
    }

    /// What a machine says. Whether its connection is over.
    pub fn output(&mut self, role: Role, conn: usize, link: &mut DataLink, output: DataOutput) -> bool {
        let is_relay = role == Role::Relay;
        let visit_of =
            |streams: &BTreeMap<_, u32>, stream| *streams.get(&(is_relay, conn, stream)).expect("a known stream");
        match output {
            DataOutput::Opened { stream, open } => {
                let SocketAddr::V4(visitor) = open.visitor else { panic!("another visitor") };
                let tag = u32::from(*visitor.ip());
                assert!(self.streams.insert((false, conn, stream), tag).is_none(), "a stream comes twice");
                link.accept(stream);
            }
            DataOutput::Data { stream, piece } => {
                let tag = visit_of(&self.streams, stream);
                let side = &mut self.all[tag as usize].sides[index(role)];
                assert!(side.end.is_none() && !side.peer_finished, "bytes after the end");
                for got in &piece {
                    assert_eq!(*got, byte(tag, SIDES[1 - index(role)], side.got), "byte {} of visitor {tag}", side.got);
                    side.got += 1;
                }
                side.unconsumed += piece.len();
            }
            DataOutput::Finished { stream } => {
                let tag = visit_of(&self.streams, stream);
                self.all[tag as usize].sides[index(role)].peer_finished = true;
                let sides = &self.all[tag as usize].sides;
                assert_eq!(sides[index(role)].got, sides[1 - index(role)].sent, "visitor {tag}: finished, not whole");
            }
            DataOutput::Over { stream } => self.end(is_relay, conn, stream, End::Whole),
            DataOutput::Reset { stream, error } => {
                assert_ne!(error.code, Code::UnknownClaim);
                self.end(is_relay, conn, stream, End::Broken);
            }
            DataOutput::Closed(error) => {
                let faults =
                    [Code::Malformed, Code::Oversized, Code::UnknownFrame, Code::Unexpected, Code::FlowControl];
                assert!(!faults.contains(&error.code), "{role:?}: {error}");
                return true;
            }
            DataOutput::Accepted { .. } | DataOutput::Writable { .. } | DataOutput::Datagram { .. } => {}
        }
        false
    }

    fn end(&mut self, is_relay: bool, conn: usize, stream: u32, end: End) {
        let tag = self.streams.remove(&(is_relay, conn, stream)).expect("a known stream");
        let side = &mut self.all[tag as usize].sides[usize::from(is_relay)];
        assert_eq!(side.end.replace(end), None, "two ends");
    }

    /// Each stream of the connection does something, or not.
    pub fn act(&mut self, conn: &mut Conn, at: usize, random: &mut Random, _now: Instant) {
        for is_relay in [false, true] {
            let link = match (&mut conn.agent, &mut conn.relay) {
                (AgentEnd::Data(link), _) if !is_relay => link,
                (_, RelayEnd::Data(link)) if is_relay => link,
                _ => continue,
            };
            let range = (is_relay, at, 0)..=(is_relay, at, u32::MAX);
            for (&(.., stream), &tag) in self.streams.range(range) {
                let role = SIDES[usize::from(is_relay)];
                let side = &mut self.all[tag as usize].sides[usize::from(is_relay)];
                if random.one_in(2) {
                    let count = random.below(side.unconsumed + 1).max(side.unconsumed.min(1));
                    link.consumed(stream, count);
                    side.unconsumed -= count;
                }
                let left = side.wants.saturating_sub(side.sent) as usize;
                if left == 0 && (side.finishing || random.one_in(4)) && !side.finished {
                    side.finished = true;
                    link.finish(stream);
                } else if left > 0 && !side.finished {
                    let count = (1 + random.below(9000)).min(left).min(link.room(stream));
                    let bytes: Bytes = (0..count as u64).map(|more| byte(tag, role, side.sent + more)).collect();
                    assert!(link.send(stream, bytes), "room was promised");
                    side.sent += count as u64;
                }
            }
        }
    }

    /// One side of one stream breaks it off.
    pub fn reset(&mut self, conn: &mut Conn, at: usize, random: &mut Random, now: Instant) {
        let is_relay = random.one_in(2);
        let stream = self.streams.range((is_relay, at, 0)..=(is_relay, at, u32::MAX)).map(|(key, _)| key.2).next();
        let link = match (&mut conn.agent, &mut conn.relay) {
            (AgentEnd::Data(link), _) if !is_relay => link,
            (_, RelayEnd::Data(link)) if is_relay => link,
            _ => return,
        };
        if let Some(stream) = stream {
            link.reset(now, stream, Code::StreamReset);
            self.end(is_relay, at, stream, End::Broken);
        }
    }

    pub fn uses(&self, conn: usize) -> bool {
        self.streams.keys().any(|key| key.1 == conn)
    }

    /// Nobody got more than was sent, and whoever ended well has all of it.
    pub fn check(&self) {
        for (tag, visit) in self.all.iter().enumerate() {
            for side in 0..2 {
                let (here, there) = (&visit.sides[side], &visit.sides[1 - side]);
                assert!(here.got <= there.sent, "visitor {tag} got bytes that nobody sent");
                assert!(here.end != Some(End::Whole) || here.got == there.sent && there.finished, "visitor {tag}: cut");
            }
        }
    }

    pub fn finish_all(&mut self) {
        self.all.iter_mut().flat_map(|visit| &mut visit.sides).for_each(|side| side.finishing = true);
    }

    pub fn all_over(&self) -> bool {
        self.streams.is_empty()
    }

    pub fn whole(&self, tag: u32) -> bool {
        self.all[tag as usize].sides.iter().all(|side| side.end == Some(End::Whole))
    }

    pub fn broken(&self, tag: u32) -> bool {
        self.all[tag as usize].sides.iter().any(|side| side.end == Some(End::Broken))
    }

    pub fn describe(&self) -> String {
        let open = self.streams.iter().map(|(key, tag)| {
            let side = &self.all[*tag as usize].sides[usize::from(key.0)];
            format!("{key:?}: sent {} of {}, got {}, finished {}", side.sent, side.wants, side.got, side.finished)
        });
        open.collect::<Vec<_>>().join("; ")
    }
}
