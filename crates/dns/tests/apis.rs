//! Cloudflare, deSEC, Gandi and Hetzner: the wire format of each, and what becomes of a name when one refuses.

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorstep_dns::{Again, DnsFault, Kind, Provider};
use support::api::{Api, TOKEN, ZONE};
use support::{Kept, Notebook, addresses, group, nobody, provider, providers};

const HOME: &str = "home.example.com";

/// Each by its name in the configuration, and the shortest time to live that its records can have for a name that follows.
async fn all() -> Vec<(&'static str, Api, u64)> {
    vec![
        ("cloudflare", providers::cloudflare().await, 60),
        ("desec", providers::desec().await, 60),
        ("gandi", providers::gandi().await, 300),
        ("hetzner", providers::hetzner().await, 60),
    ]
}

fn at(kind: &str, api: &Api, token: &str) -> Provider {
    Provider::new(&provider(kind, &[("token", token), ("server", &api.url)])).unwrap()
}

async fn set(provider: &Provider, name: &str, ips: &[&str]) -> Result<(), DnsFault> {
    let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let zone = name.split_once('.').map(|(_, zone)| zone).unwrap();
    provider.set_addresses(zone, name, &ips, 60, true).await
}

#[tokio::test]
async fn both_families_are_put_changed_and_taken_away() {
    for (kind, api, ttl) in all().await {
        let provider = at(kind, &api, TOKEN);
        set(&provider, HOME, &["192.0.2.1", "2001:db8::1"]).await.unwrap();
        assert_eq!(
            (api.has("home", "A"), api.has("home", "AAAA")),
            (vec!["192.0.2.1".into()], vec!["2001:db8::1".into()]),
            "{kind}"
        );
        assert_eq!((api.ttl("home", "A"), api.ttl("home", "AAAA")), (ttl, ttl), "{kind}");
        // The same once more.
        set(&provider, HOME, &["192.0.2.1", "2001:db8::1"]).await.unwrap();
        assert_eq!(api.has("home", "A"), ["192.0.2.1"], "{kind}");
        set(&provider, HOME, &["192.0.2.2"]).await.unwrap();
        assert_eq!((api.has("home", "A"), api.has("home", "AAAA")), (vec!["192.0.2.2".into()], vec![]), "{kind}");
        set(&provider, HOME, &["2001:db8::2"]).await.unwrap();
        assert_eq!((api.has("home", "A"), api.has("home", "AAAA")), (vec![], vec!["2001:db8::2".into()]), "{kind}");
        set(&provider, HOME, &[]).await.unwrap();
        assert_eq!((api.has("home", "A"), api.has("home", "AAAA")), (vec![], vec![]), "{kind}");
    }
}

#[tokio::test]
async fn several_records_that_were_there_become_the_one_that_is_wanted() {
    for (kind, api, _) in all().await {
        let old = (vec!["192.0.2.7".to_owned(), "192.0.2.8".to_owned()], 3600);
        api.records.lock().unwrap().insert(("home".into(), "A".into()), old);
        set(&at(kind, &api, TOKEN), HOME, &["192.0.2.8"]).await.unwrap();
        assert_eq!(api.has("home", "A"), ["192.0.2.8"], "{kind}");
        assert!(api.ttl("home", "A") <= 300, "{kind}");
    }
}

#[tokio::test]
async fn the_zone_s_own_name_and_aliases() {
    for (kind, api, _) in all().await {
        let provider = at(kind, &api, TOKEN);
        provider.set_addresses(ZONE, ZONE, &["192.0.2.1".parse().unwrap()], 60, false).await.unwrap();
        assert_eq!(api.has("@", "A"), ["192.0.2.1"], "{kind}");
        let alias = vec!["home.tun.example.net.".to_owned()];
        provider.set(ZONE, HOME, Kind::Cname, alias.clone(), 60).await.unwrap();
        let there = api.has("home", "CNAME").concat();
        assert_eq!(there.trim_end_matches('.'), "home.tun.example.net", "{kind}");
        provider.set(ZONE, HOME, Kind::Cname, alias, 60).await.unwrap();
        provider.set(ZONE, HOME, Kind::Cname, Vec::new(), 60).await.unwrap();
        assert_eq!(api.has("home", "CNAME"), Vec::<String>::new(), "{kind}");
    }
}

#[tokio::test]
async fn texts_stand_beside_others() {
    for (kind, api, _) in all().await {
        let provider = at(kind, &api, TOKEN);
        let name = "_acme-challenge.home.example.com";
        for text in ["one", "two", "two"] {
            provider.add_text(ZONE, name, text).await.unwrap();
        }
        assert_eq!(api.has("_acme-challenge.home", "TXT"), ["\"one\"", "\"two\""], "{kind}");
        provider.remove_text(ZONE, name, "one").await.unwrap();
        provider.remove_text(ZONE, name, "one").await.unwrap();
        assert_eq!(api.has("_acme-challenge.home", "TXT"), ["\"two\""], "{kind}");
        provider.remove_text(ZONE, name, "two").await.unwrap();
        assert_eq!(api.has("_acme-challenge.home", "TXT"), Vec::<String>::new(), "{kind}");
    }
}

