use super::*;

const BLOG: &str = "blog.tun.example.com";

#[tokio::test]
async fn a_name_is_found_while_it_is_lent_and_waited_for_while_it_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    assert!(matches!(registry.find(BLOG), Found::Unknown));
    let agent = joined_as(&registry, "studio").await;
    let first = session(&registry, &agent);
    let mut events = registry.events();
    let granted = claim(&registry, first, 1, &agent, &http("Blog")).await.unwrap();
    assert_eq!((granted.grant.host.as_str(), granted.grant.port, granted.evicts), (BLOG, 0, None));
    assert_eq!(events.try_recv().unwrap(), RegistryEvent::NameClaimed { host: BLOG.into(), tls: false });
    assert_eq!(exchange(&lent(&registry, BLOG), b"hello").await.unwrap(), b"hello");
    assert!(registry.find_tls(BLOG).is_none());
    registry.release(first, 1);
    assert!(matches!(registry.find(BLOG), Found::Away { since: Some(_) }));
    let waiting = tokio::spawn(registry.returned(BLOG));
    tokio::task::yield_now().await;
    let tls = Claim::Tls { name: "blog".into() };
    claim(&registry, first, 2, &agent, &tls).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Found::Lent(lent) if lent.id == 2));
    assert!(registry.find_tls(BLOG).is_some());
    registry.end_session(first);
    assert_eq!(refused(claim(&registry, first, 3, &agent, &http("blog")).await), Code::UnknownSession);
    drop(registry);
    assert!(matches!(open(dir.path()).find(BLOG), Found::Away { since: None }));
}

#[tokio::test]
async fn a_new_session_evicts_the_old_one_with_everything_it_lent() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let (agent, other) = (joined_as(&registry, "studio").await, joined_as(&registry, "other").await);
    let (old, new, foreign) = (session(&registry, &agent), session(&registry, &agent), session(&registry, &other));
    claim(&registry, old, 1, &agent, &http("blog")).await.unwrap();
    claim(&registry, old, 2, &agent, &http("shop")).await.unwrap();
    assert_eq!(refused(claim(&registry, foreign, 1, &other, &http("blog")).await), Code::NameTaken);
    let granted = claim(&registry, new, 1, &agent, &http("blog")).await.unwrap();
    assert_eq!(granted.evicts, Some(old));
    assert_eq!(lent(&registry, BLOG).session, new);
    assert!(matches!(registry.find("shop.tun.example.com"), Found::Away { .. }));
    // What the old one says on its way out changes nothing.
    registry.release(old, 1);
    registry.end_session(old);
    assert_eq!(lent(&registry, BLOG).session, new);
}

#[tokio::test]
async fn a_name_that_becomes_a_site_of_the_relay_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &Claim::Tls { name: "blog".into() }).await.unwrap();
    claim(&registry, own, 2, &agent, &http("shop")).await.unwrap();
    let mut events = registry.events();
    registry.set(RegistrySettings { reserved: [BLOG.to_owned()].into(), ..RegistrySettings::default() });
    assert!(registry.find_tls(BLOG).is_none());
    assert!(
        matches!(events.try_recv().unwrap(), RegistryEvent::ClaimWithdrawn { session, id: 1, .. } if session == own)
    );
    assert_eq!(refused(claim(&registry, own, 3, &agent, &http("blog")).await), Code::NameNotAllowed);
    lent(&registry, "shop.tun.example.com");
    registry.set(RegistrySettings::default());
    claim(&registry, own, 4, &agent, &http("blog")).await.unwrap();
}

#[tokio::test]
async fn names_that_nobody_gets_and_names_that_some_do() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let only = InviteOptions {
        agent: "studio".into(),
        names: Some(vec!["studio-*".into(), "blog".into()]),
        most_names: Some(2),
        ..InviteOptions::default()
    };
    let (studio, free) = (joined(&registry, only).await, joined_as(&registry, "free").await);
    let (one, two) = (session(&registry, &studio), session(&registry, &free));
    for (name, code) in [
        ("www", Code::NameNotAllowed),
        ("_acme-challenge", Code::NameNotAllowed),
        ("a.b.tun.example.com", Code::NameNotAllowed),
        (DOMAIN, Code::NameNotAllowed),
        ("-a", Code::BadName),
        ("a b", Code::BadName),
        ("bücher", Code::BadName),
    ] {
        assert_eq!(refused(claim(&registry, two, 1, &free, &http(name)).await), code, "{name}");
    }
    claim(&registry, two, 2, &free, &http("xn--bcher-kva")).await.unwrap();
    assert_eq!(refused(claim(&registry, one, 1, &studio, &http("shop")).await), Code::NameNotAllowed);
    claim(&registry, one, 2, &studio, &http("blog")).await.unwrap();
    let stable = claim(&registry, one, 3, &studio, &http("")).await.unwrap().grant.host;
    assert!(stable.starts_with("studio-") && stable.ends_with(DOMAIN), "{stable}");
    assert_eq!(refused(claim(&registry, one, 4, &studio, &http("studio-x")).await), Code::TooManyNames);
    registry.release(one, 3);
    assert_eq!(claim(&registry, one, 5, &studio, &http("")).await.unwrap().grant.host, stable);
    let label = Claim::Http { name: String::new(), label: "8000".into() };
    let theirs = claim(&registry, two, 3, &free, &label).await.unwrap().grant.host;
    assert_ne!(theirs, stable);
}

