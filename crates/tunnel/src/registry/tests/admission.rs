use std::time::Duration;

use super::*;

fn studio() -> InviteOptions {
    InviteOptions { agent: "studio".into(), ..InviteOptions::default() }
}

#[tokio::test]
async fn an_invitation_admits_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let invitation = invite(&registry, InviteOptions { ports: Some(1), rate: Some(1000), ..studio() }).await;
    let before = copy_of(dir.path());
    let (mine, other) = (key(), key());
    assert_eq!(refused(registry.authenticate(&mine)), Code::UnknownKey);
    let agent = registry.join(&invitation, mine).await.unwrap();
    assert_eq!((&*agent.name, agent.limits.ports, agent.limits.rate), ("studio", 1, Some(1000)));
    // The answer to the first may have been lost.
    registry.join(&invitation, mine).await.unwrap();
    assert_eq!(refused(registry.join(&invitation, other).await), Code::InvitationUsed);
    // A crash after the answer, without any end: the same.
    let after = copy_of(dir.path());
    let again = open(after.path());
    assert_eq!(refused(again.join(&invitation, other).await), Code::InvitationUsed);
    assert_eq!(*again.authenticate(&mine).unwrap().name, *"studio");
    // A crash before anything was promised: the invitation is still good, once.
    let again = open(before.path());
    again.join(&invitation, other).await.unwrap();
    assert_eq!(refused(again.join(&invitation, mine).await), Code::InvitationUsed);
}

