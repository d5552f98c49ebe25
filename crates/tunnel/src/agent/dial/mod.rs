//! The way to a relay: TCP, a proxy where there is one, TLS, and on networks that let nothing but HTTPS through, an HTTP
//! Upgrade.

mod error;
mod head;
mod proxy;
mod tls;
mod tunnel_through;
mod upgrade;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use doorstep_model::Hostname;
use doorstep_net::{ConnectError, connect_tcp};
use doorstep_proto::tunnel::{ALPN, EXPORTER_LABEL, Exporter};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::limits::{DEAD_PATH, DIAL_RELAY, RELAY_HANDSHAKE};
use crate::link::Transport;
pub use error::DialError;
pub use proxy::Proxy;

/// Opens connections to one relay.
pub(super) struct Dialer {
    host: String,
    port: u16,
    /// Asked for by SNI, what the certificate must be for where there is no pin, and the Host of an Upgrade.
    name: String,
    pin: Option<[u8; 32]>,
    proxy: Proxy,
    /// This computer's address that connections are made from; any where it is `None`.
    from: Option<IpAddr>,
    tls: tls::Clients,
    memory: Mutex<Memory>,
}

/// What earlier connections taught.
#[derive(Default)]
struct Memory {
    road: Road,
    /// Where the relay was found last, for when its name cannot be resolved.
    address: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Road {
    /// TLS with the tunnel's own ALPN.
    #[default]
    Direct,
    /// HTTPS as browsers speak it, and an Upgrade inside.
    Upgrade,
}

/// A connection to a relay, ready for the greeting.
pub(super) struct Dialed {
    pub io: Transport,
    pub exporter: Exporter,
    /// Where it leads to; `None` through a proxy. A session's data connections must lead to the same place.
    pub address: Option<SocketAddr>,
    /// This computer's own address.
    pub local: Option<IpAddr>,
}

impl Dialer {
    /// `relay` is host and port; `domain` is what the relay's certificate is for, if that is known.
    ///
    /// # Errors
    /// `relay` is no such thing.
    pub fn new(relay: &str, domain: Option<&Hostname>, pin: Option<[u8; 32]>, proxy: Proxy) -> Result<Self, DialError> {
        let (host, port) = proxy::host_and_port(relay, 443).ok_or_else(|| DialError::Address(relay.to_owned()))?;
        let name = domain.map_or_else(|| host.clone(), ToString::to_string);
        Ok(Self { host, port, name, pin, proxy, from: None, tls: tls::Clients::default(), memory: Mutex::default() })
    }

    /// From one address of this computer, and in its family, where `from` says so.
    pub fn from(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }

    /// The network is another one: what was learnt of it may be wrong.
    pub fn forget_road(&self) {
        self.memory.lock().road = Road::Direct;
    }

    /// Opens a connection, to `address` where that is given. Bounded in time.
    ///
    /// # Errors
    /// Every one may be gone the next time.
    pub async fn dial(&self, address: Option<SocketAddr>) -> Result<Dialed, DialError> {
        let road = self.memory.lock().road;
        let failed = match self.dial_by(road, address).await {
            Ok(dialed) => return Ok(dialed),
            Err(error) if road == Road::Upgrade => {
                self.forget_road();
                return Err(error);
            }
            Err(error) if !error.smells_of_middlebox() => return Err(error),
            Err(error) => error,
        };
        match self.dial_by(Road::Upgrade, address).await {
            Ok(dialed) => {
                self.memory.lock().road = Road::Upgrade;
                Ok(dialed)
            }
            Err(error) if error.is_telling() => Err(error),
            Err(_) => Err(failed),
        }
    }

