//! A relay that does as it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use doorstep_net::Io;
use doorstep_proto::tunnel::{
    ALPN, AgentKey, Claim, Code, EXPORTER_LABEL, Grant, Invitation, Open, Purpose, RelayGreeting, RelayGreetingOutput,
    RelayInput, RelayOutput, RelaySession, Role, SessionId, Sharing, TunnelError, VisitorTls, Welcome,
};
use doorstep_tunnel::identity::{AgentIdentity, AgentKeyPair};
use doorstep_tunnel::link::{Link, LinkEvent, LinkHandle, LinkStream};
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the relay does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Good,
    /// Says this in answer to every greeting.
    Refuse(Code),
    /// Takes connections and says nothing, not even TLS.
    Mute,
    /// Shakes hands and closes.
    Close,
    Garbage,
}

#[derive(Clone)]
pub struct Relay {
    pub address: SocketAddr,
    pub pin: [u8; 32],
    state: Arc<State>,
}

struct State {
    conduct: Mutex<Conduct>,
    config: Arc<ServerConfig>,
    upgrade: bool,
    sessions: Mutex<Vec<Session>>,
    /// Counts what happens, so that tests can wait for it.
    news: watch::Sender<u64>,
    connections: Mutex<usize>,
    joined: Mutex<Vec<AgentKey>>,
    lose_joins: Mutex<u32>,
    denied: Mutex<BTreeMap<String, Code>>,
}

/// A session that an agent has or had.
#[derive(Clone)]
pub struct Session {
    pub id: SessionId,
    pub key: AgentKey,
    inputs: mpsc::UnboundedSender<RelayInput>,
    pub seen: Arc<Mutex<Seen>>,
    cut: watch::Sender<bool>,
}

#[derive(Default)]
pub struct Seen {
    pub claims: BTreeMap<u32, Claim>,
    pub released: Vec<u32>,
    pub links: Vec<(Sharing, LinkHandle)>,
    pub over: Option<TunnelError>,
}

/// How the certificate is made.
pub struct Certificate {
    pub expired: bool,
}

impl Relay {
    pub async fn start() -> Self {
        Self::start_as(false, Certificate { expired: false }).await
    }

    /// `upgrade`: it knows no ALPN but HTTP's, and takes agents by Upgrade.
    pub async fn start_as(upgrade: bool, certificate: Certificate) -> Self {
        Self::start_at("127.0.0.1:0", upgrade, certificate).await
    }

    pub async fn start_at(address: &str, upgrade: bool, certificate: Certificate) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["tun.example.com".to_owned()]).unwrap();
        if certificate.expired {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let pin = digest(&SHA256, &key.subject_public_key_info()).as_ref().try_into().unwrap();
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![if upgrade { b"http/1.1".to_vec() } else { ALPN.as_bytes().to_vec() }];
        let state = Arc::new(State {
            conduct: Mutex::new(Conduct::Good),
            config: Arc::new(config),
            upgrade,
            sessions: Mutex::default(),
            news: watch::Sender::new(0),
            connections: Mutex::default(),
            joined: Mutex::default(),
            lose_joins: Mutex::default(),
            denied: Mutex::default(),
        });
        let relay = Self { address: listener.local_addr().unwrap(), pin, state: state.clone() };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *state.connections.lock() += 1;
                tokio::spawn(serve(state.clone(), socket));
            }
        });
        relay
    }

    pub fn identity(&self) -> AgentIdentity {
        AgentIdentity {
            relay: self.address.to_string(),
            domain: "tun.example.com".parse().unwrap(),
            pin: Some(self.pin),
            name: "studio".into(),
            key: AgentKeyPair::generate().unwrap(),
        }
    }

    pub fn invitation(&self) -> String {
        let relay = self.address.to_string();
        let invitation = Invitation { id: [1; 16], expires: u64::MAX, pin: Some(self.pin), relay, mac: [3; 32] };
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(invitation.encode())
    }

    pub fn behave(&self, conduct: Conduct) {
        *self.state.conduct.lock() = conduct;
    }

    pub fn deny(&self, name: &str, code: Code) {
        self.state.denied.lock().insert(name.to_owned(), code);
    }

    pub fn allow(&self, name: &str) {
        self.state.denied.lock().remove(name);
    }

    /// So many joins are admitted without the agent's being told.
    pub fn lose_joins(&self, count: u32) {
        *self.state.lose_joins.lock() = count;
    }

    pub fn joined(&self) -> Vec<AgentKey> {
        self.state.joined.lock().clone()
    }

    pub fn connections(&self) -> usize {
        *self.state.connections.lock()
    }

    /// Waits until `what` is there.
    pub async fn until<T>(&self, mut what: impl FnMut(&[Session]) -> Option<T>) -> T {
        let mut news = self.state.news.subscribe();
        let wait = async {
            loop {
                if let Some(found) = what(&self.state.sessions.lock()) {
                    return found;
                }
                news.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(40), wait).await.expect("it did not happen")
    }

    /// The session of that number, from 0, with all its claims and connections.
    pub async fn session(&self, number: usize, claims: usize) -> Session {
        self.until(|sessions| {
            let session = sessions.get(number)?;
            let seen = session.seen.lock();
            let of = |sharing| seen.links.iter().any(|(other, _)| *other == sharing);
            (seen.claims.len() >= claims && of(Sharing::Exclusive) && of(Sharing::Shared)).then(|| session.clone())
        })
        .await
    }
}