#[tokio::test]
async fn a_wrong_token_and_another_s_zone_are_said_and_not_tried_again() {
    for (kind, api, _) in all().await {
        let fault = set(&at(kind, &api, "wr0ng-t0ken"), HOME, &["192.0.2.1"]).await.unwrap_err();
        assert_eq!((fault.id, fault.again), ("dns-login", Again::Never), "{kind}: {fault:?}");
        assert!(!format!("{fault:?}").contains("wr0ng"), "{kind}: {fault:?}");
        let fault = set(&at(kind, &api, TOKEN), "home.example.org", &["192.0.2.1"]).await.unwrap_err();
        assert_eq!((fault.id, fault.again), ("dns-zone", Again::Never), "{kind}: {fault:?}");
        assert!(fault.what.contains("example.org"), "{kind}: {fault:?}");
        assert!(api.records.lock().unwrap().is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn limits_and_troubles_are_waited_for() {
    for (kind, api, _) in all().await {
        let provider = at(kind, &api, TOKEN);
        for (status, wait, again) in [
            (429, Some(77), Again::After(Duration::from_secs(77))),
            (429, None, Again::After(Duration::from_secs(300))),
            (429, Some(u64::MAX), Again::After(Duration::from_secs(12 * 3600))),
            (503, Some(20), Again::After(Duration::from_secs(20))),
            (502, None, Again::Soon),
        ] {
            api.asked.lock().unwrap().clear();
            *api.trouble.lock().unwrap() = Some((0, status, wait));
            let fault = set(&provider, HOME, &["192.0.2.1"]).await.unwrap_err();
            assert_eq!(fault.again, again, "{kind} {status}: {fault:?}");
            assert_eq!(api.asked.lock().unwrap().len(), 1, "{kind} {status}: asked once, and then left alone");
        }
    }
}

/// However far an update comes: the name leads somewhere, and the same again mends it.
#[tokio::test]
async fn half_an_update_leaves_no_name_without_an_address() {
    for (kind, api, _) in all().await {
        let provider = at(kind, &api, TOKEN);
        set(&provider, HOME, &["192.0.2.1", "2001:db8::1"]).await.unwrap();
        api.asked.lock().unwrap().clear();
        set(&provider, HOME, &["192.0.2.1", "2001:db8::1"]).await.unwrap();
        let enough = api.asked.lock().unwrap().len() + 6;
        for from in 0..enough {
            *api.trouble.lock().unwrap() = None;
            set(&provider, HOME, &["192.0.2.1", "2001:db8::1"]).await.unwrap();
            api.asked.lock().unwrap().clear();
            *api.trouble.lock().unwrap() = Some((from, 500, None));
            let done = set(&provider, HOME, &["192.0.2.9", "2001:db8::9"]).await;
            assert_eq!(
                (api.has("home", "A").len(), api.has("home", "AAAA").len()),
                (1, 1),
                "{kind}, after {from} requests"
            );
            *api.trouble.lock().unwrap() = None;
            set(&provider, HOME, &["192.0.2.9", "2001:db8::9"]).await.unwrap();
            assert_eq!(api.has("home", "A"), ["192.0.2.9"], "{kind}");
            if done.is_ok() {
                break;
            }
            assert!(from + 1 < enough, "{kind} never finished");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_said_to_be() {
    for (kind, mut api, _) in all().await {
        api.url = "http://127.0.0.1:9".into();
        let fault = set(&at(kind, &api, TOKEN), HOME, &["192.0.2.1"]).await.unwrap_err();
        assert_eq!((fault.id, fault.again), ("dns-unreachable", Again::Soon), "{kind}: {fault:?}");
    }
}

#[tokio::test]
async fn names_are_kept_there() {
    for (kind, api, _) in all().await {
        let settings = provider(kind, &[("token", TOKEN), ("server", &api.url), ("zone", ZONE)]);
        let first = addresses(Some("192.0.2.1"), Some("2001:db8::1"), None);
        let notebook = Arc::new(Notebook::default());
        let text =
            r#"{ "home.example.com": { "values": ["A 192.0.2.9"], "at": 0, "entries": { "A": 1, "AAAA": 2 } } }"#;
        *notebook.text.lock().unwrap() = Some(text.into());
        let mut kept = Kept::start(group(settings, HOME), first, notebook.clone(), nobody().await);
        let doorstep_dns::News::Published { values, .. } = kept.next().await else { panic!("{kind}") };
        assert_eq!(values, ["A 192.0.2.1", "AAAA 2001:db8::1"], "{kind}");
        assert_eq!(
            (api.has("home", "A"), api.has("home", "AAAA")),
            (vec!["192.0.2.1".into()], vec!["2001:db8::1".into()]),
            "{kind}"
        );
        assert!(notebook.text.lock().unwrap().as_ref().unwrap().contains("A 192.0.2.1"), "{kind}");
    }
}
