//! What goes wrong: crashes at every step, authorities that are down or refuse, names that lead elsewhere, full disks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use doorstep_certs::{CertState, ManagerOptions};
use doorstep_model::{Blame, Issuer};

const STEPS: [&str; 10] =
    ["account", "order", "order-kept", "challenge", "answered", "ready", "validated", "finalized", "issued", "kept"];

/// As kill -9 would: what was under way is gone, and a new manager finds what is on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_step() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    for (number, crash_at) in STEPS.into_iter().enumerate() {
        let name = format!("step{number}.test");
        let crashed = Arc::new(AtomicBool::new(false));
        let flag = crashed.clone();
        let checkpoint = move |step: &str| {
            let stops = step == crash_at;
            flag.fetch_or(stops, Ordering::SeqCst);
            !stops
        };
        let options = ManagerOptions { checkpoint: Some(Arc::new(checkpoint)), ..lab.options(&[&name]) };
        run_until(&lab.manager(options), |_| crashed.load(Ordering::SeqCst)).await;
        let again = lab.manager(lab.options(&[&name]));
        run_until(&again, all_valid).await;
        assert!(handshake(lab.web.tls, &name).await.is_ok(), "{crash_at}");
        assert!(!lab.file(&format!("certs/{name}/order.json")).exists(), "{crash_at}");
        // An order that was kept is gone on with, not placed again; unless the authority looked while nobody answered.
        let ledger: serde_json::Value = serde_json::from_str(&read(&lab.file("ledger.json"))).unwrap();
        let entries = ledger["issuers"]["pebble"].as_array().unwrap();
        let orders = entries.iter().filter(|entry| entry["name"] == name.as_str() && entry["what"] == "order").count();
        let refused = entries.iter().any(|entry| entry["name"] == name.as_str() && entry["what"] == "failure");
        assert!(orders == 1 || crash_at == "ready" && refused && orders == 2, "{crash_at}: {entries:#?}");
    }
}

