//! What passes through a pool besides plain requests: upgrades, streams of events, and a word about the client.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_http::{NoObserver, Request, Service};
use doorstep_model::{Members as MembersSpec, Pool, ProxyHeader};
use doorstep_proto::proxy_header::{self, limits::MAX_V2};
use doorstep_proxy::{LiveMember, Membership};
use support::members::{Members, ask, pool_of, serve};
use support::{Origin, data, get, with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

fn handshake() -> Request {
    let mut request = with(with(get("/ws"), "upgrade", "websocket"), "connection", "Upgrade");
    request.upgradable = true;
    request
}

#[tokio::test]
async fn a_websocket_lives_on_while_its_member_drains() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await;
        loop {
            let said = peer.until("\n").await;
            peer.say(&said).await;
            if said == "bye\n" {
                return;
            }
        }
    })
    .await;
    let membership = Membership::new();
    let member = LiveMember::new("a", origin.upstream());
    membership.set(vec![member.clone()]);
    let pool = Pool::new("app", MembersSpec::Fixed(Vec::new()));
    let service = serve(&pool, &membership, Arc::new(NoObserver));
    let mut response = service.call(handshake()).await;
    assert_eq!(response.status, 101);
    let (client, mut visitor) = duplex(64);
    tokio::spawn((response.upgrade.take().unwrap())(Box::new(client)));
    membership.set(vec![LiveMember { draining: true, ..member }]);
    for word in ["hello\n", "bye\n"] {
        assert_eq!(membership.in_flight("a"), 1);
        visitor.write_all(word.as_bytes()).await.unwrap();
        let mut heard = vec![0; word.len()];
        visitor.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, word.as_bytes());
    }
    drop(visitor);
    membership.drained("a").await;
}

#[tokio::test]
async fn events_come_as_they_are_sent() {
    let members = Members::start(["a"]).await;
    let service = pool_of(&members, |_| {});
    let mut response = service.call(get("/endless")).await;
    assert_eq!(data(&mut response.body).await, "x");
    assert_eq!(members.membership.in_flight("a"), 1);
    drop(response);
    assert_eq!(members.membership.in_flight("a"), 0);
}

#[tokio::test]
async fn each_connection_begins_with_its_client() {
    for (form, client) in [
        (ProxyHeader::V1, "192.0.2.7:4711"),
        (ProxyHeader::V2, "192.0.2.8:4711"),
        (ProxyHeader::V2, "[2001:db8::1]:4711"),
    ] {
        let origin = Origin::start(|_, mut peer| async move {
            let mut bytes = Vec::new();
            let header = loop {
                match proxy_header::parse(&bytes).unwrap() {
                    Some(header) => break header,
                    None => bytes.push(peer.exactly_one().await),
                }
            };
            assert!(bytes.len() <= MAX_V2);
            let text = header.addresses.unwrap().0.to_string();
            peer.head().await;
            peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await;
            peer.head().await;
        })
        .await;
        let membership = Membership::new();
        membership.set(vec![LiveMember::new("a", origin.upstream())]);
        let mut pool = Pool::new("app", MembersSpec::Fixed(Vec::new()));
        pool.send_proxy = Some(form);
        let service = serve(&pool, &membership, Arc::new(NoObserver));
        let client: SocketAddr = client.parse().unwrap();
        for connections in 1..=2 {
            let mut request = get("/");
            let mut conn = (*request.conn).clone();
            conn.peer = client;
            request.conn = conn.into();
            assert_eq!(ask(&service, request).await, (200, client.to_string()));
            assert_eq!(origin.connections(), connections, "not shared");
        }
    }
}

#[tokio::test]
async fn the_app_sees_the_visitors_host_unless_told_otherwise() {
    let origin = Origin::start(|_, mut peer| async move {
        while let Some(head) = peer.head().await {
            let host = head.lines().find(|line| line.starts_with("Host: ")).unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://localhost:{}/x\r\nContent-Length: {}\r\n\r\n{host}",
                peer.stream.local_addr().unwrap().port(),
                host.len()
            );
            peer.say(&answer).await;
        }
    })
    .await;
    for keep_host in [true, false] {
        let membership = Membership::new();
        membership.set(vec![LiveMember::new("a", origin.upstream())]);
        let mut pool = Pool::new("app", MembersSpec::Fixed(Vec::new()));
        pool.keep_host = keep_host;
        let service = serve(&pool, &membership, Arc::new(NoObserver));
        let response = service.call(get("/")).await;
        let own = format!("localhost:{}", origin.port);
        let location = response.headers["location"].to_str().unwrap().to_owned();
        let host = support::body(response).await.unwrap();
        let (seen, shown) =
            if keep_host { ("my-laptop.local:8080", own.as_str()) } else { (own.as_str(), "my-laptop.local:8080") };
        assert_eq!((host, location), (format!("Host: {seen}"), format!("http://{shown}/x")));
    }
}

#[tokio::test]
async fn a_keep_alive_of_zero_keeps_nothing() {
    let members = Members::start(["a"]).await;
    let service = pool_of(&members, |pool| pool.keep_alive = 0);
    ask(&service, get("/")).await;
    members.origin("a").closed().await;
}

#[tokio::test]
async fn a_pool_that_leads_back_to_us_says_so() {
    let members = Members::start(["a"]).await;
    let service = pool_of(&members, |_| {});
    let origin = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        let forwarded = head.lines().find_map(|line| line.strip_prefix("Forwarded: ")).unwrap().to_owned();
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{forwarded}", forwarded.len())).await;
    })
    .await;
    members.membership.set(vec![LiveMember::new("b", origin.upstream())]);
    let forwarded = ask(&service, get("/")).await.1;
    let mut request = get("/");
    request.headers.insert("forwarded", forwarded.parse().unwrap());
    assert_eq!(ask(&service, request).await.0, 508);
}
