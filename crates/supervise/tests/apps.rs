//! Apps that start, fail, are replaced and stopped, with real processes.

mod common;

use std::time::Duration;

use common::{Fixture, get, lives, until, with_env};
use doorstep_model::{AppListen, AppName, Rotation};
use doorstep_supervise::InstanceState;

#[tokio::test]
async fn instances_answer_on_sockets_and_ports_of_their_own() {
    let fixture = Fixture::new();
    let mut sockets = fixture.server("sockets");
    sockets.instances = 2;
    sockets.exec.umask = Some(0o077);
    let mut ports = fixture.server("ports");
    ports.listen = AppListen::Port;
    ports.instances = 2;
    fixture.supervisor.apply(vec![sockets, ports], vec![]);
    for app in ["sockets", "ports"] {
        let status = fixture.ready(app, 2).await;
        for (n, instance) in status.instances.iter().enumerate() {
            let body = get(&instance.addr, "/").await.unwrap();
            assert_eq!(body.trim(), format!("{} {}", n + 1, instance.pid));
            assert!(instance.memory > 0);
        }
        assert_ne!(status.instances[0].addr, status.instances[1].addr);
    }
    fixture.logged("ports", "1-1 listening").await;
    fixture.supervisor.stop_all().await;
    assert!(fixture.supervisor.status().await.is_empty());
}

