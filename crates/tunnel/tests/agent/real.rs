//! The agent and doorstep's own relay.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_net::{ConnInfo, DrainControl, Io, Patience};
use doorstep_proto::tunnel::{Claim, Code, EXPORTER_LABEL, ProbeAsk, ProbeKind, ProbeOutcome};
use doorstep_tunnel::agent::{ProbeError, Prober, Proxy, join};
use doorstep_tunnel::identity::AgentIdentity;
use doorstep_tunnel::registry::{Found, InviteOptions, Registry, RegistryOptions};
use doorstep_tunnel::relay::{Relay, RelayOptions};
use doorstep_tunnel::{AgentEvent, Sink, Target, Visitor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::fixture::{Echo, Subject, reverser, web};

const BLOG: &str = "blog.tun.example.com";

/// A relay on `address`, with its memory in a folder.
struct World {
    registry: Registry,
    relay: Relay,
    address: SocketAddr,
    drain: DrainControl,
    accepting: JoinHandle<()>,
}

impl World {
    async fn start(dir: &Path, address: &str) -> Self {
        Self::start_as(dir, address, false).await
    }

    /// `standby`: beside another one, which is to go.
    async fn start_as(dir: &Path, address: &str, standby: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut options = RegistryOptions::new("tun.example.com");
        options.address = address.to_string();
        options.ports = 42_000..=42_100;
        options.bind = vec!["127.0.0.1".parse().unwrap()];
        options.standby = standby;
        let registry = Registry::open(dir, options).unwrap();
        let relay = Relay::new(registry.clone(), RelayOptions::default());
        let looks = relay.clone();
        let acceptor = TlsAcceptor::from(registry.identity().server_config());
        let (control, drain) = DrainControl::new();
        let accepting = tokio::spawn(async move {
            while let Ok((socket, peer)) = listener.accept().await {
                let (acceptor, relay, drain) = (acceptor.clone(), relay.clone(), drain.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(socket).await else { return };
                    let exporter = tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap();
                    let info = ConnInfo { peer, local: peer, tls: None, relayed: false, accepted: Instant::now() };
                    relay.serve(Io::Tls(Box::new(tls)), Arc::new(info), exporter, drain).await;
                });
            }
        });
        Self { registry, relay: looks, address, drain: control, accepting }
    }

    /// As a process that is killed.
    async fn kill(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.drain.start(Patience::Now);
        self.drain.finished().await;
        self.address
    }

    async fn join(&self) -> AgentIdentity {
        let options = InviteOptions { agent: "studio".to_owned(), ..InviteOptions::default() };
        let line = self.registry.invite(options).await.unwrap();
        join(&line, None, &Proxy::none(), "test").await.unwrap()
    }

    /// A stream of a visitor.
    async fn visit(&self, host: &str) -> Io {
        let Found::Lent(lent) = self.registry.returned(host).await else { panic!("{host} is not lent") };
        let peer = "203.0.113.9:4711".parse().unwrap();
        lent.carrier.open(lent.id, Visitor { peer, local: peer, tls: None }).await.unwrap()
    }
}

async fn echoes(stream: &mut Io, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, text);
}

#[tokio::test]
async fn visitors_reach_what_is_lent() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), "127.0.0.1:0").await;
    let echo = Arc::new(Echo::default());
    let mut targets = web(&echo);
    targets.push(Target::new(Claim::Tcp { port: 0 }, Sink::Dial(reverser().await)));
    let mut subject = Subject::start(vec![world.join().await], targets);
    assert_eq!(subject.lent().await, format!("https://{BLOG}"));
    let port = subject.lent().await;
    echoes(&mut world.visit(BLOG).await, b"hello").await;
    assert!(echo.visitors.lock()[0].relayed);
    let mut visitor = TcpStream::connect(
        port.strip_prefix("tcp://tun.example.com:").map(|port| format!("127.0.0.1:{port}")).unwrap(),
    )
    .await
    .unwrap();
    visitor.write_all(b"abc").await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "cba");
    // More visitors than there are connections.
    let mut streams = Vec::new();
    for number in 0..100u8 {
        let mut stream = world.visit(BLOG).await;
        echoes(&mut stream, &[number; 3000]).await;
        streams.push(stream);
    }
    let status = subject.agent.status();
    assert!(status.streams >= 100 && (2..=32).contains(&status.connections), "{status:?}");
    drop(streams);
    subject.agent.leave(Duration::from_secs(20)).await;
    assert!(!matches!(world.registry.find(BLOG), Found::Lent(_)));
}

