use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use doorstep_guard::{Stop, wrap};
use doorstep_http::{Body, BoxFuture, Request, Response, Service};
use doorstep_model::{Guards, Password, Secret};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::split_off_byte;

/// No input that is found by chance, or by looking at comparisons, is this.
const PASSWORD: &str = "pxq7-0c2b-91aa-vv4d";

/// The first byte chooses the door; the rest is tried there.
pub fn check(data: &[u8]) {
    let Some((door, input)) = split_off_byte(data) else { return };
    match door % 4 {
        0 => credentials(header::AUTHORIZATION, input),
        1 => credentials(header::COOKIE, input),
        2 => form(input),
        _ => return_to(input),
    }
}

fn credentials(name: header::HeaderName, input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let mut request = Request::get("/");
    request.headers.insert(name, value);
    let response = call(request);
    assert!(matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS));
}

fn form(input: &[u8]) {
    let response = call(login(input.to_vec()));
    assert!(response.headers.get(header::SET_COOKIE).is_none());
    assert!(response.status.is_client_error(), "{}", response.status);
}

/// After a good login, nobody is sent to another site.
fn return_to(input: &[u8]) {
    let mut body = format!("password={PASSWORD}&next=").into_bytes();
    body.extend(input.iter().filter(|byte| **byte != b'&'));
    let response = call(login(body));
    if response.status != StatusCode::SEE_OTHER {
        return;
    }
    let location = response.headers[header::LOCATION].as_bytes();
    assert_eq!(location.first(), Some(&b'/'));
    assert!(!matches!(location.get(1), Some(b'/' | b'\\')));
    assert!(location.iter().all(u8::is_ascii_graphic) && !location.contains(&b'\\'));
}

fn login(body: Vec<u8>) -> Request {
    let mut request = Request::get("/.doorstep/login");
    request.method = Method::POST;
    request.body = Body::from(body);
    request
}

/// Nobody gets here without the password.
struct Vault;

impl Service for Vault {
    fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
        panic!("the guard let somebody in")
    }
}

fn call(request: Request) -> Response {
    static GUARDED: LazyLock<Arc<dyn Service>> = LazyLock::new(|| {
        let password = Password { user: String::new(), password: Secret::new(PASSWORD.to_owned()) };
        wrap(&Guards { password: Some(password), ..Guards::default() }, Arc::new(Vault), Stop::new(|_| {}), None)
    });
    // A new address each time, so that the throttle does not answer for the check.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut request = request;
    let mut conn = (*request.conn).clone();
    let address = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    conn.peer = std::net::SocketAddr::from((address.to_be_bytes(), 1));
    request.conn = conn.into();
    let mut answer = pin!(GUARDED.call(request));
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response,
        Poll::Pending => panic!("a request in memory waits for nothing"),
    }
}
