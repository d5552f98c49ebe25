//! Filters as a service sees them, and as its clients do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorstep_filter::{wrap, wrap_guarded};
use doorstep_http::{Body, BodyError, BoxFuture, Kind, Request, Response, Service};
use doorstep_model::{CorsPolicy, ErrorPage, Filters, HeaderEdit, Hsts, Rewrite, Template};
use doorstep_net::TlsInfo;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;

/// An app that says what it was asked for, reads what it was sent, and fails under `/fail`.
struct App;

impl Service for App {
    fn call<'a>(&'a self, mut request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let asked = format!("{} {} {}", request.method, request.target, request.path);
            let status = if request.path.starts_with("/fail") { 503 } else { 200 };
            let mut response = match request.body.take().collect(1 << 20).await {
                Ok(body) => Response::text(StatusCode::from_u16(status).unwrap(), format!("{asked} {}", body.len())),
                Err(error) => Response::text(StatusCode::BAD_GATEWAY, error.to_string()),
            };
            response.headers.insert("access-control-allow-origin", HeaderValue::from_static("https://evil.example"));
            if request.path == "/go" {
                response.headers.insert(header::LOCATION, HeaderValue::from_static("/login"));
            }
            response.with_kind(Kind::Proxied)
        })
    }
}

/// Lets nobody in.
struct Closed;

impl Service for Closed {
    fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
        Box::pin(std::future::ready(Response::text(StatusCode::UNAUTHORIZED, "who are you?")))
    }
}

fn asking(method: Method, target: &str) -> Request {
    let mut request = Request::get(target);
    request.method = method;
    request
}

fn with(mut request: Request, fields: &[(&'static str, &'static str)]) -> Request {
    for (name, value) in fields {
        request.headers.append(*name, HeaderValue::from_static(value));
    }
    request
}