#[tokio::test]
async fn a_restart_replaces_one_by_one_and_an_unchanged_app_is_not_touched() {
    let fixture = Fixture::new();
    let mut app = with_env(fixture.server("blog"), "VERSION", "one");
    app.instances = 2;
    fixture.supervisor.apply(vec![app.clone()], vec![]);
    let first = fixture.ready("blog", 2).await;

    fixture.supervisor.apply(vec![app.clone()], vec![]);
    let same = fixture.ready("blog", 2).await;
    let pids = |status: &doorstep_supervise::AppStatus| -> Vec<u32> {
        status.instances.iter().map(|instance| instance.pid).collect()
    };
    assert_eq!(pids(&first), pids(&same));

    fixture.supervisor.restart("blog").await.unwrap();
    assert!(fixture.supervisor.restart("other").await.is_err());
    let replaced = until("the replacement", || async {
        let status = fixture.status("blog").await?;
        let done = status.instances.len() == 2 && status.instances.iter().all(|one| !pids(&first).contains(&one.pid));
        (done && status.instances.iter().all(|one| one.state == InstanceState::Ready)).then_some(status)
    })
    .await;
    assert!(pids(&first).iter().all(|pid| !lives(*pid)));
    assert_eq!(replaced.restarts, 0);

    fixture.supervisor.apply(vec![with_env(app, "VERSION", "two")], vec![]);
    until("version two", || async {
        let status = fixture.status("blog").await?;
        let mut bodies = Vec::new();
        for instance in &status.instances {
            bodies.push(get(&instance.addr, "/").await.ok()?);
        }
        (bodies.len() == 2 && bodies.iter().all(|body| body.starts_with("two"))).then_some(())
    })
    .await;
    {
        let seen = fixture.seen.lock().unwrap();
        let full = seen.members.iter().skip_while(|(_, members)| members.len() < 2);
        for (_, members) in full {
            let serving = members.iter().filter(|member| !member.draining).count();
            assert!(serving >= 2, "never fewer than two serve: {members:?}");
            assert!(members.len() <= 3, "one at a time: {members:?}");
        }
        assert!(seen.findings.is_empty());
    }
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn a_crash_loop_is_told_with_the_last_words() {
    let fixture = Fixture::new();
    fixture.supervisor.apply(vec![fixture.app("bad", "echo 'no database' >&2; exit 3")], vec![]);
    let finding = fixture.finding("app-crash-loop").await;
    assert!(finding.what.contains("ended with exit code 3") && finding.what.contains("no database"), "{finding:?}");
    let status = fixture.status("bad").await.unwrap();
    assert!(status.crash_loop && status.restarts >= 5);
    assert_eq!(fixture.seen.lock().unwrap().findings.iter().filter(|finding| finding.id == "app-exited").count(), 1);
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn a_crashed_instance_is_replaced() {
    let fixture = Fixture::new();
    fixture.supervisor.apply(vec![fixture.server("blog")], vec![]);
    let pid = fixture.ready("blog", 1).await.instances[0].pid;
    kill(pid, "KILL");
    until("another process", || async {
        let status = fixture.status("blog").await?;
        let instance = status.instances.iter().find(|instance| instance.state == InstanceState::Ready)?;
        (instance.pid != pid).then_some(())
    })
    .await;
    assert!(fixture.finding("app-exited").await.what.contains("SIGKILL"));
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn a_new_version_that_fails_leaves_the_old_one_serving() {
    let fixture = Fixture::new();
    let app = fixture.server("blog");
    fixture.supervisor.apply(vec![app], vec![]);
    let before = fixture.ready("blog", 1).await;
    fixture.supervisor.apply(vec![fixture.app("blog", "echo 'syntax error'; exit 1")], vec![]);
    let finding = fixture.finding("app-replacement-failed").await;
    assert!(finding.what.contains("syntax error"), "{finding:?}");
    let after = fixture.ready("blog", 1).await;
    assert_eq!(after.instances[0].pid, before.instances[0].pid);
    assert!(get(&after.instances[0].addr, "/").await.is_ok());

    let mut failing = fixture.server("blog");
    failing.pre_start = vec!["echo 'migration failed'; exit 9".into()];
    fixture.supervisor.apply(vec![failing], vec![]);
    let finding = fixture.finding("app-preparation-failed").await;
    assert!(finding.what.contains("migration failed") && finding.why.contains("goes on"), "{finding:?}");
    assert_eq!(fixture.ready("blog", 1).await.instances[0].pid, before.instances[0].pid);
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn ready_means_that_the_path_answers_and_start_order_waits_for_it() {
    let fixture = Fixture::new();
    let mut database = fixture.server("database");
    database.ready.path = Some("/healthz".into());
    let mut blog = fixture.server("blog");
    blog.after = vec![AppName("database".into())];
    fixture.supervisor.apply(vec![blog, database], vec![]);
    fixture.logged("database", "asked for /healthz").await;
    let blog = fixture.status("blog").await.unwrap();
    assert!(blog.instances.is_empty());
    assert_eq!(blog.note, "waiting for database");
    assert_eq!(fixture.status("database").await.unwrap().instances[0].state, InstanceState::Starting);
    std::fs::write(fixture.dir.join("app/healthy"), "").unwrap();
    fixture.ready("database", 1).await;
    fixture.ready("blog", 1).await;
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn what_never_listens_is_told_and_tried_again() {
    let fixture = Fixture::new();
    let mut app = fixture.app("mute", "echo started; sleep 1000");
    app.ready.timeout = Duration::from_millis(300);
    fixture.supervisor.apply(vec![app], vec![]);
    let finding = fixture.finding("app-not-ready").await;
    assert!(finding.what.contains("did not listen") && finding.what.contains("started"), "{finding:?}");
    until("another try", || async { (fixture.log("mute").matches(" started").count() >= 2).then_some(()) }).await;
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn stopping_ends_the_whole_group_and_who_left_it() {
    let fixture = Fixture::new();
    let script = "trap '' TERM
        sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 1; done' &
        setsid sh -c 'echo daemon $$; exec sleep 1000' &
        python3=/usr/bin/python3; $python3 server.py & wait; wait";
    let mut app = fixture.app("stubborn", script);
    app.stop_grace = Duration::from_millis(300);
    fixture.supervisor.apply(vec![app], vec![]);
    fixture.ready("stubborn", 1).await;
    let number = |what: &str| -> Option<u32> {
        let log = fixture.log("stubborn");
        log.split(&format!(" {what} ")).nth(1)?.lines().next()?.trim().parse().ok()
    };
    let child = until("the child", || async { number("child") }).await;
    let daemon = until("the daemon", || async { number("daemon") }).await;
    assert!(lives(child) && lives(daemon));
    fixture.supervisor.stop_all().await;
    assert!(!lives(child) && !lives(daemon), "no orphan is left");
}

#[tokio::test]
async fn scaling() {
    let fixture = Fixture::new();
    let mut app = fixture.server("blog");
    app.instances = 3;
    fixture.supervisor.apply(vec![app.clone()], vec![]);
    let three = fixture.ready("blog", 3).await;
    app.instances = 1;
    fixture.supervisor.apply(vec![app.clone()], vec![]);
    let one = fixture.ready("blog", 1).await;
    assert_eq!(one.instances[0].pid, three.instances[0].pid);
    app.instances = 2;
    fixture.supervisor.apply(vec![app], vec![]);
    let two = fixture.ready("blog", 2).await;
    assert_eq!(two.instances[0].pid, three.instances[0].pid);
    fixture.supervisor.apply(vec![], vec![]);
    until("its end", || async { fixture.status("blog").await.is_none().then_some(()) }).await;
    assert!(!lives(three.instances[0].pid));
}

#[tokio::test]
async fn output_is_time_stamped_rotated_and_followed() {
    let fixture = Fixture::new();
    let mut app = fixture.app("talk", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done");
    app.log = Rotation { max_bytes: 400, keep: 2 };
    let mut follower = fixture.supervisor.follow("talk");
    fixture.supervisor.apply(vec![app], vec![]);
    let line = loop {
        let line = follower.recv().await.unwrap();
        if line.contains("line") {
            break line;
        }
    };
    assert!(line.ends_with("Z 1-1 line 1") && line.starts_with("20"), "{line}");
    until("rotated files", || async { fixture.dir.join("log/talk.log.2").exists().then_some(()) }).await;
    assert!(!fixture.dir.join("log/talk.log.3").exists());
    let last = fixture.supervisor.logs("talk", 3).unwrap();
    assert!(last.len() == 3 && last.iter().all(|line| line.contains(" line ")), "{last:?}");
    fixture.supervisor.stop_all().await;
}

#[tokio::test]
async fn a_changed_file_restarts_when_watched() {
    let fixture = Fixture::new();
    let mut app = fixture.server("dev");
    app.watch = true;
    fixture.supervisor.apply(vec![app], vec![]);
    let before = fixture.ready("dev", 1).await.instances[0].pid;
    std::fs::create_dir_all(fixture.dir.join("app/__pycache__")).unwrap();
    std::fs::create_dir_all(fixture.dir.join("app/templates")).unwrap();
    let other = until("another process", || async {
        let status = fixture.ready("dev", 1).await;
        (status.instances[0].pid != before).then_some(status.instances[0].pid)
    })
    .await;
    // A folder made while watching is watched too.
    std::fs::write(fixture.dir.join("app/templates/page.html"), "new").unwrap();
    until("a third process", || async {
        let status = fixture.ready("dev", 1).await;
        (status.instances[0].pid != other).then_some(())
    })
    .await;
    fixture.supervisor.stop_all().await;
}

fn kill(pid: u32, signal: &str) {
    assert!(
        std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success()
    );
}
