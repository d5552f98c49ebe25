//! TLS to the front-end, and visitors' TLS that ends at the agent.

use std::sync::Arc;

use doorstep_model::Pem;
use doorstep_net::server_config;
use doorstep_pagekite::client::{ClientOptions, FrontEndAt};
use doorstep_proto::tunnel::Claim;
use doorstep_tunnel::{AgentEvent, Sink, Target, Visitor};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::app::{self, Engine, body, content, exchange, get};
use crate::client::{Agent, dial, http, options};
use crate::ours::Relay;
use crate::program::{DOMAIN, SECRET, Stock};

const HOST: &str = "frontend.lab.test";

struct Certified {
    config: Arc<ServerConfig>,
    roots: Pem,
    store: RootCertStore,
}

fn certified(name: &str) -> Certified {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = server_config(vec![cert.der().clone()], key.into()).unwrap();
    let mut store = RootCertStore::empty();
    store.add(cert.der().clone()).unwrap();
    Certified { config, roots: Pem { path: "roots.pem".into(), text: cert.pem().into() }, store }
}

fn secure(port: u16, roots: &Pem, name: &str) -> ClientOptions {
    let at = FrontEndAt { tls: Some(name.to_owned()), ..FrontEndAt::new("127.0.0.1", Some(port)) };
    ClientOptions { front_ends: vec![at], roots: Some(roots.clone()), ..options(&[]) }
}

#[tokio::test]
async fn tunnels_go_through_tls_that_was_verified() {
    let Certified { config, roots, .. } = certified(HOST);
    let relay = Relay::with(|options| {
        options.tls = Arc::new(move |host| (host == HOST).then(|| config.clone()));
        options.https = true;
    })
    .await;
    let app = app::start().await;
    let mut agent = Agent::start(secure(relay.port, &roots, HOST), vec![http(dial(app))]);
    assert_eq!(agent.lent(0).await, format!("https://{DOMAIN}/"));
    assert_eq!(body(&exchange(relay.port, get(DOMAIN, "/70000")).await), content(70_000));
    agent.handle.leave().await;
    relay.until_gone(DOMAIN).await;

    // Nobody is talked to who only says that they are the front-end.
    let stranger = certified(HOST);
    let mut agent = Agent::start(secure(relay.port, &stranger.roots, HOST), vec![http(dial(app))]);
    let why = agent
        .until(|event| match event {
            AgentEvent::Offline { why, .. } => Some(why.clone()),
            AgentEvent::Online { .. } => panic!("{event:?}"),
            _ => None,
        })
        .await;
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
async fn a_stock_back_end_comes_inside_tls() {
    let Certified { config, roots, .. } = certified(HOST);
    let relay = Relay::with(|options| {
        options.tls = Arc::new(move |host| (host == HOST).then(|| config.clone()));
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, roots.text.as_bytes()).unwrap();
    let service = format!("http:{DOMAIN}:127.0.0.1:{}:{SECRET}", app::start().await);
    let (certificates, name) = (format!("--ca_certs={}", file.display()), format!("--fe_certname={HOST}"));
    let _stock = Stock::back_end(relay.port, &[service], &[&certificates, &name]);
    relay.until_flown(DOMAIN).await;
    assert_eq!(body(&exchange(relay.port, get(DOMAIN, "/70000")).await), content(70_000));
}

#[tokio::test]
async fn visitors_tls_ends_at_the_agent() {
    let relay = Relay::start().await;
    let Certified { config, store, .. } = certified(DOMAIN);
    let handler = Arc::new(Engine::default());
    let target = Target::new(
        Claim::Tls { name: DOMAIN.to_owned() },
        Sink::ServeTls { select: Arc::new(config), handler: handler.clone() },
    );
    let mut agent = Agent::start(options(&[relay.port]), vec![target]);
    assert_eq!(agent.lent(0).await, format!("https://{DOMAIN}/"));
    relay.until_flown(DOMAIN).await;
    let lent = relay.registry.find_tls(DOMAIN).unwrap();
    let peer = "192.0.2.7:1234".parse().unwrap();
    let visitor = Visitor { peer, local: "127.0.0.1:443".parse().unwrap(), tls: None };
    let stream = lent.open(visitor).await.unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let name = ServerName::try_from(DOMAIN).unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    tls.write_all(&get(DOMAIN, "/70000")).await.unwrap();
    let mut answer = vec![0; 70_000 + 200];
    let mut read = 0;
    while !answer[..read].ends_with(&content(70_000)) {
        let more = tls.read(&mut answer[read..]).await.unwrap();
        assert!(more > 0, "{read} bytes");
        read += more;
    }
    assert_eq!(*handler.visitors.lock().unwrap(), [peer]);
}
