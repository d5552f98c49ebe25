//! A table of malformed and odd requests, byte for byte, and what becomes of them (RFC 9110, RFC 9112).
//!
//! Each row is sent on a connection of its own, followed at once by an ordinary request. The answers tell everything:
//! a final 200 means that the connection stayed usable and in step; where it is missing, the connection was closed and
//! nothing of the row was taken for a second request.

mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use doorstep_http::limits::Limits;
use doorstep_http::{Request, Response};
use http::StatusCode;
use rows::{AFTER, OK, OK_LAST, Row, chunked, post};
use support::{Answer, Server, serve, short_limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn echo() -> impl doorstep_http::Service {
    Answer(|mut request: Request| async move {
        match request.body.take().collect(1 << 20).await {
            Ok(body) => Response::text(StatusCode::OK, format!("{} {}", request.path, body.len())),
            Err(error) => Response::text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    })
}

/// Answers without reading the body.
fn deaf() -> impl doorstep_http::Service {
    Answer(|_: Request| async { Response::text(StatusCode::OK, "yes") })
}

async fn check(server: &Server, rows: Vec<Row>) {
    let address = server.address;
    let tasks: Vec<_> = rows
        .into_iter()
        .map(|(name, bytes, expected)| {
            let task = tokio::spawn(async move {
                let stream = TcpStream::connect(address).await.expect("a connection");
                converse(stream, &[&bytes, AFTER].concat(), bytes.starts_with(b"HEAD")).await
            });
            (name, expected, task)
        })
        .collect();
    let mut wrong = Vec::new();
    for (name, expected, task) in tasks {
        let statuses = task.await.expect("a conversation");
        if statuses != expected {
            wrong.push(format!("{name}: {statuses:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends everything, reads until the server closes, and gives the statuses of the answers.
async fn converse(stream: TcpStream, bytes: &[u8], first_is_head: bool) -> Vec<u16> {
    let (mut read, mut write) = stream.into_split();
    let sends = async {
        // The server may close before it has read all; what it answered counts.
        let _ = write.write_all(bytes).await;
    };
    let mut answers = Vec::new();
    let reads = async {
        let _ = read.read_to_end(&mut answers).await;
    };
    let both = async { tokio::join!(sends, reads) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("the server closes");
    statuses(&answers, first_is_head)
}

fn statuses(mut answers: &[u8], mut is_head: bool) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !answers.is_empty() {
        let end = answers.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let head = std::str::from_utf8(&answers[..end]).expect("a head of text");
        let status: u16 = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 ")).expect("a status line")
            [..3]
            .parse()
            .expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        let body = if is_head || status == 204 || status < 200 { 0 } else { length };
        assert!(answers.len() >= end + body, "the body of {status} is short");
        answers = &answers[end + body..];
        is_head &= status < 200;
        statuses.push(status);
    }
    statuses
}

#[tokio::test]
async fn host_fields() {
    check(&serve(echo(), Limits::default()), rows::hosts()).await;
}

#[tokio::test]
async fn content_length_and_transfer_encoding() {
    check(&serve(echo(), Limits::default()), rows::lengths_and_codings()).await;
}

#[tokio::test]
async fn header_fields() {
    check(&serve(echo(), Limits::default()), rows::field_lines()).await;
}

#[tokio::test]
async fn the_request_line() {
    check(&serve(echo(), Limits::default()), rows::request_lines()).await;
}

#[tokio::test]
async fn chunked_bodies() {
    check(&serve(echo(), Limits::default()), rows::chunks()).await;
}

#[tokio::test]
async fn persistence_and_expectations() {
    check(&serve(echo(), Limits::default()), rows::connections()).await;
}

/// A service that does not look at the body must not make its bytes the next request.
#[tokio::test]
async fn bodies_nobody_reads_are_never_requests() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}", smuggled.len());
    let rows = vec![
        post("unread, with its length", &length, smuggled, OK),
        chunked("unread chunks", format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()), OK),
        chunked("unread rubbish", format!("zz\r\n{smuggled}"), OK_LAST),
        chunked("an unread body whose end is missing", format!("{:x}\r\n{smuggled}", smuggled.len()), OK_LAST),
        post("an unread body that nobody asked for", &format!("{length}\r\nExpect: 100-continue"), smuggled, OK_LAST),
        post("an unread body that is large", "Content-Length: 10000000", &"x".repeat(10_000_000), OK_LAST),
    ];
    let server = serve(deaf(), Limits::default());
    check(&server, rows).await;
    let seen = server.seen.0.lock();
    assert!(seen.iter().all(|exchange| &*exchange.target != "/smuggled"));
}

#[tokio::test]
async fn a_flood_of_pipelined_requests_is_answered_in_order() {
    let server = serve(echo(), Limits::default());
    let count = 20_000;
    let mut bytes = Vec::new();
    for index in 0..count {
        bytes.extend_from_slice(format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    bytes.extend_from_slice(AFTER);
    let stream = server.connect().await;
    assert_eq!(converse(stream, &bytes, false).await, vec![200; count + 1]);
    let seen = server.seen.0.lock();
    assert!((0..count).all(|index| *seen[index].target == *format!("/{index}")));
}

/// A client that sends requests and never reads gets no further than the buffers between.
#[tokio::test]
async fn a_flood_from_one_who_does_not_read_stops() {
    let server = serve(Answer(|_| async { Response::text(StatusCode::OK, "x".repeat(10_000)) }), short_limits());
    let mut stream = server.connect().await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let flood = async { while stream.write_all(&request).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), flood).await.expect("the server closes");
}

#[tokio::test]
async fn heads_that_drip_are_answered_408_and_closed() {
    let server = serve(echo(), short_limits());
    let mut stream = server.connect().await;
    let (mut read, mut write) = stream.split();
    let drips = async {
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(std::iter::repeat(&b'y')) {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let reads = read.read_to_end(&mut answer);
    tokio::select! {
        () = drips => {}
        _ = reads => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("never closed"),
    }
    assert_eq!(statuses(&answer, false), [408]);
}

/// Silence between the parts of a request is bounded wherever it falls.
#[tokio::test]
async fn requests_that_stop_halfway_are_closed() {
    let server = serve(echo(), short_limits());
    for (start, expected) in [
        ("", &[][..]),
        ("\r", &[408]),
        ("\r\n", &[408]),
        ("G", &[408]),
        ("PRI * HTTP/2.0\r\n\r\nSM", &[408]),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", &[408]),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200]),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", &[200, 408]),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", &[408]),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5", &[408]),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX", &[408]),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", &[100, 408]),
    ] {
        let statuses = converse(server.connect().await, start.as_bytes(), false).await;
        assert_eq!(statuses, expected, "{start:?}");
    }
}

/// However the bytes of a row are cut into packets, the answers are the same.
#[tokio::test]
async fn packets_do_not_matter() {
    let server = serve(echo(), Limits::default());
    let bytes =
        b"\r\nPOST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
    let whole = [bytes, AFTER].concat();
    let tasks: Vec<_> = (1..whole.len())
        .map(|cut| {
            let (whole, address) = (whole.clone(), server.address);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                stream.set_nodelay(true).expect("an option");
                stream.write_all(&whole[..cut]).await.expect("the first part is sent");
                tokio::time::sleep(Duration::from_millis(20)).await;
                (cut, converse(stream, &whole[cut..], false).await)
            })
        })
        .collect();
    for task in tasks {
        let (cut, statuses) = task.await.expect("a conversation");
        assert_eq!(statuses, [200, 200], "cut at {cut}");
    }
}
