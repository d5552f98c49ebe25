use super::*;
use crate::limits::RATE_TURN;

async fn lender(registry: &Registry, options: InviteOptions) -> Arc<Lent> {
    let agent = joined(registry, InviteOptions { agent: "studio".into(), ..options }).await;
    let session = session(registry, &agent);
    claim(registry, session, 1, &agent, &http("blog")).await.unwrap();
    lent(registry, "blog.tun.example.com")
}

fn visitor() -> Visitor {
    Visitor { peer: peer(), local: peer(), tls: None }
}

#[tokio::test]
async fn streams_are_counted_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let lent = lender(&registry, InviteOptions { streams: Some(2), ..InviteOptions::default() }).await;
    let (one, two) = (lent.open(visitor()).await.unwrap(), lent.open(visitor()).await.unwrap());
    let failed = lent.open(visitor()).await.err().unwrap();
    assert_eq!((failed.code, failed.retriable), (Code::TooManyStreams, true));
    drop(one);
    assert_eq!(exchange(&lent, &[7; 100_000]).await.unwrap(), [7; 100_000]);
    drop(two);
    let usage = registry.agents()[0].usage;
    assert_eq!((usage.streams, usage.bytes_in, usage.bytes_out, usage.refused), (0, 100_000, 100_000, 1));
}

#[tokio::test]
async fn a_rate_lets_streams_take_turns_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let lent = lender(&registry, InviteOptions { rate: Some(4_000_000), ..InviteOptions::default() }).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    let mut stream = lent.open(visitor()).await.unwrap();
    assert_eq!(stream.write(&bytes).await.unwrap(), RATE_TURN);
    let mut buffer = vec![0; bytes.len()];
    assert!(stream.read(&mut buffer).await.unwrap() <= RATE_TURN);
    let (one, two) = tokio::join!(exchange(&lent, &bytes), exchange(&lent, &bytes));
    assert!(one.unwrap() == bytes && two.unwrap() == bytes);
}

#[tokio::test]
async fn requests_are_counted_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let lent = lender(&registry, InviteOptions { requests: Some(1), ..InviteOptions::default() }).await;
    lent.request().unwrap();
    lent.request().unwrap();
    assert!(!lent.request().unwrap_err().is_zero());
    assert_eq!(registry.agents()[0].usage.requests, 2);
}

#[tokio::test]
async fn sessions_of_one_agent_are_bounded_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let agent = joined_as(&registry, "studio").await;
    let sessions: Vec<_> = (0..crate::limits::AGENT_SESSIONS).map(|_| session(&registry, &agent)).collect();
    assert_eq!(refused(registry.begin_session(&agent, peer(), "")), Code::TooMuch);
    registry.set_round_trip(sessions[0], std::time::Duration::from_millis(20));
    let report = &registry.agents()[0];
    assert_eq!(
        (report.sessions.len(), report.sessions[0].from, report.sessions[0].software.as_str()),
        (64, peer(), "test")
    );
    assert!(report.sessions.iter().any(|session| session.round_trip.is_some()));
    registry.end_session(sessions[0]);
    session(&registry, &agent);
}

#[tokio::test]
async fn nothing_is_lent_any_more_when_the_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path());
    let lent = lender(&registry, InviteOptions { until: Some(now() + 3), ..InviteOptions::default() }).await;
    while now() < lent.agent.limits.until.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let failed = lent.open(visitor()).await.err().unwrap();
    assert_eq!((failed.code, failed.retriable), (Code::RevokedKey, false));
}
