use std::net::SocketAddr;

use doorstep_http::{Body, Kind};
use doorstep_model::Secret;
use http::HeaderMap;
use parking_lot::Mutex;

use super::*;
use crate::limits::FREE_ATTEMPTS;

/// Answers 200 and keeps the headers it was sent.
#[derive(Default)]
struct App(Mutex<Option<HeaderMap>>);

impl Service for App {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        *self.0.lock() = Some(request.headers.clone());
        Box::pin(std::future::ready(Response::text(StatusCode::OK, "secret").with_kind(Kind::Proxied)))
    }
}

struct Scene {
    guard: PasswordGuard,
    app: Arc<App>,
}

/// `ann:s3cret` as Basic credentials.
const RIGHT: &str = "Basic YW5uOnMzY3JldA==";
const WRONG: &str = "Basic YW5uOmd1ZXNz";

impl Scene {
    fn new() -> Self {
        let app = Arc::new(App::default());
        let password = Password { user: "ann".to_owned(), password: Secret::new("s3cret".to_owned()) };
        Self { guard: PasswordGuard::new(&password, Arc::clone(&app) as _), app }
    }

    async fn call(&self, request: Request) -> Response {
        *self.app.0.lock() = None;
        self.guard.call(request).await
    }

    fn reached(&self) -> Option<HeaderMap> {
        self.app.0.lock().take()
    }

    async fn log_in(&self, form: &'static str) -> Response {
        self.call(login(form)).await
    }
}

