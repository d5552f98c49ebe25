use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use doorstep_model::UpstreamAddr;
use doorstep_net::{ConnectError, Io, connect_tcp, open_unix};
use doorstep_proto::proxy_header::write_v2;
use doorstep_proto::tunnel::Code;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::is_forbidden;
use crate::Visitor;
use crate::limits::DIAL_APP;

/// An app that vanished without a word is noticed after two minutes without traffic, at most.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// Connects to the declared address, never to another one, and introduces the visitor where that is wanted.
pub(super) async fn app(to: &UpstreamAddr, introduce: Option<&Visitor>) -> Result<Io, Code> {
    let open = async {
        let mut io = match to {
            UpstreamAddr::Tcp { host, port } => {
                let stream = connect_tcp(host, *port, |ip| !is_forbidden(ip)).await.map_err(|error| code(&error))?;
                // Without these it works as well.
                let _ = stream.set_nodelay(true);
                if !is_here(host) {
                    let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
                }
                Io::Tcp(stream)
            }
            UpstreamAddr::Unix(path) => Io::Unix(open_unix(path).await.map_err(|error| code(&error))?),
        };
        if let Some(visitor) = introduce {
            let mut header = Vec::new();
            write_v2(&mut header, visitor.peer, visitor.local);
            io.write_all(&header).await.map_err(|_| Code::DialRefused)?;
        }
        Ok(io)
    };
    timeout(DIAL_APP, open).await.unwrap_or(Err(Code::DialTimeout))
}

/// On this computer, nobody vanishes without a word.
fn is_here(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

fn code(error: &ConnectError) -> Code {
    match error {
        ConnectError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => Code::DialForbidden,
        ConnectError::Io { source, .. } if source.kind() == ErrorKind::TimedOut => Code::DialTimeout,
        ConnectError::TimedOut { .. } => Code::DialTimeout,
        ConnectError::Io { .. } | ConnectError::Resolve { .. } | ConnectError::Tls { .. } => Code::DialRefused,
    }
}