/// The order that was under way has vanished meanwhile, and so has the account.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_forgot_everything() {
    let Some(mut lab) = Lab::start(PebbleOptions::default()).await else { return };
    let crashed = Arc::new(AtomicBool::new(false));
    let flag = crashed.clone();
    let checkpoint = move |step: &str| {
        flag.fetch_or(step == "challenge", Ordering::SeqCst);
        step != "challenge"
    };
    let options = ManagerOptions { checkpoint: Some(Arc::new(checkpoint)), ..lab.options(&["a.test"]) };
    run_until(&lab.manager(options), |_| crashed.load(Ordering::SeqCst)).await;
    lab.pebble.start_again().await;
    let again = lab.manager(lab.options(&["a.test"]));
    run_until(&again, all_valid).await;
    assert_eq!(lab.ids(), ["certificate-obtained"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_down_and_comes_back() {
    let Some(mut lab) = Lab::start(PebbleOptions::default()).await else { return };
    lab.pebble.stop();
    let manager = lab.manager(lab.options(&["a.test"]));
    run_until(&manager, any_error).await;
    let error = status(&manager, "a.test").error.unwrap();
    assert_eq!((lab.ids(), error.blame), (vec!["acme-unreachable"], Blame::Upstream));
    assert!(status(&manager, "a.test").next_at.unwrap() >= error.at + 30);
    // What a crash loop does: a new start does not try at once.
    let ask =
        lab.manager(ManagerOptions { checkpoint: Some(Arc::new(|step| panic!("{step}"))), ..lab.options(&["a.test"]) });
    assert!(status(&ask, "a.test").next_at.unwrap() >= error.at + 30);
    lab.pebble.start_again().await;
    manager.renew(&"a.test".parse().unwrap()).unwrap();
    run_until(&manager, all_valid).await;
    assert_eq!(status(&manager, "a.test").error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_issuer_takes_over() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let mut options = lab.options(&["a.test"]);
    let down = Issuer { directory: format!("https://127.0.0.1:{}/dir", free_port()), ..lab.pebble.issuer() };
    options.issuance.issuers.insert(0, another_issuer("down", down));
    let manager = lab.manager(options);
    run_until(&manager, all_valid).await;
    assert!(read(&lab.file("certs/a.test/meta.json")).contains("\"pebble\""));
}

/// The authority's own check fails: it is counted, and the certificate that is there serves on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_leaves_the_old_certificate() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let manager = lab.manager(lab.options(&["a.test"]));
    run_until(&manager, all_valid).await;
    let before = status(&manager, "a.test").certificate;
    lab.dns.remove("a.test");
    let mut options = lab.options(&["a.test"]);
    options.issuance.skip_precheck = true;
    let manager = lab.manager(options);
    manager.renew(&"a.test".parse().unwrap()).unwrap();
    run_until(&manager, any_error).await;
    let after = status(&manager, "a.test");
    assert_eq!((after.certificate, after.state), (before, CertState::Valid));
    assert_eq!(after.error.as_ref().unwrap().blame, Blame::Environment);
    assert!(read(&lab.file("ledger.json")).contains("failure"));
    assert!(!lab.file("certs/a.test/order.json").exists());
    assert!(handshake(lab.web.tls, "a.test").await.is_ok());
}

/// Found before the authority is asked: no account is used up, no order placed.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_do_not_lead_here() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    lab.dns.remove("unknown.test");
    lab.dns.set_address("elsewhere.test", [127, 0, 0, 77]);
    let manager = lab.manager(lab.options(&["unknown.test", "elsewhere.test"]));
    run_until(&manager, |manager| manager.status().iter().all(|status| status.error.is_some())).await;
    let what = |name| status(&manager, name).error.unwrap().what;
    assert!(what("unknown.test").contains("no address"), "{}", what("unknown.test"));
    assert!(what("elsewhere.test").contains("127.0.0.77"), "{}", what("elsewhere.test"));
    assert!(!lab.pebble.log().contains("POST /order-plz"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_at_the_name() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let other = Web::start(doorstep_certs::CertTable::new().unwrap(), Default::default()).await;
    let mut options = lab.options(&["a.test"]);
    options.ports = doorstep_certs::Ports { http: other.http, tls: other.tls };
    let manager = lab.manager(options);
    run_until(&manager, any_error).await;
    assert_eq!(lab.ids(), ["name-elsewhere"]);
    assert!(status(&manager, "a.test").error.unwrap().what.contains("404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_authority_does_not_serve() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let manager = lab.manager(lab.options(&["blocked.test"]));
    run_until(&manager, any_error).await;
    assert_eq!(lab.ids(), ["acme-rejected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_the_disk_it_is_used_from_memory() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    // A file where the folder should be: not even root can write there.
    std::fs::write(lab.file("certs"), "").unwrap();
    let manager = lab.manager(lab.options(&["a.test"]));
    run_until(&manager, |manager| status(manager, "a.test").state == CertState::Valid).await;
    assert!(!status(&manager, "a.test").certificate.unwrap().stored);
    assert!(handshake(lab.web.tls, "a.test").await.is_ok());
    assert_eq!(lab.ids().iter().filter(|id| **id == "state-not-written").count(), 1);
    // Room again: it is kept without another order.
    std::fs::remove_file(lab.file("certs")).unwrap();
    run_until(&manager, all_valid).await;
    assert!(lab.file("certs/a.test/key.pem").exists());
}

/// This computer's clock is years behind the authority's: the certificate only looks old or young, and none is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_clock_nothing_is_asked_for() {
    let Some(lab) = Lab::start(PebbleOptions::default()).await else { return };
    let front = AriFront::start("front", &lab.pebble.issuer(), ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z")).await;
    let mut options = lab.options(&["a.test"]);
    options.issuance.issuers = vec![front.issuer.clone()];
    run_until(&lab.manager(options.clone()), all_valid).await;
    let orders = lab.pebble.log().matches("POST /order-plz").count();
    *front.date.lock() = Some("Thu, 01 Jan 2099 00:00:00 GMT".into());
    let manager = lab.manager(options);
    manager.renew(&"a.test".parse().unwrap()).unwrap();
    run_until(&manager, any_error).await;
    assert!(lab.ids().contains(&"clock-wrong"), "{:?}", lab.ids());
    assert_eq!(status(&manager, "a.test").state, CertState::Valid);
    assert_eq!(lab.pebble.log().matches("POST /order-plz").count(), orders);
}
