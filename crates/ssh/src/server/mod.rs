//! A gateway for stock ssh clients: `ssh -R 80:localhost:8000 -p 2222 tun.example.com` lends what is on somebody's computer,
//! with nothing installed there.
//!
//! Only keys that the [`Registry`] knows get in, and all they can do is lend: no shell, no program, no connection outwards.

mod admission;
mod carrier;
mod channels;
mod events;
mod forward;
mod host_key;
mod session;
mod terminal;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use doorstep_model::Blame;
use doorstep_net::Drain;
use doorstep_proto::tunnel::{Code, SessionId};
use doorstep_tunnel::Registry;
use doorstep_tunnel::registry::RegistryEvent;
use parking_lot::Mutex;
use russh::keys::PublicKey;
use russh::keys::ssh_key::HashAlg;
use russh::server::{Config, run_stream};
use russh::{Limits, MethodKind, MethodSet, Preferred, SshId, compression, kex};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use terminal::LogLines;

use crate::channel::{Pace, Paced};
use crate::limits::{
    ACCEPT_PAUSE, CHANNEL_MESSAGES, KEEP_ALIVE, KEEP_ALIVES_LOST, LOGIN, LOGIN_ATTEMPTS, PACKET, READ_BUFFER,
    SESSION_MESSAGES, UNACKNOWLEDGED, WINDOW,
};
use crate::socket;
use admission::Admission;
use events::Events;
use session::Session;

/// How a gateway is set up.
#[derive(Clone)]
pub struct GatewayOptions {
    /// Where its own key is kept, and made the first time: the file `ssh_host_ed25519_key`.
    pub folder: PathBuf,
    /// Where visitors reach names: the port of https, or, where there is none, of http.
    pub https: Option<u16>,
    pub http: u16,
    /// Program and version, in the greeting; letters, digits, `_` and `.`.
    pub software: String,
    pub surroundings: Arc<dyn Surroundings>,
}

/// What a gateway asks of and tells the relay around it.
pub trait Surroundings: Send + Sync {
    /// Somebody at a terminal wants to see the requests for `host`: give `lines` one for each, until it is closed.
    fn follow(&self, host: &str, lines: LogLines);

    /// A key was shown that nobody admitted; `key` is its line as in `authorized_keys`.
    fn stranger(&self, _peer: SocketAddr, _key: &str) {}

    /// A new session took over from this one, which is not the gateway's own.
    fn evict(&self, _session: SessionId) {}
}

/// Why a gateway cannot be.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the ssh host key {path} cannot be used: {reason}")]
    HostKey { path: PathBuf, reason: String },
}

impl GatewayError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// What to do next.
    pub fn fix(&self) -> String {
        match self {
            Self::HostKey { path, .. } => format!(
                "Put the file back from a backup, or remove {} for a new key: clients then warn that the key changed.",
                path.display()
            ),
        }
    }
}

/// What every client of the last ten years knows. Not among them: Diffie-Hellman in large groups, where a stranger's few
/// bytes cost a worker's thread a second.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// A few bytes could stand for many.
const NO_COMPRESSION: &[compression::Name] = &[compression::NONE];

/// See the [module](self). A cheap copy of one gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

pub(in crate::server) struct Shared {
    registry: Registry,
    options: GatewayOptions,
    config: Arc<Config>,
    public: PublicKey,
    admission: Arc<Admission>,
    sessions: Mutex<HashMap<SessionId, Weak<Session>>>,
}

impl Gateway {
    /// Reads the gateway's own key, or makes it: it waits for the disk.
    ///
    /// # Errors
    /// The key can neither be read nor made.
    pub fn new(registry: Registry, options: GatewayOptions) -> Result<Self, GatewayError> {
        let key = host_key::open(&options.folder)?;
        let public = key.public_key().clone();
        let config = Config {
            server_id: SshId::Standard(format!("SSH-2.0-{}", options.software).into()),
            methods: MethodSet::from([MethodKind::PublicKey].as_slice()),
            // Keys cannot be guessed.
            auth_rejection_time: Duration::ZERO,
            max_auth_attempts: LOGIN_ATTEMPTS,
            keys: vec![key],
            window_size: WINDOW,
            maximum_packet_size: PACKET,
            channel_buffer_size: CHANNEL_MESSAGES,
            event_buffer_size: SESSION_MESSAGES,
            limits: Limits::default(),
            preferred: Preferred { kex: KEX.into(), compression: NO_COMPRESSION.into(), ..Preferred::DEFAULT },
            inactivity_timeout: None,
            keepalive_interval: Some(KEEP_ALIVE),
            keepalive_max: KEEP_ALIVES_LOST,
            ..Config::default()
        };
        let (admission, sessions) = (Admission::new(), Mutex::default());
        Ok(Self(Arc::new(Shared { registry, options, config: Arc::new(config), public, admission, sessions })))
    }

