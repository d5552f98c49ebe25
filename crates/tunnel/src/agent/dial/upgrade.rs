use doorstep_proto::tunnel::ALPN;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{DialError, head};

/// Where relays take agents that come by HTTP.
pub(super) const PATH: &str = "/.doorstep/tunnel";

/// Turns a HTTPS connection into one of the tunnel (RFC 9110 section 7.8).
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    domain: &str,
    relay: &str,
) -> Result<(), DialError> {
    let failed = |reason: String| DialError::NoTunnel { relay: relay.to_owned(), reason, middlebox: false };
    let host = if domain.contains(':') { format!("[{domain}]") } else { domain.to_owned() };
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: {ALPN}\r\nUser-Agent: doorstep\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    stream.flush().await.map_err(|error| failed(error.to_string()))?;
    let head = head::read(stream).await.map_err(|error| failed(error.to_string()))?;
    match head.status {
        101 if head.field("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case(ALPN)) => Ok(()),
        status => Err(failed(format!("it answers HTTP status {status} where a relay takes agents"))),
    }
}
