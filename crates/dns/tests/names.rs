//! Names that follow this computer: at a real name server, and at services of dynamic DNS.

mod support;

use std::sync::Arc;
use std::time::Duration;

use doorstep_dns::{Again, Kind, NameState, News, undo};
use doorstep_model::Change;
use support::knot::{KEY, Knot, ZONE};
use support::service::Service;
use support::{Kept, Notebook, addresses, group, provider};

#[tokio::test]
async fn a_zone_of_one_s_own_follows_every_change() {
    let Some(knot) = Knot::start().await else { return };
    let notebook = Arc::new(Notebook::default());
    let name = format!("home.{ZONE}");
    let first = addresses(Some("192.0.2.1"), Some("2001:db8::1"), None);
    let mut kept = Kept::start(group(knot.settings(), &name), first.clone(), notebook.clone(), Some(knot.address));
    kept.seen().await;
    assert_eq!(knot.says("home", Kind::A).await, ["192.0.2.1"]);
    assert_eq!(knot.says("home", Kind::Aaaa).await, ["2001:db8::1"]);
    assert_eq!(kept.names.status()[0].state, NameState::Seen);

    // A family that is gone is gone from the zone too.
    kept.addresses.send(addresses(Some("192.0.2.2"), None, None)).unwrap();
    kept.seen().await;
    assert_eq!(knot.says("home", Kind::A).await, ["192.0.2.2"]);
    assert_eq!(knot.says("home", Kind::Aaaa).await, Vec::<String>::new());

    // Nothing is known: what there is stays.
    kept.addresses.send(addresses(None, None, None)).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(knot.says("home", Kind::A).await, ["192.0.2.2"]);

    let alias = addresses(None, None, Some((&name, "home.tun.example.net")));
    kept.addresses.send(alias).unwrap();
    kept.seen().await;
    assert_eq!(knot.says("home", Kind::Cname).await, ["home.tun.example.net"]);
    assert_eq!(knot.says("home", Kind::A).await, Vec::<String>::new());
    kept.addresses.send(first).unwrap();
    kept.seen().await;
    assert_eq!(knot.says("home", Kind::Cname).await, Vec::<String>::new());
    assert_eq!(knot.says("home", Kind::A).await, ["192.0.2.1"]);

    let changes = notebook.changes.lock().unwrap().clone();
    assert_eq!(changes.len(), 3, "each type of record was written down once: {changes:?}");
    for change in &changes {
        let Change::Record(change) = change else { panic!() };
        undo(change, &knot.settings()).await.unwrap();
        undo(change, &knot.settings()).await.unwrap();
    }
    assert_eq!(knot.says("home", Kind::A).await, Vec::<String>::new());
    assert_eq!(knot.says("home", Kind::Aaaa).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_there_before_comes_back() {
    let Some(knot) = Knot::start().await else { return };
    let notebook = Arc::new(Notebook::default());
    let first = addresses(Some("192.0.2.1"), None, None);
    let mut kept =
        Kept::start(group(knot.settings(), &format!("old.{ZONE}")), first, notebook.clone(), Some(knot.address));
    kept.seen().await;
    drop(kept);
    let changes = notebook.changes.lock().unwrap().clone();
    for change in &changes {
        let Change::Record(change) = change else { panic!() };
        undo(change, &knot.settings()).await.unwrap();
    }
    assert_eq!(knot.says("old", Kind::A).await, ["192.0.2.77"]);
}

#[tokio::test]
async fn after_a_restart_nothing_is_sent_that_is_there_already() {
    let Some(knot) = Knot::start().await else { return };
    let notebook = Arc::new(Notebook::default());
    let first = addresses(Some("192.0.2.1"), None, None);
    let start = |settings| {
        Kept::start(group(settings, &format!("home.{ZONE}")), first.clone(), notebook.clone(), Some(knot.address))
    };
    start(knot.settings()).seen().await;
    // With a key that may change nothing, an update would be refused.
    let mut again = start(knot.settings_with("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"));
    again.seen().await;
    assert_eq!(notebook.changes.lock().unwrap().len(), 2, "A and AAAA, once");
}

#[tokio::test]
async fn a_wrong_key_and_another_s_zone_are_told_and_change_nothing() {
    let Some(knot) = Knot::start().await else { return };
    let first = addresses(Some("192.0.2.1"), None, None);
    let wrong = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
    let start =
        |settings, name: &str| Kept::start(group(settings, name), first.clone(), Arc::default(), Some(knot.address));
    let fault = start(knot.settings_with(wrong), &format!("home.{ZONE}")).fault().await;
    assert_eq!(fault.again, Again::Never, "{fault:?}");
    assert!(!fault.what.contains(wrong) && fault.what.contains("rfc2136"), "{fault:?}");
    assert_eq!(knot.says("home", Kind::A).await, Vec::<String>::new());

    let mut settings = knot.settings();
    settings.settings.insert("zone".into(), doorstep_model::Secret::new("example.org".into()));
    let fault = start(settings, "home.example.org").fault().await;
    assert_eq!(fault.again, Again::Never, "{fault:?}");
    assert!(fault.what.contains("example.org"), "{fault:?}");
    assert!(KEY.1.len() > 8 && !fault.what.contains(KEY.1));
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let Some(knot) = Knot::start().await else { return };
    let notebook = Arc::new(Notebook { full: true, ..Notebook::default() });
    let first = addresses(Some("192.0.2.1"), None, None);
    let mut kept = Kept::start(group(knot.settings(), &format!("home.{ZONE}")), first, notebook, Some(knot.address));
    assert_eq!(kept.fault().await.id, "journal");
    assert_eq!(knot.says("home", Kind::A).await, Vec::<String>::new());
}

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

/// A name server that refuses every question: what was sent is all there is to go by.
async fn nobody() -> Option<std::net::SocketAddr> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // An answer (QR) with the code REFUSED (RFC 1035 section 4.1.1).
            buffer[2] |= 0x80;
            buffer[3] = buffer[3] & 0xf0 | 5;
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    Some(address)
}
