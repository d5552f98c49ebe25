//! Back-ends that mean no good, at our front-end; each is refused, and the others notice nothing.

use doorstep_proto::pagekite::{BackEnd, BackEndEvent, BackEndOptions, End, Kite, KiteSecret, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{self, body, content, exchange, get};
use crate::client::{Agent, dial, http, options};
use crate::ours::Relay;
use crate::program::{DOMAIN, SECRET};

/// A back-end of `domain`, driven until its kites were judged, or the tunnel ended.
async fn back_end(port: u16, domain: &str, secret: &str) -> (TcpStream, BackEnd, Vec<BackEndEvent>) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let kites = vec![(Kite::new("http", domain).unwrap(), KiteSecret::new(secret))];
    let options = BackEndOptions { kites, compress: true, replace: None, version: "hostile".into() };
    let mut machine = BackEnd::new(options, [7; 32], std::time::Duration::ZERO);
    let mut events = Vec::new();
    loop {
        socket.write_all(machine.output()).await.unwrap();
        machine.wrote(machine.output().len());
        let mut buffer = vec![0; 4096];
        match socket.read(&mut buffer).await.unwrap() {
            0 => machine.hang_up(),
            read => machine.receive(&buffer[..read]),
        }
        events.extend(std::iter::from_fn(|| machine.next_event()));
        if events.iter().any(|event| matches!(event, BackEndEvent::Answers(_) | BackEndEvent::Ended(_))) {
            return (socket, machine, events);
        }
    }
}

/// Whether the other side hangs up, within the bounds of a test's patience.
async fn hangs_up(mut socket: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn what_breaks_the_rules_ends_its_own_tunnel_only() {
    let relay = Relay::start().await;
    let mut good = Agent::start(options(&[relay.port]), vec![http(dial(app::start().await))]);
    good.lent(0).await;

    let oversized = format!("{:x}\r\n", 64 << 20);
    // A megabyte of zeros says that it is a hundred bytes.
    let bomb = {
        let mut packer = flate2::Compress::new(flate2::Compression::best(), true);
        let mut packed = Vec::with_capacity(8192);
        packer.compress_vec(&vec![0; 1 << 20], &mut packed, flate2::FlushCompress::Sync).unwrap();
        [format!("64Z{:x}\r\n", packed.len()).into_bytes(), packed].concat()
    };
    let other = format!("other.{DOMAIN}");
    for bytes in [oversized.into_bytes(), bomb, b"zzz\r\n".to_vec(), b"5\r\nhello".to_vec()] {
        let (mut socket, _, events) = back_end(relay.port, &other, SECRET).await;
        assert!(matches!(events.last(), Some(BackEndEvent::Answers(_))), "{events:?}");
        relay.until_flown(&other).await;
        socket.write_all(&bytes).await.unwrap();
        hangs_up(socket).await;
        relay.until_gone(&other).await;
    }

    for (domain, secret, why) in [(other.as_str(), "wrong", "signature"), ("unknown.example", SECRET, "unauthorized")] {
        let (socket, _, events) = back_end(relay.port, domain, secret).await;
        let answers = events.iter().find_map(|event| match event {
            BackEndEvent::Answers(answers) => Some(answers),
            _ => None,
        });
        assert_eq!(answers.unwrap()[0].outcome, Outcome::Refused(why.into()), "{events:?}");
        assert!(events.contains(&BackEndEvent::Ended(End::Refused)));
        hangs_up(socket).await;
    }
    let (_, _, events) = back_end(relay.port, DOMAIN, SECRET).await;
    assert!(
        events.iter().any(|event| match event {
            BackEndEvent::Answers(answers) => answers[0].outcome == Outcome::Duplicate,
            _ => false,
        }),
        "{events:?}"
    );

    for head in ["CONNECT PageKite:1 HTTP/1.0\r\nX-PageKite: nonsense\r\n\r\n", "CONNECT PageKite:1 HTTP/1.0\r\n\r\n"] {
        let mut socket = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        hangs_up(socket).await;
    }
    assert_eq!(relay.server.status().len(), 1);
    assert_eq!(body(&exchange(relay.port, get(DOMAIN, "/9")).await), content(9));
}

#[tokio::test]
async fn names_that_are_taken_back_come_down() {
    let relay = Relay::start().await;
    let mut agent = Agent::start(options(&[relay.port]), vec![http(dial(app::start().await))]);
    agent.lent(0).await;
    relay.server.set_names(Default::default());
    relay.until_gone(DOMAIN).await;
    let stopped = agent.until(|event| matches!(event, doorstep_tunnel::AgentEvent::Stopped { .. }).then_some(())).await;
    assert_eq!(stopped, ());
}

#[tokio::test]
async fn probes_are_answered_and_visitors_are_the_engines() {
    let relay = Relay::start().await;
    let probe = exchange(relay.port, doorstep_proto::pagekite::probe_request().to_vec()).await;
    assert!(probe.starts_with(b"HTTP/1.1 503 Unavailable\r\nX-PageKite-UUID: "));
    for (request, answer) in [
        (&b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"[..], &b"HTTP/1.1 404"[..]),
        (b"HEAD /ping HTTP/1.1\r\nHost: nobody\r\n\r\n", b"HTTP/1.1 404"),
        (b"CONNECT nobody.example:22 HTTP/1.1\r\n\r\n", b"HTTP/1.1 503"),
        (b"CONNECT nobody HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
    ] {
        let got = exchange(relay.port, request.to_vec()).await;
        assert!(got.starts_with(answer), "{:?}", String::from_utf8_lossy(&got));
    }
}
