use std::time::Instant;

use bytes::{Bytes, BytesMut};
use doorstep_proto::tunnel::{
    AgentGreeting, AgentInput, AgentSession, Claim, DataInput, DataLink, Decoded, Decoder, Invitation, Purpose,
    RelayGreeting, RelayInput, RelaySession, Role, Sharing, encode,
};

/// The first byte says which machine reads the rest, and in what portions.
pub fn check(data: &[u8]) {
    let Some((steer, rest)) = super::split_off_byte(data) else { return };
    let portions = || rest.chunks(1 + steer / 8).map(Bytes::copy_from_slice);
    let now = Instant::now();
    match steer % 8 {
        0 | 1 => decode(portions()),
        2 => {
            let mut greeting = RelayGreeting::new(now, [0; 32]);
            portions().for_each(|bytes| greeting.received(bytes));
            let mut greeting = AgentGreeting::new(now, [0; 32], [1; 32], Purpose::Control, "fuzz");
            greeting.signed([2; 64]);
            portions().for_each(|bytes| greeting.received(bytes));
            while greeting.poll_output().is_some() {}
        }
        3 => {
            let mut session = AgentSession::new(now, 1);
            session.claim(Claim::Tcp { port: 0 });
            portions().for_each(|bytes| session.handle_input(now, AgentInput::Received(bytes)));
        }
        4 => {
            let mut session = RelaySession::new(now, 32);
            portions().for_each(|bytes| session.handle_input(now, RelayInput::Received(bytes)));
        }
        5 => {
            if let Ok(invitation) = Invitation::decode(rest) {
                assert_eq!(Invitation::decode(&invitation.encode()), Ok(invitation));
            }
        }
        number => {
            let sharing = if number == 6 { Sharing::Exclusive } else { Sharing::Shared };
            let mut link = DataLink::new(now, Role::Agent, sharing);
            link.allow(1, false);
            link.allow(2, true);
            portions().for_each(|bytes| link.handle_input(now, DataInput::Received(bytes)));
            while link.poll_transmit(now).is_some() {}
        }
    }
}

/// Whatever is read is written and read again as the same.
fn decode(portions: impl Iterator<Item = Bytes>) {
    let mut decoder = Decoder::new();
    for bytes in portions {
        decoder.feed(bytes);
        loop {
            match decoder.decode() {
                Ok(Some(Decoded::Frame(frame))) => {
                    let mut out = BytesMut::new();
                    encode(&frame, &mut out);
                    let mut again = Decoder::new();
                    again.feed(out.freeze());
                    assert_eq!(again.decode(), Ok(Some(Decoded::Frame(frame))));
                }
                Ok(Some(Decoded::Data { .. })) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
