use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use doorstep_net::any_certificate;
use doorstep_proto::tunnel::{ProbeKind, ProbeOutcome};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::limits::{PROBE_ANSWER, PROBE_LOOK};

/// Nothing that would be more than a host and a nonce in a request.
pub(super) fn is_plain(kind: &ProbeKind) -> bool {
    let (ProbeKind::Http { host, nonce } | ProbeKind::Https { host, nonce }) = kind else { return true };
    let of_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    let hex = (8..=64).contains(&nonce.len()) && nonce.chars().all(|c| c.is_ascii_hexdigit());
    hex && (1..=260).contains(&host.len()) && host.chars().all(of_host)
}

pub(super) async fn look(to: SocketAddr, kind: &ProbeKind) -> ProbeOutcome {
    timeout(PROBE_LOOK, connect(to, kind)).await.unwrap_or(ProbeOutcome::TimedOut)
}

async fn connect(to: SocketAddr, kind: &ProbeKind) -> ProbeOutcome {
    let began = Instant::now();
    let stream = match TcpStream::connect(to).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => ProbeOutcome::Refused,
                ErrorKind::TimedOut => ProbeOutcome::TimedOut,
                _ => ProbeOutcome::Unreachable,
            };
        }
    };
    let answered = |certificate| ProbeOutcome::Answered {
        certificate,
        millis: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX),
    };
    match kind {
        ProbeKind::Connect => answered(None),
        ProbeKind::Http { host, nonce } => match answers(stream, host, nonce).await {
            true => answered(None),
            false => ProbeOutcome::WrongAnswer,
        },
        ProbeKind::Https { host, nonce } => {
            let bare = without_port(host);
            let (Ok(config), Ok(name)) = (any_certificate(), ServerName::try_from(bare.to_owned())) else {
                return ProbeOutcome::Forbidden;
            };
            let stream = match TlsConnector::from(config).connect(name, stream).await {
                Ok(stream) => stream,
                Err(error) => return ProbeOutcome::TlsFailed(error.to_string()),
            };
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let hash = shown.and_then(|leaf| digest(&SHA256, leaf).as_ref().try_into().ok());
            match answers(stream, host, nonce).await {
                true => answered(hash),
                false => ProbeOutcome::WrongAnswer,
            }
        }
    }
}

/// The host of a `Host` field.
fn without_port(host: &str) -> &str {
    let end = host.rfind(']').map_or_else(|| host.find(':').unwrap_or(host.len()), |end| end + 1);
    host.get(..end).unwrap_or(host).trim_matches(['[', ']'])
}

async fn answers(mut io: impl AsyncRead + AsyncWrite + Unpin, host: &str, nonce: &str) -> bool {
    let request = format!(
        "GET /.doorstep/ping/{nonce} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: doorstep\r\nConnection: close\r\n\r\n"
    );
    if io.write_all(request.as_bytes()).await.is_err() || io.flush().await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    // An end without TLS's goodbye is an error, and the answer is complete all the same.
    let _ = io.take(PROBE_ANSWER).read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(nonce.as_bytes())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn http(nonce: &str) -> ProbeKind {
        ProbeKind::Http { host: "11.0.0.20:8080".to_owned(), nonce: nonce.to_owned() }
    }

    async fn answered_by(answer: &'static str) -> ProbeOutcome {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut conn, _) = server.accept().await.unwrap();
            let _ = conn.read(&mut [0; 1024]).await;
            let _ = conn.write_all(answer.as_bytes()).await;
        });
        let outcome = look(to, &http("cafecafe")).await;
        serving.abort();
        outcome
    }

    #[tokio::test]
    async fn only_the_nonce_is_an_answer() {
        assert!(matches!(answered_by("HTTP/1.1 200 OK\r\n\r\ncafecafe").await, ProbeOutcome::Answered { .. }));
        for answer in ["HTTP/1.1 200 OK\r\n\r\nrouter login", "HTTP/1.1 404 No\r\n\r\ncafecafe", ""] {
            assert_eq!(answered_by(answer).await, ProbeOutcome::WrongAnswer, "{answer}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(look(closed, &ProbeKind::Connect).await, ProbeOutcome::Refused);
    }

    #[test]
    fn the_server_s_name_is_the_host_alone() {
        for (host, name) in [
            ("a.test:8443", "a.test"),
            ("a.test", "a.test"),
            ("[2001:db8::1]:8443", "2001:db8::1"),
            ("11.0.0.1:1", "11.0.0.1"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn nothing_else_gets_into_the_request() {
        assert!(is_plain(&http("cafecafe")));
        assert!(!is_plain(&http("short")) && !is_plain(&http("cafe/../../")) && !is_plain(&http(&"a".repeat(65))));
        for host in ["", "a b", "a\u{d}", "a/b", "a@b", &"a".repeat(261)] {
            assert!(!is_plain(&ProbeKind::Https { host: host.to_owned(), nonce: "cafecafe".to_owned() }), "{host}");
        }
    }
}
