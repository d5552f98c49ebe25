//! Apps as another user, through the sandbox: for whoever runs the tests as root.

mod common;

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use common::{Fixture, get};
use doorstep_sandbox::{OWN_BINARY, User};
use doorstep_supervise::SandboxSpawn;

doorstep_sandbox::launch_in_tests!();

#[tokio::test]
async fn an_app_runs_as_its_user_under_its_rules() {
    let Ok(Some(nobody)) = User::find("nobody") else { return };
    if User::current().uid != 0 {
        eprintln!("left out: only root can start programs as others");
        return;
    }
    // Not in /tmp: the app has another one.
    let temporary = tempfile::Builder::new().prefix("ds").tempdir_in("/dev/shm").unwrap();
    let dir = temporary.path();
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let fixture = Fixture::at(dir, Arc::new(SandboxSpawn::new(OWN_BINARY.into())));
    let script = "id -un; umask; echo $HOME $USER $INSTANCE $DOORSTEP; touch /tmp/mine && echo tmp is mine; \
                  touch x || echo folder is read-only; exec /usr/bin/python3 server.py";
    let mut app = fixture.app("blog", script);
    app.exec.user = Some("nobody".into());
    app.exec.umask = Some(0o077);
    app.exec.writes = Some(vec![]);
    app.exec.private_tmp = true;
    app.exec.limits.open_files = Some(123);
    fixture.supervisor.apply(vec![app], vec![]);
    let status = fixture.ready("blog", 1).await;
    let instance = &status.instances[0];
    assert!(get(&instance.addr, "/").await.unwrap().contains(&instance.pid.to_string()));
    assert_eq!(std::fs::metadata(format!("/proc/{}", instance.pid)).unwrap().uid(), nobody.uid);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", instance.pid)).unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max open files") && line.contains(" 123 ")), "{limits}");
    fixture.logged("blog", "listening").await;
    let log = fixture.log("blog");
    for said in [" nobody\n", " 0077\n", " nobody 1 1\n", " tmp is mine\n", " folder is read-only\n"] {
        assert!(log.contains(said), "{said:?} is missing:\n{log}");
    }
    assert!(!std::path::Path::new("/tmp/mine").exists());
    let folder = std::fs::metadata(dir.join("run/apps/blog")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o777), (nobody.uid, 0o710));
    let socket = std::fs::symlink_metadata(dir.join(format!("run/apps/blog/{}.sock", instance.id))).unwrap();
    assert_eq!(socket.mode() & 0o666, 0o666);
    fixture.supervisor.stop_all().await;
    assert_eq!(std::fs::read_dir(dir.join("state/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_told() {
    let temporary = tempfile::tempdir().unwrap();
    let fixture = Fixture::at(temporary.path(), Arc::new(SandboxSpawn::new(OWN_BINARY.into())));
    let mut app = fixture.server("blog");
    app.exec.user = Some("no-such-user".into());
    fixture.supervisor.apply(vec![app, fixture.server("other")], vec![]);
    let finding = fixture.finding("app-not-started").await;
    assert!(finding.what.contains("no-such-user"), "{finding:?}");
    fixture.ready("other", 1).await;
    fixture.supervisor.stop_all().await;
}
