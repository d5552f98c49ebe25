use std::sync::Arc;
use std::time::Duration;

use doorstep_http::{BoxFuture, Request, Response, Service, Vouched};
use doorstep_model::ForwardAuth;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use tokio::time::timeout;

use crate::page;

/// Asks another service whether a request may pass, as Authelia, oauth2-proxy and their like expect it.
///
/// The question is a GET without body, put to the upstream by `auth`, which says who asks by `X-Forwarded-For`,
/// `-Host` and `-Proto`; `X-Forwarded-Method` and `-Uri` are added here. On 2xx the request goes on. Any other answer is
/// the client's: a redirect to a login page with its cookies, a 401 with its challenge. Nothing that goes wrong lets a
/// request pass; it is a 503.
pub(crate) struct ForwardAuthGuard {
    uri: Uri,
    copy: Vec<HeaderName>,
    timeout: Duration,
    auth: Option<Arc<dyn Service>>,
    inner: Arc<dyn Service>,
}

/// What the other service gets to see of the client's own fields: what it may recognise the client by, and what it needs
/// to answer a person otherwise than a program.
const SHOWN: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    header::ORIGIN,
    header::REFERER,
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static("x-request-id"),
];

impl ForwardAuthGuard {
    pub(crate) fn new(spec: &ForwardAuth, auth: Option<Arc<dyn Service>>, inner: Arc<dyn Service>) -> Self {
        let name = |name: &String| HeaderName::from_bytes(name.as_bytes()).ok();
        Self {
            uri: spec.uri.parse().unwrap_or_default(),
            copy: spec.copy_headers.iter().filter_map(name).collect(),
            timeout: spec.timeout,
            auth,
            inner,
        }
    }

    async fn answer(&self, mut request: Request) -> Response {
        let Some(auth) = &self.auth else {
            return unavailable(&request, "There is nobody to ask whether you may come in.");
        };
        let answer = match timeout(self.timeout, auth.call(self.question(&request))).await {
            Ok(answer) => answer,
            Err(_) => return unavailable(&request, "Whoever decides who may come in did not answer in time."),
        };
        if !answer.status.is_success() {
            return passed_on(answer, &request);
        }
        self.identify(&mut request, &answer.headers);
        let mut response = self.inner.call(request).await;
        // Without this, a cache between us and the client could hand it to somebody who may not see it.
        response.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
        response
    }

    fn question(&self, original: &Request) -> Request {
        let mut question = Request::get("/");
        question.path = doorstep_http::path::canonical(self.uri.path()).unwrap_or_default();
        question.target = self.uri.clone();
        question.authority.clone_from(&original.authority);
        question.conn = Arc::clone(&original.conn);
        question.id.clone_from(&original.id);
        for name in &SHOWN {
            for value in original.headers.get_all(name) {
                question.headers.append(name, value.clone());
            }
        }
        let target = original.target.path_and_query().map_or(original.target.path(), |target| target.as_str());
        let claims = [("x-forwarded-method", original.method.as_str()), ("x-forwarded-uri", target)];
        for (name, value) in claims {
            if let Ok(value) = HeaderValue::from_str(value) {
                question.vouched.set(HeaderName::from_static(name), value);
            }
        }
        question
    }

    /// Puts what the other service said of the client in the place of what the client may have said of itself, also where
    /// it said nothing.
    fn identify(&self, request: &mut Request, said: &HeaderMap) {
        let mut fields = Vouched::default();
        for name in &self.copy {
            fields.set(name.clone(), HeaderValue::from_static(""));
            request.vouched.headers.remove(name);
            for value in said.get_all(name) {
                request.vouched.headers.append(name.clone(), value.clone());
            }
        }
        let forged: Vec<HeaderName> = request.headers.keys().filter(|name| fields.shadows(name)).cloned().collect();
        for name in forged {
            request.headers.remove(name);
        }
    }
}

