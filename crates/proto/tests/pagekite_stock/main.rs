//! Both PageKite machines against Debian's `pagekite`, on loopback.

mod drive;
mod stock;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use doorstep_proto::pagekite::{
    Arrival, BackEndEvent, End, FrontEndEvent, Kite, Opening, Outcome, Probe, Read, Sid, StreamEvent, parse_probe,
    probe_answer, probe_request, recognise,
};
use drive::{Backed, Fronted};
use stock::{DOMAIN, SECRET, Stock};

fn kite(protocol: &str) -> Kite {
    Kite::new(protocol, DOMAIN).unwrap()
}

/// Content that compresses somewhat.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * at) >> 7) as u8).collect()
}

fn exchange(port: u16, request: Vec<u8>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
        visitor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        visitor.write_all(&request).unwrap();
        let mut answer = Vec::new();
        // The front-end may end with a reset once all was said.
        let _ = visitor.read_to_end(&mut answer);
        answer
    })
}

/// What our back-end answers to one request: `OK`, or as many bytes as the path says, or what was sent to it.
fn serve(backed: &mut Backed, sid: &Sid, request: &[u8]) -> bool {
    let Some(head_end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (head, body) = (String::from_utf8_lossy(&request[..head_end]), &request[head_end + 4..]);
    let announced = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
    if body.len() < announced {
        return false;
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let answer = match path.trim_start_matches('/').parse() {
        Ok(length) => content(length),
        Err(_) => body.to_vec(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
    backed.send_all(sid, head.as_bytes());
    backed.send_all(sid, &answer);
    backed.machine.finish(sid);
    true
}

/// Serves until `visitor` has its answer.
fn serve_until(backed: &mut Backed, visitor: std::thread::JoinHandle<Vec<u8>>) -> Vec<u8> {
    let mut requests = std::collections::HashMap::new();
    while !visitor.is_finished() {
        backed.turn();
        while let Some(event) = backed.events.pop_front() {
            let BackEndEvent::Stream(event) = event else { continue };
            match event {
                StreamEvent::Opened { sid, opening, .. } => {
                    assert_eq!(opening.host, DOMAIN);
                    assert_eq!(opening.visitor.unwrap().ip().to_string(), "127.0.0.1");
                    requests.insert(sid, Some(Vec::new()));
                }
                StreamEvent::Readable(sid) => {
                    while let Read::Data(data) = backed.machine.read(&sid) {
                        let Some(Some(request)) = requests.get_mut(&sid) else { continue };
                        request.extend_from_slice(&data);
                        let request = request.clone();
                        if serve(backed, &sid, &request) {
                            requests.insert(sid.clone(), None);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    visitor.join().unwrap()
}

fn body(answer: &[u8]) -> &[u8] {
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{:?}", String::from_utf8_lossy(&answer[..answer.len().min(300)]));
    let start = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    &answer[start..]
}

#[test]
fn our_back_end_at_a_stock_front_end() {
    let Some(stock) = Stock::front_end() else { return };
    let mut probe = TcpStream::connect(("127.0.0.1", stock.port)).unwrap();
    probe.write_all(probe_request()).unwrap();
    let mut answer = Vec::new();
    // Its answer may be followed by a reset.
    let _ = probe.read_to_end(&mut answer);
    let Ok(Some(Probe { uuid: Some(_), overloaded: false })) = parse_probe(&answer) else {
        panic!("{:?}", String::from_utf8_lossy(&answer))
    };
    for compress in [false, true] {
        let kites = [("http", SECRET), ("websocket", SECRET), ("raw-22", SECRET), ("raw-23", "wrong")];
        let kites = kites.map(|(protocol, secret)| (kite(protocol), secret));
        let mut backed = Backed::connect(stock.port, &kites, compress, None);
        let welcome = backed.until_up();
        assert!(welcome.protocols.contains(&"http".to_owned()), "{welcome:?}");
        assert!(welcome.session.is_some(), "{welcome:?}");
        let outcomes: Vec<Outcome> = backed.answers.iter().map(|answer| answer.outcome.clone()).collect();
        let refused = Outcome::Refused("signature".into());
        assert_eq!(outcomes, [Outcome::Flies, Outcome::Flies, Outcome::Flies, refused]);

        // None of these ends the tunnel, as a ping would.
        for second in 0..3 {
            backed.machine.keep_alive(Duration::from_secs(second));
            backed.turn();
        }
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n").into_bytes();
        for length in [5, 1_000_000] {
            let visitor = exchange(stock.port, get(&format!("/{length}")));
            let answer = serve_until(&mut backed, visitor);
            assert!(body(&answer) == content(length), "{} bytes of {length}", body(&answer).len());
        }
        let sent = content(600_000);
        let post = format!("POST /echo HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: {}\r\n\r\n", sent.len());
        let visitor = exchange(stock.port, [post.as_bytes(), &sent].concat());
        let answer = serve_until(&mut backed, visitor);
        assert!(body(&answer) == sent);

        let connect = format!("CONNECT {DOMAIN}:22 HTTP/1.1\r\nHost: {DOMAIN}:22\r\n\r\n").into_bytes();
        let visitor = exchange(stock.port, [connect, get("/7")].concat());
        let answer = serve_until(&mut backed, visitor);
        assert!(answer.ends_with(&content(7)), "{:?}", String::from_utf8_lossy(&answer));

        // The name is taken, for anybody who does not know the session.
        let mut second = Backed::connect(stock.port, &kites[..1], compress, None);
        second.until_up();
        assert_eq!(second.answers[0].outcome, Outcome::Duplicate);
        let mut heir = Backed::connect(stock.port, &kites[..1], compress, welcome.session);
        heir.until_up();
        assert_eq!(heir.answers[0].outcome, Outcome::Flies);
        heir.machine.close();
        heir.until_ended();
    }
}

/// The stream of the next visitor.
fn next_visitor(backed: &mut Backed) -> Sid {
    loop {
        backed.turn();
        while let Some(event) = backed.events.pop_front() {
            if let BackEndEvent::Stream(StreamEvent::Opened { sid, .. }) = event {
                return sid;
            }
        }
    }
}

/// All that comes in a stream, until the other side has no more.
fn read_to_end(backed: &mut Backed, sid: &Sid) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match backed.machine.read(sid) {
            Read::Data(data) => bytes.extend_from_slice(&data),
            Read::Empty => backed.turn(),
            Read::Finished | Read::Gone => return bytes,
        }
    }
}

#[test]
fn a_visitor_who_does_not_read_holds_up_nobody_else() {
    let Some(stock) = Stock::front_end() else { return };
    let mut backed = Backed::connect(stock.port, &[(kite("raw-22"), SECRET), (kite("http"), SECRET)], false, None);
    backed.until_up();
    let connect = format!("CONNECT {DOMAIN}:22 HTTP/1.1\r\nHost: {DOMAIN}:22\r\n\r\n");
    let mut slow = TcpStream::connect(("127.0.0.1", stock.port)).unwrap();
    slow.write_all(connect.as_bytes()).unwrap();
    let sid = next_visitor(&mut backed);
    // Into the sockets' buffers and the window, until nothing more goes for a while.
    let sent = content(64 << 20);
    let (mut taken, mut still) = (0, 0);
    while still < 25 && taken < sent.len() {
        let more = backed.machine.send(&sid, &sent[taken..]);
        taken += more;
        still = if more == 0 { still + 1 } else { 0 };
        backed.turn();
    }
    assert!(taken < sent.len(), "nothing held back");
    let visitor = exchange(stock.port, format!("GET /5 HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n").into_bytes());
    let answer = serve_until(&mut backed, visitor);
    assert_eq!(body(&answer), content(5));
    slow.shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
fn half_closed_visitors_are_answered() {
    let Some(stock) = Stock::front_end() else { return };
    let mut backed = Backed::connect(stock.port, &[(kite("raw-22"), SECRET)], false, None);
    backed.until_up();
    let port = stock.port;
    let visitor = std::thread::spawn(move || {
        let mut visitor = TcpStream::connect(("127.0.0.1", port)).unwrap();
        visitor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let connect = format!("CONNECT {DOMAIN}:22 HTTP/1.1\r\nHost: {DOMAIN}:22\r\n\r\n");
        visitor.write_all(connect.as_bytes()).unwrap();
        visitor.write_all(&content(300_000)).unwrap();
        visitor.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = visitor.read_to_end(&mut answer);
        answer
    });
    let sid = next_visitor(&mut backed);
    assert!(read_to_end(&mut backed, &sid) == content(300_000));
    backed.send_all(&sid, b"all of it");
    backed.machine.finish(&sid);
    while !visitor.is_finished() {
        backed.turn();
    }
    let answer = visitor.join().unwrap();
    assert!(answer.ends_with(b"all of it"), "{:?}", String::from_utf8_lossy(&answer));
}

/// Answers requests with their own path, one connection at a time. Gives its port.
fn app() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            let text = String::from_utf8_lossy(&request);
            let length = text.split(' ').nth(1).and_then(|path| path.trim_start_matches('/').parse().ok()).unwrap_or(0);
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content(length)));
        }
    });
    port
}

#[test]
fn a_stock_back_end_at_our_front_end() {
    for compress in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let Some(_stock) = Stock::back_end(listener.local_addr().unwrap().port(), app(), compress) else { return };
        let mut fronted = accept_tunnel(&listener, compress);
        for length in [5, 1_000_000] {
            let opening = Opening {
                protocol: "http".into(),
                host: DOMAIN.into(),
                port: 80,
                visitor: Some("192.0.2.7:1234".parse().unwrap()),
                tls: false,
            };
            let request = format!("GET /{length} HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n");
            let (sid, taken) = fronted.machine.open(&opening, request.as_bytes()).unwrap();
            assert_eq!(taken, request.len());
            let answer = fronted.read_to_end(&sid);
            assert!(body(&answer) == content(length), "{} bytes of {length}", body(&answer).len());
        }
        fronted.machine.ping(Duration::from_secs(1));
        fronted.turn();
        assert!(fronted.events.iter().all(|event| !matches!(event, FrontEndEvent::Ended(_))), "{:?}", fronted.events);
    }
}

/// Answers probes until a tunnel comes whose kites fly. Without compression, stock comes twice for one tunnel: it
/// answers challenges on a second connection then.
fn accept_tunnel(listener: &TcpListener, compress: bool) -> Fronted {
    let mut sessions = doorstep_proto::pagekite::Sessions::default();
    for number in 0.. {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = Vec::new();
        let arrival = loop {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            first.extend_from_slice(&buffer[..read]);
            if let Some(arrival) = recognise(&first) {
                break arrival;
            }
            assert!(read > 0, "cut after {:?}", String::from_utf8_lossy(&first));
        };
        match arrival {
            Arrival::Probe => stream.write_all(probe_answer("test", false).as_bytes()).unwrap(),
            Arrival::Tunnel => {
                let mut fronted = Fronted::new(stream, &format!("session{number}"), compress, &first);
                if fronted.until_up(&mut sessions) {
                    return fronted;
                }
                assert!(fronted.events.contains(&FrontEndEvent::Ended(End::Closed)), "{:?}", fronted.events);
            }
            Arrival::Other => panic!("{:?}", String::from_utf8_lossy(&first)),
        }
    }
    unreachable!("an endless loop")
}
