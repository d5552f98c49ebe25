//! The tunnel's codec and its refusals, through the crate's public face.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use doorstep_proto::tunnel::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "[a-zä.*-]{0,40}"
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
    ]
}

fn purpose() -> impl Strategy<Value = Purpose> {
    let sharing = prop_oneof![Just(Sharing::Exclusive), Just(Sharing::Shared)];
    prop_oneof![
        Just(Purpose::Control),
        (any::<[u8; 16]>(), sharing).prop_map(|(id, sharing)| Purpose::Data { session: SessionId(id), sharing }),
        vec(any::<u8>(), 0..limits::MAX_INVITATION).prop_map(|token| Purpose::Join { invitation: token.into() }),
        vec((any::<u16>(), probe_kind()), 0..=limits::MAX_PROBES).prop_map(|asks| Purpose::Probe {
            asks: asks.into_iter().map(|(port, kind)| ProbeAsk { port, kind }).collect()
        }),
    ]
}

fn probe_kind() -> impl Strategy<Value = ProbeKind> {
    prop_oneof![
        Just(ProbeKind::Connect),
        (text(), text()).prop_map(|(host, nonce)| ProbeKind::Http { host, nonce }),
        (text(), text()).prop_map(|(host, nonce)| ProbeKind::Https { host, nonce }),
    ]
}

fn outcome() -> impl Strategy<Value = ProbeOutcome> {
    prop_oneof![
        (proptest::option::of(any::<[u8; 32]>()), any::<u32>())
            .prop_map(|(certificate, millis)| ProbeOutcome::Answered { certificate, millis }),
        Just(ProbeOutcome::WrongAnswer),
        Just(ProbeOutcome::Refused),
        Just(ProbeOutcome::TimedOut),
        Just(ProbeOutcome::Unreachable),
        text().prop_map(ProbeOutcome::TlsFailed),
        any::<u32>().prop_map(ProbeOutcome::Limited),
        Just(ProbeOutcome::Forbidden),
    ]
}

fn claim() -> impl Strategy<Value = Claim> {
    prop_oneof![
        (text(), text()).prop_map(|(name, label)| Claim::Http { name, label }),
        text().prop_map(|name| Claim::Tls { name }),
        any::<u16>().prop_map(|port| Claim::Tcp { port }),
        any::<u16>().prop_map(|port| Claim::Udp { port }),
    ]
}

fn open() -> impl Strategy<Value = Open> {
    let tls = (any::<u16>(), text(), text());
    let tls = tls.prop_map(|(version, server_name, alpn)| VisitorTls { version, server_name, alpn });
    (any::<u32>(), address(), address(), proptest::option::of(tls), any::<bool>())
        .prop_map(|(claim, visitor, local, tls, datagrams)| Open { claim, visitor, local, tls, datagrams })
}

fn frame() -> impl Strategy<Value = Frame> {
    let number = any::<u32>;
    prop_oneof![
        (any::<[u8; 32]>(), any::<[u8; 32]>(), vec(any::<u8>(), 64), purpose(), text()).prop_map(
            |(exporter, key, signature, purpose, software)| {
                let signature = signature.try_into().unwrap();
                Frame::Hello(Hello { versions: (0, 7), exporter, key, signature, purpose, software })
            }
        ),
        (any::<[u8; 16]>(), text(), text(), text()).prop_map(|(id, agent, domain, software)| Frame::Welcome(Welcome {
            version: VERSION,
            session: SessionId(id),
            agent,
            domain,
            software
        })),
        (any::<u16>(), text()).prop_map(|(code, detail)| Frame::Close { code, detail }),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        (number(), claim()).prop_map(|(id, claim)| Frame::Claim { id, claim }),
        (number(), text(), any::<u16>(), number()).prop_map(|(id, host, port, lease)| Frame::Granted {
            id,
            grant: Grant { host, port, lease: Duration::from_secs(lease.into()) }
        }),
        (number(), any::<u16>(), text()).prop_map(|(id, code, detail)| Frame::Denied { id, code, detail }),
        number().prop_map(|id| Frame::Release { id }),
        number().prop_map(|id| Frame::Renew { id }),
        any::<(u16, u16)>().prop_map(|(exclusive, shared)| Frame::Pool { exclusive, shared }),
        text().prop_map(|detail| Frame::GoAway { detail }),
        (number(), open()).prop_map(|(stream, open)| Frame::Open { stream, open }),
        number().prop_map(|stream| Frame::Accepted { stream }),
        number().prop_map(|stream| Frame::Fin { stream }),
        (number(), any::<u16>()).prop_map(|(stream, code)| Frame::Reset { stream, code }),
        (number(), number()).prop_map(|(stream, bytes)| Frame::Credit { stream, bytes }),
        (number(), vec(any::<u8>(), 0..2000))
            .prop_map(|(stream, bytes)| Frame::Datagram { stream, payload: bytes.into() }),
        address().prop_map(Frame::Observed),
        (number(), outcome()).prop_map(|(index, outcome)| Frame::Probed { index, outcome }),
        Just(Frame::Beat),
    ]
}

