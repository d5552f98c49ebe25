//! Programs really started, as whoever runs the tests and, where that is root, as others.

use std::fs::{self, File};
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use doorstep_model::{Blame, ResourceLimits, Secret};
use doorstep_sandbox::{Fds, KeptFd, Launch, LaunchError, Note, OWN_BINARY, ProcessGroup, Started, Step};
use rustix::process::{WaitId, WaitIdOptions, waitid};

doorstep_sandbox::launch_in_tests!();

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn shell(script: &str) -> Launch {
    Launch {
        argv: ["sh", "-c", script].map(String::from).to_vec(),
        dir: "/".into(),
        no_new_privs: true,
        ..Launch::default()
    }
}

fn spawn(launch: &Launch, fds: &Fds<'_>) -> Result<Started, LaunchError> {
    launch.spawn(Path::new(OWN_BINARY), fds)
}

/// Runs to the end; what it wrote, and its exit status.
fn run(launch: &Launch) -> (String, i32, Vec<Note>) {
    let (mut out, writer) = std::io::pipe().unwrap();
    let started =
        spawn(launch, &Fds { stdout: Some(writer.as_fd()), stderr: Some(writer.as_fd()), ..Fds::default() }).unwrap();
    drop(writer);
    let text = read(&mut out);
    (text, status(&started), started.notes)
}

fn read(out: &mut PipeReader) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    text
}

fn status(started: &Started) -> i32 {
    let ended = waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    ended.exit_status().unwrap_or_else(|| 128 + ended.terminating_signal().unwrap())
}

fn refused(launch: &Launch) -> doorstep_sandbox::Refusal {
    match spawn(launch, &Fds::default()) {
        Err(LaunchError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_gets_what_it_was_given_and_nothing_else() {
    let mut launch = shell("echo \"$GREETING $PWD\"; env | sort; umask; ls -1 /proc/$$/fd; exit 3");
    launch.dir = "/usr".into();
    launch.env = vec![("GREETING".into(), Secret::new("hello".into())), ("HOME".into(), Secret::new("/h".into()))];
    launch.umask = Some(0o027);
    let (text, status, notes) = run(&launch);
    assert!(text.starts_with("hello /usr\n") && text.contains("\nHOME=/h\n") && text.contains("\nPATH="), "{text}");
    assert!(!text.contains("CARGO") && text.contains("\n0027\n"), "{text}");
    assert!(text.ends_with("\n0\n1\n2\n"), "{text}");
    assert_eq!((status, notes), (3, vec![]));
}

#[test]
fn kept_descriptors_have_their_numbers() {
    let (mut out, writer) = std::io::pipe().unwrap();
    let file = |text: &str| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file
    };
    let files: Vec<File> = ["three\n", "five\n"].map(file).into();
    let mut launch = shell("cat <&3; cat <&5; ls -1 /proc/$$/fd; echo $LISTEN_FDS; test $LISTEN_PID = $$ && echo mine");
    launch.env = vec![("LISTEN_FDS".into(), Secret::new("1".into()))];
    let kept = [3, 5].into_iter().zip(&files).map(|(number, file)| KeptFd { fd: file.as_fd(), number }).collect();
    let fds = Fds { stdout: Some(writer.as_fd()), kept, ..Fds::default() };
    let started = spawn(&launch, &fds).unwrap();
    drop(fds);
    drop(writer);
    assert_eq!(read(&mut out), "three\nfive\n0\n1\n2\n3\n5\n1\nmine\n");
    assert_eq!(status(&started), 0);
}

#[test]
fn signals_and_groups_are_fresh() {
    // 13 is SIGPIPE, which our own runtime ignores.
    let (text, ..) = run(&shell("grep -E 'Sig(Blk|Ign)' /proc/self/status; ps -o pid=,pgid=,sid= -p $$"));
    assert!(text.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "{text}");
    let ids: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{text}");
    let mut launch = shell("ps -o pid=,pgid=,sid= -p $$");
    launch.process_group = ProcessGroup::Own;
    let (text, ..) = run(&launch);
    let ids: Vec<&str> = text.split_whitespace().collect();
    assert!(ids[0] == ids[1] && ids[0] != ids[2], "{text}");
}

#[test]
fn what_fails_is_told_in_words() {
    let refusal = refused(&Launch { argv: vec!["no-such-program".into()], dir: "/".into(), ..Launch::default() });
    assert_eq!((refusal.step, refusal.blame), (Step::Program, Blame::Upstream));
    assert!(
        refusal.what.starts_with("the program no-such-program is in none of the folders of PATH (/usr"),
        "{refusal}"
    );

    let mut launch = shell("true");
    launch.user = Some("no-such-user".into());
    let refusal = refused(&launch);
    assert_eq!(refusal.what, "the user no-such-user does not exist");
    assert_eq!(refusal.fix, "Create it with `useradd --system no-such-user`.");

    let mut launch = shell("true");
    launch.dir = "/no/such/folder".into();
    assert_eq!(refused(&launch).step, Step::Folder);

    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("run");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let launch = Launch { argv: vec![script.to_str().unwrap().into()], dir: "/".into(), ..Launch::default() };
    assert!(refused(&launch).what.ends_with("/run is not executable"));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refused(&launch).what.ends_with("/run wants to be run by /no/such/interpreter, which does not exist"));
    fs::write(&script, "\x7fELF, but not really").unwrap();
    assert!(refused(&launch).what.ends_with("is no program for this computer"));

    let mut launch = shell("true");
    launch.writes = Some(vec!["/no/such/folder".into()]);
    let refusal = refused(&launch);
    assert_eq!(refusal.fix, "Make it: `install -d /no/such/folder`.");
}

#[test]
fn limits_without_a_cgroup_are_held_as_far_as_they_can() {
    let mut launch = shell("ulimit -n; ulimit -d");
    launch.limits =
        ResourceLimits { memory: Some(256 << 20), cpu_percent: Some(50), open_files: Some(99), processes: Some(40) };
    let (text, _, notes) = run(&launch);
    assert_eq!(text, "99\n262144\n");
    assert_eq!(notes, [Note::MemoryPerProcess, Note::NoProcessLimit, Note::NoCpuLimit]);
}

#[test]
fn only_named_folders_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (open, shut) = (dir.path().join("open"), dir.path().join("shut"));
    for folder in [&open, &shut] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("old"), "old\n").unwrap();
    }
    let mut launch = shell(
        "echo new > open/new; cat shut/old; echo x > shut/new; true > shut/old; rm shut/old; mv open/new shut/; echo > /dev/null && echo ok",
    );
    launch.dir = dir.path().into();
    launch.writes = Some(vec![open.clone()]);
    let (text, _, notes) = run(&launch);
    if notes.contains(&Note::NoLandlock) {
        eprintln!("not tested: this kernel has no Landlock");
        return;
    }
    assert!(open.join("new").exists() && shut.join("old").exists(), "{text}");
    assert_eq!(fs::read_to_string(shut.join("old")).unwrap(), "old\n");
    assert_eq!(fs::read_dir(&shut).unwrap().count(), 1, "{text}");
    assert!(text.starts_with("old\n") && text.ends_with("ok\n"), "{text}");
}

