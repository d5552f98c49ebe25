use super::*;

fn standby(dir: &Path) -> Registry {
    Registry::open(dir, RegistryOptions { standby: true, ..options() }).unwrap()
}

#[tokio::test]
async fn one_relay_at_a_time_writes() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path());
    let second = Registry::open(dir.path(), options());
    assert!(matches!(second, Err(RegistryError::InUse { .. })));
    let agent = joined_as(&old, "studio").await;
    let session_of_old = session(&old, &agent);
    claim(&old, session_of_old, 1, &agent, &http("blog")).await.unwrap();
    let new = standby(dir.path());
    assert_eq!(new.identity().pin(), old.identity().pin());
    // What is owned can be had before the new one leads.
    let own = session(&new, &agent);
    claim(&new, own, 1, &agent, &http("blog")).await.unwrap();
    // What the old one promises meanwhile is known to the new one, once it leads.
    claim(&old, session_of_old, 2, &agent, &http("shop")).await.unwrap();
    old.stop_name("shop").await.unwrap();
    let late = joined_as(&old, "late").await;
    new.lead();
    let invited = tokio::spawn({
        let new = new.clone();
        async move { joined_as(&new, "next").await }
    });
    old.retire();
    invited.await.unwrap();
    assert_eq!(refused(claim(&old, session_of_old, 3, &agent, &http("third")).await), Code::NotWritten);
    assert_eq!(refused(claim(&new, own, 2, &agent, &http("shop")).await), Code::SwitchedOff);
    new.authenticate(&late.key).unwrap();
    drop((old, new));
    let last = open(dir.path());
    assert_eq!(
        last.names().iter().map(|name| name.name.as_str()).collect::<Vec<_>>(),
        ["blog.tun.example.com", "shop.tun.example.com"]
    );
    assert_eq!(last.agents().len(), 3);
}

#[tokio::test]
async fn whoever_was_revoked_by_the_one_before_is_put_out() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path());
    let agent = joined_as(&old, "studio").await;
    let new = standby(dir.path());
    let own = session(&new, &agent);
    old.revoke("studio").await.unwrap();
    let mut events = new.events();
    old.retire();
    new.lead();
    assert!(matches!(events.recv().await, Ok(RegistryEvent::AgentRevoked { key, .. }) if key == agent.key));
    assert_eq!(refused(claim(&new, own, 1, &agent, &http("blog")).await), Code::RevokedKey);
}