fn decode(portions: &[&[u8]]) -> Result<Vec<Decoded>, TunnelError> {
    let mut decoder = Decoder::new();
    let mut all = Vec::new();
    for portion in portions {
        decoder.feed(Bytes::copy_from_slice(portion));
        while let Some(decoded) = decoder.decode()? {
            all.push(decoded);
        }
    }
    Ok(all)
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(frames in vec(frame(), 1..4)) {
        let mut out = BytesMut::new();
        frames.iter().for_each(|frame| encode(frame, &mut out));
        let want: Vec<_> = frames.into_iter().map(Decoded::Frame).collect();
        for cut in 0..=out.len() {
            prop_assert_eq!(&decode(&[&out[..cut], &out[cut..]]).unwrap(), &want, "cut at {}", cut);
        }
        prop_assert_eq!(decode(&out.chunks(1).collect::<Vec<_>>()).unwrap(), want);
    }

    #[test]
    fn pieces_of_data_come_as_they_arrive(bytes in vec(any::<u8>(), 1..300), cut: prop::sample::Index) {
        let whole = [&data_header(9, bytes.len())[..], &bytes].concat();
        let at = cut.index(whole.len());
        let mut got = Vec::new();
        for decoded in decode(&[&whole[..at], &whole[at..]]).unwrap() {
            let Decoded::Data { stream: 9, piece } = decoded else { panic!("{decoded:?}") };
            got.extend_from_slice(&piece);
        }
        prop_assert_eq!(got, bytes);
    }

    #[test]
    fn changed_bytes_are_judged_by_every_machine(frames in vec(frame(), 1..4), at: prop::sample::Index, to: u8) {
        let mut out = BytesMut::new();
        frames.iter().for_each(|frame| encode(frame, &mut out));
        let at = at.index(out.len());
        out[at] = to;
        let (bytes, now) = (out.freeze(), Instant::now());
        let _ = decode(&[&bytes]);
        RelayGreeting::new(now, [0; 32]).received(bytes.clone());
        AgentSession::new(now, 1).handle_input(now, AgentInput::Received(bytes.clone()));
        RelaySession::new(now, 32).handle_input(now, RelayInput::Received(bytes.clone()));
        for role in [Role::Agent, Role::Relay] {
            for sharing in [Sharing::Exclusive, Sharing::Shared] {
                DataLink::new(now, role, sharing).handle_input(now, DataInput::Received(bytes.clone()));
            }
        }
    }
}

#[test]
fn oversized_and_unknown_frames_are_refused_before_their_payload_comes() {
    let code = |header: [u8; 8]| decode(&[&header]).map_err(|error| error.code);
    assert_eq!(code([18, 1, 0, 1, 0, 0, 0, 1]), Err(Code::Oversized));
    assert_eq!(code([6, 0, 0x20, 1, 0, 0, 0, 1]), Err(Code::Oversized));
    assert_eq!(code([99, 0, 0, 0, 0, 0, 0, 1]), Err(Code::UnknownFrame));
    assert_eq!(code([200, 0, 0, 0, 0, 0, 0, 1]), Ok(vec![]));
}

/// What the relay makes of a greeting, and what the agent is told then.
fn greet(exporters: [Exporter; 2], change: impl Fn(&mut Vec<u8>)) -> (Code, Code) {
    let now = Instant::now();
    let mut agent = AgentGreeting::new(now, exporters[0], [3; 32], Purpose::Control, "test");
    agent.poll_output();
    agent.signed([4; 64]);
    let Some(AgentGreetingOutput::Transmit(hello)) = agent.poll_output() else { panic!("no greeting") };
    let mut hello = hello.to_vec();
    change(&mut hello);
    let mut relay = RelayGreeting::new(now, exporters[1]);
    relay.received(hello.into());
    let mut verdict = None;
    while let Some(output) = relay.poll_output() {
        match output {
            RelayGreetingOutput::Authenticate(_) => relay.refuse(Code::RevokedKey.into()),
            RelayGreetingOutput::Transmit(bytes) => agent.received(bytes),
            RelayGreetingOutput::Failed(error) => verdict = Some(error.code),
            RelayGreetingOutput::Admitted { .. } => panic!("admitted"),
        }
    }
    let Some(AgentGreetingOutput::Failed(told)) = agent.poll_output() else { panic!("the agent was told nothing") };
    (verdict.expect("a verdict"), told.code)
}

#[test]
fn both_sides_learn_why_a_greeting_is_refused() {
    let both = |code| (code, code);
    assert_eq!(greet([[1; 32], [2; 32]], |_| {}), both(Code::Replayed));
    assert_eq!(greet([[1; 32]; 2], |_| {}), both(Code::RevokedKey));
    assert_eq!(greet([[1; 32]; 2], |hello| hello[9] = 9), both(Code::UnknownVersion));
    assert_eq!(greet([[1; 32]; 2], |hello| hello[1] = 1), both(Code::Oversized));
    assert_eq!(greet([[1; 32]; 2], |hello| hello[0] = 23), both(Code::Unexpected));
    assert_eq!(greet([[1; 32]; 2], |hello| hello[0] = 90), both(Code::UnknownFrame));
}