fn with(mut request: Request, fields: &[(&'static str, &str)]) -> Request {
    for (name, value) in fields {
        request.headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn browser(target: &str) -> Request {
    with(Request::get(target), &[("accept", "text/html,*/*"), ("user-agent", "Mozilla/5.0")])
}

fn login(form: &'static str) -> Request {
    let mut request = browser("/.doorstep/login");
    request.method = Method::POST;
    request.body = Body::from(form);
    request
}

async fn text(response: Response) -> String {
    String::from_utf8(response.body.collect(1 << 20).await.unwrap().to_vec()).unwrap()
}

fn cookie_of(response: &Response) -> String {
    response.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_gets_the_form_where_it_is_and_comes_back_there() {
    let scene = Scene::new();
    let response = scene.call(browser("/a%20b?c=\"<d>")).await;
    assert_eq!((response.status, response.kind), (StatusCode::UNAUTHORIZED, Kind::Page));
    assert!(response.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Cookie "));
    assert!(scene.reached().is_none());
    let page = text(response).await;
    assert!(page.contains("action=\"/.doorstep/login\"") && page.contains("name=user"), "{page}");
    assert!(!page.contains("secret") && !page.contains("\"<d>"), "{page}");

    let response = scene.log_in("user=ann&password=s3cret&next=%2Fa%2520b%3Fc%3D1").await;
    assert_eq!(response.status, StatusCode::SEE_OTHER);
    assert_eq!(response.headers[header::LOCATION], "/a%20b?c=1");
    let back = with(browser("/a%20b"), &[("cookie", &format!("mine=1; {}", cookie_of(&response)))]);
    let response = scene.call(back).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers[header::CACHE_CONTROL], "private");
    let seen = scene.reached().unwrap();
    assert_eq!(seen[header::COOKIE], "mine=1", "our cookie stays here");
}

#[tokio::test]
async fn programs_use_basic_and_it_stays_here() {
    let scene = Scene::new();
    let response = scene.call(Request::get("/")).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert!(response.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
    assert_eq!(scene.call(with(Request::get("/"), &[("authorization", WRONG)])).await.status, StatusCode::UNAUTHORIZED);
    assert!(scene.reached().is_none());
    assert_eq!(scene.call(with(Request::get("/"), &[("authorization", RIGHT)])).await.status, StatusCode::OK);
    assert!(scene.reached().unwrap().get(header::AUTHORIZATION).is_none());
}

#[tokio::test]
async fn credentials_for_the_app_reach_it_once_logged_in() {
    let scene = Scene::new();
    let cookie = cookie_of(&scene.log_in("user=ann&password=s3cret").await);
    for (sent, reaches) in [("Bearer abc", true), (WRONG, true), (RIGHT, false)] {
        let request = with(browser("/"), &[("cookie", &cookie), ("authorization", sent)]);
        assert_eq!(scene.call(request).await.status, StatusCode::OK);
        assert_eq!(scene.reached().unwrap().contains_key(header::AUTHORIZATION), reaches, "{sent}");
    }
    assert_eq!(scene.call(with(Request::get("/"), &[("authorization", "Bearer abc")])).await.status, 401);
}

#[tokio::test]
async fn scripts_images_and_websockets_of_browsers_get_no_dialog() {
    let scene = Scene::new();
    for fields in [
        &[("user-agent", "Mozilla/5.0"), ("accept", "image/avif,*/*")][..],
        &[("sec-fetch-mode", "cors"), ("accept", "*/*")],
        &[("user-agent", "Mozilla/5.0"), ("upgrade", "websocket"), ("connection", "upgrade")],
    ] {
        let mut request = with(Request::get("/x"), fields);
        request.upgradable = fields.iter().any(|field| field.0 == "upgrade");
        let response = scene.call(request).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert!(!response.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic"), "{fields:?}");
        assert!(scene.reached().is_none());
    }
}

#[tokio::test]
async fn nothing_is_left_unguarded() {
    let scene = Scene::new();
    for method in [Method::OPTIONS, Method::POST, Method::PUT, Method::HEAD, Method::CONNECT, Method::TRACE] {
        for target in ["/", "/.doorstep/", "/.doorstep/login/x", "/.doorstep", "//x", "/.well-known/a"] {
            let mut request = browser(target);
            request.method = method.clone();
            assert_eq!(scene.call(request).await.status, StatusCode::UNAUTHORIZED, "{method} {target}");
            assert!(scene.reached().is_none());
        }
    }
    let mut star = Request::get("/");
    (star.method, star.target, star.path) = (Method::OPTIONS, "*".parse().unwrap(), "*".to_owned());
    assert_eq!(scene.call(star).await.status, StatusCode::UNAUTHORIZED);
    assert!(scene.reached().is_none());
}

#[tokio::test]
async fn wrong_passwords_make_one_address_wait_and_nobody_else() {
    let scene = Scene::new();
    let cookie = cookie_of(&scene.log_in("user=ann&password=s3cret").await);
    for _ in 0..FREE_ATTEMPTS {
        let response = scene.log_in("user=ann&password=guess").await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert!(!response.headers.contains_key(header::SET_COOKIE));
        assert!(text(response).await.contains("do not match"));
    }
    let waiting = scene.log_in("user=ann&password=s3cret").await;
    assert_eq!(waiting.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(waiting.headers.contains_key(header::RETRY_AFTER) && !waiting.headers.contains_key(header::SET_COOKIE));
    let program = scene.call(with(Request::get("/"), &[("authorization", RIGHT)])).await;
    assert_eq!(program.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(program.headers.contains_key(header::RETRY_AFTER));
    assert!(scene.reached().is_none());
    // Who is logged in behind the same router notices nothing, and other addresses neither.
    assert_eq!(scene.call(with(browser("/"), &[("cookie", &cookie)])).await.status, StatusCode::OK);
    let mut elsewhere = with(Request::get("/"), &[("authorization", RIGHT)]);
    let mut conn = (*elsewhere.conn).clone();
    conn.peer = SocketAddr::from(([192, 0, 2, 7], 1));
    elsewhere.conn = conn.into();
    assert_eq!(scene.call(elsewhere).await.status, StatusCode::OK);
}

#[tokio::test]
async fn logins_from_other_sites_are_refused() {
    let good = "user=ann&password=s3cret";
    for (fields, ok) in [
        (&[][..], true),
        (&[("origin", "http://localhost")], true),
        (&[("origin", "https://localhost:443")], true),
        (&[("origin", "http://localhost:81")], false),
        (&[("origin", "http://evil.example")], false),
        (&[("origin", "null")], false),
        (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
        (&[("sec-fetch-site", "cross-site"), ("origin", "http://localhost")], false),
        (&[("sec-fetch-site", "same-site")], false),
    ] {
        let response = Scene::new().call(with(login(good), fields)).await;
        let expected = if ok { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
        assert_eq!(response.status, expected, "{fields:?}");
    }
}

#[tokio::test]
async fn what_is_no_login() {
    let scene = Scene::new();
    assert_eq!(scene.log_in("user=ann").await.status, StatusCode::BAD_REQUEST);
    let mut long = login("");
    long.body = Body::from("password=".to_owned() + &"a".repeat(MAX_LOGIN_FORM));
    assert_eq!(scene.call(long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let response = scene.log_in("user=ann&password=s3cret&next=//evil.example").await;
    assert_eq!(response.headers[header::LOCATION], "/");
}

#[tokio::test]
async fn logging_out_takes_a_click() {
    let scene = Scene::new();
    let cookie = cookie_of(&scene.log_in("user=ann&password=s3cret").await);
    let asked = scene.call(with(browser("/.doorstep/logout"), &[("cookie", &cookie)])).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(!asked.headers.contains_key(header::SET_COOKIE));
    let mut click = with(browser("/.doorstep/logout"), &[("cookie", &cookie), ("origin", "http://localhost")]);
    click.method = Method::POST;
    let gone = scene.call(click).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    assert!(gone.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let mut elsewhere = with(browser("/.doorstep/logout"), &[("cookie", &cookie), ("origin", "http://evil.example")]);
    elsewhere.method = Method::POST;
    assert!(!scene.call(elsewhere).await.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn without_a_user_name_the_form_does_not_ask_for_one() {
    let password = Password { user: String::new(), password: Secret::new("s3cret".to_owned()) };
    let guard = PasswordGuard::new(&password, Arc::new(App::default()));
    let page = text(guard.call(browser("/")).await).await;
    assert!(!page.contains("name=user") && page.contains("name=password"));
    assert_eq!(guard.call(login("password=s3cret")).await.status, StatusCode::SEE_OTHER);
}
