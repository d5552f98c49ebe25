//! Which member of a pool gets a request, and what happens as members come, go and fail.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use doorstep_http::Service;
use doorstep_model::{Balance, HashKey, HealthCheck, PassiveHealth, Pool};
use doorstep_proxy::{LiveMember, MemberState, Membership, PoolService};
use http::header;
use support::members::{Members, ask, named, pool_of, serve};
use support::{Findings, Origin, body, get, with};

async fn count(service: &PoolService, requests: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..requests {
        let (status, name) = ask(service, get("/")).await;
        assert_eq!(status, 200, "{name}");
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> HashMap<String, usize> {
    expected.map(|(name, count)| (name.to_owned(), count)).into()
}

#[tokio::test]
async fn each_in_turn_by_weight() {
    let members = Members::start(["a", "b", "c"]).await;
    let service = pool_of(&members, |_| {});
    assert_eq!(count(&service, 30).await, counts([("a", 10), ("b", 10), ("c", 10)]));
    let mut live = members.live();
    live[1].weight = 4;
    members.membership.set(live);
    assert_eq!(count(&service, 30).await, counts([("a", 5), ("b", 20), ("c", 5)]));
}

#[tokio::test]
async fn the_response_names_the_member_that_gave_it() {
    let members = Members::start(["a", "b"]).await;
    let service = pool_of(&members, |_| {});
    for _ in 0..4 {
        let response = service.call(get("/")).await;
        let named = response.upstream.clone();
        let text = String::from_utf8(response.body.collect(100).await.unwrap().to_vec()).unwrap();
        assert_eq!(named.as_deref(), Some(text.as_str()));
    }
    members.membership.set(Vec::new());
    let impatient = pool_of(&members, |pool| pool.queue.wait = Duration::ZERO);
    assert_eq!(impatient.call(get("/")).await.upstream, None);
}

#[tokio::test]
async fn a_backup_waits_until_nobody_else_is_there() {
    let members = Members::start(["a", "b"]).await;
    let service = pool_of(&members, |_| {});
    let mut live = members.live();
    live[1].backup = true;
    members.membership.set(live.clone());
    assert_eq!(count(&service, 5).await, counts([("a", 5)]));
    live[0].draining = true;
    members.membership.set(live);
    assert_eq!(count(&service, 5).await, counts([("b", 5)]));
}

#[tokio::test]
async fn the_least_busy_is_chosen() {
    for balance in [Balance::LeastConnections, Balance::RandomTwo] {
        let members = Members::start(["a", "b"]).await;
        let service = pool_of(&members, |pool| pool.balance = balance.clone());
        // A response that is not read keeps its member busy.
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(service.call(get("/endless")).await);
        }
        let busy = |id: &str| members.membership.in_flight(id);
        if balance == Balance::LeastConnections {
            assert_eq!((busy("a"), busy("b")), (10, 10));
        }
        assert_eq!(busy("a") + busy("b"), 20);
        assert!(busy("a") > 3 && busy("b") > 3);
        drop(held);
        assert_eq!((busy("a"), busy("b")), (0, 0));
    }
}

#[tokio::test]
async fn a_key_stays_with_its_member() {
    let members = Members::start(["a", "b", "c", "d"]).await;
    let by_header = Balance::Hash(HashKey::Header("x-user".to_owned()));
    let service = pool_of(&members, |pool| pool.balance = by_header);
    let users = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ida", "joe"];
    let mut homes = HashMap::new();
    for user in users {
        let home = ask(&service, with(get("/"), "x-user", user)).await.1;
        assert_eq!(ask(&service, with(get("/"), "x-user", user)).await.1, home);
        homes.insert(user, home);
    }
    let mut live = members.live();
    let gone = live.remove(2).id;
    members.membership.set(live);
    for (user, home) in homes {
        let now = ask(&service, with(get("/"), "x-user", user)).await.1;
        assert!(now == home || home == gone, "{user} moved from {home} to {now}");
        assert_ne!(now, gone);
    }
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_member() {
    let members = Members::start(["a", "b", "c"]).await;
    let service = pool_of(&members, |pool| pool.balance = Balance::Hash(HashKey::Cookie("stick".to_owned())));
    let first = service.call(get("/")).await;
    let cookie = first.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let home = body(first).await.unwrap();
    for _ in 0..10 {
        let mut request = get("/");
        request.headers.insert(header::COOKIE, cookie.parse().unwrap());
        let response = service.call(request).await;
        assert!(!response.headers.contains_key(header::SET_COOKIE));
        assert_eq!(body(response).await.unwrap(), home);
    }
}

#[tokio::test]
async fn a_draining_member_finishes_and_gets_no_more() {
    let members = Members::start(["a", "b"]).await;
    let service = pool_of(&members, |_| {});
    let held = [service.call(get("/endless")).await, service.call(get("/endless")).await];
    assert_eq!((members.membership.in_flight("a"), members.membership.in_flight("b")), (1, 1));
    let mut live = members.live();
    live[0].draining = true;
    members.membership.set(live);
    let drained = members.membership.drained("a");
    tokio::pin!(drained);
    assert!(waits(&mut drained).await, "one is in flight");
    assert_eq!(count(&service, 4).await, counts([("b", 4)]));
    assert_eq!(service.status()[0].state, MemberState::Draining);
    drop(held);
    drained.await;
    // Its idle connections are closed.
    members.origin("a").closed().await;
}

/// Whether a future waits.
async fn waits(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_member_that_is_gone_is_drained_when_its_requests_are_over() {
    let members = Members::start(["a"]).await;
    let service = pool_of(&members, |_| {});
    let held = service.call(get("/endless")).await;
    members.membership.set(Vec::new());
    let drained = members.membership.drained("a");
    tokio::pin!(drained);
    assert!(waits(&mut drained).await);
    drop(held);
    drained.await;
    members.membership.drained("never heard of").await;
}

#[tokio::test]
async fn failures_in_a_row_give_a_member_a_rest() {
    let broken = Origin::saying("nonsense\r\n\r\n").await;
    let well = named("b").await;
    let membership = Membership::new();
    membership.set(vec![LiveMember::new("a", broken.upstream()), LiveMember::new("b", well.upstream())]);
    let mut pool = Pool::new("app", doorstep_model::Members::Fixed(Vec::new()));
    pool.passive = PassiveHealth { max_fails: 2, rest: Duration::from_secs(3600) };
    let findings = Arc::new(Findings::default());
    let service = serve(&pool, &membership, findings.clone());
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(ask(&service, get("/")).await.0);
    }
    // What is not HTTP may be an answer all the same: such a request is not sent to another.
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    assert_eq!(service.status()[0].state, MemberState::Resting);
    assert!(service.status()[0].last_error.as_ref().unwrap().contains("not valid HTTP"));
    assert!(findings.ids().contains(&"upstream-down"));
    // When nobody else is left, it is asked all the same.
    membership.set(vec![LiveMember::new("a", broken.upstream())]);
    assert_eq!(ask(&service, get("/")).await.0, 502);
    assert_eq!(broken.connections(), 3);
}

#[tokio::test]
async fn one_request_tries_whether_a_member_is_back() {
    let members = Members::start(["a", "b"]).await;
    let origin = Origin::start(|number, mut peer| async move {
        peer.head().await;
        if number > 0 {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback").await;
            peer.head().await;
        }
    })
    .await;
    let mut live = members.live();
    live[0] = LiveMember::new("c", origin.upstream());
    members.membership.set(live);
    let service = pool_of(&members, |pool| pool.passive = PassiveHealth { max_fails: 1, rest: Duration::ZERO });
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (status, name) = ask(&service, get("/")).await;
        assert_eq!(status, 200);
        seen.push(name);
    }
    assert!(seen.contains(&"back".to_owned()), "{seen:?}");
    assert_eq!(service.status()[0].state, MemberState::Ready);
}

#[tokio::test]
async fn checks_tell_who_is_well() {
    let members = Members::start(["a", "b"]).await;
    let health = HealthCheck {
        path: "/health".to_owned(),
        every: Duration::from_millis(100),
        timeout: Duration::from_secs(10),
        healthy_after: 2,
        unhealthy_after: 2,
        status: None,
    };
    let service = Arc::new(pool_of(&members, |pool| pool.health = Some(health)));
    let checks = tokio::spawn(service.clone().check_health());
    members.origin("a").set_well(false);
    let mut changes = Vec::new();
    while service.status()[0].state != MemberState::Unwell {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    changes.push(count(&service, 4).await);
    members.origin("b").set_well(false);
    while service.status()[1].state != MemberState::Unwell {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Nobody is well: all are asked all the same.
    changes.push(count(&service, 4).await);
    members.origin("a").set_well(true);
    while service.status()[0].state != MemberState::Ready {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    changes.push(count(&service, 4).await);
    assert_eq!(changes, [counts([("b", 4)]), counts([("a", 2), ("b", 2)]), counts([("a", 4)])]);
    checks.abort();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_came_lately_warms_up() {
    let members = Members::start(["a", "b"]).await;
    let service = pool_of(&members, |pool| pool.slow_start = Some(Duration::from_secs(1000)));
    tokio::time::advance(Duration::from_secs(2000)).await;
    let mut live = members.live();
    let newcomer = named("c").await;
    live.push(LiveMember::new("c", newcomer.upstream()));
    members.membership.set(live);
    let early = count(&service, 300).await.get("c").copied().unwrap_or(0);
    assert!(early < 40, "{early} of 100 at the beginning");
    assert_eq!(service.status()[2].state, MemberState::Warming);
    tokio::time::advance(Duration::from_secs(1000)).await;
    assert_eq!(count(&service, 300).await, counts([("a", 100), ("b", 100), ("c", 100)]));
    assert_eq!(service.status()[2].state, MemberState::Ready);
}

#[tokio::test]
async fn answers_are_ones_own_though_members_change() {
    let members = Members::start(["a", "b", "c"]).await;
    let service = Arc::new(pool_of(&members, |_| {}));
    let mut tasks = Vec::new();
    for task in 0..20 {
        let service = service.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..50 {
                let target = format!("/echo/{task}/{round}");
                let (status, echoed) = ask(&service, get(&target)).await;
                assert_eq!((status, echoed.as_str()), (200, target.as_str()));
            }
        }));
    }
    for round in 0..30 {
        let mut live = members.live();
        live[round % 3].draining = true;
        members.membership.set(live);
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
}
