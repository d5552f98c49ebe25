use doorstep_http::Kind;
use doorstep_model::Secret;
use parking_lot::Mutex;

use super::*;

/// Answers 200 and keeps the request.
#[derive(Default)]
struct App(Mutex<Option<Request>>);

impl Service for App {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        *self.0.lock() = Some(request);
        Box::pin(std::future::ready(Response::text(StatusCode::OK, "app").with_kind(Kind::Proxied)))
    }
}

/// `ann` and `bob`, whose password is "s3cret".
fn logins(names: &[&str]) -> Logins {
    let hash = || Secret::new("{SHA}/vNB+F2HQ559kaLUZbmHHvZrXpg=".to_owned());
    Logins { realm: "the \"family\"".to_owned(), users: names.iter().map(|name| (name.to_string(), hash())).collect() }
}

const ANN: &str = "Basic YW5uOnMzY3JldA==";
const BOB: &str = "Basic Ym9iOnMzY3JldA==";

fn request(fields: &[(&'static str, &'static str)]) -> Request {
    let mut request = Request::get("/");
    for (name, value) in fields {
        request.headers.append(*name, HeaderValue::from_static(value));
    }
    request
}

#[tokio::test]
async fn the_app_learns_the_name_and_never_the_password() {
    let app = Arc::new(App::default());
    let guard = LoginGuard::new(&logins(&["ann"]), app.clone());
    let forged = [("authorization", ANN), ("x-remote-user", "root"), ("x_remote_user", "root"), ("x-other", "1")];
    let response = guard.call(request(&forged)).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers[header::CACHE_CONTROL], "private");
    let seen = app.0.lock().take().unwrap();
    assert_eq!(seen.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    assert_eq!(seen.vouched.headers[REMOTE_USER], "ann");
}

#[tokio::test]
async fn others_are_asked_for_a_password() {
    let app = Arc::new(App::default());
    let guard = LoginGuard::new(&logins(&["ann"]), app.clone());
    for fields in [&[][..], &[("authorization", BOB)], &[("authorization", "Bearer x")]] {
        let response = guard.call(request(fields)).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        let challenge = "Basic realm=\"the \\\"family\\\"\", charset=\"UTF-8\"";
        assert_eq!(response.headers[header::WWW_AUTHENTICATE], challenge);
    }
    assert!(app.0.lock().is_none());
}

#[tokio::test]
async fn a_site_and_its_route_ask_for_the_same_login() {
    let app = Arc::new(App::default());
    let inner = Arc::new(LoginGuard::new(&logins(&["ann"]), app.clone()));
    let outer = LoginGuard::new(&logins(&["ann", "bob"]), inner);
    assert_eq!(outer.call(request(&[("authorization", ANN)])).await.status, StatusCode::OK);
    let seen = app.0.lock().take().unwrap();
    assert!(!seen.headers.contains_key(header::AUTHORIZATION));
    assert_eq!(outer.call(request(&[("authorization", BOB)])).await.status, StatusCode::UNAUTHORIZED);
    assert!(app.0.lock().is_none());
}

#[test]
fn a_realm_that_cannot_stand_in_a_header() {
    assert_eq!(challenge("a\nb"), basic::CHALLENGE);
}