    /// What people compare when their client asks whether the key is right: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.public.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The gateway's public key, as a line of known_hosts has it after the name.
    pub fn public_line(&self) -> String {
        // A key that was read from its text can be written again.
        self.0.public.to_openssh().unwrap_or_default()
    }

    /// Accepts until the drain starts. Never waits for a peer, and no accept error ends it.
    pub async fn accept(&self, listener: TcpListener, drain: Drain) {
        let started = drain.started();
        tokio::pin!(started);
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                () = &mut started => return,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let (gateway, drain) = (self.clone(), drain.clone());
                    tokio::spawn(async move { gateway.serve(socket, peer, drain).await });
                }
                // Of that connection, or out of descriptors: trying again at once might only spin.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// One client, until it is gone. With a drain, it is sent away when no visitor of its is under way.
    pub async fn serve(&self, stream: TcpStream, peer: SocketAddr, drain: Drain) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Some(pass) = self.0.admission.admit(peer.ip()) else { return };
        if socket::prepare(&stream, UNACKNOWLEDGED).is_err() {
            return;
        }
        let pace = Arc::new(Pace::default());
        let session = Arc::new(Session::new(self.0.clone(), peer, pace.clone()));
        let paced = BufReader::with_capacity(READ_BUFFER, Paced::new(stream, pace.clone()));
        let events = Events::new(session.clone(), pass);
        // From before the key is looked at, so that its being revoked is not missed.
        let mut happens = self.0.registry.events();
        let deadline = Instant::now() + LOGIN;
        let running = match timeout(LOGIN, run_stream(self.0.config.clone(), paced, events)).await {
            Ok(Ok(running)) => running,
            _ => return,
        };
        tokio::pin!(running);
        let draining = async {
            drain.started().await;
            tokio::select! {
                () = session.channels().idle() => {}
                () = drain.hurried() => {}
            }
        };
        tokio::pin!(draining);
        let mut leaving = false;
        loop {
            tokio::select! {
                // What became of the connection is of no interest any more.
                _ = &mut running => break,
                () = sleep_until(deadline), if !session.is_known() && !pace.is_ended() => pace.end(),
                () = &mut draining, if !leaving => {
                    leaving = true;
                    session.end("the relay is being restarted; connect again");
                }
                event = happens.recv() => match event {
                    Ok(event) => self.happened(&session, event),
                    // The key is looked at again, which is what matters.
                    Err(RecvError::Lagged(_)) => session.check_key(),
                    Err(RecvError::Closed) => break,
                },
            }
        }
        pace.end();
        session.over();
    }

    /// A newer session of the same agent took over from one of this gateway's.
    pub fn evict(&self, session: SessionId) {
        let found = self.0.sessions.lock().get(&session).and_then(Weak::upgrade);
        if let Some(session) = found {
            session.end(Code::Evicted.text());
        }
    }

    fn happened(&self, session: &Arc<Session>, event: RegistryEvent) {
        match event {
            RegistryEvent::AgentRevoked { key, .. } if session.has_key(&key) => session.end(Code::RevokedKey.text()),
            RegistryEvent::ClaimWithdrawn { session: id, id: claim, error } if session.has_id(id) => {
                session.withdrawn(claim, &error);
            }
            _ => {}
        }
    }
}

impl Shared {
    /// Ends the session that another one took over from.
    fn evict(&self, id: SessionId) {
        let found = self.sessions.lock().get(&id).and_then(Weak::upgrade);
        match found {
            Some(session) => session.end(Code::Evicted.text()),
            None => self.options.surroundings.evict(id),
        }
    }

    /// Where visitors reach a name.
    fn url(&self, host: &str) -> String {
        match (self.options.https, self.options.http) {
            (Some(443), _) => format!("https://{host}"),
            (Some(port), _) => format!("https://{host}:{port}"),
            (None, 80) => format!("http://{host}"),
            (None, port) => format!("http://{host}:{port}"),
        }
    }
}