#[test]
fn temporary_files_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let tmp = dir.path().join("tmp");
    let mut launch = shell("touch ${TMPDIR:-/tmp}/mine; ls -A ${TMPDIR:-/tmp}");
    launch.private_tmp = Some(tmp.clone());
    launch.writes = Some(vec![]);
    let (text, _, notes) = run(&launch);
    assert_eq!(text, "mine\n");
    assert!(tmp.join("mine").exists());
    assert_eq!(fs::metadata(&tmp).unwrap().mode() & 0o777, 0o700);
    assert!(is_root() || notes.contains(&Note::SharedTmp { folder: tmp }));
}

#[test]
fn root_starts_programs_as_others() {
    if !is_root() {
        let mut launch = shell("true");
        launch.user = Some("root".into());
        assert!(refused(&launch).what.starts_with("only root can start programs as another user: doorstep runs as "));
        return;
    }
    // Beside /tmp, since the user must be able to reach it.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut launch = shell(
        "id -u; id -g; id -G; grep -E 'Cap(Prm|Eff|Amb)|NoNewPrivs' /proc/self/status; grep processes /proc/self/limits | grep -o ' 77  *77 '; echo $USER; touch /tmp/doorstep-launch-test; ls -ln /tmp/doorstep-launch-test",
    );
    launch.user = Some("nobody".into());
    launch.limits.processes = Some(77);
    launch.private_tmp = Some(dir.path().join("tmp"));
    let (text, _, notes) = run(&launch);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["65534"; 3], "{text}");
    assert!(lines[3..6].iter().all(|line| line.ends_with("0000000000000000")), "{text}");
    assert_eq!([lines[6], lines[8]], ["NoNewPrivs:\t1", "nobody"], "{text}");
    assert!(lines[9].contains("65534 65534"), "{text}");
    assert_eq!(notes, []);
    assert!(!PathBuf::from("/tmp/doorstep-launch-test").exists());

    let mut launch = shell("id -u; id -g");
    (launch.user, launch.group) = (Some("12345".into()), Some("23456".into()));
    assert_eq!(refused(&launch).what, "the user 12345 does not exist");
    launch.user = Some("nobody".into());
    assert_eq!(run(&launch).0, "65534\n23456\n");

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    launch.dir = dir.path().into();
    let refusal = refused(&launch);
    assert!(refusal.what.ends_with("cannot be entered by nobody: Permission denied"), "{refusal}");
}
