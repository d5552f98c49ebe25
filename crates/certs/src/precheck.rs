//! Before an authority is asked: does the name lead here, and would a challenge be answered?

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use doorstep_model::Blame;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::dns::Lookup;
use crate::fault::{Fault, Then};
use crate::limits::{PRECHECK, PRECHECK_ANSWER};
use crate::request::Ports;
use crate::tls::ACME_TLS;
use crate::{CertTable, Http01Answers};

/// What was found at one address.
#[derive(Debug)]
enum Seen {
    Us,
    /// Somebody answered, and it was not us.
    Other(String),
    /// Nobody answered.
    Nobody(String),
}

/// Whether http-01 would be answered: our own request for a nonce, at every address of the name.
pub(crate) async fn http(lookup: &Lookup, answers: &Http01Answers, host: &str, ports: Ports) -> Result<(), Fault> {
    let (token, text) = (random()?, random()?);
    let _answer = answers.provide(&token, &text);
    for ip in addresses(lookup, host).await? {
        let seen = match timeout(PRECHECK, fetch(SocketAddr::new(ip, ports.http), host, &token)).await {
            Ok(Ok(answer)) if answer.trim_end().ends_with(&text) => Seen::Us,
            Ok(Ok(answer)) => Seen::Other(answer.lines().next().unwrap_or("nothing").chars().take(80).collect()),
            Ok(Err(error)) => Seen::Nobody(error.to_string()),
            Err(_) => Seen::Nobody("no answer within 5 seconds".into()),
        };
        judge(host, ip, ports.http, seen).await?;
    }
    Ok(())
}

/// Whether tls-alpn-01 would be answered: our own handshake, at every address of the name.
pub(crate) async fn tls_alpn(lookup: &Lookup, table: &CertTable, host: &str, ports: Ports) -> Result<(), Fault> {
    let mut digest = [0; 32];
    aws_lc_rs::rand::fill(&mut digest).map_err(|_| no_random())?;
    let shown = table.show_challenge(host, &digest).map_err(|error| {
        Fault::new("challenge", Blame::Doorstep, format!("tls-alpn-01 cannot be answered: {error}."), "")
    })?;
    for ip in addresses(lookup, host).await? {
        let seen = match timeout(PRECHECK, certificate(SocketAddr::new(ip, ports.tls), host)).await {
            Ok(Ok(Some(certificate))) if certificate == shown.certificate => Seen::Us,
            Ok(Ok(_)) => Seen::Other("another certificate".into()),
            Ok(Err(Handshake::Tls(why))) => Seen::Other(why),
            Ok(Err(Handshake::Connect(why))) => Seen::Nobody(why),
            Err(_) => Seen::Nobody("no answer within 5 seconds".into()),
        };
        judge(host, ip, ports.tls, seen).await?;
    }
    Ok(())
}

async fn addresses(lookup: &Lookup, host: &str) -> Result<Vec<IpAddr>, Fault> {
    let addresses = lookup.addresses(host).await?;
    if addresses.is_empty() {
        let what = format!("{host} has no address in the DNS.");
        let fix = format!("Add an A or AAAA record for {host} that says this computer's public address.");
        return Err(Fault::new("name-unknown", Blame::Environment, what, fix).then(Then::LookAgain));
    }
    Ok(addresses)
}

/// What the finding at one address means. An address that nobody answers at is no proof where a router stands between us
/// and it: many do not lead their own network's requests back in.
async fn judge(host: &str, ip: IpAddr, port: u16, seen: Seen) -> Result<(), Fault> {
    let elsewhere = |what: String, fix: String| {
        Err(Fault::new("name-elsewhere", Blame::Environment, what, fix).then(Then::LookAgain))
    };
    match seen {
        Seen::Us => Ok(()),
        Seen::Other(answer) => {
            let what = format!(
                "{host} leads to {ip}, and whoever answers there at port {port} is not this doorstep ({answer})."
            );
            elsewhere(
                what,
                format!("Let the records of {host} say only this computer's address, or let port {port} lead here."),
            )
        }
        Seen::Nobody(why) => match our_address_towards(ip).await {
            Some(ours) if ours == ip => {
                let what = format!("{host} leads to this computer ({ip}), but nobody answers at port {port}: {why}.");
                elsewhere(what, format!("Let doorstep listen at port {port}, and let the firewall pass it."))
            }
            Some(ours) if is_private(ours) && !is_private(ip) => Ok(()),
            // An address of a kind that this computer cannot reach at all: only the authority can tell.
            None => Ok(()),
            Some(ours) => {
                let what = format!(
                    "{host} leads to {ip}, where nobody answers at port {port} ({why}); this computer has the address {ours}."
                );
                elsewhere(what, format!("Let the records of {host} say this computer's public address."))
            }
        },
    }
}

/// The address that this computer would send from. Nothing is sent.
async fn our_address_towards(ip: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if ip.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect((ip, 9)).await.ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Behind a router that translates addresses.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// The whole answer to a request as an authority makes it, cut at a bound.
async fn fetch(at: SocketAddr, host: &str, token: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: doorstep\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(PRECHECK_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

enum Handshake {
    Connect(String),
    Tls(String),
}

/// The certificate that is shown to a validator of tls-alpn-01.
async fn certificate(at: SocketAddr, host: &str) -> Result<Option<CertificateDer<'static>>, Handshake> {
    let tls = |error: &dyn std::fmt::Display| Handshake::Tls(error.to_string());
    let stream = TcpStream::connect(at).await.map_err(|error| Handshake::Connect(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(&error))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| tls(&error))?;
    let certificates = stream.get_ref().1.peer_certificates();
    Ok(certificates.and_then(|all| all.first()).map(|certificate| certificate.clone().into_owned()))
}

/// Takes every certificate: it is compared with our own afterwards, and nothing is sent over the connection.
#[derive(Debug)]
struct Anybody;

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

fn no_random() -> Fault {
    Fault::new("random", Blame::Environment, "this computer gave no random numbers.", "")
}

/// A token that nobody can guess.
fn random() -> Result<String, Fault> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| no_random())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