fn visit(claim: u32, datagrams: bool) -> Open {
    let visitor = SocketAddr::from(([203, 0, 113, 9], 5000));
    Open { claim, visitor, local: visitor, tls: None, datagrams }
}

/// Two ends of a shared connection; the agent allows claim 1, and claim 2 for datagrams.
struct Ends {
    now: Instant,
    agent: DataLink,
    relay: DataLink,
}

impl Ends {
    fn new() -> Self {
        let now = Instant::now();
        let mut agent = DataLink::new(now, Role::Agent, Sharing::Shared);
        agent.allow(1, false);
        agent.allow(2, true);
        Self { now, agent, relay: DataLink::new(now, Role::Relay, Sharing::Shared) }
    }

    fn exchange(&mut self) -> (Vec<DataOutput>, Vec<DataOutput>) {
        loop {
            let (down, up) = (self.relay.poll_transmit(self.now), self.agent.poll_transmit(self.now));
            if down.is_none() && up.is_none() {
                break;
            }
            down.into_iter().for_each(|bytes| self.agent.handle_input(self.now, DataInput::Received(bytes)));
            up.into_iter().for_each(|bytes| self.relay.handle_input(self.now, DataInput::Received(bytes)));
        }
        let all = |link: &mut DataLink| std::iter::from_fn(|| link.poll_output()).collect();
        (all(&mut self.agent), all(&mut self.relay))
    }
}

#[test]
fn a_stream_for_a_claim_that_was_not_made_never_reaches_the_agents_owner() {
    let mut ends = Ends::new();
    for (claim, datagrams) in [(7, false), (1, true), (2, false)] {
        let stream = ends.relay.open(ends.now, visit(claim, datagrams)).unwrap();
        let (agent, relay) = ends.exchange();
        assert_eq!(agent, []);
        assert_eq!(relay, [DataOutput::Reset { stream, error: Code::UnknownClaim.into() }]);
    }
}

#[test]
fn a_stream_that_nobody_reads_stops_at_its_window_and_no_other() {
    let mut ends = Ends::new();
    let slow = ends.relay.open(ends.now, visit(1, false)).unwrap();
    let fast = ends.relay.open(ends.now, visit(1, false)).unwrap();
    let (mut slow_got, mut fast_got) = (0, 0);
    for _ in 0..200 {
        for stream in [slow, fast] {
            let bytes = vec![0; ends.relay.room(stream).min(32 * 1024)];
            assert!(ends.relay.send(stream, bytes.into()));
        }
        for output in ends.exchange().0 {
            match output {
                DataOutput::Data { stream, piece } if stream == slow => slow_got += piece.len(),
                DataOutput::Data { stream, piece } => {
                    fast_got += piece.len();
                    ends.agent.consumed(stream, piece.len());
                }
                _ => {}
            }
        }
    }
    assert_eq!(slow_got, limits::WINDOW as usize);
    assert!(fast_got >= 100 * 32 * 1024, "{fast_got}");
}

#[test]
fn datagrams_stay_whole_and_the_oldest_make_room() {
    let mut ends = Ends::new();
    let flow = ends.relay.open(ends.now, visit(2, true)).unwrap();
    (0..100_u8).for_each(|number| assert!(ends.relay.send_datagram(flow, vec![number; 9].into())));
    let (agent, _) = ends.exchange();
    let got: Vec<u8> = agent
        .iter()
        .filter_map(|output| match output {
            DataOutput::Datagram { payload, .. } => Some(payload[0]),
            _ => None,
        })
        .collect();
    assert_eq!(got, (100 - limits::DATAGRAM_QUEUE as u8..100).collect::<Vec<_>>());
}

#[test]
fn half_closed_streams_go_on_and_both_sides_learn_of_the_end() {
    let mut ends = Ends::new();
    let stream = ends.relay.open(ends.now, visit(1, false)).unwrap();
    ends.relay.finish(stream);
    assert!(ends.exchange().0.contains(&DataOutput::Finished { stream }));
    assert!(ends.agent.send(stream, Bytes::from_static(b"late")));
    ends.agent.finish(stream);
    let (agent, relay) = ends.exchange();
    assert_eq!(agent, [DataOutput::Over { stream }]);
    assert_eq!(
        relay,
        [DataOutput::Data { stream, piece: Bytes::from_static(b"late") }, DataOutput::Finished { stream }]
    );
    ends.relay.consumed(stream, 4);
    assert_eq!(ends.exchange().1, [DataOutput::Over { stream }]);
}

#[test]
fn a_reset_that_cannot_be_written_ends_an_exclusive_connection() {
    let now = Instant::now();
    let mut relay = DataLink::new(now, Role::Relay, Sharing::Exclusive);
    let stream = relay.open(now, visit(1, false)).unwrap();
    assert_eq!(relay.open(now, visit(1, false)), Err(OpenError::Busy));
    relay.reset(now, stream, Code::StreamReset);
    relay.handle_timeout(now + limits::RESET_LINGER);
    assert_eq!(relay.poll_output(), Some(DataOutput::Closed(Code::Stalled.into())));
}
