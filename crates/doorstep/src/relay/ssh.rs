//! The way in for people who have installed nothing: stock ssh clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use doorstep_model::RelaySpec;
use doorstep_net::{BoxFuture, Conn, Drain, Handler, Io};
use doorstep_ssh::server::{Gateway, GatewayOptions};
use doorstep_tunnel::registry::Registry;

use super::followers::Followers;

/// Where visitors come: the port without TLS, and the one with.
#[derive(Clone, Copy, Debug)]
pub struct VisitorPorts {
    pub http: Option<u16>,
    pub https: Option<u16>,
}

/// The gateway, where the configuration asks for one.
pub struct Gateways {
    ssh: Option<(Vec<SocketAddr>, Gateway)>,
}

impl Gateways {
    /// # Errors
    /// A key of the gateway that can neither be read nor made.
    pub fn open(
        spec: &RelaySpec,
        dir: &Path,
        registry: &Registry,
        followers: Arc<Followers>,
        ports: VisitorPorts,
    ) -> anyhow::Result<Self> {
        let gateway = || {
            let options = GatewayOptions {
                folder: dir.to_owned(),
                https: ports.https,
                http: ports.http.unwrap_or(80),
                software: concat!("doorstep_", env!("CARGO_PKG_VERSION")).to_owned(),
                surroundings: followers,
            };
            Gateway::new(registry.clone(), options).context("the gateway for ssh")
        };
        let ssh = (!spec.ssh.is_empty()).then(gateway).transpose()?;
        Ok(Self { ssh: ssh.map(|gateway| (spec.ssh.clone(), gateway)) })
    }

    /// Who takes connections to `address`, if it is one of these.
    pub fn handler(&self, address: &SocketAddr) -> Option<Arc<dyn Handler>> {
        let (at, gateway) = self.ssh.as_ref()?;
        at.contains(address).then(|| Arc::new(Ssh(gateway.clone())) as Arc<dyn Handler>)
    }
}

struct Ssh(Gateway);

impl Handler for Ssh {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Io::Tcp(stream) = conn.io {
                self.0.serve(stream, conn.info.peer, drain).await;
            }
        })
    }
}
