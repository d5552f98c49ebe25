use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::proxy::{ProxyAddress, authority};
use super::{DialError, head};

/// Asks a proxy for a way to the relay (CONNECT, RFC 9110 section 9.3.6).
pub(super) async fn connect(
    stream: &mut TcpStream,
    through: &ProxyAddress,
    host: &str,
    port: u16,
) -> Result<(), DialError> {
    let failed = |reason: String| DialError::Proxy { proxy: through.to_string(), reason };
    let target = authority(host, port);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(login) = &through.login {
        request += &format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(login.reveal()));
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    let head = head::read(stream).await.map_err(|error| failed(error.to_string()))?;
    match head.status {
        200..=299 => Ok(()),
        407 if through.login.is_some() => Err(failed("it does not take this user and password".to_owned())),
        407 => Err(failed("it wants a user and a password".to_owned())),
        status => Err(failed(format!("it does not connect to {target} (status {status})"))),
    }
}
