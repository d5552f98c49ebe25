//! Names that follow this computer, at a real name server.

mod support;

use std::sync::Arc;
use std::time::Duration;

use doorstep_dns::{Again, Kind, NameState, undo};
use doorstep_model::Change;
use support::knot::{KEY, Knot, ZONE};
use support::{Kept, Notebook, addresses, group};

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
        undo(change, &knot.settings(), Some(knot.address)).await.unwrap();
        undo(change, &knot.settings(), Some(knot.address)).await.unwrap();
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
        undo(change, &knot.settings(), Some(knot.address)).await.unwrap();
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
    // The clock may be what is wrong, and may be set.
    assert_eq!(fault.again, Again::After(Duration::from_secs(300)), "{fault:?}");
    assert!(!fault.what.contains(wrong) && fault.what.contains("rfc2136"), "{fault:?}");
    assert_eq!(knot.says("home", Kind::A).await, Vec::<String>::new());

    let mut settings = knot.settings();
    settings.settings.insert("zone".into(), doorstep_model::Secret::new("example.org".into()));
    let fault = start(settings, "home.example.org").fault().await;
    assert_eq!(fault.again, Again::After(Duration::from_secs(300)), "{fault:?}");
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