impl Session {
    pub fn say(&self, input: RelayInput) {
        self.inputs.send(input).unwrap();
    }

    /// Closes all its connections without a word.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub fn open(&self, sharing: Sharing, claim: u32) -> LinkStream {
        let tls = VisitorTls { version: 0x304, server_name: "blog.tun.example.com".into(), alpn: "h2".into() };
        self.open_as(sharing, claim, Some(tls), false)
    }

    pub fn open_as(&self, sharing: Sharing, claim: u32, tls: Option<VisitorTls>, datagrams: bool) -> LinkStream {
        let visitor = "203.0.113.9:4711".parse().unwrap();
        let open = Open { claim, visitor, local: "198.51.100.1:443".parse().unwrap(), tls, datagrams };
        let links = self.seen.lock().links.clone();
        let mut links = links.iter().filter(|(other, _)| *other == sharing);
        links.find_map(|(_, link)| link.open(open.clone()).ok()).expect("no connection is free")
    }
}

async fn serve(state: Arc<State>, mut socket: TcpStream) {
    let conduct = *state.conduct.lock();
    match conduct {
        Conduct::Mute => {
            let _ = socket.read_to_end(&mut Vec::new()).await;
            return;
        }
        Conduct::Garbage => {
            let _ = socket.write_all(&[0x47; 2000]).await;
            return;
        }
        Conduct::Good | Conduct::Refuse(_) | Conduct::Close => {}
    }
    let Ok(mut stream) = TlsAcceptor::from(state.config.clone()).accept(socket).await else { return };
    if state.upgrade && !upgrade(&mut stream).await || conduct == Conduct::Close {
        return;
    }
    greet(state, conduct, stream).await;
}

async fn upgrade(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return false };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("GET /.doorstep/tunnel HTTP/1.1\r\nHost: tun.example.com\r\n"), "{head}");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: doorstep/1\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.is_ok()
}

async fn greet(state: Arc<State>, conduct: Conduct, mut stream: TlsStream<TcpStream>) {
    let exporter = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap();
    let mut greeting = RelayGreeting::new(Instant::now(), exporter);
    let mut asked = None;
    let rest = loop {
        match greeting.poll_output() {
            Some(RelayGreetingOutput::Authenticate(question)) => {
                let key = UnparsedPublicKey::new(&ED25519, question.key);
                key.verify(&question.transcript, &question.signature).expect("a wrong proof");
                match conduct {
                    Conduct::Refuse(code) => greeting.refuse(TunnelError::new(code, "as told")),
                    _ if matches!(question.purpose, Purpose::Join { .. }) => {
                        state.joined.lock().push(question.key);
                        let mut lose = state.lose_joins.lock();
                        if *lose > 0 {
                            *lose -= 1;
                            return;
                        }
                        greeting.admit(welcome(SessionId([0; 16])));
                    }
                    _ => {
                        let number = state.sessions.lock().len() as u8;
                        let id = match &question.purpose {
                            Purpose::Data { session, .. } => *session,
                            _ => SessionId([number; 16]),
                        };
                        greeting.admit(welcome(id));
                        asked = Some((id, question));
                    }
                }
            }
            Some(RelayGreetingOutput::Transmit(bytes)) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.flush().await;
            }
            Some(RelayGreetingOutput::Admitted { rest }) => break rest,
            Some(RelayGreetingOutput::Failed(_)) => {
                let _ = stream.shutdown().await;
                return;
            }
            None => {
                let mut buffer = BytesMut::with_capacity(4096);
                match stream.read_buf(&mut buffer).await {
                    Ok(1..) => greeting.received(buffer.freeze()),
                    _ => greeting.closed(),
                }
            }
        }
    };
    match asked {
        Some((id, question)) if question.purpose == Purpose::Control => {
            control(state, id, question.key, stream, rest).await
        }
        Some((id, question)) => match question.purpose {
            Purpose::Data { sharing, .. } => data(state, id, sharing, stream, rest).await,
            _ => unreachable!(),
        },
        None => drop(stream.shutdown().await),
    }
}

