//! Whether an address of the internet leads here: our own request, with a word that only this run of doorstep knows.

use doorstep_model::{Upstream, UpstreamAddr};
use doorstep_net::{Connect, ConnectError, Connector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::limits;

/// What became of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Answers,
    /// It answers, with a certificate that cannot be verified.
    Untrusted(String),
    Silent(String),
}

/// Asks `url` until it answers, at most for [`limits::TUNNEL_PROOF`]: a name that was just granted may still wait for its
/// certificate. A name that leads nowhere is not waited for as long.
pub async fn of(connector: &Connector, url: &str, nonce: &str) -> Proof {
    let Some(upstream) = upstream(url) else { return Proof::Silent("its form is not known".to_owned()) };
    let end = Instant::now() + limits::TUNNEL_PROOF;
    let mut nameless = 0;
    loop {
        let asked = timeout(limits::PROOF_TIME, ask(connector, &upstream, nonce)).await;
        let why = match asked {
            Ok(Ok(())) => return verified(connector, upstream, nonce).await,
            Ok(Err(Failed::Name(why))) => {
                nameless += 1;
                if nameless >= limits::PROOF_TRIES {
                    return Proof::Silent(why);
                }
                why
            }
            Ok(Err(Failed::Other(why))) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        if Instant::now() >= end {
            return Proof::Silent(why);
        }
        sleep(limits::TUNNEL_PROOF_AGAIN).await;
    }
}

/// The same again, as a browser does it.
async fn verified(connector: &Connector, mut upstream: Upstream, nonce: &str) -> Proof {
    if !upstream.tls {
        return Proof::Answers;
    }
    upstream.insecure = false;
    match timeout(limits::PROOF_TIME, ask(connector, &upstream, nonce)).await {
        Ok(Err(Failed::Other(why))) => Proof::Untrusted(why),
        _ => Proof::Answers,
    }
}

enum Failed {
    Name(String),
    Other(String),
}

async fn ask(connector: &Connector, upstream: &Upstream, nonce: &str) -> Result<(), Failed> {
    let mut io = connector.connect(upstream).await.map_err(|error| match error {
        ConnectError::Resolve { host, .. } => Failed::Name(format!("the name {host} leads nowhere in the DNS")),
        ConnectError::Tls { reason, .. } => Failed::Other(format!("no TLS with it ({reason})")),
        error => Failed::Other(error.to_string()),
    })?;
    let request = format!(
        "GET /.doorstep/ping/{nonce} HTTP/1.1\r\nHost: {}\r\nUser-Agent: doorstep\r\nConnection: close\r\n\r\n",
        upstream.authority
    );
    let lost = |error: std::io::Error| Failed::Other(error.to_string());
    io.write_all(request.as_bytes()).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;
    let mut answer = Vec::new();
    // An end without TLS's goodbye is an error, and the answer is complete all the same.
    let _ = io.take(limits::PROOF_ANSWER).read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    if text.starts_with("HTTP/1.1 200") && text.trim_end().ends_with(nonce) {
        return Ok(());
    }
    let line = text.lines().next().filter(|line| !line.is_empty()).unwrap_or("nothing");
    Err(Failed::Other(format!("somebody else answers ({})", line.chars().take(80).collect::<String>())))
}

/// `https://host[:port]`, whoever has the certificate.
fn upstream(url: &str) -> Option<Upstream> {
    let (scheme, rest) = url.split_once("://")?;
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = rest.split('/').next()?.to_owned();
    let usual = if tls { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority.as_str(), usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut upstream = Upstream::plain(UpstreamAddr::Tcp { host, port }, &authority);
    upstream.tls = tls;
    upstream.insecure = true;
    Some(upstream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |url| upstream(url).map(|upstream| (upstream.addr, upstream.tls, upstream.authority));
        let tcp = |host: &str, port| UpstreamAddr::Tcp { host: host.into(), port };
        assert_eq!(read("https://a.example"), Some((tcp("a.example", 443), true, "a.example".into())));
        assert_eq!(read("http://[::1]:8080/"), Some((tcp("::1", 8080), false, "[::1]:8080".into())));
        assert_eq!(read("tcp://a.example:22"), None);
    }

    #[tokio::test]
    async fn an_address_is_believed_when_it_knows_the_word() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            loop {
                let (mut conn, _) = server.accept().await.unwrap();
                let _ = conn.read(&mut [0; 1024]).await;
                let _ = conn.write_all(b"HTTP/1.1 200 OK\r\n\r\ncafe").await;
            }
        });
        assert_eq!(of(&Connector::new(), &url, "cafe").await, Proof::Answers);
        serving.abort();
    }
}
