//! Connections that a trusted proxy passes on: each begins with a header that says who the client is.

use std::io;
use std::net::SocketAddr;

use doorstep_proto::proxy_header::{self, limits::MAX_V2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::PROXY_HEADER;

/// Takes the PROXY protocol header off the front of a connection, and not a byte more. `None` where the proxy speaks for
/// itself.
pub async fn client(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    timeout(PROXY_HEADER, read(socket)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn read(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; MAX_V2];
    let mut taken = 0;
    loop {
        // Looked at first, since what follows the header is not ours to take.
        let seen = taken + socket.peek(header.get_mut(taken..).unwrap_or_default()).await?;
        if seen == taken {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let parsed = proxy_header::parse(header.get(..seen).unwrap_or_default())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // An unfinished header is all header.
        let end = parsed.map_or(seen, |parsed| parsed.length);
        socket.read_exact(header.get_mut(taken..end).unwrap_or_default()).await?;
        taken = end;
        if let Some(parsed) = parsed {
            let client = parsed.addresses.map(|(client, _)| client);
            return Ok(client.map(|client| SocketAddr::new(client.ip().to_canonical(), client.port())));
        }
    }
}
