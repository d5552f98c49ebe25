//! One engine after the other on the same socket, under load: no client notices more than a `Connection: close`.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_http::limits::Limits;
use doorstep_http::{Request, Response, RouteTable, Service, SiteRoutes};
use doorstep_model::{HostPolicy, Matcher};
use doorstep_net::Patience;
use http::StatusCode;
use support::{Answer, Server, read_response, serve_on};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CLIENTS: usize = 20;
const REQUESTS: usize = 150;
const HANDOVERS: usize = 5;

fn next_engine(socket: &TcpListener) -> Server {
    let service = Answer(|request: Request| async move {
        if request.path == "/slow" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Response::text(StatusCode::OK, "whole")
    });
    let mut routes = RouteTable::default();
    let site = SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), Arc::new(service) as Arc<dyn Service>)]);
    routes.add_site(site).expect("a matcher that matches all");
    serve_on(socket.try_clone().expect("a descriptor"), routes, Limits::default())
}

/// Asks again and again on a connection, and opens another only where an answer said that it was the last.
async fn client(address: SocketAddr, number: usize, answered: Arc<AtomicUsize>) {
    let mut kept: Option<TcpStream> = None;
    for request in 0..REQUESTS {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.expect("a connection"),
        };
        let path = if (request + number).is_multiple_of(10) { "/slow" } else { "/" };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.expect("it is open");
        let answer = read_response(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("whole"), "{answer}");
        answered.fetch_add(1, Ordering::Relaxed);
        if !answer.contains("\r\nConnection: close\r\n") {
            kept = Some(stream);
        }
        if request % 7 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn no_request_fails_and_no_idle_connection_is_closed() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    socket.set_nonblocking(true).expect("a socket");
    let address = socket.local_addr().expect("an address");
    let mut server = next_engine(&socket);
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(address, number, answered.clone()))).collect();
    for handover in 1..=HANDOVERS {
        while answered.load(Ordering::Relaxed) < handover * CLIENTS * REQUESTS / (HANDOVERS + 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let new = next_engine(&socket);
        let old = std::mem::replace(&mut server, new);
        old.drain.start(Patience::Gentle);
        tokio::spawn(async move { old.drain.finished().await });
    }
    for client in clients {
        client.await.expect("no request failed");
    }
    assert_eq!(answered.load(Ordering::Relaxed), CLIENTS * REQUESTS);
}
