//! When an agent is over.

use std::sync::Arc;
use std::time::Duration;

use doorstep_proto::tunnel::{Code, RelayInput, Sharing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Echo, Subject, web};
use crate::relay::{Conduct, Relay};

#[tokio::test]
async fn a_refusal_for_good_is_the_end_and_says_what_to_do() {
    for (code, fix) in
        [(Code::UnknownKey, "doorstep join"), (Code::RevokedKey, "doorstep join"), (Code::Replayed, "network")]
    {
        let relay = Relay::start().await;
        relay.behave(Conduct::Refuse(code));
        let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
        let (why, what) = subject.stopped().await;
        assert!(why.contains(code.text()) && what.contains(fix), "{why} {what}");
        assert_eq!((subject.agent.status().stopped, relay.connections()), (Some(why), 1));
    }
}

#[tokio::test]
async fn of_two_relays_one_may_refuse() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    first.behave(Conduct::Refuse(Code::RevokedKey));
    let mut subject = Subject::start(vec![first.identity(), second.identity()], web(&Arc::new(Echo::default())));
    assert_eq!(subject.online().await, second.address.to_string());
}

#[tokio::test]
async fn two_computers_with_one_key_are_told_so() {
    let relay = Relay::start().await;
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let session = relay.session(0, 1).await;
    session.say(RelayInput::End(Code::Evicted.into()));
    let (why, fix) = subject.stopped().await;
    assert!(why.contains("a newer session") && fix.contains("The same key is in use"), "{why} {fix}");
}

#[tokio::test]
async fn without_any_name_there_is_nothing_to_do() {
    let relay = Relay::start().await;
    relay.deny("blog", Code::NameTaken);
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let (why, fix) = subject.stopped().await;
    assert!(why.contains("belongs to somebody else") && fix.contains("another name"), "{why} {fix}");
}

#[tokio::test]
async fn leaving_gives_the_names_back_and_cuts_nothing() {
    let relay = Relay::start().await;
    let echo = Arc::new(Echo::default());
    let subject = Subject::start(vec![relay.identity()], web(&echo));
    let session = relay.session(0, 1).await;
    let mut stream = session.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    stream.read_u8().await.unwrap();
    let leaving = tokio::spawn(subject.agent.leave(Duration::from_secs(30)));
    relay.until(|_| (session.seen.lock().released == [1]).then_some(())).await;
    // The engine finishes what it has and closes.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    leaving.await.unwrap();
    let over = relay.until(|_| session.seen.lock().over.clone()).await;
    assert_eq!(over.code, Code::Done);
}

#[tokio::test]
async fn leaving_has_its_bound() {
    let relay = Relay::start().await;
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = doorstep_model::UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: app.local_addr().unwrap().port() };
    let claim = doorstep_proto::tunnel::Claim::Tcp { port: 2000 };
    let targets = vec![doorstep_tunnel::Target::new(claim, doorstep_tunnel::Sink::Dial(to))];
    let subject = Subject::start(vec![relay.identity()], targets);
    let session = relay.session(0, 1).await;
    let mut stream = session.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let (mut socket, _) = app.accept().await.unwrap();
    socket.read_u8().await.unwrap();
    subject.agent.leave(Duration::ZERO).await;
    assert!(stream.read_u8().await.is_err() && socket.read_u8().await.is_err());
}
