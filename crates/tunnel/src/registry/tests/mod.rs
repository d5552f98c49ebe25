mod admission;
mod claims;
mod hand_edited;
mod handover;
mod limits;
mod model;
mod own_domains;
mod ports;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use doorstep_net::{BoxFuture, Io};
use doorstep_proto::tunnel::{Claim, Code, SessionId, TunnelError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::proof::tests::FakeLookup;
use super::*;
use crate::carrier::{Carrier, OpenFailed, Visitor};
use crate::identity::AgentKeyPair;

pub const DOMAIN: &str = "tun.example.com";

pub fn open(dir: &Path) -> Registry {
    Registry::open(dir, options()).unwrap()
}

/// No test asks a real name server.
pub fn options() -> RegistryOptions {
    RegistryOptions { lookup: Arc::<FakeLookup>::default(), ..RegistryOptions::new(DOMAIN) }
}

pub fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4711))
}

pub fn key() -> doorstep_proto::tunnel::AgentKey {
    AgentKeyPair::generate().unwrap().public()
}

/// The bytes of an invitation, as `doorstep join` sends them.
pub async fn invite(registry: &Registry, options: InviteOptions) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(registry.invite(options).await.unwrap()).unwrap()
}

/// An agent that has joined.
pub async fn joined(registry: &Registry, options: InviteOptions) -> Agent {
    let invitation = invite(registry, options).await;
    registry.join(&invitation, key()).await.unwrap()
}

pub async fn joined_as(registry: &Registry, name: &str) -> Agent {
    joined(registry, InviteOptions { agent: name.into(), ..InviteOptions::default() }).await
}

pub fn http(name: &str) -> Claim {
    Claim::Http { name: name.into(), label: String::new() }
}

/// Sends everything back; datagrams too.
pub struct Echo;

impl Carrier for Echo {
    fn open(&self, _: u32, _: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        Box::pin(async {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(theirs);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
            Ok(Io::Other(Box::new(ours)))
        })
    }

    fn open_datagrams(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        self.open(claim, visitor)
    }
}

pub fn session(registry: &Registry, agent: &Agent) -> SessionId {
    registry.begin_session(agent, peer(), "test").unwrap()
}

pub async fn claim(
    registry: &Registry,
    session: SessionId,
    id: u32,
    agent: &Agent,
    claim: &Claim,
) -> Result<Granted, TunnelError> {
    registry.claim(session, id, agent, claim, Arc::new(Echo)).await
}

pub fn refused<T: std::fmt::Debug>(result: Result<T, TunnelError>) -> Code {
    result.unwrap_err().code
}

/// As a crash at this moment would leave it.
pub fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// A stream to whatever is lent under a name.
pub async fn exchange(lent: &Arc<Lent>, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let visitor = Visitor { peer: peer(), local: peer(), tls: None };
    let io = lent.open(visitor).await.map_err(std::io::Error::other)?;
    let (mut read, mut write) = tokio::io::split(io);
    let mut back = Vec::new();
    let writing = async {
        write.write_all(bytes).await?;
        write.shutdown().await
    };
    tokio::try_join!(writing, read.read_to_end(&mut back))?;
    Ok(back)
}

pub fn lent(registry: &Registry, host: &str) -> Arc<Lent> {
    match registry.find(host) {
        Found::Lent(lent) => lent,
        Found::Away { .. } => panic!("{host} is away"),
        Found::Stopped => panic!("{host} is stopped"),
        Found::Unknown => panic!("{host} is unknown"),
    }
}
