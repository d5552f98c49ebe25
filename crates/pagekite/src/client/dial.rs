use std::sync::Arc;

use doorstep_model::{Pem, Upstream, UpstreamAddr};
use doorstep_net::{Connect, Connector, Io};
use doorstep_proto::pagekite::{parse_tls_answer, tls_request};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::FrontEndAt;
use crate::limits::TLS_HANDSHAKE;
use crate::link::notice_silence;

/// Makes connections to front-ends.
pub(super) struct Dialler {
    connector: Connector,
    roots: Option<Pem>,
    tls: Option<Arc<ClientConfig>>,
}

impl Dialler {
    pub fn new(roots: Option<Pem>) -> Self {
        Self { connector: Connector::new(), roots, tls: None }
    }

    /// A connection that is ready for a tunnel.
    ///
    /// # Errors
    /// In words.
    pub async fn dial(&mut self, at: &FrontEndAt) -> Result<Io, String> {
        let addr = UpstreamAddr::Tcp { host: at.host.clone(), port: at.port };
        let plain = Upstream::plain(addr, &at.to_string());
        let mut io = self.connector.connect(&plain).await.map_err(|error| error.to_string())?;
        notice_silence(&io);
        let Some(name) = &at.tls else { return Ok(io) };
        let config = self.config().await?;
        let server = ServerName::try_from(name.clone())
            .map_err(|_| format!("{name} is not a name that a certificate could have"))?;
        let secure = async {
            ask_for_tls(&mut io, name).await?;
            let connected = TlsConnector::from(config).connect(server, io).await;
            connected.map_err(|error| explain(&error, name))
        };
        let late = || format!("the front-end {at} did not finish TLS within {} s", TLS_HANDSHAKE.as_secs());
        let stream = timeout(TLS_HANDSHAKE, secure).await.unwrap_or_else(|_| Err(late()))?;
        Ok(Io::Other(Box::new(stream)))
    }

    async fn config(&mut self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = &self.tls {
            return Ok(config.clone());
        }
        let roots = self.roots.clone();
        // Reads a few hundred files.
        let made =
            tokio::task::spawn_blocking(move || config(roots.as_ref())).await.map_err(|error| error.to_string())?;
        Ok(self.tls.insert(made?).clone())
    }
}

/// Front-ends begin TLS for a tunnel when they were asked to.
async fn ask_for_tls(io: &mut Io, name: &str) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("the front-end hung up before TLS began: {error}");
    io.write_all(tls_request(name).as_bytes()).await.map_err(broken)?;
    io.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    loop {
        // One byte at a time, so that none of TLS is taken along; there are not many.
        answer.push(io.read_u8().await.map_err(broken)?);
        match parse_tls_answer(&answer) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            Err(error) => return Err(format!("the front-end has no TLS for {name}: {error}")),
        }
    }
}

fn config(roots: Option<&Pem>) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.text.as_bytes()) {
                let certificate = certificate.map_err(|error| format!("the roots for the front-end: {error:?}"))?;
                store.add(certificate).map_err(|error| format!("the roots for the front-end: {error}"))?;
            }
        }
        None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if store.is_empty() {
        return Err("there are no trusted root certificates. Install the package ca-certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    // No protocol by ALPN: a front-end that shares its port with visitors would take it for one of theirs.
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

fn explain(error: &std::io::Error, name: &str) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the front-end's certificate has expired".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the front-end's certificate is not for {name}: name the host that it is for")
            }
            CertificateError::UnknownIssuer => {
                "the front-end's certificate is signed by nobody that this computer trusts".to_owned()
            }
            other => format!("the front-end's certificate: {other:?}"),
        },
        _ => format!("TLS with the front-end failed: {error}"),
    }
}
