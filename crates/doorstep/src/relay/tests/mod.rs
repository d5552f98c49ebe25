//! Visitors, the registry, and agents that are engines in this process.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use doorstep_certs::CertTable;
use doorstep_http::limits::Limits;
use doorstep_http::{
    Body, BoxFuture, DynamicHosts, Engine, NoObserver, Request, Response, RouteTable, Service, SiteRoutes, TableOptions,
};
use doorstep_model::{HostPolicy, HttpsPolicy, Matcher};
use doorstep_net::{Conn, ConnInfo, DrainControl, Handler, Io};
use doorstep_proto::tunnel::{Claim, Code, SessionId};
use doorstep_tunnel::registry::{Agent, AgentLimits, Registry, RegistryOptions};
use doorstep_tunnel::{Carrier, OpenFailed, Visitor};
use http::{HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};

mod whole;

use super::visitors::Visitors;
use super::*;

struct World {
    registry: Registry,
    visitors: Arc<Visitors>,
    settings: Arc<ArcSwap<Settings>>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(hold: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), RegistryOptions::new("tun.test")).unwrap();
        let settings = Settings { noindex: true, abuse: Some("abuse@tun.test".to_owned()), hold };
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let own = Arc::new(Says("the relay itself"));
        let table = CertTable::new().unwrap();
        let visitors = Arc::new(Visitors::new(registry.clone(), table, settings.clone(), own));
        Self { registry, visitors, settings, _dir: dir }
    }

    async fn lend(&self, name: &str, agent: &Agent, carrier: &Arc<Engines>) -> SessionId {
        let session = self.registry.begin_session(agent, "192.0.2.1:1".parse().unwrap(), "test").unwrap();
        let claim = Claim::Http { name: name.to_owned(), label: String::new() };
        self.registry.claim(session, 1, agent, &claim, carrier.clone()).await.unwrap();
        session
    }

    async fn get(&self, host: &str) -> (StatusCode, String) {
        let response = self.visitors.call(request(host)).await;
        (response.status, text(response.body).await)
    }
}

fn request(host: &str) -> Request {
    let mut request = Request::get("/a?b=c");
    request.authority = host.to_owned();
    let mut conn = (*request.conn).clone();
    conn.peer = "203.0.113.9:4711".parse().unwrap();
    request.conn = Arc::new(conn);
    request
}

async fn text(body: Body) -> String {
    String::from_utf8(body.collect(1 << 20).await.unwrap().to_vec()).unwrap()
}

fn agent(name: &str, limits: AgentLimits) -> Agent {
    Agent::configured("test", name, limits)
}

/// Says what it is, and what it was asked.
struct Says(&'static str);

impl Service for Says {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let asked = format!("{} {} {} for {}", self.0, request.authority, request.target, request.peer_ip());
        Box::pin(async move { Response::text(StatusCode::OK, asked) })
    }
}

/// An agent's side: each stream is served by an engine, unless it is to fail.
struct Engines {
    engine: Engine,
    fails: Mutex<Vec<OpenFailed>>,
    /// Streams that are yet to break without an answer.
    breaks: AtomicUsize,
    opened: AtomicUsize,
    drain: (DrainControl, Drain),
    /// Each stream is for one request, as with PageKite.
    one_each: bool,
}

impl Engines {
    fn new(says: &'static str) -> Arc<Self> {
        Arc::new(Self::with(says, false))
    }

