//! Stock back-ends at our front-end.

use doorstep_net::Patience;
use doorstep_tunnel::Visitor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{self, body, connect, content, exchange, get, post, read_until};
use crate::ours::Relay;
use crate::program::{DOMAIN, SECRET, Stock};

fn service(protocol: &str, app: u16) -> String {
    format!("{protocol}:{DOMAIN}:127.0.0.1:{app}:{SECRET}")
}

#[tokio::test]
async fn http_raw_and_websockets_from_a_stock_back_end() {
    let app = app::start().await;
    for more in [&[][..], &["--nozchunks"]] {
        let relay = Relay::start().await;
        let services = [service("http", app), service("raw/22", app)];
        let _stock = Stock::back_end(relay.port, &services, more);
        relay.until_flown(DOMAIN).await;
        for length in [5, 8 << 20] {
            let answer = exchange(relay.port, get(DOMAIN, &format!("/{length}"))).await;
            assert!(body(&answer) == content(length), "{} bytes of {length}", body(&answer).len());
        }
        let sent = content(8 << 20);
        let answer = exchange(relay.port, post(DOMAIN, &sent)).await;
        assert!(body(&answer) == sent, "{} bytes came back", body(&answer).len());

        let answer = exchange(relay.port, [connect(DOMAIN, 22), get(DOMAIN, "/7")].concat()).await;
        assert!(answer.ends_with(&content(7)), "{:?}", String::from_utf8_lossy(&answer));
        let nobody = exchange(relay.port, connect(DOMAIN, 23)).await;
        assert!(nobody.starts_with(b"HTTP/1.1 503"), "{:?}", String::from_utf8_lossy(&nobody));

        let mut visitor = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
        let upgrade =
            format!("GET /ws HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        visitor.write_all(upgrade.as_bytes()).await.unwrap();
        let head = read_until(&mut visitor, b"\r\n\r\n").await;
        assert!(head.starts_with(b"HTTP/1.1 101"), "{:?}", String::from_utf8_lossy(&head));
        for word in [&b"one;"[..], b"two;"] {
            visitor.write_all(word).await.unwrap();
            assert_eq!(read_until(&mut visitor, b";").await, word);
        }
        let status = relay.server.status();
        assert_eq!(status.iter().map(|status| status.kites.len()).collect::<Vec<_>>(), [2], "{status:?}");
    }
}

/// Stock tells the app who the visitor is, and a visitor cannot.
#[tokio::test]
async fn apps_learn_who_the_visitor_is() {
    let relay = Relay::start().await;
    let _stock = Stock::back_end(relay.port, &[service("http", app::start().await)], &[]);
    relay.until_flown(DOMAIN).await;
    let head = exchange(relay.port, get(DOMAIN, "/peer")).await;
    let head = String::from_utf8_lossy(body(&head)).to_ascii_lowercase();
    assert!(
        head.contains("x-forwarded-for: ::ffff:192.0.2.7") || head.contains("x-forwarded-for: 192.0.2.7"),
        "{head}"
    );
}

/// What a visitor's TLS sends goes to the app as it is.
#[tokio::test]
async fn tls_kites_are_passed_on() {
    let relay = Relay::start().await;
    let _stock = Stock::back_end(relay.port, &[service("https", app::start().await)], &[]);
    relay.until_flown(DOMAIN).await;
    let lent = relay.registry.find_tls(DOMAIN).unwrap();
    let visitor =
        Visitor { peer: "192.0.2.7:1234".parse().unwrap(), local: "127.0.0.1:443".parse().unwrap(), tls: None };
    let mut stream = lent.open(visitor).await.unwrap();
    stream.write_all(b"\x16\x03\x01\x00\x04abcd").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"all of it: \x16\x03\x01\x00\x04abcd");
}

#[tokio::test]
async fn half_closed_visitors_are_answered() {
    let relay = Relay::start().await;
    let _stock = Stock::back_end(relay.port, &[service("raw/22", app::start().await), service("http", 1)], &[]);
    relay.until_flown(DOMAIN).await;
    let mut visitor = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
    visitor.write_all(&connect(DOMAIN, 22)).await.unwrap();
    read_until(&mut visitor, b"\r\n\r\n").await;
    let sent = content(300_000);
    visitor.write_all(&sent).await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).await.unwrap();
    assert!(answer == [b"all of it: ", &sent[..]].concat(), "{} bytes", answer.len());
}

