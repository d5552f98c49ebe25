use std::io::ErrorKind;

use doorstep_net::Patience;
use doorstep_proto::tunnel::{AgentOutput, Code, Purpose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::agent::{Agent, dial};
use super::{World, http, told, visitor};
use crate::limits::EVICTED;
use crate::registry::Found;

const BLOG: &str = "blog.tun.example.com";

#[tokio::test]
async fn a_newer_session_of_the_same_key_evicts_the_older_one() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let key = world.joined("studio").await;
    let mut first = Agent::start(world.address, &key, vec![http("blog")]).await;
    first.granted().await;
    let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
    stream.write_all(b"GET").await.unwrap();
    first.opened.recv().await.unwrap();
    let mut second = Agent::start(world.address, &key, vec![http("blog")]).await;
    second.granted().await;
    assert_eq!(first.ended().await.code, Code::Evicted);
    assert!(told(&mut events, Code::Evicted).await.starts_with("the session of agent studio"));
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
    stream.write_all(b"GET").await.unwrap();
    second.opened.recv().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_just_leaving_finishes_its_streams_though_another_one_took_over() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut first = Agent::start(world.address, &key, vec![http("blog")]).await;
    first.granted().await;
    let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
    stream.write_all(b"GET").await.unwrap();
    let mut other = first.opened.recv().await.unwrap().1;
    first.release(1);
    while !matches!(world.registry.find(BLOG), Found::Away { .. }) {
        tokio::task::yield_now().await;
    }
    world.relay.evict(&world.relay.sessions()[0].session);
    tokio::time::sleep(EVICTED * 2).await;
    other.write_all(b"the rest").await.unwrap();
    other.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"the rest");
}

#[tokio::test]
async fn a_session_that_was_asked_to_go_is_not_evicted_by_the_next_one() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut first = Agent::start(world.address, &key, vec![http("blog")]).await;
    first.granted().await;
    let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
    stream.write_all(b"GET").await.unwrap();
    let mut other = first.opened.recv().await.unwrap().1;
    world.relay.go_away();
    while !matches!(first.outputs.recv().await.unwrap(), AgentOutput::GoAway(_)) {}
    let mut second = Agent::start(world.address, &key, vec![http("blog")]).await;
    while !matches!(second.outputs.recv().await.unwrap(), AgentOutput::Granted { .. }) {}
    let mut late = world.lent(BLOG).await.open(visitor()).await.unwrap();
    late.write_all(b"GET").await.unwrap();
    second.opened.recv().await.unwrap();
    other.write_all(b"the rest").await.unwrap();
    other.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"the rest");
    // Its end takes nothing from the one that took over.
    first.leave();
    while world.relay.sessions().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.registry.find(BLOG), Found::Lent(_)));
}

#[tokio::test]
async fn who_is_revoked_is_out_at_once() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut agent = Agent::start(world.address, &key, vec![http("blog")]).await;
    agent.granted().await;
    let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
    stream.write_all(b"GET").await.unwrap();
    agent.opened.recv().await.unwrap();
    world.registry.revoke("studio").await.unwrap();
    assert_eq!(agent.ended().await.code, Code::RevokedKey);
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(dial(world.address, &key, Purpose::Control).await.err().unwrap().code, Code::RevokedKey);
}

#[tokio::test]
async fn a_name_that_is_switched_off_is_taken_back() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut agent = Agent::start(world.address, &key, vec![http("blog"), http("notes")]).await;
    agent.granted().await;
    agent.granted().await;
    world.registry.stop_name("blog").await.unwrap();
    assert_eq!(agent.denied().await.code, Code::SwitchedOff);
    assert!(matches!(world.registry.find(BLOG), Found::Stopped));
    world.lent("notes.tun.example.com").await.open(visitor()).await.unwrap();
}

#[tokio::test]
async fn a_session_that_leaves_or_breaks_takes_everything_with_it() {
    let world = World::new().await;
    let mut events = world.relay.events();
    let key = world.joined("studio").await;
    for leaves in [true, false] {
        let mut agent = Agent::start(world.address, &key, vec![http("blog")]).await;
        agent.granted().await;
        let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
        stream.write_all(b"GET").await.unwrap();
        agent.opened.recv().await.unwrap();
        match leaves {
            true => {
                agent.leave();
                told(&mut events, Code::Done).await;
            }
            false => {
                drop(agent);
                told(&mut events, Code::Lost).await;
            }
        }
        assert!(stream.read(&mut [0; 9]).await.is_err());
        assert!(matches!(world.registry.find(BLOG), Found::Away { .. }));
        assert!(world.relay.sessions().is_empty());
    }
}

#[tokio::test]
async fn before_the_relay_goes_its_agents_are_told_and_streams_finish() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut agent = Agent::start(world.address, &key, vec![http("blog")]).await;
    agent.granted().await;
    let mut stream = world.lent(BLOG).await.open(visitor()).await.unwrap();
    stream.write_all(b"GET").await.unwrap();
    let mut other = agent.opened.recv().await.unwrap().1;
    world.relay.go_away();
    while !matches!(agent.outputs.recv().await.unwrap(), AgentOutput::GoAway(_)) {}
    world.drain.start(Patience::Gentle);
    while !matches!(agent.outputs.recv().await.unwrap(), AgentOutput::GoAway(_)) {}
    other.write_all(b"the rest").await.unwrap();
    other.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"the rest");
    let mut late = world.lent(BLOG).await.open(visitor()).await.unwrap();
    late.write_all(b"GET").await.unwrap();
    agent.opened.recv().await.unwrap();
    world.drain.start(Patience::Now);
    assert_eq!(agent.ended().await.code, Code::Done);
    assert!(late.read(&mut [0; 9]).await.is_err());
}