#[tokio::test]
async fn nobody_waits_for_an_agent_that_may_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &http("blog")).await.unwrap();
    registry.end_session(own);
    let waiting = tokio::spawn(registry.returned(BLOG));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "it may");
    registry.revoke("studio").await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Found::Away { .. }));
    assert!(matches!(registry.returned(BLOG).await, Found::Away { .. }));
    // Let in again, it is waited for again.
    let agent = joined_as(&registry, "studio").await;
    let waiting = tokio::spawn(registry.returned(BLOG));
    tokio::task::yield_now().await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &http("blog")).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Found::Lent(_)));
}

#[tokio::test]
async fn switched_off_switched_on_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let agent = joined_as(&registry, "studio").await;
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &http("blog")).await.unwrap();
    let before = lent(&registry, BLOG);
    let mut stream = before.open(Visitor { peer: peer(), local: peer(), tls: None }).await.unwrap();
    let mut events = registry.events();
    assert_eq!(registry.stop_name("blog").await.unwrap(), BLOG);
    let withdrawn = events.try_recv().unwrap();
    assert!(
        matches!(&withdrawn, RegistryEvent::ClaimWithdrawn { session, id: 1, error } if *session == own && error.code == Code::SwitchedOff),
        "{withdrawn:?}"
    );
    assert!(matches!(registry.find(BLOG), Found::Stopped));
    assert!(stream.write_all(b"x").await.is_err());
    assert_eq!(refused(claim(&registry, own, 2, &agent, &http("blog")).await), Code::SwitchedOff);
    assert!(registry.stop_name("nobodys").await.is_err());
    drop(registry);
    let registry = open(dir.path());
    assert!(matches!(registry.find(BLOG), Found::Stopped) && registry.names()[0].stopped);
    registry.start_name(BLOG).await.unwrap();
    assert!(registry.start_name(BLOG).await.unwrap_err().to_string().contains("not switched off"));
    assert!(matches!(registry.find(BLOG), Found::Away { .. }));
    let own = session(&registry, &agent);
    claim(&registry, own, 1, &agent, &http("blog")).await.unwrap();
    let mut events = registry.events();
    assert_eq!(registry.forget("blog").await.unwrap(), BLOG);
    assert!(matches!(events.try_recv(), Ok(RegistryEvent::ClaimWithdrawn { .. })));
    assert_eq!(events.try_recv().unwrap(), RegistryEvent::NameForgotten { host: BLOG.into() });
    assert!(matches!(registry.find(BLOG), Found::Unknown));
    let other = joined_as(&registry, "other").await;
    let theirs = session(&registry, &other);
    claim(&registry, theirs, 1, &other, &http("blog")).await.unwrap();
    assert_eq!(refused(claim(&registry, own, 2, &agent, &http("blog")).await), Code::NameTaken);
}

#[tokio::test]
async fn a_claim_that_is_dropped_on_its_way_leaves_no_session_behind() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let agent = joined_as(&registry, "studio").await;
    let one = session(&registry, &agent);
    for id in 1..=8 {
        let mut claiming = registry.claim(one, id, &agent, &http("blog"), Arc::new(Echo));
        // As far as it gets without waiting.
        let _ = futures_util::poll!(&mut claiming);
        drop(claiming);
    }
    assert!(!matches!(registry.find(BLOG), Found::Lent(_)));
    let granted = claim(&registry, one, 9, &agent, &http("blog")).await.unwrap();
    assert_eq!(granted.evicts, None);
}

#[tokio::test]
async fn a_thousand_agents_claim_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let kites: Vec<_> =
        (0..1000).map(|number| Agent::configured("test", &number.to_string(), AgentLimits::default())).collect();
    let claims = kites.iter().enumerate().map(|(number, kite)| {
        let (registry, session) = (registry.clone(), session(&registry, kite));
        async move { claim(&registry, session, 1, kite, &http(&format!("n{number}"))).await.unwrap() }
    });
    futures_util::future::join_all(claims).await;
    assert_eq!(registry.names().iter().filter(|name| name.lent).count(), 1000);
    drop(registry);
    assert_eq!(open(dir.path()).names().len(), 1000);
}
