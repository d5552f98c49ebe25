//! Names that follow this computer, at services of dynamic DNS.

mod support;

use std::sync::Arc;
use std::time::Duration;

use doorstep_dns::{Again, Kind, News, Provider, undo};
use doorstep_model::{DnsProvider, RecordChange};
use support::knot::{Knot, ZONE};
use support::service::Service;
use support::{Kept, Notebook, addresses, group, nobody, provider};

#[tokio::test]
async fn duck_dns_is_told_both_families_and_cleared_of_one_that_is_gone() {
    let service = Service::start(200, "OK").await;
    let settings = || provider("duckdns", &[("token", "s3cr3t-t0ken"), ("server", &service.url)]);
    let first = addresses(Some("192.0.2.1"), Some("2001:db8::1"), None);
    let mut kept = Kept::start(group(settings(), "myapp.duckdns.org"), first, Arc::default(), nobody().await);
    let News::Published { values, .. } = kept.next().await else { panic!() };
    assert_eq!(values, ["A 192.0.2.1", "AAAA 2001:db8::1"]);
    let lines = service.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("domains=myapp&token=s3cr3t%2Dt0ken&ip=192%2E0%2E2%2E1&ipv6=2001%3Adb8%3A%3A1 "),
        "{lines:?}"
    );

    kept.addresses.send(addresses(Some("192.0.2.2"), None, None)).unwrap();
    let News::Published { values, .. } = kept.next().await else { panic!() };
    assert_eq!(values, ["A 192.0.2.2"]);
    let lines = service.lines();
    assert!(lines[1].contains("clear=true") && lines[2].contains("ip=192%2E0%2E2%2E2 "), "{lines:?}");

    service.says(200, "KO");
    let other = addresses(Some("192.0.2.3"), None, None);
    let fault =
        Kept::start(group(settings(), "other.duckdns.org"), other, Arc::default(), nobody().await).fault().await;
    assert_eq!(fault.again, Again::Never);
    assert!(fault.what.contains("other.duckdns.org") && !fault.what.contains("s3cr3t"), "{fault:?}");
}

