use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use doorstep_model::Pem;
use http::header::{DATE, RETRY_AFTER, USER_AGENT};
use http::response::Parts;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::CertsError;
use crate::limits::{ACME_ANSWER, ACME_REQUEST, RETRY_AFTERS};

const OURS: HeaderValue = HeaderValue::from_static(concat!("doorstep/", env!("CARGO_PKG_VERSION")));

/// HTTPS to one authority, and what its answers say besides their bodies. Clones share connections.
#[derive(Clone)]
pub(crate) struct AuthorityHttp {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Its clock less ours, in seconds.
    skew: Option<i64>,
    retry_after: HashMap<String, SystemTime>,
    /// It turned a request down until then.
    busy_until: Option<SystemTime>,
}

impl AuthorityHttp {
    /// Trusts `roots`, or those of the system.
    ///
    /// # Errors
    /// When `roots` has no certificate that can be used.
    pub fn new(roots: Option<&Pem>) -> Result<Self, CertsError> {
        let mut store = RootCertStore::empty();
        match roots {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.text.as_bytes()) {
                    store.add(certificate.map_err(|error| CertsError::Pem(error.to_string()))?)?;
                }
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() {
            return Err(CertsError::Pem("there are no root certificates to know it by".into()));
        }
        let mut tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        // Connections are few; and sessions are remembered by host, whatever the port.
        tls.resumption = Resumption::disabled();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Requests are small and each waits for the answer before.
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), seen: Arc::default() })
    }

    /// How far the authority's clock is ahead of ours, in seconds, as of its last answer.
    pub fn skew(&self) -> Option<i64> {
        self.seen.lock().skew
    }

    /// Until when it wants nothing more of us, as it said when it turned a request down.
    pub fn busy_until(&self) -> Option<SystemTime> {
        self.seen.lock().busy_until.filter(|until| *until > SystemTime::now())
    }

    /// When the authority wants to be asked again at `url`, if it said so with its last answer there.
    pub fn retry_after(&self, url: &str) -> Option<SystemTime> {
        self.seen.lock().retry_after.get(url).copied()
    }
}

impl HttpClient for AuthorityHttp {
    fn request(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        request.headers_mut().insert(USER_AGENT, OURS);
        let url = request.uri().to_string();
        let (answer, seen) = (self.client.request(request), self.seen.clone());
        let whole = async move {
            let (parts, body) = answer.await.map_err(|error| Error::Other(error.into()))?.into_parts();
            seen.lock().note(url, &parts, SystemTime::now());
            let body = Limited::new(body, ACME_ANSWER).collect().await.map_err(Error::Other)?.to_bytes();
            Ok(BytesResponse { parts, body: Box::new(body) })
        };
        Box::pin(async {
            let late = |_| Error::Other("it did not answer in time".into());
            tokio::time::timeout(ACME_REQUEST, whole).await.map_err(late)?
        })
    }
}

impl Seen {
    fn note(&mut self, url: String, answer: &Parts, now: SystemTime) {
        let text = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if let Some(date) = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()) {
            self.skew = Some(crate::leaf::seconds(date) - crate::leaf::seconds(now));
        }
        let after = text(RETRY_AFTER).and_then(|text| match text.trim().parse() {
            Ok(seconds) => now.checked_add(std::time::Duration::from_secs(seconds)),
            Err(_) => httpdate::parse_http_date(text).ok(),
        });
        if matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            self.busy_until = after;
        }
        match after {
            Some(at) if self.retry_after.len() < RETRY_AFTERS => drop(self.retry_after.insert(url, at)),
            _ => drop(self.retry_after.remove(&url)),
        }
    }
}