impl Service for ForwardAuthGuard {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

/// The other service's refusal as the client gets it.
fn passed_on(mut answer: Response, request: &Request) -> Response {
    // What is wrong with the other service is not for the client to read.
    if answer.status.is_informational() || answer.status.is_server_error() {
        return unavailable(request, "Whoever decides who may come in did not give an answer.");
    }
    if answer.status == StatusCode::NOT_MODIFIED {
        answer = Response::new(StatusCode::FORBIDDEN);
    }
    answer.upgrade = None;
    answer.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn unavailable(request: &Request, text: &str) -> Response {
    page::answer(request, StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment", text)
        .with(header::RETRY_AFTER, HeaderValue::from_static("5"))
}

#[cfg(test)]
mod tests {
    use doorstep_http::Body;
    use http::Method;
    use parking_lot::Mutex;

    use super::*;

    /// Answers as it is told, and keeps the request.
    struct Scripted {
        answer: fn() -> Response,
        seen: Mutex<Option<Request>>,
    }

    impl Scripted {
        fn new(answer: fn() -> Response) -> Arc<Self> {
            Arc::new(Self { answer, seen: Mutex::new(None) })
        }

        fn seen(&self) -> Option<Request> {
            self.seen.lock().take()
        }
    }

    impl Service for Scripted {
        fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
            *self.seen.lock() = Some(request);
            Box::pin(std::future::ready((self.answer)()))
        }
    }

    struct Silent;

    impl Service for Silent {
        fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            Box::pin(std::future::pending())
        }
    }

    fn spec() -> ForwardAuth {
        let addr = doorstep_model::UpstreamAddr::Tcp { host: "localhost".to_owned(), port: 9 };
        ForwardAuth {
            upstream: doorstep_model::Upstream::plain(addr, "auth.internal"),
            uri: "/api/verify?rd=1".to_owned(),
            copy_headers: vec!["remote-user".to_owned(), "remote-groups".to_owned()],
            timeout: Duration::from_secs(3),
        }
    }

    fn ok() -> Response {
        Response::text(StatusCode::OK, "app")
    }

    fn said_ann() -> Response {
        let name = HeaderName::from_static("remote-user");
        Response::new(StatusCode::ACCEPTED).with(name, HeaderValue::from_static("ann"))
    }

    fn upload() -> Request {
        let mut request = Request::get("/a%20b?c=d");
        request.method = Method::POST;
        request.authority = "blog.example.com:8443".to_owned();
        request.body = Body::from("secret");
        for (name, value) in [
            ("cookie", "session=1"),
            ("authorization", "Bearer x"),
            ("accept", "text/html"),
            ("content-length", "6"),
            ("x-forwarded-uri", "/public"),
            ("remote-user", "root"),
            ("remote_user", "root"),
            ("remote_groups", "admins"),
            ("x-other", "1"),
        ] {
            request.headers.append(name, HeaderValue::from_static(value));
        }
        request
    }

    #[tokio::test]
    async fn the_question_describes_the_original() {
        let (auth, app) = (Scripted::new(said_ann), Scripted::new(ok));
        let guard = ForwardAuthGuard::new(&spec(), Some(auth.clone()), app.clone());
        assert_eq!(guard.call(upload()).await.status, StatusCode::OK);
        let asked = auth.seen().unwrap();
        assert_eq!((asked.method.clone(), asked.target.to_string().as_str()), (Method::GET, "/api/verify?rd=1"));
        assert_eq!(asked.authority, "blog.example.com:8443");
        assert!(asked.body.is_empty());
        let mut fields: Vec<&str> = asked.headers.keys().map(HeaderName::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["accept", "authorization", "cookie"]);
        assert_eq!(asked.vouched.headers["x-forwarded-method"], "POST");
        assert_eq!(asked.vouched.headers["x-forwarded-uri"], "/a%20b?c=d");
    }

    #[tokio::test]
    async fn only_its_word_counts() {
        let (auth, app) = (Scripted::new(said_ann), Scripted::new(ok));
        let guard = ForwardAuthGuard::new(&spec(), Some(auth), app.clone());
        let response = guard.call(upload()).await;
        assert_eq!(response.headers[header::CACHE_CONTROL], "private");
        let mut passed = app.seen().unwrap();
        assert_eq!(passed.vouched.headers["remote-user"], "ann");
        assert!(!passed.vouched.headers.contains_key("remote-groups"));
        for gone in ["remote-user", "remote_user", "remote_groups"] {
            assert!(!passed.headers.contains_key(gone), "{gone}");
        }
        assert!(passed.headers.contains_key("x-other") && passed.headers.contains_key("authorization"));
        assert_eq!(passed.body.take().collect(100).await.unwrap(), "secret");
    }

    #[tokio::test]
    async fn a_refusal_reaches_the_client() {
        fn refusal() -> Response {
            Response::text(StatusCode::FOUND, "log in")
                .with(header::LOCATION, HeaderValue::from_static("https://auth.example.com/?rd=1"))
                .with(header::SET_COOKIE, HeaderValue::from_static("a=1"))
        }
        let app = Scripted::new(ok);
        let guard = ForwardAuthGuard::new(&spec(), Some(Scripted::new(refusal)), app.clone());
        let response = guard.call(upload()).await;
        assert_eq!(response.status, StatusCode::FOUND);
        assert_eq!(response.headers[header::LOCATION], "https://auth.example.com/?rd=1");
        assert_eq!(response.headers[header::SET_COOKIE], "a=1");
        assert_eq!(response.body.collect(100).await.unwrap(), "log in");
        assert!(app.seen().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_wrong_lets_nobody_in() {
        fn switching() -> Response {
            Response::new(StatusCode::SWITCHING_PROTOCOLS)
        }
        fn broken() -> Response {
            Response::text(StatusCode::INTERNAL_SERVER_ERROR, "stack trace")
        }
        fn not_modified() -> Response {
            Response::new(StatusCode::NOT_MODIFIED)
        }
        let cases: [(Option<Arc<dyn Service>>, StatusCode); 5] = [
            (Some(Scripted::new(broken)), StatusCode::SERVICE_UNAVAILABLE),
            (None, StatusCode::SERVICE_UNAVAILABLE),
            (Some(Arc::new(Silent)), StatusCode::SERVICE_UNAVAILABLE),
            (Some(Scripted::new(switching)), StatusCode::SERVICE_UNAVAILABLE),
            (Some(Scripted::new(not_modified)), StatusCode::FORBIDDEN),
        ];
        for (auth, expected) in cases {
            let app = Scripted::new(ok);
            let guard = ForwardAuthGuard::new(&spec(), auth, app.clone());
            assert_eq!(guard.call(upload()).await.status, expected);
            assert!(app.seen().is_none());
        }
    }
}