#[tokio::test]
async fn a_service_that_wants_to_be_left_alone_is() {
    for (status, body, again) in [
        (200, "badauth", Again::Never),
        (200, "abuse", Again::Never),
        (200, "nohost", Again::Never),
        (200, "911", Again::After(Duration::from_secs(1800))),
        (429, "", Again::After(Duration::from_secs(120))),
        (503, "", Again::After(Duration::from_secs(120))),
    ] {
        let service = Service::start(status, body).await;
        let settings = provider("dyndns2", &[("user", "ada"), ("password", "s3cr3t"), ("server", &service.url)]);
        let first = addresses(Some("192.0.2.1"), Some("2001:db8::1"), None);
        let mut kept = Kept::start(group(settings, "home.example.net"), first, Arc::default(), nobody().await);
        let fault = kept.fault().await;
        assert_eq!(fault.again, again, "{body}: {fault:?}");
        assert!(!format!("{fault:?}").contains("s3cr3t"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let asked = service.asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 1, "it was asked once, and then left alone");
        assert!(
            asked[0].contains("/nic/update?hostname=home%2Eexample%2Enet&myip=192%2E0%2E2%2E1,2001%3Adb8%3A%3A1 "),
            "{asked:?}"
        );
        assert!(asked[0].to_lowercase().contains("authorization: basic ywrhonmzy3izda==\r\n"), "{asked:?}");
        assert!(asked[0].to_lowercase().contains("user-agent: doorstep/"), "{asked:?}");
    }
}

fn duckdns(service: &Service) -> DnsProvider {
    provider("duckdns", &[("token", "s3cr3t-t0ken"), ("server", &service.url)])
}

fn dyndns2(service: &Service) -> DnsProvider {
    provider("dyndns2", &[("user", "ada"), ("password", "s3cr3t"), ("server", &service.url)])
}

/// Both families at `home`, as if a service had put them.
async fn both_at(knot: &Knot) {
    let zone = Provider::new(&knot.settings()).unwrap();
    let ips = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    zone.set_addresses(ZONE, &format!("home.{ZONE}"), &ips, 60, false).await.unwrap();
}

#[tokio::test]
async fn an_address_that_a_service_cannot_remove_is_no_reason_to_ask_it() {
    let Some(knot) = Knot::start().await else { return };
    both_at(&knot).await;
    let service = Service::start(200, "nochg").await;
    let first = addresses(Some("192.0.2.1"), None, None);
    let group = group(dyndns2(&service), &format!("home.{ZONE}"));
    Kept::start(group, first, Arc::default(), Some(knot.address)).seen().await;
    assert_eq!(service.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_is_not_told_the_same_again_because_its_servers_are_behind() {
    let Some(knot) = Knot::start().await else { return };
    both_at(&knot).await;
    let service = Service::start(200, "good").await;
    let notebook = Arc::new(Notebook::default());
    for _ in 0..2 {
        let group = group(dyndns2(&service), &format!("home.{ZONE}"));
        let now = addresses(Some("192.0.2.5"), None, None);
        let mut kept = Kept::start(group, now, notebook.clone(), Some(knot.address));
        let News::Published { values, .. } = kept.next().await else { panic!() };
        assert_eq!(values, ["A 192.0.2.5"]);
    }
    assert_eq!(service.lines().len(), 1, "the second doorstep knows what the first one sent");
}

#[tokio::test]
async fn an_end_between_sending_and_remembering_misses_no_update() {
    let service = Service::start(200, "OK").await;
    let notebook = Arc::new(Notebook::default());
    let start = |ip: &str| {
        let now = addresses(Some(ip), Some("2001:db8::1"), None);
        let notebook = notebook.clone();
        let group = group(duckdns(&service), "myapp.duckdns.org");
        async { Kept::start(group, now, notebook, nobody().await) }
    };
    start("192.0.2.1").await.next().await;
    let before = notebook.text.lock().unwrap().clone();
    // Nobody can be asked, and the service fails after it was told: the memory is that of a doorstep that was killed then.
    service.says(200, "nonsense");
    let _ = start("192.0.2.2").await.fault().await;
    assert_ne!(*notebook.text.lock().unwrap(), before, "it no longer says that the first address is there");
    service.says(200, "OK");
    start("192.0.2.1").await.next().await;
    assert!(service.lines()[2].contains("ip=192%2E0%2E2%2E1"), "{:?}", service.lines());
}

#[tokio::test]
async fn a_change_is_not_held_up_by_servers_that_are_behind() {
    let Some(knot) = Knot::start().await else { return };
    let service = Service::start(200, "OK").await;
    let first = addresses(Some("192.0.2.1"), None, None);
    let group = group(duckdns(&service), &format!("home.{ZONE}"));
    let mut kept = Kept::start(group, first, Arc::default(), Some(knot.address));
    let News::Published { .. } = kept.next().await else { panic!() };
    // The servers never answer with it.
    kept.addresses.send(addresses(Some("192.0.2.2"), None, None)).unwrap();
    let News::Published { values, .. } = kept.next().await else { panic!() };
    assert_eq!(values, ["A 192.0.2.2"]);
    let lines = service.lines();
    assert!(lines.len() == 2 && !lines[0].contains("clear") && !lines[1].contains("clear"), "{lines:?}");
}

#[tokio::test]
async fn taking_one_family_back_leaves_the_other() {
    let Some(knot) = Knot::start().await else { return };
    both_at(&knot).await;
    let service = Service::start(200, "OK").await;
    let change = RecordChange {
        provider: "duckdns".into(),
        zone: ZONE.into(),
        name: format!("home.{ZONE}"),
        record: Kind::A.to_string(),
        values: vec!["192.0.2.1".into()],
        before: Vec::new(),
        config: None,
    };
    undo(&change, &duckdns(&service), Some(knot.address)).await.unwrap();
    let lines = service.lines();
    assert!(lines.len() == 2 && lines[0].contains("clear=true"), "{lines:?}");
    assert!(lines[1].contains("&ipv6=2001%3Adb8%3A%3A1 ") && !lines[1].contains("ip=192"), "{lines:?}");

    // What was there before is put back, which leaves the other one by itself.
    undo(&RecordChange { before: vec!["192.0.2.7".into()], ..change }, &duckdns(&service), Some(knot.address))
        .await
        .unwrap();
    let lines = service.lines();
    assert!(lines.len() == 3 && lines[2].contains("&ip=192%2E0%2E2%2E7 "), "{lines:?}");
}
