use doorstep_proto::tunnel::{Claim, Sharing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::agent::Agent;
use super::{World, http, visitor};

const BLOG: &str = "blog.tun.example.com";

/// Answers all that come with what they said.
fn echo(agent: Agent) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut agent = agent;
        while let Some((_, stream)) = agent.opened.recv().await {
            tokio::spawn(async move {
                stream.accept();
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    })
}

#[tokio::test]
async fn many_at_once_and_more_connections_for_them() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut agent = Agent::start(world.address, &key, vec![http("blog")]).await;
    agent.granted().await;
    let shared = agent.shared.clone();
    let echo = echo(agent);
    let lent = world.lent(BLOG).await;
    for round in 0..5_u8 {
        let mut visitors = JoinSet::new();
        for number in 0..60_u8 {
            let lent = lent.clone();
            visitors.spawn(async move {
                let mut stream = lent.open(visitor()).await.unwrap();
                let said = vec![number ^ round; 1000 * usize::from(number)];
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let send = async {
                    write.write_all(&said).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let mut got = Vec::new();
                let (_, read) = tokio::join!(send, read.read_to_end(&mut got));
                read.unwrap();
                assert!(got == said);
            });
        }
        while let Some(done) = visitors.join_next().await {
            done.unwrap();
        }
    }
    let exclusive = shared.links.lock().iter().filter(|(sharing, ..)| *sharing == Sharing::Exclusive).count();
    assert!(exclusive > 1, "{exclusive}");
    let gauges = world.relay.sessions().remove(0);
    assert_eq!((gauges.agent.as_ref(), gauges.traffic.streams), ("studio", 300));
    assert_eq!(gauges.traffic.sent, gauges.traffic.received);
    assert!(gauges.connections <= 32);
    echo.abort();
}

#[tokio::test]
async fn one_who_does_not_read_stops_nobody() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut agent = Agent::start(world.address, &key, vec![http("blog")]).await;
    agent.granted().await;
    let echo = echo(agent);
    let lent = world.lent(BLOG).await;
    let mut slow = Vec::new();
    // More than there may be exclusive connections, so that some share one.
    for _ in 0..40 {
        let lent = lent.clone();
        slow.push(tokio::spawn(async move {
            let mut stream = lent.open(visitor()).await.unwrap();
            let _ = stream.write_all(&vec![7; 10_000_000]).await;
        }));
    }
    for _ in 0..20 {
        let mut fast = lent.open(visitor()).await.unwrap();
        fast.write_all(b"hello").await.unwrap();
        fast.flush().await.unwrap();
        let mut five = [0; 5];
        fast.read_exact(&mut five).await.unwrap();
        assert_eq!(&five, b"hello");
    }
    slow.into_iter().for_each(|slow| slow.abort());
    echo.abort();
}

#[tokio::test]
async fn data_connections_that_break_at_any_time_are_replaced() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    let mut agent = Agent::start(world.address, &key, vec![http("blog")]).await;
    agent.granted().await;
    let shared = agent.shared.clone();
    let echo = echo(agent);
    let lent = world.lent(BLOG).await;
    for round in 0..10 {
        let broken = shared.links.lock().pop();
        if let Some((.., task)) = broken {
            task.abort();
        }
        // Whoever comes by one that is breaking fails, and comes again.
        loop {
            let Ok(mut stream) = lent.open(visitor()).await else { continue };
            let said = vec![round; 10_000];
            let mut got = vec![0; said.len()];
            let talk = async {
                stream.write_all(&said).await?;
                stream.flush().await?;
                stream.read_exact(&mut got).await
            };
            match talk.await {
                Ok(_) => break assert!(got == said),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }
    echo.abort();
}

#[tokio::test]
async fn datagrams() {
    let world = World::new().await;
    let key = world.joined("studio").await;
    // The ninth claim of the small agent is for datagrams.
    let mut claims: Vec<Claim> = (0..8).map(|number| http(&format!("name{number}"))).collect();
    claims.push(http("blog"));
    let mut agent = Agent::start(world.address, &key, claims).await;
    while agent.granted().await != BLOG {}
    let mut flow = world.lent(BLOG).await.open_datagrams(visitor()).await.unwrap();
    flow.write_all(b"ping").await.unwrap();
    let (open, mut other) = agent.opened.recv().await.unwrap();
    assert!(open.datagrams);
    let mut buf = [0; 100];
    assert_eq!(other.read(&mut buf).await.unwrap(), 4);
    other.write_all(b"pong!").await.unwrap();
    assert_eq!(flow.read(&mut buf).await.unwrap(), 5);
}
