use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::limits::AGENT_PROOFS;
use crate::registry::proof::tests::FakeLookup;

struct World {
    _dir: tempfile::TempDir,
    registry: Registry,
    dns: Arc<FakeLookup>,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let dns = Arc::new(FakeLookup::default());
    let options = RegistryOptions { lookup: dns.clone(), ..options() };
    World { registry: Registry::open(dir.path(), options).unwrap(), _dir: dir, dns }
}

impl World {
    fn cname(&self, from: &str, to: &str) {
        self.dns.cnames.lock().insert(from.into(), to.into());
    }

    fn text(&self, host: &str, key: &[u8; 32]) {
        let texts = vec![format!("doorstep={}", fingerprint(key))];
        self.dns.texts.lock().insert(format!("_doorstep.{host}"), texts);
    }
}

#[tokio::test]
async fn the_record_to_make_is_told_and_then_proves_it() {
    let world = world();
    let agent = joined_as(&world.registry, "studio").await;
    let session = session(&world.registry, &agent);
    let own = http("www.example.net");
    let error = claim(&world.registry, session, 1, &agent, &own).await.unwrap_err();
    assert_eq!(error.code, Code::NameUnproven);
    let print = fingerprint(&agent.key);
    assert!(error.detail.contains(&format!("`_doorstep.www.example.net. TXT \"doorstep={print}\"`")), "{error}");
    let (_, target) = error.detail.split_once("`www.example.net. CNAME ").unwrap();
    let target = target.split_once(".`").unwrap().0;
    assert!(target.ends_with(DOMAIN), "{target}");
    world.cname("www.example.net", target);
    claim(&world.registry, session, 2, &agent, &own).await.unwrap();
    // A name that the agent has claimed will do as well, also end to end.
    claim(&world.registry, session, 3, &agent, &http("blog")).await.unwrap();
    world.cname("blog.example.net", "blog.tun.example.com");
    claim(&world.registry, session, 4, &agent, &Claim::Tls { name: "blog.example.net".into() }).await.unwrap();
    // One of somebody else will not.
    let other = joined_as(&world.registry, "other").await;
    let theirs = self::session(&world.registry, &other);
    world.cname("shop.example.net", "blog.tun.example.com");
    assert_eq!(refused(claim(&world.registry, theirs, 1, &other, &http("shop.example.net")).await), Code::NameUnproven);
}

#[tokio::test]
async fn it_goes_to_whoever_proves_it_once_the_other_does_not_any_more() {
    let world = world();
    let (old, new) = (joined_as(&world.registry, "old").await, joined_as(&world.registry, "new").await);
    let (before, after) = (session(&world.registry, &old), session(&world.registry, &new));
    let own = http("example.net");
    world.text("example.net", &old.key);
    claim(&world.registry, before, 1, &old, &own).await.unwrap();
    let both = vec![format!("doorstep={}", fingerprint(&old.key)), format!("doorstep={}", fingerprint(&new.key))];
    world.dns.texts.lock().insert("_doorstep.example.net".into(), both);
    assert_eq!(refused(claim(&world.registry, after, 1, &new, &own).await), Code::NameTaken);
    world.text("example.net", &new.key);
    let mut events = world.registry.events();
    claim(&world.registry, after, 2, &new, &own).await.unwrap();
    assert!(matches!(events.try_recv(), Ok(RegistryEvent::ClaimWithdrawn { session, id: 1, .. }) if session == before));
    assert_eq!(*lent(&world.registry, "example.net").agent.name, *"new");
    assert_eq!(refused(claim(&world.registry, before, 2, &old, &own).await), Code::NameUnproven);
}

#[tokio::test]
async fn a_name_server_that_fails_proves_nothing_and_takes_nothing_away() {
    let world = world();
    let agent = joined_as(&world.registry, "studio").await;
    let session = session(&world.registry, &agent);
    *world.dns.fails.lock() = true;
    let error = claim(&world.registry, session, 1, &agent, &http("example.net")).await.unwrap_err();
    assert!(error.code == Code::NameUnproven && error.detail.contains("SERVFAIL"), "{error}");
    *world.dns.fails.lock() = false;
    world.text("example.net", &agent.key);
    claim(&world.registry, session, 2, &agent, &http("example.net")).await.unwrap();
    world.registry.release(session, 2);
    world.registry.0.memory.book.lock().proven.clear();
    world.dns.texts.lock().clear();
    *world.dns.fails.lock() = true;
    claim(&world.registry, session, 3, &agent, &http("example.net")).await.unwrap();
}

/// Answers nothing about names beneath `slow.example`, and says that everything else is `theirs`.
struct Slow {
    theirs: String,
    asked: AtomicUsize,
}

impl DomainLookup for Slow {
    fn cname<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            if name.ends_with(".slow.example") {
                self.asked.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            Ok(None)
        })
    }

    fn texts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async { Ok(vec![self.theirs.clone()]) })
    }
}

#[tokio::test]
async fn one_agents_slow_name_servers_are_waited_for_by_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let agent_key = key();
    let dns = Arc::new(Slow { theirs: format!("doorstep={}", fingerprint(&agent_key)), asked: AtomicUsize::new(0) });
    let registry = Registry::open(dir.path(), RegistryOptions { lookup: dns.clone(), ..options() }).unwrap();
    let slow = joined_as(&registry, "slow").await;
    let held = session(&registry, &slow);
    let asking: Vec<_> = (1..=100)
        .map(|id| {
            let (registry, slow) = (registry.clone(), slow.clone());
            tokio::spawn(async move { claim(&registry, held, id, &slow, &http(&format!("a{id}.slow.example"))).await })
        })
        .collect();
    while dns.asked.load(Ordering::Relaxed) < AGENT_PROOFS {
        tokio::task::yield_now().await;
    }
    let invitation = invite(&registry, InviteOptions { agent: "studio".into(), ..InviteOptions::default() }).await;
    let agent = registry.join(&invitation, agent_key).await.unwrap();
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &http("www.example.net")).await.unwrap();
    assert_eq!(dns.asked.load(Ordering::Relaxed), AGENT_PROOFS);
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}
