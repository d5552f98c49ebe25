//! Everything that is refused, each with its own code on the wire and its own words on the relay's side.

use bytes::{BufMut, BytesMut};
use doorstep_proto::tunnel::limits::MAX_DATA_CONNS;
use doorstep_proto::tunnel::{
    AgentGreeting, AgentGreetingOutput, Code, Decoded, Decoder, Frame, Purpose, SessionId, Sharing, data_header, encode,
};
use futures_util::future::join_all;

use super::agent::{Agent, dial, greet, tls};
use super::{World, http, told};
use crate::identity::AgentKeyPair;
use crate::link::{Wire, now};

/// What the relay answers to bytes that no agent of ours would send.
async fn answer(world: &World, change: impl FnOnce(BytesMut) -> BytesMut) -> Code {
    let (transport, exporter) = tls(world.address).await;
    let key = AgentKeyPair::generate().unwrap();
    let mut greeting = AgentGreeting::new(now(), exporter, key.public(), Purpose::Control, "test/1");
    let Some(AgentGreetingOutput::Sign(transcript)) = greeting.poll_output() else { panic!() };
    greeting.signed(key.sign(&transcript));
    let Some(AgentGreetingOutput::Transmit(hello)) = greeting.poll_output() else { panic!() };
    let mut wire = Wire::new(transport);
    wire.push(change(BytesMut::from(&hello[..])).freeze());
    let mut decoder = Decoder::new();
    loop {
        decoder.feed(wire.read().await.unwrap());
        if let Some(Decoded::Frame(Frame::Close { code, .. })) = decoder.decode().unwrap() {
            return Code::from_number(code);
        }
    }
}

#[tokio::test]
async fn strangers_forgers_and_replays() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let stranger = AgentKeyPair::generate().unwrap();
    assert_eq!(dial(world.address, &stranger, Purpose::Control).await.err().unwrap().code, Code::UnknownKey);
    assert!(told(&mut events, Code::UnknownKey).await.starts_with("a connection from 127.0.0.1:"));

    let known = world.joined("studio").await;
    let (transport, exporter) = tls(world.address).await;
    let greeting = AgentGreeting::new(now(), exporter, known.public(), Purpose::Control, "test/1");
    let forged = greet(Wire::new(transport), greeting, &stranger).await;
    assert_eq!(forged.err().unwrap().code, Code::WrongKey);
    told(&mut events, Code::WrongKey).await;

    // A proof that was good, on another connection.
    let (_first, exporter) = tls(world.address).await;
    let (transport, _) = tls(world.address).await;
    let greeting = AgentGreeting::new(now(), exporter, known.public(), Purpose::Control, "test/1");
    assert_eq!(greet(Wire::new(transport), greeting, &known).await.err().unwrap().code, Code::Replayed);
    told(&mut events, Code::Replayed).await;
    assert!(world.relay.sessions().is_empty());
}

#[tokio::test]
async fn what_is_not_the_protocol() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let other_version = |mut hello: BytesMut| {
        hello[8..12].copy_from_slice(&[0, 7, 0, 9]);
        hello
    };
    let oversized = |_| {
        let mut out = BytesMut::from(&data_header(0, 0x00ff_ffff)[..]);
        out.put_slice(&[0; 64]);
        out
    };
    let unknown = |mut hello: BytesMut| {
        hello[0] = 99;
        hello
    };
    let unexpected = |_| {
        let mut out = BytesMut::new();
        encode(&Frame::Ping(1), &mut out);
        out
    };
    assert_eq!(answer(&world, other_version).await, Code::UnknownVersion);
    assert!(told(&mut events, Code::UnknownVersion).await.contains("the agent speaks 7 to 9"));
    assert_eq!(answer(&world, oversized).await, Code::Oversized);
    told(&mut events, Code::Oversized).await;
    assert_eq!(answer(&world, unknown).await, Code::UnknownFrame);
    told(&mut events, Code::UnknownFrame).await;
    assert_eq!(answer(&world, unexpected).await, Code::Unexpected);
    told(&mut events, Code::Unexpected).await;
}

#[tokio::test]
async fn invitations_are_good_once() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let invitation = world.invitation("studio").await;
    let join = |invitation| async { dial(world.address, &AgentKeyPair::generate().unwrap(), invitation).await };
    let welcome = join(Purpose::Join { invitation: invitation.clone() }).await.unwrap().welcome;
    assert_eq!((welcome.agent.as_str(), welcome.domain.as_str()), ("studio", "tun.example.com"));
    let again = join(Purpose::Join { invitation: invitation.clone() }).await;
    assert_eq!(again.err().unwrap().code, Code::InvitationUsed);
    told(&mut events, Code::InvitationUsed).await;
    let mut forged = invitation.to_vec();
    forged[20] ^= 1;
    let forged = join(Purpose::Join { invitation: forged.into() }).await;
    assert_eq!(forged.err().unwrap().code, Code::InvitationInvalid);
}

#[tokio::test]
async fn data_connections_of_no_session_and_too_many_of_one() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let key = world.joined("studio").await;
    let other = world.joined("other").await;
    let data = |session| Purpose::Data { session, sharing: Sharing::Exclusive };
    let nobody = dial(world.address, &key, data(SessionId([7; 16]))).await;
    assert_eq!(nobody.err().unwrap().code, Code::UnknownSession);
    assert!(told(&mut events, Code::UnknownSession).await.contains("of agent studio"));

    let control = dial(world.address, &key, Purpose::Control).await.unwrap();
    let session = control.welcome.session;
    assert_eq!(dial(world.address, &other, data(session)).await.err().unwrap().code, Code::UnknownSession);
    let most = join_all((0..MAX_DATA_CONNS).map(|_| dial(world.address, &key, data(session)))).await;
    assert!(most.iter().all(Result::is_ok));
    assert_eq!(dial(world.address, &key, data(session)).await.err().unwrap().code, Code::TooManyConns);
    told(&mut events, Code::TooManyConns).await;
}

#[tokio::test]
async fn the_name_of_another() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let (one, two) = (world.joined("one").await, world.joined("two").await);
    let mut first = Agent::start(world.address, &one, vec![http("blog")]).await;
    assert_eq!(first.granted().await, "blog.tun.example.com");
    let mut second = Agent::start(world.address, &two, vec![http("blog")]).await;
    assert_eq!(second.denied().await.code, Code::NameTaken);
    assert!(told(&mut events, Code::NameTaken).await.starts_with("agent two does not get blog"));
    second.claim(http("notes"));
    assert_eq!(second.granted().await, "notes.tun.example.com");
}
