//! The guards together, as the wiring puts them around a service.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use doorstep_guard::{Ended, Stop, wrap};
use doorstep_http::{BoxFuture, Request, Response, Service};
use doorstep_model::{ByteRate, Guards, Password, Secret};
use http::StatusCode;

struct Open;

impl Service for Open {
    fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
        Box::pin(std::future::ready(Response::text(StatusCode::OK, "open")))
    }
}

fn never() -> Stop {
    Stop::new(|ended| panic!("stopped: {ended:?}"))
}

fn from(peer: &str) -> Request {
    let mut request = Request::get("/");
    let mut conn = (*request.conn).clone();
    conn.peer = SocketAddr::new(peer.parse().unwrap(), 1);
    request.conn = conn.into();
    request
}

#[test]
fn without_guards_the_service_is_left_as_it_is() {
    let service: Arc<dyn Service> = Arc::new(Open);
    assert!(Arc::ptr_eq(&wrap(&Guards::default(), Arc::clone(&service), never(), None), &service));
}

#[tokio::test]
async fn only_allowed_networks_come_in() {
    let allow = ["192.168.1.0/24", "2001:db8::/32"].map(|net| net.parse().unwrap()).to_vec();
    let service = wrap(&Guards { allow, ..Guards::default() }, Arc::new(Open), never(), None);
    for (peer, status) in [
        ("192.168.1.77", 200),
        ("::ffff:192.168.1.77", 200),
        ("2001:db8:5::1", 200),
        ("192.168.2.1", 403),
        ("2001:db9::1", 403),
        ("127.0.0.1", 403),
        ("::1", 403),
    ] {
        let response = service.call(from(peer)).await;
        assert_eq!(response.status, status, "{peer}");
    }
}

#[tokio::test]
async fn an_expired_share_is_gone_and_says_so_to_the_operator_once() {
    let (told, hears) = mpsc::channel();
    let stop = Stop::new(move |ended| told.send(ended).unwrap());
    let guards = Guards { expires: Some(Duration::ZERO), ..Guards::default() };
    let service = wrap(&guards, Arc::new(Open), stop, None);
    assert_eq!(hears.recv().unwrap(), Ended::Expired);
    let mut request = from("192.0.2.1");
    request.headers.insert("accept", "text/html".parse().unwrap());
    let response = service.call(request).await;
    assert_eq!(response.status, StatusCode::GONE);
    let page = String::from_utf8(response.body.collect(1 << 20).await.unwrap().to_vec()).unwrap();
    assert!(page.contains("This share has ended"));
    assert!(hears.recv().is_err(), "the watcher is gone, and its sender with it");
}

#[tokio::test]
async fn a_share_that_lasts_is_open_and_its_watcher_ends_with_it() {
    let guards = Guards { expires: Some(Duration::from_secs(3600)), ..Guards::default() };
    let service = wrap(&guards, Arc::new(Open), never(), None);
    assert_eq!(service.call(from("192.0.2.1")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn layers_are_asked_from_outside_in() {
    let guards = Guards {
        password: Some(Password { user: "u".to_owned(), password: Secret::new("p".to_owned()) }),
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        rate: Some(ByteRate { per_client: 1 << 20, total: 1 << 20 }),
        expires: Some(Duration::from_secs(3600)),
        once: true,
        ..Guards::default()
    };
    let service = wrap(&guards, Arc::new(Open), never(), None);
    assert_eq!(service.call(from("198.51.100.1")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(service.call(from("192.0.2.1")).await.status, StatusCode::UNAUTHORIZED);
    let mut right = from("192.0.2.1");
    right.headers.insert("authorization", "Basic dTpw".parse().unwrap());
    let response = service.call(right).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.body.collect(100).await.unwrap(), "open");
}