fn welcome(session: SessionId) -> Welcome {
    let (agent, domain) = ("studio".into(), "tun.example.com".into());
    Welcome { version: 1, session, agent, domain, software: "scripted".into() }
}

async fn data(state: Arc<State>, id: SessionId, sharing: Sharing, stream: TlsStream<TcpStream>, rest: Bytes) {
    let session = state.sessions.lock().iter().find(|session| session.id == id).cloned();
    let Some(session) = session else { return };
    let mut link = Link::new(Role::Relay, sharing, Io::Tls(Box::new(stream)), rest);
    session.seen.lock().links.push((sharing, link.handle()));
    state.news.send_modify(|news| *news += 1);
    let mut cut = session.cut.subscribe();
    loop {
        tokio::select! {
            event = link.event() => match event {
                Ok(LinkEvent::Free | LinkEvent::Opened(..)) => {}
                Err(_) => break,
            },
            _ = cut.wait_for(|cut| *cut) => break,
        }
    }
    state.news.send_modify(|news| *news += 1);
}

async fn control(state: Arc<State>, id: SessionId, key: AgentKey, mut stream: TlsStream<TcpStream>, rest: Bytes) {
    let (inputs, mut orders) = mpsc::unbounded_channel();
    let session = Session { id, key, inputs, seen: Arc::default(), cut: watch::Sender::new(false) };
    state.sessions.lock().push(session.clone());
    let mut cut = session.cut.subscribe();
    let mut machine = RelaySession::new(Instant::now(), 32);
    machine.handle_input(Instant::now(), RelayInput::Received(rest));
    loop {
        while let Some(output) = machine.poll_output() {
            let input = answer(&state, &session, output);
            input.into_iter().for_each(|input| machine.handle_input(Instant::now(), input));
        }
        while let Some(bytes) = machine.poll_transmit() {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
        }
        state.news.send_modify(|news| *news += 1);
        let Some(timeout) = machine.poll_timeout() else { break };
        let mut buffer = BytesMut::with_capacity(4096);
        tokio::select! {
            read = stream.read_buf(&mut buffer) => machine.handle_input(Instant::now(), match read {
                Ok(1..) => RelayInput::Received(buffer.freeze()),
                _ => RelayInput::Closed,
            }),
            Some(order) = orders.recv() => machine.handle_input(Instant::now(), order),
            () = sleep_until(timeout.into()) => machine.handle_timeout(Instant::now()),
            _ = cut.wait_for(|cut| *cut) => break,
        }
    }
    let _ = stream.shutdown().await;
    session.cut();
    session.seen.lock().over.get_or_insert(Code::Lost.into());
    state.news.send_modify(|news| *news += 1);
}

fn answer(state: &State, session: &Session, output: RelayOutput) -> Option<RelayInput> {
    let mut seen = session.seen.lock();
    match output {
        RelayOutput::Claim { id, claim } => {
            let name = match &claim {
                Claim::Http { name, .. } | Claim::Tls { name } => name.clone(),
                Claim::Tcp { port } | Claim::Udp { port } => port.to_string(),
            };
            if let Some(code) = state.denied.lock().get(&name) {
                return Some(RelayInput::Deny { id, error: TunnelError::new(*code, name) });
            }
            let port = match claim {
                Claim::Http { .. } | Claim::Tls { .. } => 443,
                Claim::Tcp { port } | Claim::Udp { port } => port,
            };
            seen.claims.insert(id, claim);
            let grant = Grant { host: format!("{name}.tun.example.com"), port, lease: Duration::from_secs(60) };
            return Some(RelayInput::Grant { id, grant });
        }
        RelayOutput::Released { id } => seen.released.push(id),
        RelayOutput::Closed(error) => seen.over = Some(error),
        RelayOutput::Renewed { .. } | RelayOutput::Wanted { .. } => {}
    }
    None
}