#[tokio::test]
async fn invitations_of_others_changed_ones_and_old_ones() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (registry, other) = (open(dir.path()), open(elsewhere.path()));
    let good = invite(&registry, studio()).await;
    assert_eq!(refused(other.join(&good, key()).await), Code::InvitationInvalid);
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert_eq!(refused(registry.join(&changed, key()).await), Code::InvitationInvalid, "byte {at}");
    }
    let short = InviteOptions { expires: Some(Duration::from_secs(1)), ..studio() };
    let short = invite(&registry, short).await;
    let expires = doorstep_proto::tunnel::Invitation::decode(&short).unwrap().expires;
    while now() < expires {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refused(registry.join(&short, key()).await), Code::InvitationExpired);
    let long = InviteOptions { expires: Some(Duration::from_secs(400 * 24 * 3600)), ..studio() };
    assert!(registry.invite(long).await.unwrap_err().to_string().contains("30 days at most"));
    for (agent, pattern) in
        [("", "x"), ("a/b", "x"), ("a b", "x"), ("studio", "a*b*"), ("studio", "Shop"), ("studio", "")]
    {
        let options =
            InviteOptions { agent: agent.into(), names: Some(vec![pattern.into()]), ..InviteOptions::default() };
        assert!(!registry.invite(options).await.unwrap_err().fix().is_empty(), "{agent:?} {pattern:?}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let invitation = invite(&registry, studio()).await;
    let mine = key();
    // A folder cannot be replaced by a file: what the system says of it is as good as "no space left".
    let (file, aside) = (dir.path().join("agents.toml"), dir.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(refused(registry.join(&invitation, mine).await), Code::NotWritten);
    assert_eq!(refused(registry.authenticate(&mine)), Code::UnknownKey);
    assert!(matches!(registry.invite(studio()).await, Err(RegistryError::NotWritten(_))));
    assert!(registry.agents().is_empty());
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    registry.join(&invitation, mine).await.unwrap();
    let names = dir.path().join("names.toml");
    std::fs::create_dir(&names).unwrap();
    let agent = registry.authenticate(&mine).unwrap();
    let session = session(&registry, &agent);
    assert_eq!(refused(claim(&registry, session, 1, &agent, &http("blog")).await), Code::NotWritten);
    assert!(matches!(registry.find("blog.tun.example.com"), Found::Unknown) && registry.names().is_empty());
    std::fs::remove_dir(&names).unwrap();
    claim(&registry, session, 2, &agent, &http("blog")).await.unwrap();
    drop(registry);
    assert_eq!(open(dir.path()).names().len(), 1);
}

#[tokio::test]
async fn revoked_at_once_and_back_by_a_new_invitation() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let agent = joined_as(&registry, "studio").await;
    let kept = invite(&registry, studio()).await;
    let session = session(&registry, &agent);
    claim(&registry, session, 1, &agent, &http("blog")).await.unwrap();
    let mut events = registry.events();
    assert!(registry.revoke("nobody").await.unwrap_err().fix().contains("relay agents"));
    assert_eq!(registry.revoke("studio").await.unwrap(), "studio");
    assert_eq!(events.try_recv().unwrap(), RegistryEvent::AgentRevoked { key: agent.key, name: "studio".into() });
    assert!(matches!(registry.find("blog.tun.example.com"), Found::Away { since: Some(_) }));
    assert_eq!(refused(registry.authenticate(&agent.key)), Code::RevokedKey);
    assert_eq!(refused(registry.begin_session(&agent, peer(), "")), Code::RevokedKey);
    assert_eq!(refused(claim(&registry, session, 2, &agent, &http("x")).await), Code::RevokedKey);
    assert_eq!(refused(registry.join(&kept, key()).await), Code::InvitationInvalid);
    assert!(registry.agents()[0].revoked);
    drop(registry);
    let registry = open(dir.path());
    assert_eq!(refused(registry.authenticate(&agent.key)), Code::RevokedKey);
    // Somebody else does not get the names, the same agent does.
    let other = joined_as(&registry, "other").await;
    let theirs = self::session(&registry, &other);
    assert_eq!(refused(claim(&registry, theirs, 1, &other, &http("blog")).await), Code::NameTaken);
    let again = joined_as(&registry, "studio").await;
    let session = self::session(&registry, &again);
    claim(&registry, session, 1, &again, &http("blog")).await.unwrap();
    assert_eq!(refused(registry.authenticate(&agent.key)), Code::RevokedKey);
}

#[tokio::test]
async fn two_computers_of_one_agent_and_one_of_them_lost() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let desk = joined(&registry, InviteOptions { names: Some(vec!["studio-*".into()]), ..studio() }).await;
    let laptop = joined_as(&registry, "studio").await;
    assert_eq!(laptop.limits.names, ["studio-*"]);
    let (at_desk, at_laptop) = (session(&registry, &desk), session(&registry, &laptop));
    claim(&registry, at_desk, 1, &desk, &http("studio-a")).await.unwrap();
    let error = claim(&registry, at_laptop, 1, &laptop, &http("studio-a")).await.unwrap_err();
    assert!(error.code == Code::NameTaken && error.detail.contains("another computer of studio"), "{error}");
    registry.end_session(at_desk);
    claim(&registry, at_laptop, 2, &laptop, &http("studio-a")).await.unwrap();
    assert_eq!(registry.revoke(&fingerprint(&laptop.key)).await.unwrap(), "studio");
    assert_eq!(refused(registry.authenticate(&laptop.key)), Code::RevokedKey);
    registry.authenticate(&desk.key).unwrap();
    assert!(!registry.agents()[0].revoked);
}

#[tokio::test]
async fn ssh_keys_and_agents_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB anna@laptop";
    let print = registry.add_ssh_key("anna", line).await.unwrap();
    assert_eq!(print, fingerprint(&[1; 32]));
    assert!(registry.add_ssh_key("berta", line).await.unwrap_err().to_string().contains("anna's already"));
    assert_eq!(*registry.authenticate(&[1; 32]).unwrap().name, *"anna");
    let kite = Agent::configured("pagekite", "kite", AgentLimits::default());
    let session = session(&registry, &kite);
    // The relay's owner named the domain, so that nobody has to prove it.
    claim(&registry, session, 1, &kite, &http("own.example.net")).await.unwrap();
    drop(registry);
    let registry = open(dir.path());
    assert_eq!(registry.agents()[0].keys[0].comment, "ssh-ed25519 anna@laptop");
    assert_eq!(&*registry.names()[0].agent, "pagekite/kite");
}

#[tokio::test]
async fn admitted_for_a_time_only() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let invitation = invite(&registry, InviteOptions { until: Some(now() - 1), ..studio() }).await;
    assert_eq!(refused(registry.join(&invitation, key()).await), Code::RevokedKey);
}
