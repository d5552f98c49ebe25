//! From a visitor's TLS to an agent's engine, over real sockets, with nothing in between left out.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use doorstep_certs::{Manager, ManagerOptions};
use doorstep_http::BodyError;
use doorstep_net::{Accepting, DrainControl, Quota, accept_loop, server_config};
use doorstep_proto::tunnel::{ALPN, AgentGreeting, AgentGreetingOutput, EXPORTER_LABEL, Purpose};
use doorstep_tunnel::agent::{self, AgentHandle, AgentOptions, Proxy, Threads};
use doorstep_tunnel::identity::{AgentIdentity, AgentKeyPair};
use doorstep_tunnel::registry::InviteOptions;
use doorstep_tunnel::{AgentEvent, Sink, Target};
use http::HeaderMap;
use http_body::Frame;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// A relay that listens on a port of this computer, with certificates of its own authority for `tun.localhost` and below.
struct Whole {
    relaying: Relaying,
    address: SocketAddr,
    roots: RootCertStore,
    drain: DrainControl,
    _dir: tempfile::TempDir,
}

impl Whole {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = "relay = { domain = \"tun.localhost\", certificate = \"local\" }";
        let sources = doorstep_config::Sources::from_text(Path::new("/doorstep.toml"), text);
        let spec = doorstep_config::parse(&sources, doorstep_config::Privileges::default()).spec.unwrap();
        let relay = spec.relay.as_ref().unwrap();
        let (table, tls) = (CertTable::new().unwrap(), dir.path().join("tls"));
        let relaying = Relaying::open(Opening {
            spec: relay,
            dir: &dir.path().join("relay"),
            tls: &tls,
            table: &table,
            ports: VisitorPorts { http: None, https: Some(address.port()) },
            observer: Arc::new(NoObserver),
        })
        .unwrap();
        relaying.configure(relay, &spec.sites);
        relaying.lead();
        let requests = relaying.requests(relay, &spec.issuance);
        let options = ManagerOptions::new(&tls, spec.issuance.clone(), requests);
        let _manager = Manager::new(options, table.clone(), doorstep_certs::Http01Answers::default());
        let routes = RouteTable::new(TableOptions { dynamic: Some(relaying.hosts()), ..TableOptions::default() });
        let engine = Engine::new(routes, relaying.observer(), Limits::default());
        let accepting =
            Accepting { tls: Some(relaying.select()), ..Accepting::new(Arc::new(engine), Quota::new(1000)) };
        let (drain, watch) = DrainControl::new();
        tokio::spawn(accept_loop(listener, accepting, watch));
        let mut roots = RootCertStore::empty();
        for pem in ["authority/root.pem", "authority/any-name/root.pem"] {
            if let Ok(root) = CertificateDer::from_pem_file(tls.join(pem)) {
                roots.add(root).unwrap();
            }
        }
        Self { relaying, address, roots, drain, _dir: dir }
    }

    async fn join(&self, name: &str) -> AgentIdentity {
        let options = InviteOptions { agent: name.to_owned(), ..InviteOptions::default() };
        let line = self.relaying.registry.invite(options).await.unwrap();
        // Not by its address, since nobody knows that name here.
        let (invitation, key) = (URL_SAFE_NO_PAD.decode(line).unwrap(), AgentKeyPair::generate().unwrap());
        let agent = self.relaying.registry.join(&invitation, key.public()).await.unwrap();
        let domain = self.relaying.registry.domain().clone();
        let pin = Some(self.relaying.registry.identity().pin());
        AgentIdentity { relay: self.address.to_string(), domain, pin, name: agent.name.to_string(), key }
    }

    /// Lends `target`, and says where visitors reach it.
    async fn lend(&self, identity: &AgentIdentity, target: Target) -> (AgentHandle, String) {
        let (events, mut heard) = mpsc::unbounded_channel();
        let options = AgentOptions {
            relays: vec![identity.clone()],
            targets: vec![target],
            threads: Threads::Own(1),
            software: "test".to_owned(),
            proxy: Proxy::none(),
        };
        let handle = agent::Agent::start(options, events).unwrap();
        loop {
            match heard.recv().await.unwrap() {
                AgentEvent::Lent { address, .. } => return (handle, address),
                AgentEvent::Refused { why, .. } => panic!("{why}"),
                _ => {}
            }
        }
    }

    async fn visit(&self, host: &str, protocol: &str, roots: RootCertStore) -> io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// One request by HTTP/1.1, and all bytes of the answer.
    async fn ask(&self, host: &str, request: &str) -> String {
        let mut stream = self.visit(host, "http/1.1", self.roots.clone()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

fn http(label: &str) -> Claim {
    Claim::Http { name: label.to_owned(), label: label.to_owned() }
}

/// Gives a request's body back piece by piece, its trailers too, and says for whom.
struct Echo;

impl Service for Echo {
    fn call<'a>(&'a self, mut request: Request) -> BoxFuture<'a, Response> {
        let client = HeaderValue::from_str(&format!("{} by {}", request.peer_ip(), request.scheme())).unwrap();
        let body = Back { body: request.body.take(), over: false };
        let mut response = Response::new(StatusCode::OK).with(http::HeaderName::from_static("x-client"), client);
        response.body = Body::stream(body);
        Box::pin(std::future::ready(response))
    }
}

