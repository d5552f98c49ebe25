//! `--tls`: a certificate of this computer's own, for the names and numbers that visitors use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use doorstep_certs::local::{self, Subject};
use doorstep_model::{Finding, Hostname};
use doorstep_reach::interfaces::{self, Scope};
use doorstep_reach::mdns::{host_name, local_name};
use rustls::ServerConfig;

use crate::args::{AcceptedHost, ShareArgs};
use crate::exit::{Code, Failure};

/// What `--tls` needs.
pub struct Certificate {
    pub config: Arc<ServerConfig>,
    pub fingerprint: String,
    pub findings: Vec<Finding>,
}

/// The certificate for visitors of `addresses`.
///
/// # Errors
/// [`Code::Failed`] when it can be neither read nor made.
pub fn certificate(args: &ShareArgs, addresses: &[SocketAddr]) -> Result<Certificate, Failure> {
    let subject = Subject::new(names(args), numbers(addresses));
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Code::Failed, format!("there is no certificate: {error}"));
    let dir = doorstep_store::user_state_dir();
    let made = local::certificate(dir.as_deref(), &subject, SystemTime::now()).map_err(|error| failed(&error))?;
    let config = doorstep_net::server_config(made.chain, made.key).map_err(|error| failed(&error))?;
    Ok(Certificate { config, fingerprint: made.fingerprint, findings: made.findings })
}

fn names(args: &ShareArgs) -> Vec<Hostname> {
    let computer = host_name();
    let own = ["localhost".to_owned(), local_name(&computer), computer];
    let asked = args.host.iter().filter_map(|host| match host {
        AcceptedHost::Name(name) => Some(name.clone()),
        AcceptedHost::Any => None,
    });
    own.iter().filter_map(|name| name.parse().ok()).chain(asked).collect()
}

fn numbers(addresses: &[SocketAddr]) -> Vec<IpAddr> {
    let mut numbers = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    numbers.extend(addresses.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()));
    let lasting = |scope| !matches!(scope, Scope::Temporary | Scope::Deprecated);
    let shared = interfaces::share_addresses(&interfaces::list());
    numbers.extend(shared.into_iter().filter(|address| lasting(address.scope)).map(|address| address.ip));
    numbers
}