async fn ask(filters: &Filters, request: Request) -> (Response, String) {
    let mut response = wrap(filters, Arc::new(App)).unwrap().call(request).await;
    let body = std::mem::replace(&mut response.body, Body::Empty).collect(1 << 20).await.unwrap();
    (response, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn no_filters_are_no_service() {
    let app: Arc<dyn Service> = Arc::new(App);
    assert!(Arc::ptr_eq(&wrap(&Filters::default(), app.clone()).unwrap(), &app));
}

#[tokio::test]
async fn bodies_are_bounded_whether_they_say_their_length_or_not() {
    let filters = Filters { max_body: Some(10), ..Filters::default() };
    let post = |body: Body| {
        let mut request = asking(Method::POST, "/");
        request.body = body;
        request
    };
    let streamed = |pieces: &[&'static str]| {
        let frames: Vec<Result<Frame<Bytes>, BodyError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
    };
    for (body, status) in [
        (Body::from("0123456789"), 200),
        (Body::from("0123456789a"), 413),
        (streamed(&["01234", "56789"]), 200),
        (streamed(&["01234", "56789", "a"]), 413),
    ] {
        assert_eq!(ask(&filters, post(body)).await.0.status.as_u16(), status);
    }
}

#[tokio::test]
async fn the_app_sees_another_path_and_its_redirects_come_back() {
    let filters = Filters {
        strip_prefix: Some("/app".to_owned()),
        rewrite: vec![
            Rewrite { from: "/old/(.*)".to_owned(), to: Template("/new/{1}".to_owned()) },
            Rewrite { from: "/new/(.*)".to_owned(), to: Template("/never".to_owned()) },
        ],
        ..Filters::default()
    };
    assert_eq!(ask(&filters, Request::get("/app/x%20y?z")).await.1, "GET /x%20y?z /x y 0");
    assert_eq!(ask(&filters, Request::get("/app/old/1")).await.1, "GET /new/1 /new/1 0");
    assert_eq!(ask(&filters, Request::get("/app/go")).await.0.headers["location"], "/app/login");
    assert_eq!(ask(&filters, Request::get("/go")).await.0.headers["location"], "/login");
}

#[tokio::test]
async fn cors_is_the_filters_business_alone() {
    let policy = CorsPolicy {
        origins: vec!["https://app.example.com".to_owned()],
        methods: vec!["GET".to_owned(), "PUT".to_owned()],
        headers: vec!["*".to_owned()],
        expose: vec!["x-total".to_owned()],
        credentials: true,
        max_age: Duration::from_secs(600),
    };
    let everybody = CorsPolicy { origins: vec!["*".to_owned()], ..policy.clone() };
    let filters = Filters { cors: Some(policy), ..Filters::default() };
    let preflight = |origin| {
        let request = asking(Method::OPTIONS, "/");
        let asks = [("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a, x-b")];
        with(with(request, &asks), &[("origin", origin)])
    };
    let (response, body) = ask(&filters, preflight("https://app.example.com")).await;
    assert_eq!((response.status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example.com"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(response.headers[name], value, "{name}");
    }
    assert_eq!(ask(&filters, preflight("https://evil.example")).await.0.status, StatusCode::FORBIDDEN);
    // Without a method that is asked for, OPTIONS is a request like others.
    let options = asking(Method::OPTIONS, "/");
    assert_eq!(ask(&filters, with(options, &[("origin", "https://app.example.com")])).await.0.status, StatusCode::OK);

    for (origin, expected) in
        [(Some("https://app.example.com"), true), (Some("https://evil.example"), false), (None, false)]
    {
        let fields: Vec<(&str, &str)> = origin.iter().map(|origin| ("origin", *origin)).collect();
        let (response, _) = ask(&filters, with(Request::get("/"), &fields)).await;
        let allowed = response.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, origin.filter(|_| expected), "{origin:?}");
        assert_eq!(response.headers["vary"], "Origin");
        assert_eq!(response.headers.contains_key("access-control-expose-headers"), expected);
    }
    let filters = Filters { cors: Some(everybody), ..Filters::default() };
    let (response, _) = ask(&filters, with(Request::get("/"), &[("origin", "https://any.example")])).await;
    assert_eq!(response.headers["access-control-allow-origin"], "*");
    assert!(!response.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn hsts_is_said_over_tls_only_and_own_headers_come_last() {
    let filters = Filters {
        hsts: Some(Hsts { max_age: Duration::from_secs(63_072_000), include_subdomains: true, preload: false }),
        response_headers: vec![HeaderEdit::Set("x-by".to_owned(), Template("{host} {path}".to_owned()))],
        strip_prefix: Some("/a".to_owned()),
        ..Filters::default()
    };
    let (plain, _) = ask(&filters, Request::get("/a/b")).await;
    assert!(!plain.headers.contains_key("strict-transport-security"));
    assert_eq!(plain.headers["x-by"], "localhost /a/b");
    let mut request = Request::get("/");
    let mut conn = (*request.conn).clone();
    conn.tls = Some(TlsInfo::default());
    request.conn = Arc::new(conn);
    let (secure, _) = ask(&filters, request).await;
    assert_eq!(secure.headers["strict-transport-security"], "max-age=63072000; includeSubDomains");
}

#[tokio::test]
async fn people_get_the_error_page_and_programs_the_error() {
    let page = ErrorPage { statuses: vec![5], file: "5xx.html".into(), html: "<h1>Sorry</h1>".to_owned() };
    let filters = Filters { error_pages: vec![page], ..Filters::default() };
    let html = [("accept", "text/html,*/*;q=0.8")];
    let (response, body) = ask(&filters, with(Request::get("/fail"), &html)).await;
    assert_eq!((response.status.as_u16(), body.as_str()), (503, "<h1>Sorry</h1>"));
    assert_eq!(response.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(ask(&filters, Request::get("/fail")).await.1, "GET /fail /fail 0");
    assert_eq!(ask(&filters, with(Request::get("/"), &html)).await.1, "GET / / 0");
}

#[tokio::test]
async fn a_preflight_passes_the_guard_and_the_guard_sees_the_client_s_path() {
    let policy = CorsPolicy {
        origins: vec!["https://app.example.com".to_owned()],
        methods: vec!["PUT".to_owned()],
        headers: Vec::new(),
        expose: Vec::new(),
        credentials: false,
        max_age: Duration::from_secs(1),
    };
    let filters = Filters { cors: Some(policy), strip_prefix: Some("/a".to_owned()), ..Filters::default() };
    let closed = wrap_guarded(&filters, Arc::new(App), |_| Arc::new(Closed)).unwrap();
    let preflight = asking(Method::OPTIONS, "/a/b");
    let fields = [("origin", "https://app.example.com"), ("access-control-request-method", "PUT")];
    assert_eq!(closed.call(with(preflight, &fields)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(closed.call(Request::get("/a/b")).await.status, StatusCode::UNAUTHORIZED);

    struct Sees(Arc<dyn Service>);
    impl Service for Sees {
        fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
            assert_eq!(request.path, "/a/b");
            self.0.call(request)
        }
    }
    let open = wrap_guarded(&filters, Arc::new(App), |inner| Arc::new(Sees(inner))).unwrap();
    let response = open.call(Request::get("/a/b")).await;
    assert_eq!(response.body.collect(99).await.unwrap(), "GET /b /b 0");
}
