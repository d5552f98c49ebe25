use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// A change outside of doorstep's own folder, with what it takes to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A file was written where none was, or over one of ours.
    File { path: PathBuf, text: String },
    /// A unit was enabled and started, with the computer's systemd or a user's.
    Unit { name: String, of_user: bool },
    /// A user was made.
    User { name: String },
    /// A gateway was asked to send a port's visitors here, or to let them through its firewall.
    Mapping(MappingChange),
    /// Records of a name were put at a DNS provider.
    Record(RecordChange),
}

/// A port mapping (IPv4) or pinhole (IPv6), as it can be found again at its gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingChange {
    /// `upnp`, `pcp` or `nat-pmp`.
    pub by: String,
    /// The gateway's address in this network.
    pub gateway: IpAddr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// This computer's address and port.
    pub internal: SocketAddr,
    /// The port outside; for a pinhole the same as inside. The one asked for, as long as none is granted.
    pub external_port: u16,
    /// What only its maker knows and the gateway wants to hear: PCP's nonce in hexadecimal digits, the id of a UPnP pinhole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Seconds since 1970 at which it ends by itself; `None` for a gateway that only grants for good.
    pub ends_at: Option<i64>,
}

/// Records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// As [`crate::DnsProvider::kind`].
    pub provider: String,
    pub zone: String,
    pub name: String,
    /// `A`, `AAAA`, `CNAME` or `TXT`.
    pub record: String,
    pub values: Vec<String>,
    /// What was there before doorstep came; undoing puts it back.
    #[serde(default)]
    pub before: Vec<String>,
    /// Whose settings know the provider's secret: a `doorstep.toml`, or the user's own store of DNS providers.
    pub config: Option<PathBuf>,
}

/// A future that the journal's keeper answers with.
pub type LedgerFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Where changes are written down before they are made.
pub trait Ledger: Send + Sync {
    /// Writes a change down; its number. The change must not be made if this fails.
    fn record(&self, change: Change) -> LedgerFuture<'_, u64>;

    /// Writes down that it is no more.
    fn undone(&self, id: u64) -> LedgerFuture<'_, ()>;
}
