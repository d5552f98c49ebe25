//! What becomes of apps when their supervisor is killed, or replaces itself.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::{Fixture, get, lives, until};
use doorstep_model::{App, Orphans};
use doorstep_supervise::PlainSpawn;

/// Set in a process of this test binary that plays the supervisor which is killed: its folder, and what its app says of orphans.
const ROLE: &str = "SUPERVISE_TEST_ROLE";

/// An app that also says something now and then.
const CHATTY: &str = "(n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.05; done) & exec /usr/bin/python3 server.py";

fn app(fixture: &Fixture, orphans: Orphans) -> App {
    let mut app = fixture.app("blog", CHATTY);
    app.instances = 2;
    app.orphans = orphans;
    app
}

/// Not a test of its own: the supervisor that the tests below kill.
#[tokio::test]
async fn role_of_the_victim() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (orphans, dir) = role.split_once(':').unwrap();
    let fixture = Fixture::at(Path::new(dir), Arc::new(PlainSpawn));
    let orphans = if orphans == "adopt" { Orphans::Adopt } else { Orphans::End };
    fixture.supervisor.apply(vec![app(&fixture, orphans)], vec![]);
    std::future::pending::<()>().await;
}

struct Victim(Child);

impl Victim {
    fn start(orphans: &str, dir: &Path) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = Command::new(binary);
        command.args(["--exact", "role_of_the_victim", "--nocapture"]);
        command.env(ROLE, format!("{orphans}:{}", dir.display()));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Processes that carry the mark of this folder's supervisor.
fn marked(dir: &Path) -> Vec<u32> {
    let Ok(text) = std::fs::read_to_string(dir.join("state/apps.json")) else { return Vec::new() };
    let journal: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mark = format!("DOORSTEP_UNIT={}:", journal["token"].as_str().unwrap());
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let carries = |pid: &u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        lives(*pid) && String::from_utf8_lossy(&environ).contains(&mark)
    };
    pids.filter(carries).collect()
}

async fn both_listen(dir: &Path) {
    until("both instances", || async {
        let log = std::fs::read_to_string(dir.join("log/blog.log")).unwrap_or_default();
        let ready =
            |id: &str| log.lines().any(|line| line.contains(&format!("doorstep {id}")) && line.ends_with("ready"));
        (ready("1-1") && ready("2-2")).then_some(())
    })
    .await;
}

fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ds").tempdir_in("/tmp").unwrap()
}

#[tokio::test]
async fn what_a_killed_supervisor_left_is_ended() {
    let dir = temporary();
    let victim = Victim::start("end", dir.path());
    both_listen(dir.path()).await;
    victim.kill();
    let left = marked(dir.path());
    assert!(left.len() >= 4, "they outlive it: {left:?}");

    let fixture = Fixture::at(dir.path(), Arc::new(PlainSpawn));
    fixture.supervisor.apply(vec![app(&fixture, Orphans::End)], vec![]);
    let status = fixture.ready("blog", 2).await;
    assert!(left.iter().all(|pid| !lives(*pid)), "ended before anything new starts");
    assert!(status.instances.iter().all(|instance| !left.contains(&instance.pid)));
    fixture.finding("orphans-ended").await;
    fixture.supervisor.stop_all().await;
    assert_eq!(marked(dir.path()), Vec::<u32>::new());
}

#[tokio::test]
async fn killed_at_any_moment_of_the_start_nothing_is_left() {
    let dir = temporary();
    let mut left = 0;
    for millis in [0, 5, 10, 20, 40, 80, 160, 320] {
        let victim = Victim::start("end", dir.path());
        until("its journal", || async { dir.path().join("state/apps.json").exists().then_some(()) }).await;
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
        victim.kill();
        left = marked(dir.path()).len().max(left);
    }
    assert!(left > 0, "none of them had started anything");
    let fixture = Fixture::at(dir.path(), Arc::new(PlainSpawn));
    fixture.supervisor.apply(vec![], vec![]);
    until("the end of all of them", || async { marked(dir.path()).is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn adopted_instances_go_on_serving_and_being_heard() {
    let dir = temporary();
    let victim = Victim::start("adopt", dir.path());
    both_listen(dir.path()).await;
    victim.kill();
    let left = marked(dir.path());
    let lines_before = ticks(dir.path());
    // They speak while nobody listens.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(marked(dir.path()).len() >= 4);

    let fixture = Fixture::at(dir.path(), Arc::new(PlainSpawn));
    fixture.supervisor.apply(vec![app(&fixture, Orphans::Adopt)], vec![]);
    let status = fixture.ready("blog", 2).await;
    for instance in &status.instances {
        assert!(left.contains(&instance.pid));
        assert!(get(&instance.addr, "/").await.unwrap().contains(&instance.pid.to_string()));
    }
    until("more ticks", || async { (ticks(dir.path()) > lines_before + 20).then_some(()) }).await;
    let log = fixture.log("blog");
    let numbers: Vec<u32> = log.lines().filter(|line| line.contains(" 1-1 tick ")).map(number).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line is missing: {numbers:?}");

    // The end of a process that is no child of ours is noticed too.
    let pid = status.instances[0].pid;
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    until("its successor", || async {
        let status = fixture.ready("blog", 2).await;
        status.instances.iter().all(|instance| instance.pid != pid).then_some(())
    })
    .await;
    fixture.supervisor.stop_all().await;
    assert_eq!(marked(dir.path()), Vec::<u32>::new());
}

fn ticks(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("log/blog.log")).unwrap_or_default().matches(" 1-1 tick ").count()
}

fn number(line: &str) -> u32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_hand_over_keeps_everything_running_and_changed_apps_roll() {
    let dir = temporary();
    let first = Fixture::at(dir.path(), Arc::new(PlainSpawn));
    let job = first.job("long", "echo begun; sleep 3; echo over", std::time::Duration::from_secs(3600));
    first.supervisor.apply(vec![app(&first, Orphans::End)], vec![job.clone()]);
    let before = first.ready("blog", 2).await;
    first.supervisor.run_job("long").await.unwrap();
    first.logged("long", "begun").await;
    first.supervisor.hand_over().await.unwrap();
    // It came to nothing at first.
    first.supervisor.resume();
    assert_eq!(first.ready("blog", 2).await.instances[0].pid, before.instances[0].pid);
    first.supervisor.hand_over().await.unwrap();

    let second = Fixture::at(dir.path(), Arc::new(PlainSpawn));
    let mut changed = common::with_env(app(&second, Orphans::End), "VERSION", "two");
    changed.instances = 2;
    second.supervisor.apply(vec![changed], vec![job]);
    // The old ones serve until the new ones are ready.
    until("old instances are published", || async {
        let seen = second.seen.lock().unwrap();
        let (_, members) = seen.members.first()?;
        (members.len() == 2 && members.iter().all(|member| !member.draining)).then_some(())
    })
    .await;
    until("new instances", || async {
        let status = second.status("blog").await?;
        let mut bodies = Vec::new();
        for instance in &status.instances {
            bodies.push(get(&instance.addr, "/").await.ok()?);
        }
        (bodies.len() == 2 && bodies.iter().all(|body| body.starts_with("two"))).then_some(())
    })
    .await;
    second.logged("long", " over").await;
    until("the job's result", || async {
        let jobs = second.supervisor.jobs().await;
        (jobs[0].last_result.as_deref() == Some("done")).then_some(())
    })
    .await;
    second.supervisor.stop_all().await;
    assert_eq!(marked(dir.path()), Vec::<u32>::new());
}
