use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorstep_model::{Issuer, Pem};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::pebble::identity;

/// A directory in front of Pebble's that also has renewal windows (RFC 9773) and profiles, which Debian's Pebble has not.
/// All other addresses in it are Pebble's own.
pub struct AriFront {
    pub issuer: Issuer,
    /// The window that it suggests, as RFC 3339 times.
    pub window: Arc<Mutex<(String, String)>>,
    /// What its clock shows, as HTTP writes it; `None` shows none.
    pub date: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl AriFront {
    /// `directory` is the JSON text of Pebble's.
    pub async fn start(name: &str, pebble: &Issuer, window: (&str, &str)) -> Self {
        let (root, chain, key) = identity();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("https://{}", listener.local_addr().unwrap());
        let base = pebble.directory.trim_end_matches("/dir").to_owned();
        let window = Arc::new(Mutex::new((window.0.to_owned(), window.1.to_owned())));
        let asked = Arc::new(AtomicUsize::new(0));
        let date: Arc<Mutex<Option<String>>> = Arc::default();
        let directory = serde_json::json!({
            "newNonce": format!("{base}/nonce-plz"),
            "newAccount": format!("{base}/sign-me-up"),
            "newOrder": format!("{base}/order-plz"),
            "revokeCert": format!("{base}/revoke-cert"),
            "keyChange": format!("{base}/rollover-account-key"),
            "renewalInfo": format!("{own}/renewal-info"),
            "meta": { "profiles": { "classic": format!("{own}/classic") } },
        });
        let (for_window, for_asked, for_date) = (window.clone(), asked.clone(), date.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, window, asked) = (acceptor.clone(), for_window.clone(), for_asked.clone());
                let directory = directory.to_string();
                let date = for_date.lock().as_ref().map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.ok()?);
                    }
                    let body = if head.starts_with(b"GET /renewal-info/") {
                        asked.fetch_add(1, Ordering::Relaxed);
                        let (start, end) = window.lock().clone();
                        serde_json::json!({ "suggestedWindow": { "start": start, "end": end } }).to_string()
                    } else {
                        directory
                    };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\n{date}Content-Type: application/json\r\nRetry-After: 21600\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    stream.shutdown().await.ok()
                });
            }
        });
        // Both are to be trusted.
        let pebbles = pebble.roots.as_ref().unwrap();
        let roots = Pem { path: "both.pem".into(), text: format!("{root}{}", pebbles.text).into() };
        let issuer =
            Issuer { name: name.into(), directory: format!("{own}/dir"), roots: Some(roots), ..pebble.clone() };
        Self { issuer, window, date, asked }
    }

    /// How often somebody asked for a window.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
