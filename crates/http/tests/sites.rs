//! Several sites behind one engine: raw requests on connections that were opened to one of them.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use doorstep_http::limits::Limits;
use doorstep_http::{Engine, Request, Response, RouteTable, Service, SiteRoutes, TableOptions};
use doorstep_model::{HostPolicy, Matcher};
use doorstep_net::{Conn, ConnInfo, DrainControl, Handler, Io, TlsInfo};
use http::StatusCode;
use support::{Answer, Seen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

fn site(name: &'static str) -> SiteRoutes {
    let service = Answer(move |request: Request| async move {
        let id = request.header("x-request-id").unwrap_or("none").to_owned();
        Response::text(StatusCode::OK, format!("{name} for {} by {} as {id}", request.peer_ip(), request.scheme()))
    });
    let hosts = HostPolicy::Names(vec![name.parse().expect("a name")]);
    let routes: Vec<(Matcher, Arc<dyn Service>)> = vec![(Matcher::any(), Arc::new(service))];
    SiteRoutes { name: Some(name.to_owned()), ..SiteRoutes::new(hosts, routes) }
}

fn engine(options: TableOptions, sites: impl IntoIterator<Item = SiteRoutes>) -> (Engine, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (Engine::new(table(options, sites), seen.clone(), Limits::default()), seen)
}

fn table(options: TableOptions, sites: impl IntoIterator<Item = SiteRoutes>) -> RouteTable {
    let mut table = RouteTable::new(options);
    sites.into_iter().for_each(|site| table.add_site(site).expect("good matchers"));
    table
}

/// A connection from `peer`; with `sni`, over TLS to that name.
fn open(engine: &Engine, peer: &str, sni: Option<&str>) -> tokio::io::DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 20);
    let tls = sni.map(|sni| TlsInfo { sni: Some(sni.to_owned()), ..TlsInfo::default() });
    let peer = SocketAddr::new(peer.parse().expect("an address"), 1);
    let info = Arc::new(ConnInfo { peer, local: peer, tls, relayed: false, accepted: Instant::now() });
    let engine = engine.clone();
    tokio::spawn(async move {
        let (_control, drain) = DrainControl::new();
        engine.handle(Conn { io: Io::Other(Box::new(server)), info }, drain).await;
    });
    client
}

async fn ask(mut client: tokio::io::DuplexStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.expect("the request is taken");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    answer
}

fn get(host: &str, more: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn a_connection_is_for_the_site_that_it_was_opened_to() {
    let mut locked = site("locked.example");
    locked.client_auth = true;
    let (engine, seen) = engine(TableOptions::default(), [site("a.example"), site("b.example"), locked]);
    for (sni, request, status) in [
        (Some("a.example"), get("a.example", ""), 200),
        (Some("a.example"), get("A.Example:443", ""), 200),
        (Some("a.example"), get("a.example.", ""), 200),
        (Some("a.example"), get("b.example", ""), 421),
        (Some("a.example"), get("locked.example", ""), 421),
        (Some("locked.example"), get("a.example", ""), 421),
        (Some("locked.example"), get("locked.example", ""), 200),
        (None, get("locked.example", ""), 403),
        (None, get("b.example", ""), 200),
        (None, get("c.example", ""), 421),
        (None, get("192.0.2.1", ""), 421),
        (None, get("[2001:db8::1]:80", ""), 421),
        (None, "GET / HTTP/1.0\r\n\r\n".to_owned(), 421),
        // The target decides, not the field (RFC 9112 section 3.2.2).
        (
            Some("a.example"),
            "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n".to_owned(),
            421,
        ),
        (
            Some("a.example"),
            "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".to_owned(),
            200,
        ),
    ] {
        let answer = ask(open(&engine, "192.0.2.7", sni), &request).await;
        assert!(answer.contains(&format!(" {status} ")), "{sni:?} {request} {answer}");
        let site = seen.0.lock().pop().expect("an exchange").site;
        let known = answer.contains("200 OK").then(|| answer.split("\r\n\r\n").nth(1)).flatten();
        let name = known.and_then(|body| body.split(' ').next());
        assert!(name.is_none_or(|name| site.as_deref() == Some(name)), "{answer} {site:?}");
    }
}

#[tokio::test]
async fn http2_streams_for_another_site_of_the_connection_are_misdirected() {
    let (engine, _) = engine(TableOptions::default(), [site("a.example"), site("b.example")]);
    let stream = open(&engine, "192.0.2.7", Some("a.example"));
    let (sender, connection) = h2::client::handshake(stream).await.expect("the preface is answered");
    tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("ready");
    for (url, status) in [("https://a.example/", 200), ("https://b.example/", 421), ("https://c.example/", 421)] {
        let request = http::Request::get(url).body(()).expect("a request");
        let (response, _) = sender.send_request(request, true).expect("a stream");
        assert_eq!(response.await.expect("an answer").status(), status, "{url}");
    }
}

#[tokio::test]
async fn who_asks_and_what_it_is_called() {
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let options = TableOptions { trusted_proxies, request_ids: true, ..TableOptions::default() };
    let (engine, seen) = engine(options, [site("a.example")]);
    let claims = "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\nX-Request-Id: mine\r\n";

    let believed = ask(open(&engine, "10.0.0.1", None), &get("inner", claims)).await;
    assert!(believed.ends_with("a.example for 203.0.113.9 by https as mine"), "{believed}");
    assert!(believed.contains("\r\nX-Request-Id: mine\r\n"), "{believed}");
    let exchange = seen.0.lock().pop().expect("an exchange");
    assert_eq!(
        (exchange.client.to_string().as_str(), exchange.tls, &*exchange.host),
        ("203.0.113.9", true, "a.example")
    );
    assert_eq!(exchange.request_id.expect("a name").as_str(), "mine");

    let stranger = ask(open(&engine, "192.0.2.7", None), &get("a.example", claims)).await;
    let id = seen.0.lock().pop().and_then(|exchange| exchange.request_id).expect("a name");
    assert!(stranger.ends_with(&format!("a.example for 192.0.2.7 by http as {}", id.as_str())), "{stranger}");
    assert!(stranger.contains(&format!("\r\nX-Request-Id: {}\r\n", id.as_str())) && id.as_str() != "mine");
}

#[tokio::test]
async fn a_request_under_way_finishes_on_the_table_that_it_began_with() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began, may_go) = (begun.clone(), go.clone());
    let slow = Answer(move |_| {
        let (began, may_go) = (began.clone(), may_go.clone());
        async move {
            began.notify_one();
            may_go.notified().await;
            Response::text(StatusCode::OK, "old")
        }
    });
    let mut old = site("a.example");
    old.routes = vec![(Matcher::any(), Arc::new(slow))];
    let (engine, _) = engine(TableOptions::default(), [old]);
    let under_way = tokio::spawn(ask(open(&engine, "192.0.2.7", None), get("a.example", "").leak()));
    begun.notified().await;
    engine.set_routes(table(TableOptions::default(), [site("a.example")]));
    let next = ask(open(&engine, "192.0.2.7", None), &get("a.example", "")).await;
    assert!(next.contains("a.example for"), "{next}");
    go.notify_one();
    assert!(under_way.await.expect("no panic").ends_with("old"));
}