/// A body, and at its end a trailer.
struct Back {
    body: Body,
    over: bool,
}

impl http_body::Body for Back {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        use std::task::Poll;
        if self.over {
            return Poll::Ready(None);
        }
        match std::pin::Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(_) => {
                self.over = true;
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn echo() -> Arc<Engine> {
    let mut table = RouteTable::new(TableOptions::default());
    let service: Arc<dyn Service> = Arc::new(Echo);
    table.add_site(SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), service)])).unwrap();
    Arc::new(Engine::new(table, Arc::new(NoObserver), Limits::default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_joins_and_lends_a_name() {
    let whole = Whole::start().await;
    let identity = whole.join("studio").await;
    let (agent, address) = whole.lend(&identity, Target::new(http("blog"), Sink::Serve(echo()))).await;
    assert_eq!(address, format!("https://blog.tun.localhost:{}", whole.address.port()));
    let request = "POST / HTTP/1.1\r\nHost: blog.tun.localhost\r\nContent-Length: 5\r\nTE: trailers\r\nConnection: close, TE\r\n\r\nhello";
    let answer = whole.ask("blog.tun.localhost", request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("X-Client: 127.0.0.1 by https\r\n") && answer.contains("hello"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\ngrpc-status: 0\r\n"), "{answer}");
    assert!(answer.contains("X-Robots-Tag: noindex\r\n"), "{answer}");
    let status = whole.relaying.status();
    assert_eq!((status.agents.len(), status.agents[0].requests, status.agents[0].sessions), (1, 1, 1), "{status:?}");
    agent.leave(Duration::ZERO).await;
    whole.drain.start(Patience::Now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_within_one_http2_request() {
    let whole = Whole::start().await;
    let identity = whole.join("studio").await;
    let (_agent, _) = whole.lend(&identity, Target::new(http("api"), Sink::Serve(echo()))).await;
    let stream = whole.visit("api.tun.localhost", "h2", whole.roots.clone()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::post("https://api.tun.localhost/chat").header("te", "trailers").body(()).unwrap();
    let (response, mut send) = client.send_request(request, false).unwrap();
    send.send_data(Bytes::from_static(b"first"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "first", "before the request is over");
    send.send_data(Bytes::from_static(b"second"), true).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "second");
    while let Some(rest) = body.data().await {
        assert!(rest.unwrap().is_empty());
    }
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_agents_own_is_seen_by_visitors() {
    let whole = Whole::start().await;
    let identity = whole.join("studio").await;
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["vault.tun.localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let own = server_config(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap();
    let sink = Sink::ServeTls { select: Arc::new(own), handler: echo() };
    let claim = Claim::Tls { name: "vault".to_owned() };
    let (_agent, _) = whole.lend(&identity, Target::new(claim, sink)).await;
    let mut only = RootCertStore::empty();
    only.add(certificate.der().clone()).unwrap();
    let mut stream = whole.visit("vault.tun.localhost", "http/1.1", only).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: vault.tun.localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.contains("X-Client: 127.0.0.1 by https\r\n"), "{answer}");
    assert!(
        whole.visit("vault.tun.localhost", "http/1.1", whole.roots.clone()).await.is_err(),
        "the relay's own is not"
    );
    // A name that nobody holds gets no certificate that is not the relay's.
    assert!(whole.visit("vault.example", "http/1.1", whole.roots.clone()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_get_in_by_an_upgrade_too() {
    let whole = Whole::start().await;
    let identity = whole.join("studio").await;
    let mut stream = whole.visit("tun.localhost", "http/1.1", whole.roots.clone()).await.unwrap();
    let exporter = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap();
    let ask = format!(
        "GET /.doorstep/tunnel HTTP/1.1\r\nHost: tun.localhost\r\nConnection: Upgrade\r\nUpgrade: {ALPN}\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: doorstep/1\r\n"), "{head}");
    let now = Instant::now();
    let mut greeting = AgentGreeting::new(now, exporter, identity.key.public(), Purpose::Control, "test");
    loop {
        match greeting.poll_output() {
            Some(AgentGreetingOutput::Sign(transcript)) => greeting.signed(identity.key.sign(&transcript)),
            Some(AgentGreetingOutput::Transmit(bytes)) => stream.write_all(&bytes).await.unwrap(),
            Some(AgentGreetingOutput::Welcomed { welcome, .. }) => {
                assert_eq!(welcome.agent, "studio");
                break;
            }
            Some(AgentGreetingOutput::Failed(error)) => panic!("{error}"),
            None => {
                let mut bytes = bytes::BytesMut::new();
                assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
                greeting.received(bytes.freeze());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tunnel_is_not_for_everybody_who_asks() {
    let whole = Whole::start().await;
    let get = "GET /.doorstep/tunnel HTTP/1.1\r\nHost: tun.localhost\r\nConnection: close\r\n\r\n";
    assert!(whole.ask("tun.localhost", get).await.starts_with("HTTP/1.1 426 "));
    // Without TLS of our own there is nothing that the proof could be bound to.
    let upgrade = "GET /.doorstep/tunnel HTTP/1.1\r\nHost: nobody.tun.localhost\r\nConnection: Upgrade\r\nUpgrade: doorstep/1\r\n\r\n";
    let mut stream = whole.visit("nobody.tun.localhost", "http/1.1", whole.roots.clone()).await.unwrap();
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 404 "));
}
