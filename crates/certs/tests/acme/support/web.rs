use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_certs::{CertTable, Http01Answers};
use doorstep_net::{TlsChoice, TlsSelect};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::Acceptor;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

/// What a data plane does with the table and the answers.
pub struct Web {
    pub http: u16,
    pub tls: u16,
}

impl Web {
    pub async fn start(table: CertTable, answers: Http01Answers) -> Self {
        let (plain, secure) = (listen().await, listen().await);
        let web = Self { http: plain.local_addr().unwrap().port(), tls: secure.local_addr().unwrap().port() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = plain.accept().await {
                let answers = answers.clone();
                tokio::spawn(async move { answer(stream, &answers).await });
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = secure.accept().await {
                let table = table.clone();
                tokio::spawn(async move {
                    let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
                    let TlsChoice::Here(here) = table.select(&started.client_hello())? else { return None };
                    let mut stream = started.into_stream(here.config).await.ok()?;
                    stream.write_all(b"hello").await.ok()?;
                    stream.shutdown().await.ok()
                });
            }
        });
        web
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn answer(mut stream: TcpStream, answers: &Http01Answers) -> Option<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 8192 {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let token = head.split(' ').nth(1)?.strip_prefix("/.well-known/acme-challenge/");
    let text = match token.and_then(|token| answers.lookup(token)) {
        Some(body) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()),
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).await.ok()
}

/// The certificate that a client sees who asks for `name`, or why there was none.
pub async fn handshake(port: u16, name: &str) -> Result<CertificateDer<'static>, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

#[derive(Debug)]
pub struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