/// Visitors of raw kites are counted as all others of the name's, and go when it is switched off.
#[tokio::test]
async fn raw_kites_are_held_to_the_limits_of_their_name() {
    let relay = Relay::start().await;
    let _stock = Stock::back_end(relay.port, &[service("raw/22", app::start().await), service("http", 1)], &[]);
    let lent = relay.until_flown(DOMAIN).await;
    let mut visitor = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
    visitor.write_all(&connect(DOMAIN, 22)).await.unwrap();
    read_until(&mut visitor, b"\r\n\r\n").await;
    assert_eq!(lent.agent.meter.usage().streams, 1);

    relay.registry.stop_name(DOMAIN).await.unwrap();
    let refused = exchange(relay.port, connect(DOMAIN, 22)).await;
    assert!(refused.starts_with(b"HTTP/1.1 503"), "{:?}", String::from_utf8_lossy(&refused));
    visitor.write_all(&content(300_000)).await.ok();
    visitor.shutdown().await.ok();
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).await.ok();
    assert!(answer.len() < 300_000, "{} bytes came back through a name that is switched off", answer.len());
}

#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody() {
    let relay = Relay::start().await;
    let _stock = Stock::back_end(relay.port, &[service("http", app::start().await)], &[]);
    relay.until_flown(DOMAIN).await;
    let mut stalled = TcpStream::connect(("127.0.0.1", relay.port)).await.unwrap();
    stalled.write_all(&get(DOMAIN, &format!("/{}", 64 << 20))).await.unwrap();
    read_until(&mut stalled, b"\r\n\r\n").await;
    let visitors = (0..20).map(|number| {
        let (port, length) = (relay.port, 1000 * number + 1);
        tokio::spawn(async move { (length, exchange(port, get(DOMAIN, &format!("/{length}"))).await) })
    });
    for visitor in visitors.collect::<Vec<_>>() {
        let (length, answer) = visitor.await.unwrap();
        assert!(body(&answer) == content(length), "{length}");
    }
    assert!(relay.server.status().iter().any(|status| status.streams >= 1));
}

#[tokio::test]
async fn a_back_end_that_was_killed_comes_back() {
    let relay = Relay::start().await;
    let app = app::start().await;
    let stock = Stock::back_end(relay.port, &[service("http", app)], &[]);
    relay.until_flown(DOMAIN).await;
    drop(stock);
    relay.until_gone(DOMAIN).await;
    let _stock = Stock::back_end(relay.port, &[service("http", app)], &[]);
    relay.until_flown(DOMAIN).await;
    assert_eq!(body(&exchange(relay.port, get(DOMAIN, "/9")).await), content(9));
}

#[tokio::test]
async fn wrong_secrets_unknown_names_and_second_ones_are_refused() {
    let relay = Relay::start().await;
    let app = app::start().await;
    let _first = Stock::back_end(relay.port, &[service("http", app)], &[]);
    let session = relay.until_flown(DOMAIN).await.session;
    for refused in [
        service("http", app),
        format!("http:{DOMAIN}:127.0.0.1:{app}:wrong"),
        format!("http:unknown.example:127.0.0.1:{app}:{SECRET}"),
    ] {
        let other = Stock::back_end(relay.port, &[refused], &[]);
        // Its words for each of these.
        loop {
            let log = other.log().to_ascii_lowercase();
            if log.contains("rejected") || log.contains("duplicate") || log.contains("refused") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    assert_eq!(relay.until_flown(DOMAIN).await.session, session);
    assert!(relay.find("unknown.example").is_none());
    assert_eq!(body(&exchange(relay.port, get(DOMAIN, "/9")).await), content(9));
}

#[tokio::test]
async fn a_drain_ends_tunnels_whose_visitors_are_gone() {
    let relay = Relay::start().await;
    let _stock = Stock::back_end(relay.port, &[service("http", app::start().await)], &[]);
    relay.until_flown(DOMAIN).await;
    relay.drain.start(Patience::Gentle);
    relay.until_gone(DOMAIN).await;
    relay.drain.finished().await;
}