#[tokio::test]
async fn a_relay_that_starts_anew_finds_its_agents_back() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), "127.0.0.1:0").await;
    let echo = Arc::new(Echo::default());
    let mut subject = Subject::start(vec![world.join().await], web(&echo));
    subject.lent().await;
    let address = world.kill().await;
    subject.offline().await;
    let world = World::start(dir.path(), &address.to_string()).await;
    subject.online().await;
    echoes(&mut world.visit(BLOG).await, b"again").await;
}

#[tokio::test]
async fn two_agents_with_one_key_do_not_fight_for_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), "127.0.0.1:0").await;
    let identity = world.join().await;
    let mut first = Subject::start(vec![identity.clone()], web(&Arc::new(Echo::default())));
    first.lent().await;
    let mut second = Subject::start(vec![identity], web(&Arc::new(Echo::default())));
    second.lent().await;
    let (why, _) = first.stopped().await;
    assert!(why.contains(Code::Evicted.text()), "{why}");
    echoes(&mut world.visit(BLOG).await, b"second").await;
}

#[tokio::test]
async fn an_upgrade_of_the_relay_cuts_no_stream() {
    let dir = tempfile::tempdir().unwrap();
    let old = World::start(dir.path(), "127.0.0.1:0").await;
    let echo = Arc::new(Echo::default());
    let mut subject = Subject::start(vec![old.join().await], web(&echo));
    subject.lent().await;
    let mut stream = old.visit(BLOG).await;
    echoes(&mut stream, b"before").await;
    old.accepting.abort();
    let _ = old.accepting.await;
    let new = World::start_as(dir.path(), &old.address.to_string(), true).await;
    old.registry.retire();
    new.registry.lead();
    old.drain.start(Patience::Gentle);
    let notice = |event| matches!(event, AgentEvent::Notice { .. }).then_some(());
    subject.event(notice).await;
    subject.lent().await;
    echoes(&mut new.visit(BLOG).await, b"new").await;
    echoes(&mut stream, b"after").await;
}

#[tokio::test]
async fn a_revoked_agent_stops() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), "127.0.0.1:0").await;
    let mut subject = Subject::start(vec![world.join().await], web(&Arc::new(Echo::default())));
    subject.lent().await;
    world.registry.revoke("studio").await.unwrap();
    let (why, fix) = subject.stopped().await;
    assert!(why.contains("was revoked") && fix.contains("doorstep join"), "{why} {fix}");
}

#[tokio::test]
async fn a_name_that_is_switched_on_again_is_lent_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), "127.0.0.1:0").await;
    let mut subject = Subject::start(vec![world.join().await], web(&Arc::new(Echo::default())));
    subject.lent().await;
    world.registry.stop_name("blog").await.unwrap();
    let refused = |event| if let AgentEvent::Refused { why, .. } = event { Some(why.code) } else { None };
    assert_eq!(subject.event(refused).await, Code::SwitchedOff);
    assert!(matches!(world.registry.find(BLOG), Found::Stopped));
    world.registry.start_name("blog").await.unwrap();
    subject.lent().await;
    echoes(&mut world.visit(BLOG).await, b"again").await;
}

#[tokio::test]
async fn a_probe_says_where_it_came_from_and_never_looks_at_the_relay_s_own_computer() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start(dir.path(), "127.0.0.1:0").await;
    let prober = Prober::new(world.join().await, "test".to_owned());
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ask = ProbeAsk { port: open.local_addr().unwrap().port(), kind: ProbeKind::Connect };
    let probed = prober.ask(Some("127.0.0.1".parse().unwrap()), vec![ask.clone(), ask]).await.unwrap();
    assert_eq!(probed.observed.ip().to_string(), "127.0.0.1");
    assert_eq!(probed.outcomes, [ProbeOutcome::Forbidden, ProbeOutcome::Forbidden]);
    assert_eq!(world.relay.probed(), 0);
    assert!(
        prober.ask(Some("::1".parse().unwrap()), Vec::new()).await.is_err(),
        "the relay has no address of that family"
    );

    world.relay.allow_probes(false);
    let refused = prober.ask(None, Vec::new()).await.unwrap_err();
    assert!(matches!(refused, ProbeError::NoProber { .. }), "{refused}");

    let stranger =
        AgentIdentity { key: doorstep_tunnel::identity::AgentKeyPair::generate().unwrap(), ..world.join().await };
    let refused = Prober::new(stranger, "test".to_owned()).ask(None, Vec::new()).await.unwrap_err();
    assert!(matches!(&refused, ProbeError::Refused { error, .. } if error.code == Code::UnknownKey), "{refused}");
}
