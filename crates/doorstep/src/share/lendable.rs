//! What is not lent to the internet, whoever asks.

use doorstep_model::{Action, UpstreamAddr, ip_literal};
use doorstep_tunnel::is_forbidden;

use crate::exit::Failure;
use crate::target::{Target, raw};

/// An app at an address where clouds hand out keys is refused; so is a name that leads there now.
///
/// # Errors
/// It is such an address.
pub async fn check(target: &Target) -> Result<(), Failure> {
    let Action::Proxy(proxy) = &target.action else { return Ok(()) };
    let UpstreamAddr::Tcp { host, port } = &proxy.upstream.addr else { return Ok(()) };
    if let Some(ip) = ip_literal(host) {
        return if is_forbidden(ip) { Err(raw::never_lent(ip)) } else { Ok(()) };
    }
    // A name that leads nowhere is told where the app is asked.
    let Ok(mut found) = tokio::net::lookup_host((host.as_str(), *port)).await else { return Ok(()) };
    match found.find(|address| is_forbidden(address.ip())) {
        Some(address) => Err(raw::never_lent(address.ip())),
        None => Ok(()),
    }
}
