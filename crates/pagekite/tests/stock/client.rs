//! Our agent at a stock front-end.

use std::net::IpAddr;
use std::sync::Arc;

use doorstep_model::UpstreamAddr;
use doorstep_pagekite::KiteSecret;
use doorstep_pagekite::client::{ClientOptions, FrontEndAt, Handle, start};
use doorstep_proto::tunnel::{Claim, Code};
use doorstep_tunnel::{AgentEvent, Sink, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::app::{self, Engine, body, connect, content, exchange, get, post, read_until};
use crate::program::{DOMAIN, SECRET, Stock, free_port};

pub struct Agent {
    pub handle: Handle,
    pub events: mpsc::UnboundedReceiver<AgentEvent>,
}

impl Agent {
    pub fn start(options: ClientOptions, targets: Vec<Target>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self { handle: start(options, targets, sender), events }
    }

    /// The next event of which `wanted` makes something; what comes before is only remembered for a failure's sake.
    pub async fn until<T>(&mut self, wanted: impl Fn(&AgentEvent) -> Option<T>) -> T {
        let mut seen = Vec::new();
        while let Some(event) = self.events.recv().await {
            if let Some(found) = wanted(&event) {
                return found;
            }
            seen.push(event);
        }
        panic!("it never came: {seen:#?}");
    }

    /// The address under which a target is lent.
    pub async fn lent(&mut self, wanted: usize) -> String {
        self.until(|event| match event {
            AgentEvent::Lent { target, address } if *target == wanted => Some(address.clone()),
            AgentEvent::Stopped { .. } => panic!("{event:?}"),
            _ => None,
        })
        .await
    }
}

pub fn options(front_ends: &[u16]) -> ClientOptions {
    ClientOptions {
        domain: DOMAIN.to_owned(),
        front_ends: front_ends.iter().map(|port| FrontEndAt::new("127.0.0.1", Some(*port))).collect(),
        secret: KiteSecret::new(SECRET),
        compress: false,
        software: "doorstep test".to_owned(),
        roots: None,
    }
}

pub fn http(sink: Sink) -> Target {
    Target::new(Claim::Http { name: String::new(), label: String::new() }, sink)
}

pub fn raw(port: u16, app: u16) -> Target {
    Target::new(Claim::Tcp { port }, dial(app))
}

pub fn dial(port: u16) -> Sink {
    Sink::Dial(UpstreamAddr::Tcp { host: "127.0.0.1".to_owned(), port })
}

#[tokio::test]
async fn http_raw_and_websockets_through_a_stock_front_end() {
    let stock = Stock::front_end().await;
    let (engine, app) = (Engine::default(), app::start().await);
    for compress in [false, true] {
        let targets = vec![http(Sink::Serve(Arc::new(engine.clone()))), raw(22, app)];
        let mut agent = Agent::start(ClientOptions { compress, ..options(&[stock.port]) }, targets);
        assert_eq!(agent.lent(0).await, format!("http://{DOMAIN}:{}/", stock.port));
        assert_eq!(agent.lent(1).await, format!("tcp://{DOMAIN}:22"));
        assert_eq!(agent.handle.status().kites.len(), 2);

        for length in [5, 8 << 20] {
            let answer = exchange(stock.port, get(DOMAIN, &format!("/{length}"))).await;
            assert!(body(&answer) == content(length), "{} bytes of {length}", body(&answer).len());
        }
        let sent = content(8 << 20);
        let answer = exchange(stock.port, post(DOMAIN, &sent)).await;
        assert!(body(&answer) == sent, "{} bytes came back", body(&answer).len());
        assert!(engine.visitors.lock().unwrap().iter().all(|peer| peer.ip() == IpAddr::from([127, 0, 0, 1])));

        let answer = exchange(stock.port, [connect(DOMAIN, 22), get(DOMAIN, "/7")].concat()).await;
        assert!(answer.ends_with(&content(7)), "{:?}", String::from_utf8_lossy(&answer));

        let mut visitor = TcpStream::connect(("127.0.0.1", stock.port)).await.unwrap();
        let upgrade =
            format!("GET /ws HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        visitor.write_all(upgrade.as_bytes()).await.unwrap();
        let head = read_until(&mut visitor, b"\r\n\r\n").await;
        assert!(head.starts_with(b"HTTP/1.1 101"), "{:?}", String::from_utf8_lossy(&head));
        for word in [&b"one;"[..], b"two;"] {
            visitor.write_all(word).await.unwrap();
            assert_eq!(read_until(&mut visitor, b";").await, word);
        }
        drop(visitor);
        agent.handle.leave().await;
    }
}

#[tokio::test]
async fn half_closed_visitors_are_answered() {
    let stock = Stock::front_end().await;
    let mut agent = Agent::start(options(&[stock.port]), vec![raw(22, app::start().await)]);
    agent.lent(0).await;
    let mut visitor = TcpStream::connect(("127.0.0.1", stock.port)).await.unwrap();
    visitor.write_all(&connect(DOMAIN, 22)).await.unwrap();
    // With more than 48 kB on its way, a stock front-end sometimes hangs up on such a visitor (docs/protocol/pagekite.md).
    let sent = content(40_000);
    visitor.write_all(&sent).await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = visitor.read_to_end(&mut answer).await;
    assert!(answer.ends_with(&sent), "{} bytes", answer.len());
    assert!(answer.windows(11).any(|word| word == b"all of it: "));
}

#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody() {
    let stock = Stock::front_end().await;
    let app = app::start().await;
    let mut agent = Agent::start(options(&[stock.port]), vec![http(dial(app)), raw(22, app)]);
    agent.lent(1).await;
    let mut stalled = TcpStream::connect(("127.0.0.1", stock.port)).await.unwrap();
    stalled.write_all(&[connect(DOMAIN, 22), get(DOMAIN, &format!("/{}", 64 << 20))].concat()).await.unwrap();
    read_until(&mut stalled, b"\r\n\r\n").await;
    let visitors = (0..20).map(|number| {
        let length = 1000 * number + 1;
        let port = stock.port;
        tokio::spawn(async move { (length, exchange(port, get(DOMAIN, &format!("/{length}"))).await) })
    });
    for visitor in visitors.collect::<Vec<_>>() {
        let (length, answer) = visitor.await.unwrap();
        assert!(body(&answer) == content(length), "{length}");
    }
    assert!(agent.handle.status().visitors >= 1);
}

#[tokio::test]
async fn it_comes_back_when_the_front_end_does() {
    let stock = Stock::front_end().await;
    let port = stock.port;
    // The first does not answer at all.
    let mut agent = Agent::start(options(&[free_port(), port]), vec![http(dial(app::start().await))]);
    agent.lent(0).await;
    drop(stock);
    agent.until(|event| matches!(event, AgentEvent::Offline { .. }).then_some(())).await;
    let _stock = Stock::front_end_at(port).await;
    agent.lent(0).await;
    assert_eq!(body(&exchange(port, get(DOMAIN, "/9")).await), content(9));
}

#[tokio::test]
async fn a_wrong_secret_is_told_and_not_tried_again() {
    let stock = Stock::front_end().await;
    let wrong = ClientOptions { secret: KiteSecret::new("another"), ..options(&[stock.port]) };
    let mut agent = Agent::start(wrong, vec![http(dial(1))]);
    let why = agent
        .until(|event| match event {
            AgentEvent::Refused { target: 0, why } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert_eq!(why.code, Code::WrongKey);
    let stopped = agent.until(|event| matches!(event, AgentEvent::Stopped { .. }).then(|| format!("{event:?}"))).await;
    assert!(stopped.contains("refuses the secret"), "{stopped}");
    // The task is over: nothing more is tried.
    while agent.events.recv().await.is_some() {}
}

#[tokio::test]
async fn a_kite_that_another_flies_is_waited_for() {
    let stock = Stock::front_end().await;
    let app = app::start().await;
    let mut first = Agent::start(options(&[stock.port]), vec![http(dial(app))]);
    first.lent(0).await;
    let mut second = Agent::start(options(&[stock.port]), vec![http(dial(app))]);
    let why = second
        .until(|event| match event {
            AgentEvent::Refused { why, .. } => Some(why.clone()),
            _ => None,
        })
        .await;
    assert_eq!(why.code, Code::NameTaken);
    first.handle.leave().await;
    second.lent(0).await;
    assert_eq!(body(&exchange(stock.port, get(DOMAIN, "/3")).await), content(3));
}

#[tokio::test]
async fn an_app_that_is_not_there_is_told_of() {
    let stock = Stock::front_end().await;
    let mut agent = Agent::start(options(&[stock.port]), vec![http(dial(free_port()))]);
    agent.lent(0).await;
    let answer = String::from_utf8(exchange(stock.port, get(DOMAIN, "/")).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("does not take connections"), "{answer}");
}
