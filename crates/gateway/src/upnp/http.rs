use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::error::GatewayError;
use crate::limits::{BODY, REQUEST};

/// Where a device's HTTP server is, and from which of our addresses it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub address: SocketAddr,
    pub from: IpAddr,
}

/// An answer, whatever its status: faults of SOAP come with 500.
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

pub(super) async fn get(server: Server, path: &str) -> Result<Answer, GatewayError> {
    exchange(server, Request::get(path), String::new()).await
}

pub(super) async fn post(server: Server, path: &str, action: &str, body: String) -> Result<Answer, GatewayError> {
    let request = Request::post(path)
        .header("Content-Type", "text/xml; charset=\"utf-8\"")
        .header("SOAPAction", format!("\"{action}\""));
    exchange(server, request, body).await
}

async fn exchange(server: Server, request: http::request::Builder, body: String) -> Result<Answer, GatewayError> {
    let exchange = async {
        let socket = if server.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Routers map for nobody but the asker.
        socket.bind(SocketAddr::new(server.from, 0))?;
        let stream = socket.connect(server.address).await?;
        // Small devices know headers by their usual spelling only.
        let handshake = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(nonsense)?;
        let request = request
            .header("Host", server.address.to_string())
            .header("User-Agent", concat!("doorstep/", env!("CARGO_PKG_VERSION"), " UPnP/1.1"))
            .header("Connection", "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| GatewayError::Nonsense(error.to_string()))?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(nonsense)?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), BODY).collect().await;
            let body = body.map_err(|error| GatewayError::Nonsense(error.to_string()))?.to_bytes();
            Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        // The connection is driven here, so that it ends with us.
        let mut connection = std::pin::pin!(connection);
        let mut answered = std::pin::pin!(answered);
        let mut over = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer,
                _ = &mut connection, if !over => over = true,
            }
        }
    };
    timeout(REQUEST, exchange).await.unwrap_or(Err(GatewayError::TimedOut))
}

fn nonsense(error: hyper::Error) -> GatewayError {
    GatewayError::Nonsense(error.to_string())
}

/// Host, port and path of an `http://` URL.
pub(super) fn split(url: &str) -> Option<(String, u16, String)> {
    let uri: Uri = url.trim().parse().ok()?;
    if uri.scheme_str()? != "http" {
        return None;
    }
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    Some((host, uri.port_u16().unwrap_or(80), path))
}
