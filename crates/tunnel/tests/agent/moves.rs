//! The network changes under an agent: it and its relay are in networks of the test's own, with a cable between.

use std::process::Command;
use std::sync::{Arc, mpsc};

use doorstep_proto::tunnel::{Claim, Code, Sharing};
use doorstep_tunnel::{AgentEvent, Sink, Target};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use crate::fixture::{Echo, Subject, reverser, web};
use crate::relay::{Certificate, Conduct, Relay, Session};

/// Runs `ip` in this thread's network.
fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

/// This thread gets a network of its own, and so do threads that it starts. Says whether that is allowed.
fn own_network() -> bool {
    // SAFETY: this thread's network namespace alone changes; no other thread's view, and no memory, is concerned.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_ok()
}

/// Tells `story` in the agent's network: its interface is `near` with 10.77.0.2, the relay is at 10.77.0.1.
fn with_cable<F: Future<Output = ()>>(story: impl FnOnce(Relay) -> F + Send + 'static) {
    let (tell_thread, thread) = mpsc::channel();
    let (tell_ready, ready) = mpsc::channel::<()>();
    let (tell_relay, relay) = mpsc::channel();
    let (_over, until_over) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        if own_network() {
            tell_thread.send(gettid()).unwrap();
            ready.recv().unwrap();
            ip("addr add 10.77.0.1/24 dev far");
            ip("link set far up");
            Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let started = Relay::start_at("10.77.0.1:0", false, Certificate { expired: false }).await;
                tell_relay.send(started).unwrap();
                let _ = until_over.await;
            });
        }
    });
    // Where networks may be made, that is, for root.
    let Ok(far) = thread.recv() else { return };
    let near = std::thread::spawn(move || {
        assert!(own_network());
        ip(&format!("link add near type veth peer name far netns {}", far.as_raw_nonzero()));
        ip("addr add 10.77.0.2/24 dev near");
        ip("link set near up");
        tell_ready.send(()).unwrap();
        let relay = relay.recv().unwrap();
        Builder::new_current_thread().enable_all().build().unwrap().block_on(story(relay));
    });
    near.join().unwrap();
}

async fn echoes(session: &Session) {
    let mut stream = session.open(Sharing::Exclusive, 1);
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[test]
fn another_address_is_another_session_before_the_heartbeat_misses_the_old_one() {
    with_cable(|relay| async move {
        let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
        subject.lent().await;
        relay.session(0, 1).await;
        ip("addr del 10.77.0.2/24 dev near");
        ip("addr add 10.77.0.3/24 dev near");
        let next = |event| match event {
            AgentEvent::Online { .. } => Some(true),
            AgentEvent::Offline { .. } => Some(false),
            _ => None,
        };
        assert!(subject.event(next).await, "it was offline in between");
        echoes(&relay.session(1, 1).await).await;
        assert_eq!(subject.agent.status().reconnects, 1);
    });
}

#[test]
fn a_blink_of_the_link_keeps_the_session() {
    with_cable(|relay| async move {
        let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
        subject.lent().await;
        let session = relay.session(0, 1).await;
        ip("link set near down");
        ip("link set near up");
        echoes(&session).await;
        assert!(session.seen.lock().over.is_none());
        assert_eq!(subject.agent.status().reconnects, 0);
    });
}

#[test]
fn the_preferred_relay_is_returned_to_and_no_stream_is_cut() {
    with_cable(|preferred| async move {
        ip("link set lo up");
        let other = Relay::start_at("10.77.0.2:0", false, Certificate { expired: false }).await;
        preferred.behave(Conduct::Close);
        let relays = vec![preferred.identity(), other.identity()];
        let targets = vec![Target::new(Claim::Tcp { port: 2000 }, Sink::Dial(reverser().await))];
        let mut subject = Subject::start(relays, targets);
        assert_eq!(subject.online().await, other.address.to_string());
        let old = other.session(0, 1).await;
        let mut stream = old.open(Sharing::Exclusive, 1);
        stream.write_all(b"abc").await.unwrap();
        stream.flush().await.unwrap();
        stream.accepted().await.unwrap();
        preferred.behave(Conduct::Good);
        // It might be reachable now.
        ip("addr add 10.77.0.9/24 dev near");
        assert_eq!(subject.online().await, preferred.address.to_string());
        preferred.session(0, 1).await;
        stream.write_all(b"def").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "fedcba");
        drop(stream);
        let over = other.until(|_| old.seen.lock().over.clone()).await;
        assert_eq!(over.code, Code::Done);
        assert_eq!(old.seen.lock().released, [1]);
    });
}
