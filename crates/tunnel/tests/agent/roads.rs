//! Ways to the relay, and what may be wrong with them.

use std::sync::Arc;

use doorstep_proto::tunnel::Code;
use doorstep_tunnel::agent::{JoinError, Proxy, join};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Echo, Subject, web};
use crate::relay::{Certificate, Conduct, Relay};

#[tokio::test]
async fn joining_makes_a_key_and_survives_a_lost_answer() {
    let relay = Relay::start().await;
    relay.lose_joins(1);
    let identity = join(&relay.invitation(), None, &Proxy::none(), "test").await.unwrap();
    assert_eq!((identity.name.as_str(), identity.domain.as_str()), ("studio", "tun.example.com"));
    assert_eq!((identity.pin, identity.relay.clone()), (Some(relay.pin), relay.address.to_string()));
    assert_eq!(relay.joined(), [identity.key.public(); 2]);
    relay.behave(Conduct::Refuse(Code::InvitationUsed));
    let refused = join(&relay.invitation(), None, &Proxy::none(), "test").await.unwrap_err();
    assert!(matches!(&refused, JoinError::Refused(error) if error.code == Code::InvitationUsed));
    assert!(refused.fix().contains("doorstep relay invite"));
}

#[tokio::test]
async fn another_key_is_not_the_relay() {
    let relay = Relay::start().await;
    let mut identity = relay.identity();
    identity.pin = Some([0; 32]);
    let mut subject = Subject::start(vec![identity], web(&Arc::new(Echo::default())));
    let why = subject.offline().await;
    assert!(why.contains("it shows another key") && why.contains("join again"), "{why}");
    assert_eq!(subject.agent.status().last_error, Some(why));
}

#[tokio::test]
async fn without_a_pin_a_certificate_must_verify() {
    for expired in [true, false] {
        let relay = Relay::start_as(false, Certificate { expired }).await;
        let mut identity = relay.identity();
        identity.pin = None;
        let mut subject = Subject::start(vec![identity], web(&Arc::new(Echo::default())));
        let why = subject.offline().await;
        assert!(why.contains("cannot be trusted"), "{why}");
    }
}

#[tokio::test]
async fn a_pin_does_without_a_good_certificate() {
    let relay = Relay::start_as(false, Certificate { expired: true }).await;
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    subject.online().await;
}

#[tokio::test]
async fn strange_relays_are_told_of_and_tried_again() {
    let relay = Relay::start().await;
    relay.behave(Conduct::Garbage);
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    let why = subject.offline().await;
    assert!(why.contains("is no doorstep relay, or something on the way"), "{why}");
    relay.behave(Conduct::Close);
    subject.event(|event| format!("{event:?}").contains("before the relay answered").then_some(())).await;
    relay.behave(Conduct::Refuse(Code::TooManyConns));
    subject.event(|event| format!("{event:?}").contains("as told").then_some(())).await;
    relay.behave(Conduct::Good);
    subject.online().await;
}

#[tokio::test]
async fn a_mute_relay_does_not_keep_the_agent_from_going() {
    let relay = Relay::start().await;
    relay.behave(Conduct::Mute);
    let subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    while relay.connections() == 0 {
        tokio::task::yield_now().await;
    }
    subject.agent.leave(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn by_upgrade_where_nothing_else_goes() {
    let relay = Relay::start_as(true, Certificate { expired: false }).await;
    let mut subject = Subject::start(vec![relay.identity()], web(&Arc::new(Echo::default())));
    subject.online().await;
    relay.session(0, 1).await;
    // One that was refused, then control and two data connections, which knew the way.
    assert_eq!(relay.connections(), 4);
}

#[tokio::test]
async fn through_a_proxy_with_a_password() {
    let relay = Relay::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let login = "Proxy-Authorization: Basic bWU6cEBzcw==\r\n";
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                if !head.contains(login) {
                    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                    return socket.write_all(answer.as_bytes()).await.unwrap();
                }
                let mut to = TcpStream::connect(target).await.unwrap();
                socket.write_all(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut socket, &mut to).await;
            });
        }
    });
    let echo = Arc::new(Echo::default());
    let through = |login: &str| Proxy::through(&format!("http://{login}{address}/"));
    let mut subject = Subject::start_through(vec![relay.identity()], web(&echo), through("me:p%40ss@"));
    subject.online().await;
    relay.session(0, 1).await;
    for (login, words) in [("", "it wants a user and a password"), ("me:no@", "it does not take this user")] {
        let mut subject = Subject::start_through(vec![relay.identity()], web(&echo), through(login));
        let why = subject.offline().await;
        assert!(why.contains(words) && why.contains("HTTPS_PROXY") && !why.contains("me:no"), "{why}");
    }
}