    async fn dial_by(&self, road: Road, address: Option<SocketAddr>) -> Result<Dialed, DialError> {
        let late = |_| DialError::TimedOut { relay: self.relay(), seconds: DIAL_RELAY.as_secs() };
        let stream = timeout(DIAL_RELAY, self.open(address)).await.map_err(late)??;
        let local = stream.local_addr().ok().map(|local| local.ip());
        let address = stream.peer_addr().ok().filter(|_| !self.is_proxied());
        if address.is_some() {
            self.memory.lock().address = address;
        }
        let late = |_| DialError::Silent { relay: self.relay(), seconds: RELAY_HANDSHAKE.as_secs() };
        let (io, exporter) = timeout(RELAY_HANDSHAKE, self.secure(stream, road)).await.map_err(late)??;
        Ok(Dialed { io, exporter, address, local })
    }

    async fn open(&self, address: Option<SocketAddr>) -> Result<TcpStream, DialError> {
        let stream = match self.proxy.towards(&self.host, self.port)? {
            Some(through) => {
                let mut stream = connect_tcp(&through.host, through.port, |_| true)
                    .await
                    .map_err(|source| DialError::Proxy { proxy: through.to_string(), reason: source.to_string() })?;
                prepare(&stream).map_err(|source| self.broken(source))?;
                tunnel_through::connect(&mut stream, through, &self.host, self.port).await?;
                return Ok(stream);
            }
            None => match address {
                Some(address) => TcpStream::connect(address).await.map_err(|source| self.broken(source))?,
                None => match self.from {
                    Some(from) => self.find_from(from).await?,
                    None => self.find().await?,
                },
            },
        };
        prepare(&stream).map_err(|source| self.broken(source))?;
        Ok(stream)
    }

    /// By its name; by where it was last, while names cannot be resolved.
    async fn find(&self) -> Result<TcpStream, DialError> {
        let unresolved = match connect_tcp(&self.host, self.port, |_| true).await {
            Err(error @ ConnectError::Resolve { .. }) => error,
            other => return other.map_err(DialError::Connect),
        };
        let last = self.memory.lock().address.ok_or(DialError::Connect(unresolved))?;
        TcpStream::connect(last).await.map_err(|source| self.broken(source))
    }

    /// By its name, from one of this computer's addresses.
    async fn find_from(&self, from: IpAddr) -> Result<TcpStream, DialError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|source| DialError::Connect(ConnectError::Resolve { host: self.host.clone(), source }))?;
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the relay has no address of this family");
        for address in found.filter(|address| address.is_ipv4() == from.is_ipv4()) {
            let connect = async {
                let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.bind(SocketAddr::new(from, 0))?;
                socket.connect(address).await
            };
            match connect.await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(self.broken(last))
    }

    async fn secure(&self, stream: TcpStream, road: Road) -> Result<(Transport, Exporter), DialError> {
        let config = self.tls.config(road, self.pin).await?;
        let name = ServerName::try_from(self.name.clone()).map_err(|_| DialError::Address(self.relay()))?;
        let mut stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| DialError::handshake(&self.relay(), self.pin.is_some(), &error))?;
        let exporter = exporter(&stream).ok_or_else(|| DialError::no_tunnel(&self.relay(), "TLS gives no exporter"))?;
        match road {
            Road::Direct if stream.get_ref().1.alpn_protocol() != Some(ALPN.as_bytes()) => {
                return Err(DialError::no_tunnel(&self.relay(), "it does not know the protocol doorstep/1"));
            }
            Road::Direct => {}
            Road::Upgrade => upgrade::ask(&mut stream, &self.name, &self.relay()).await?,
        }
        Ok((stream.into(), exporter))
    }

    fn is_proxied(&self) -> bool {
        self.proxy.towards(&self.host, self.port).is_ok_and(|through| through.is_some())
    }

    fn broken(&self, source: io::Error) -> DialError {
        DialError::Connect(ConnectError::Io { address: self.relay(), source })
    }

    pub fn relay(&self) -> String {
        proxy::authority(&self.host, self.port)
    }
}

fn exporter(stream: &TlsStream<TcpStream>) -> Option<Exporter> {
    let (_, session) = stream.get_ref();
    session.export_keying_material([0; 32], EXPORTER_LABEL, None).ok()
}

/// Idle connections stay open in the router, and a dead path is noticed by whatever waits to be acknowledged.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(DEAD_PATH))
}
