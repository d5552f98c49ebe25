//! The beginning of TLS: the client's first message is read before it is decided what becomes of the connection.

use std::io;
use std::sync::Arc;

use doorstep_model::Secret;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::{StartHandshake, TlsStream};

use crate::limits::MAX_HELLO;
use crate::{Exporter, Handler, Passage, TlsChoice, TlsHere, TlsInfo, TlsSelect};

/// A connection whose first message was read.
pub enum Begun {
    /// TLS stands. The handler is there where it is not the listener's own.
    Here {
        stream: Box<TlsStream<TcpStream>>,
        tls: TlsInfo,
        handler: Option<Arc<dyn Handler>>,
    },
    Elsewhere {
        passage: Arc<dyn Passage>,
        socket: TcpStream,
        early: Vec<u8>,
    },
}

/// `None` where nothing came of it: refused, malformed, gone, or the handshake was all (RFC 8737 section 3).
pub async fn begin(mut socket: TcpStream, tls: &dyn TlsSelect) -> Option<Begun> {
    // What rustls has to say of a malformed first message is dropped with the connection.
    let (accepted, early) = hello(&mut socket).await.ok()?;
    match tls.select(&accepted.client_hello()) {
        Some(TlsChoice::Here(here)) => {
            drop(early);
            finish(accepted, socket, here).await
        }
        Some(TlsChoice::Elsewhere(passage)) => Some(Begun::Elsewhere { passage, socket, early }),
        None => {
            let _ = socket.write_all(&UNRECOGNIZED_NAME).await;
            let _ = socket.shutdown().await;
            None
        }
    }
}

/// The protocol of the ACME challenge tls-alpn-01 (RFC 8737 section 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The alert `unrecognized_name`, as a record of TLS 1.2 (RFC 8446 sections 5.1 and 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// Room for the usual first message: one with a key of a post-quantum group is some 1,800 bytes long.
const USUAL_HELLO: usize = 2048;

/// The ClientHello, and all bytes read for it.
async fn hello(socket: &mut TcpStream) -> io::Result<(Accepted, Vec<u8>)> {
    let mut acceptor = Acceptor::default();
    let mut early = Vec::with_capacity(USUAL_HELLO);
    loop {
        let begin = early.len();
        if socket.read_buf(&mut early).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fresh = early.get(begin..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
            match acceptor.accept() {
                Ok(Some(accepted)) if fresh.is_empty() => return Ok((accepted, early)),
                // More than rustls takes at a time; no client says that much before it is answered.
                Ok(Some(_)) => return Err(io::ErrorKind::InvalidData.into()),
                Ok(None) => {}
                Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        if early.len() >= MAX_HELLO {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

async fn finish(accepted: Accepted, socket: TcpStream, here: TlsHere) -> Option<Begun> {
    let TlsHere { config, handler, export } = here;
    let stream = StartHandshake::from_parts(accepted, socket).into_stream(config).await.ok()?;
    let (_, session) = stream.get_ref();
    // The handshake was the whole answer, and it asked for no client certificate.
    if session.alpn_protocol() == Some(ACME_TLS) {
        return None;
    }
    let exporter = export.filter(|_| session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3));
    let tls = TlsInfo {
        sni: session.server_name().map(str::to_ascii_lowercase),
        h2: session.alpn_protocol() == Some(b"h2"),
        exporter: exporter.and_then(|label| {
            let exported = session.export_keying_material(Exporter::default(), label, None);
            exported.ok().map(Secret::new)
        }),
    };
    Some(Begun::Here { stream: Box::new(stream), tls, handler })
}