    fn with(says: &'static str, one_each: bool) -> Self {
        let mut table = RouteTable::new(TableOptions::default());
        let service: Arc<dyn Service> = Arc::new(Says(says));
        table.add_site(SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), service)])).unwrap();
        let engine = Engine::new(table, Arc::new(NoObserver), Limits::default());
        let (breaks, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { engine, fails: Mutex::default(), breaks, opened, drain: DrainControl::new(), one_each }
    }

    fn fail(&self, code: Code, retriable: bool, times: usize) {
        self.fails.lock().extend(std::iter::repeat_n(OpenFailed { code, retriable }, times));
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Carrier for Engines {
    fn one_request_each(&self) -> bool {
        self.one_each
    }

    fn open(&self, _: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        if let Some(failed) = self.fails.lock().pop() {
            return Box::pin(async move { Err(failed) });
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        if self.breaks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Box::pin(async { Ok(Io::Other(Box::new(tokio::io::join(Breaks, tokio::io::sink())))) });
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (peer, local, relayed) = (visitor.peer, visitor.local, !self.one_each);
        let info = ConnInfo { peer, local, tls: None, relayed, accepted: Instant::now() };
        let conn = Conn { io: Io::Other(Box::new(theirs)), info: Arc::new(info) };
        let (engine, drain) = (self.engine.clone(), self.drain.1.clone());
        tokio::spawn(async move { engine.handle(conn, drain).await });
        Box::pin(async move { Ok(Io::Other(Box::new(ours))) })
    }
}

/// A stream whose way to the agent breaks once the request was sent.
struct Breaks;

impl AsyncRead for Breaks {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test]
async fn what_broke_before_an_answer_is_asked_again_where_twice_is_no_more_than_once() {
    let world = World::new(Duration::ZERO);
    let ann = Engines::new("ann");
    world.lend("blog", &agent("ann", AgentLimits::default()), &ann).await;
    ann.breaks.store(2, Ordering::Relaxed);
    assert!(world.get("blog.tun.test").await.1.starts_with("ann"));
    assert_eq!(ann.opened(), 3);
    let bob = Engines::new("bob");
    world.lend("shop", &agent("bob", AgentLimits::default()), &bob).await;
    bob.breaks.store(1, Ordering::Relaxed);
    let mut order = request("shop.tun.test");
    order.method = Method::POST;
    assert_eq!(world.visitors.call(order).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(bob.opened(), 1);
}

#[tokio::test]
async fn requests_reach_the_agent_as_the_visitor_sent_them() {
    let world = World::new(Duration::ZERO);
    let ann = Engines::new("ann");
    world.lend("blog", &agent("ann", AgentLimits::default()), &ann).await;
    let response = world.visitors.call(request("blog.tun.test")).await;
    assert_eq!(response.headers["x-robots-tag"], "noindex");
    assert_eq!(text(response.body).await, "ann blog.tun.test /a?b=c for 203.0.113.9");
    let wish = Settings { noindex: false, ..(**world.settings.load()).clone() };
    world.settings.store(Arc::new(wish));
    let response = world.visitors.call(request("blog.tun.test:8443")).await;
    assert!(!response.headers.contains_key("x-robots-tag"));
    assert_eq!(text(response.body).await, "ann blog.tun.test:8443 /a?b=c for 203.0.113.9");
    assert_eq!(ann.opened(), 1, "streams are used again");
    assert_eq!(world.get("tun.test").await.1, "the relay itself tun.test /a?b=c for 203.0.113.9");
}

#[tokio::test]
async fn a_stream_for_one_request_is_opened_in_the_name_of_its_visitor() {
    let world = World::new(Duration::ZERO);
    let ann = Arc::new(Engines::with("ann", true));
    world.lend("blog", &agent("ann", AgentLimits::default()), &ann).await;
    for _ in 0..2 {
        // The agent believes nothing but what the stream is opened with.
        assert_eq!(world.get("blog.tun.test").await.1, "ann blog.tun.test /a?b=c for 203.0.113.9");
    }
    assert_eq!(ann.opened(), 2);
}

#[tokio::test]
async fn names_without_an_agent() {
    let world = World::new(Duration::ZERO);
    let ann = agent("ann", AgentLimits::default());
    let session = world.lend("blog", &ann, &Engines::new("ann")).await;
    let (status, said) = world.get("nobody.tun.test").await;
    assert_eq!((status, said.contains("blog") || said.contains("ann")), (StatusCode::NOT_FOUND, false), "{said}");
    world.registry.end_session(session);
    let mut asked = request("blog.tun.test");
    asked.headers.insert("accept", HeaderValue::from_static("text/html"));
    let response = world.visitors.call(asked).await;
    assert_eq!(
        (response.status, &response.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(5))
    );
    let page = text(response.body).await;
    assert!(page.contains("Away just now") && page.contains("data-reload=yes"), "{page}");
    world.registry.stop_name("blog").await.unwrap();
    let (status, said) = world.get("blog.tun.test").await;
    assert!(status == StatusCode::GONE && said.contains("abuse@tun.test"), "{said}");
}

#[tokio::test]
async fn a_request_waits_for_an_agent_that_has_just_gone() {
    let world = World::new(Duration::from_secs(600));
    let ann = agent("ann", AgentLimits::default());
    let session = world.lend("blog", &ann, &Engines::new("before")).await;
    world.registry.end_session(session);
    let visitors = world.visitors.clone();
    let waiting = tokio::spawn(async move { text(visitors.call(request("blog.tun.test")).await.body).await });
    while world.visitors.waiting().count() == 0 {
        tokio::task::yield_now().await;
    }
    world.lend("blog", &ann, &Engines::new("after")).await;
    assert!(waiting.await.unwrap().starts_with("after"));
    assert_eq!(world.visitors.waiting().count(), 0);
}

#[tokio::test]
async fn a_session_that_breaks_is_followed_by_the_next_within_one_request() {
    let world = World::new(Duration::from_secs(600));
    let ann = agent("ann", AgentLimits::default());
    let dead = Engines::new("dead");
    dead.fail(Code::Lost, true, 1_000_000);
    let session = world.lend("blog", &ann, &dead).await;
    let visitors = world.visitors.clone();
    let asking = tokio::spawn(async move {
        let mut asked = request("blog.tun.test");
        asked.method = Method::POST;
        asked.body = "what was said".to_owned().into();
        text(visitors.call(asked).await.body).await
    });
    while dead.fails.lock().len() == 1_000_000 {
        tokio::task::yield_now().await;
    }
    world.registry.end_session(session);
    world.lend("blog", &ann, &Engines::new("next")).await;
    assert!(asking.await.unwrap().starts_with("next"));
}

#[tokio::test]
async fn what_an_agent_says_of_its_app_is_told_and_not_tried_again() {
    let world = World::new(Duration::from_secs(600));
    let ann = Engines::new("ann");
    world.lend("blog", &agent("ann", AgentLimits::default()), &ann).await;
    for (code, retriable, status, words) in [
        (Code::DialRefused, true, 502, "app on it is not running"),
        (Code::DialForbidden, false, 502, "does not serve it any more"),
        (Code::TooManyStreams, true, 503, "at once"),
    ] {
        ann.fail(code, retriable, 1);
        let (answered, said) = world.get("blog.tun.test").await;
        assert!(answered.as_u16() == status && said.contains(words), "{code}: {answered} {said}");
    }
    assert_eq!(ann.opened(), 0);
}

#[tokio::test]
async fn an_agent_has_so_many_requests_and_streams() {
    let world = World::new(Duration::ZERO);
    let limits = AgentLimits { requests: Some(1), ..AgentLimits::default() };
    world.lend("blog", &agent("ann", limits), &Engines::new("ann")).await;
    let mut refused = None;
    for _ in 0..100 {
        let response = world.visitors.call(request("blog.tun.test")).await;
        if response.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(response);
            break;
        }
    }
    assert!(refused.unwrap().headers.contains_key("retry-after"));
    let none = AgentLimits { streams: 0, ..AgentLimits::default() };
    world.lend("shop", &agent("bob", none), &Engines::new("bob")).await;
    assert_eq!(world.get("shop.tun.test").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn streams_of_one_agent_are_never_used_for_another() {
    let world = World::new(Duration::ZERO);
    let (ann, bob) = (agent("ann", AgentLimits::default()), agent("bob", AgentLimits::default()));
    let session = world.lend("blog", &ann, &Engines::new("ann")).await;
    assert!(world.get("blog.tun.test").await.1.starts_with("ann"));
    world.registry.end_session(session);
    world.registry.forget("blog").await.unwrap();
    world.lend("blog", &bob, &Engines::new("bob")).await;
    assert!(world.get("blog.tun.test").await.1.starts_with("bob"));
}

#[tokio::test]
async fn which_hosts_are_the_relays_and_how_they_are_reached() {
    let world = World::new(Duration::ZERO);
    for (host, policy) in [
        ("tun.test", Some(HttpsPolicy::Optional)),
        ("nobody.tun.test", Some(HttpsPolicy::Optional)),
        ("nobody.tun.test.", Some(HttpsPolicy::Optional)),
        ("badtun.test", None),
        ("example.com", None),
        ("", None),
    ] {
        assert_eq!(world.visitors.policy(host, false), policy, "{host}");
    }
    let ann = agent("ann", AgentLimits::default());
    let session = world.registry.begin_session(&ann, "192.0.2.1:1".parse().unwrap(), "test").unwrap();
    let claim = Claim::Tls { name: "vault.example".to_owned() };
    world.registry.claim(session, 1, &ann, &claim, Engines::new("ann")).await.unwrap();
    assert_eq!(world.visitors.policy("vault.example", false), Some(HttpsPolicy::Redirect));
    assert_eq!(world.get("vault.example").await.0, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn certificates_for_names_of_agents_and_not_too_many_at_once() {
    let world = World::new(Duration::ZERO);
    let tls = tempfile::tempdir().unwrap();
    let mut certificates = Certificates::new(tls.path());
    let spec = |text: &str| {
        let sources = doorstep_config::Sources::from_text(Path::new("/doorstep.toml"), text);
        doorstep_config::parse(&sources, doorstep_config::Privileges::default()).spec.unwrap()
    };
    let each = spec("relay = { domain = \"tun.test\" }");
    let (relay, issuance) = (each.relay.unwrap(), each.issuance);
    let names = |certificates: &Certificates| -> Vec<String> {
        let requests = certificates.requests(&relay, &issuance);
        requests.iter().flat_map(|request| &request.names).map(ToString::to_string).collect()
    };
    let ann = agent("ann", AgentLimits::default());
    let session = world.registry.begin_session(&ann, "192.0.2.1:1".parse().unwrap(), "test").unwrap();
    let engines = Engines::new("ann");
    for number in 0..12 {
        let claim = Claim::Http { name: format!("n{number}"), label: String::new() };
        world.registry.claim(session, number, &ann, &claim, engines.clone()).await.unwrap();
    }
    assert_eq!(names(&certificates), ["tun.test"]);
    let (differs, wait) = certificates.follow(&world.registry, &relay, &issuance);
    assert!(differs && wait.is_some(), "two have to wait");
    assert_eq!(names(&certificates).len(), 1 + 10);
    world.registry.end_session(session);
    assert_eq!(certificates.follow(&world.registry, &relay, &issuance), (false, None), "what is there stays");
    let wild = spec("dns = { provider = \"desec\", token = \"x\" }\nrelay = { domain = \"tun.test\" }");
    let (relay, issuance) = (wild.relay.unwrap(), wild.issuance);
    certificates.follow(&world.registry, &relay, &issuance);
    let requests = certificates.requests(&relay, &issuance);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["tun.test", "*.tun.test"]);
}
