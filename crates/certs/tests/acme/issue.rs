//! Certificates from a real ACME server, Pebble, by each challenge and through each kind of trouble.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use doorstep_certs::{CertState, ManagerOptions};
use doorstep_model::{Blame, ChallengeKind, DnsProvider, Issuer, Secret};

fn rfc2136(lab: &Lab) -> DnsProvider {
    let settings =
        [("server", lab.dns.address.to_string()), ("key_name", TSIG_KEY.0.into()), ("key", TSIG_KEY.1.into())];
    let settings: BTreeMap<_, _> =
        settings.into_iter().map(|(key, value)| (key.to_owned(), Secret::new(value))).collect();
    DnsProvider { kind: "rfc2136".into(), settings }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_and_what_is_on_disk_and_served() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let manager = lab.manager(lab.options(&["www.test", "blog.test"]));
    assert_eq!(status(&manager, "www.test").state, CertState::Pending);
    assert!(handshake(lab.web.tls, "www.test").await.is_err());
    run_until(&manager, all_valid).await;
    let seen = handshake(lab.web.tls, "www.test").await.unwrap();
    let facts = status(&manager, "www.test").certificate.unwrap();
    assert_eq!(doorstep_certs::fingerprint(&seen), facts.fingerprint);
    assert_eq!(facts.names, ["www.test"]);
    assert!(handshake(lab.web.tls, "other.test").await.is_err());
    assert!(read(&lab.file("certs/www.test/chain.pem")).matches("BEGIN CERTIFICATE").count() >= 2);
    assert!(read(&lab.file("certs/www.test/key.pem")).contains("PRIVATE KEY"));
    assert!(read(&lab.file("accounts/pebble/account.json")).contains("me@doorstep.test"));
    assert!(!lab.file("certs/www.test/order.json").exists() && !lab.file("certs/www.test/next.pem").exists());
    assert_eq!(lab.ids(), ["certificate-obtained"; 2]);
    // The next start serves it at once and asks for nothing.
    let again = lab
        .manager(ManagerOptions { checkpoint: Some(Arc::new(|step| panic!("{step}"))), ..lab.options(&["www.test"]) });
    assert_eq!(status(&again, "www.test").certificate.unwrap().fingerprint, facts.fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let mut options = lab.options(&["a.test"]);
    options.issuance.challenges = vec![ChallengeKind::TlsAlpn01];
    let manager = lab.manager(options);
    run_until(&manager, all_valid).await;
    assert!(!lab.pebble.log().contains("validate w/ HTTP"), "it was another challenge");
}

/// Port 80 leads nowhere, so the other challenge is taken without asking the authority in vain.
#[tokio::test(flavor = "multi_thread")]
async fn the_challenge_that_can_work_is_chosen() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let mut options = lab.options(&["a.test"]);
    options.ports.http = free_port();
    let manager = lab.manager(options);
    run_until(&manager, all_valid).await;
    assert_eq!(lab.ids(), ["certificate-obtained"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_for_a_wildcard_by_a_signed_update() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let mut options = lab.options(&["*.wild.test"]);
    options.issuance.dns = Some(rfc2136(&lab));
    let manager = lab.manager(options);
    run_until(&manager, all_valid).await;
    assert_eq!(status(&manager, "*.wild.test").certificate.unwrap().names, ["*.wild.test"]);
    assert!(handshake(lab.web.tls, "a.wild.test").await.is_ok());
    assert!(handshake(lab.web.tls, "a.b.wild.test").await.is_err());
    // The record was put and taken away again.
    assert_eq!((lab.dns.updates(), lab.dns.texts("_acme-challenge.wild.test")), (2, 0));
    assert!(lab.file("certs/wildcard@wild.test/key.pem").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_where_a_cname_leads() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    lab.dns.set_cname("_acme-challenge.shop.test", "shop.acme-zone.test");
    let mut options = lab.options(&["shop.test"]);
    options.issuance.dns = Some(rfc2136(&lab));
    options.issuance.challenges = vec![ChallengeKind::Dns01];
    let steps = Arc::new(AtomicBool::new(false));
    let (seen, zone) = (steps.clone(), lab.dns.clone());
    options.checkpoint = Some(Arc::new(move |step| {
        if step == "answered" {
            seen.store(zone.texts("shop.acme-zone.test") == 1, Ordering::Relaxed);
        }
        true
    }));
    let manager = lab.manager(options);
    run_until(&manager, all_valid).await;
    assert!(steps.load(Ordering::Relaxed), "the record was not put where the CNAME leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_tsig_key_is_said_and_nothing_is_asked_for_twice() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let mut options = lab.options(&["*.wild.test"]);
    let mut provider = rfc2136(&lab);
    provider.settings.insert("key".into(), Secret::new("d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc=".into()));
    options.issuance.dns = Some(provider);
    let manager = lab.manager(options);
    run_until(&manager, any_error).await;
    let error = status(&manager, "*.wild.test").error.unwrap();
    assert_eq!((lab.ids(), error.failures, error.blame), (vec!["dns-update"], 1, Blame::Environment));
    assert!(!error.what.contains("d3Jvbmct"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_account_is_bound() {
    let Some(lab) = Lab::start(PebbleOptions { external: true, ..PebbleOptions::default() }).await else { return };
    let without = Issuer { account: None, ..lab.pebble.issuer() };
    let mut options = lab.options(&["a.test"]);
    options.issuance.issuers = vec![another_issuer("unbound", without)];
    let manager = lab.manager(options);
    run_until(&manager, any_error).await;
    assert_eq!(lab.ids(), ["acme-external-account"]);
    let manager = lab.manager(lab.options(&["b.test"]));
    run_until(&manager, all_valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_by_hand_and_by_age() {
    // Good for a minute: two thirds are soon over.
    let Some(lab) = Lab::start(PebbleOptions { validity: 6, ..PebbleOptions::default() }).await else { return };
    let manager = lab.manager(lab.options(&["a.test"]));
    let serial =
        |manager: &doorstep_certs::Manager| status(manager, "a.test").certificate.map(|certificate| certificate.serial);
    run_until(&manager, |manager| serial(manager).is_some()).await;
    let first = serial(&manager);
    run_until(&manager, |manager| serial(manager) != first).await;
    let second = serial(&manager);
    manager.renew(&"a.test".parse().unwrap()).unwrap();
    run_until(&manager, |manager| serial(manager) != second).await;
    assert!(manager.renew(&"b.test".parse().unwrap()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_when_the_authority_says_so() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let front = AriFront::start("front", &lab.pebble.issuer(), ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z")).await;
    let mut options = lab.options(&["a.test"]);
    let mut issuer = front.issuer.clone();
    issuer.profile = Some("classic".into());
    options.issuance.issuers = vec![issuer];
    let issuance = options.issuance.clone();
    let manager = lab.manager(options);
    run_until(&manager, |manager| all_valid(manager) && front.asked() > 0).await;
    let first = status(&manager, "a.test").certificate.unwrap().serial;
    // It wants all of them replaced now, as after an incident. The next start asks it at the latest.
    *front.window.lock() = ("2020-01-01T00:00:00Z".into(), "2020-01-02T00:00:00Z".into());
    let meta = lab.file("certs/a.test/meta.json");
    let mut forgotten: serde_json::Value = serde_json::from_str(&read(&meta)).unwrap();
    forgotten["suggestion"] = serde_json::Value::Null;
    doorstep_store::write_private(&meta, forgotten.to_string().as_bytes()).unwrap();
    let again = lab.manager(ManagerOptions { issuance, ..lab.options(&["a.test"]) });
    run_until(&again, |manager| status(manager, "a.test").certificate.unwrap().serial != first).await;
}

/// Half of all good nonces are rejected: ten names within ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn ten_names_with_half_of_the_nonces_rejected() {
    let Some(lab) = Lab::start(PebbleOptions { reject_nonces: 50, ..PebbleOptions::default() }).await else { return };
    let names: Vec<String> = (0..10).map(|number| format!("n{number}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let manager = lab.manager(lab.options(&names));
    let since = Instant::now();
    run_until(&manager, all_valid).await;
    println!("ten names in {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(lab.ids(), ["certificate-obtained"; 10]);
}

/// Nine of ten good nonces are rejected: a hundred names, not one attempt failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_names_with_nine_of_ten_nonces_rejected() {
    let Some(lab) = Lab::start(PebbleOptions { reject_nonces: 90, ..PebbleOptions::default() }).await else { return };
    let names: Vec<String> = (0..100).map(|number| format!("n{number}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let manager = lab.manager(lab.options(&names));
    let since = Instant::now();
    run_until(&manager, all_valid).await;
    println!("a hundred names in {:?}", since.elapsed());
    assert_eq!(lab.ids(), ["certificate-obtained"; 100]);
}
