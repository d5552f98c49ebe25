//! Whatever happens to a session, the agent is back under the same names.

use std::sync::Arc;

use doorstep_proto::tunnel::{Claim, Code, RelayInput, Sharing};
use doorstep_tunnel::{AgentEvent, Sink, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Echo, Subject, http, web};
use crate::relay::{Conduct, Relay};

#[tokio::test]
async fn comes_back_after_the_connection_broke() {
    let relay = Relay::start().await;
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let session = relay.session(0, 1).await;
    let mut stream = session.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    stream.read_u8().await.unwrap();
    session.cut();
    subject.offline().await;
    subject.online().await;
    let again = relay.session(1, 1).await;
    assert_eq!(again.seen.lock().claims.values().collect::<Vec<_>>(), [&http("blog")]);
    assert_eq!(again.key, session.key);
    let status = subject.agent.status();
    assert_eq!((status.reconnects, status.relay), (1, Some(relay.address.to_string())));
}

#[tokio::test]
async fn a_data_connection_that_breaks_is_opened_again() {
    let relay = Relay::start().await;
    let _subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let session = relay.session(0, 1).await;
    let links = session.seen.lock().links.clone();
    links.iter().for_each(|(_, link)| link.close(Code::Done));
    relay.until(|_| (session.seen.lock().links.len() == 2 * links.len()).then_some(())).await;
    assert!(session.seen.lock().over.is_none());
}

#[tokio::test]
async fn the_pool_grows_with_demand() {
    let relay = Relay::start().await;
    let _subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let session = relay.session(0, 1).await;
    session.say(RelayInput::Busy(6));
    let exclusive = |links: &[(Sharing, _)]| links.iter().filter(|(sharing, _)| *sharing == Sharing::Exclusive).count();
    relay.until(|_| (exclusive(&session.seen.lock().links) == 8).then_some(())).await;
}

#[tokio::test]
async fn the_next_relay_takes_over() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    first.behave(Conduct::Close);
    let mut subject = Subject::start(vec![first.identity(), second.identity()], web(&Arc::new(Echo::default())));
    assert_eq!(subject.online().await, second.address.to_string());
    let session = second.session(0, 1).await;
    first.behave(Conduct::Good);
    second.behave(Conduct::Close);
    session.cut();
    assert_eq!(subject.online().await, first.address.to_string());
}

#[tokio::test]
async fn a_relay_that_goes_away_keeps_its_streams_until_they_are_over() {
    let relay = Relay::start().await;
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let old = relay.session(0, 1).await;
    subject.online().await;
    let mut stream = old.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    stream.read_u8().await.unwrap();
    old.say(RelayInput::GoAway("upgrade".into()));
    let notice = |event| match event {
        AgentEvent::Notice { text, .. } => Some(text),
        _ => None,
    };
    assert_eq!(subject.event(notice).await, "The relay is about to stop: upgrade");
    subject.online().await;
    let new = relay.session(1, 1).await;
    new.open(Sharing::Shared, 1).shutdown().await.unwrap();
    // Nothing is cut.
    stream.write_all(b"y").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
    assert!(old.seen.lock().over.is_none() && old.seen.lock().released.is_empty());
    stream.shutdown().await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    drop(stream);
    relay.until(|_| old.seen.lock().over.clone()).await;
    assert!(new.seen.lock().over.is_none());
}

#[tokio::test]
async fn what_was_refused_for_the_moment_is_asked_for_again() {
    let relay = Relay::start().await;
    relay.deny("own.example.org", Code::NameUnproven);
    let targets = vec![Target::new(http("own.example.org"), Sink::Serve(Arc::new(Echo::default())))];
    let mut subject = Subject::start(vec![relay.identity()], targets);
    let refused = |event| matches!(event, AgentEvent::Refused { .. }).then_some(());
    subject.event(refused).await;
    relay.allow("own.example.org");
    subject.lent().await;
    let session = relay.session(0, 1).await;
    assert!(session.seen.lock().claims.values().all(|claim| matches!(claim, Claim::Http { .. })));
}
