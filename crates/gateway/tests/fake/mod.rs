//! A home router on loopback, with the habits of real ones.

mod device;
mod igd;
mod natpmp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::Mutex;

use doorstep_gateway::{Road, Surroundings};
use doorstep_model::{Change, Ledger, LedgerFuture};

pub use self::device::Device;

/// What this router does differently from the specification.
#[derive(Clone, Debug)]
pub struct Quirks {
    pub upnp: bool,
    pub nat_pmp: bool,
    pub pcp: bool,
    /// 725 unless the lease is 0.
    pub permanent_only: bool,
    /// 402 if the lease is 0 or longer than a week.
    pub no_permanent: bool,
    /// 725 for every lease but 604800, and 402 for 0.
    pub week_only: bool,
    /// 724 unless both ports are equal.
    pub same_port: bool,
    /// 606 below 1024.
    pub privileged: bool,
    /// 718 for this port, which another computer has.
    pub conflict: Option<u16>,
    /// What it says its address is; empty for nothing.
    pub external: &'static str,
    /// 501 to the question for the address, and to mappings.
    pub no_external: bool,
    /// Lists nothing.
    pub forgetful: bool,
    /// Where SSDP says that the description is.
    pub location_host: &'static str,
    /// WANPPPConnection:1 is all there is.
    pub ppp: bool,
    /// AddAnyPortMapping is there (IGD:2).
    pub igd2: bool,
    /// 728.
    pub full: bool,
    /// 501 to removals.
    pub no_delete: bool,
    /// Answers searches from another port than it is asked at.
    pub answers_from_elsewhere: bool,
    /// Nonsense before the real answers.
    pub noise: bool,
    /// A second connection service, which is not in use.
    pub idle_service: bool,
    /// Datagrams grant this port instead of the wished one.
    pub other_port: Option<u16>,
    /// NAT-PMP and PCP refuse with this code.
    pub refuses: Option<u8>,
    /// An IPv6 firewall, over IPv4 control.
    pub firewall: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            upnp: true,
            nat_pmp: false,
            pcp: false,
            permanent_only: false,
            no_permanent: false,
            week_only: false,
            same_port: false,
            privileged: false,
            conflict: None,
            external: "11.0.0.20",
            no_external: false,
            forgetful: false,
            location_host: "127.0.0.1",
            ppp: false,
            igd2: false,
            full: false,
            no_delete: false,
            answers_from_elsewhere: false,
            noise: false,
            idle_service: false,
            other_port: None,
            refuses: None,
            firewall: false,
        }
    }
}

/// A mapping that the router holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub protocol: String,
    pub external: u16,
    pub client: String,
    pub internal: u16,
    pub description: String,
    pub lease: u32,
}

/// What the router knows, shared by its protocols.
#[derive(Debug, Default)]
pub struct Memory {
    pub mappings: Vec<Mapping>,
    pub pinholes: Vec<(u32, String, u16)>,
    /// Actions, datagrams: what was asked.
    pub heard: Vec<String>,
    pub uptime: u64,
}

pub fn surroundings(port: u16, search: SocketAddr) -> Surroundings {
    let SocketAddr::V4(search) = search else { panic!("searches are by IPv4") };
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Surroundings {
        roads: vec![Road { local: loopback, gateway: loopback, scope: 0 }],
        port,
        search: SocketAddrV4::new(*search.ip(), search.port()),
    }
}

/// A journal in memory.
#[derive(Default)]
pub struct Notebook {
    pub entries: Mutex<Vec<(u64, Change, bool)>>,
    pub full: bool,
}

impl Notebook {
    pub fn standing(&self) -> Vec<Change> {
        self.entries.lock().unwrap().iter().filter(|(_, _, gone)| !gone).map(|(_, change, _)| change.clone()).collect()
    }

    pub fn written(&self) -> usize {
        self.entries.lock().unwrap().len()
    }
}

impl Ledger for Notebook {
    fn record(&self, change: Change) -> LedgerFuture<'_, u64> {
        Box::pin(async move {
            if self.full {
                return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
            }
            let mut entries = self.entries.lock().unwrap();
            let id = entries.len() as u64 + 1;
            entries.push((id, change, false));
            Ok(id)
        })
    }

    fn undone(&self, id: u64) -> LedgerFuture<'_, ()> {
        Box::pin(async move {
            for entry in self.entries.lock().unwrap().iter_mut().filter(|entry| entry.0 == id) {
                entry.2 = true;
            }
            Ok(())
        })
    }
}

pub type Shared = Arc<Mutex<Memory>>;
