//! Processes that are really shut in, as whoever runs the tests and, where that is root, as another user. Each is this test
//! binary once more, which plays its role before the harness begins, while there is one thread.

use std::fs::{self, Permissions};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use doorstep_sandbox::{Note, WorkerRules, confine_worker};

#[used]
// SAFETY: a section of pointers to functions that the loader calls before `main`, with one thread.
#[unsafe(link_section = ".init_array")]
static ROLE: extern "C" fn() = {
    extern "C" fn play() {
        if let (Ok(role), Some(home)) = (std::env::var("CONFINE_ROLE"), std::env::var_os("CONFINE_HOME")) {
            role_of(&role, Path::new(&home));
            std::process::exit(0);
        }
    }
    play
};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder with `read`, `write` and `outside` in it, and a process that plays `role` there.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["read", "write", "outside"] {
            let folder = home.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
            fs::write(folder.join("old"), "old").unwrap();
            fs::set_permissions(folder.join("old"), Permissions::from_mode(0o666)).unwrap();
        }
        for release in ["1", "2"] {
            fs::create_dir_all(home.path().join("releases").join(release)).unwrap();
            fs::write(home.path().join("releases").join(release).join("old"), release).unwrap();
        }
        std::os::unix::fs::symlink("releases/1", home.path().join("current")).unwrap();
        Self(home)
    }

    fn play(&self, role: &str) -> Output {
        // Not where it lies: another user may not reach that.
        let binary = self.0.path().join("test");
        if !binary.exists() {
            fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
        }
        Command::new(binary).env("CONFINE_ROLE", role).env("CONFINE_HOME", self.0.path()).output().unwrap()
    }
}

/// The first port that the rules let be bound.
const LENT: u16 = 24_817;

fn confine(home: &Path) -> Vec<Note> {
    let rules = WorkerRules {
        // Numbers that no user has.
        user: is_root().then_some((61_190, 61_190)),
        read: vec![home.join("read"), home.join("missing"), home.join("current")],
        write: vec![home.join("write")],
        bind: Some(LENT..=LENT + 1),
        filter: true,
    };
    let confinement = confine_worker(&rules).unwrap();
    assert_eq!(confinement.missing, [home.join("missing")]);
    confinement.notes
}

fn role_of(role: &str, home: &Path) {
    match role {
        "files" => files(home),
        "processes" => processes(home),
        "network" => network(home),
        "ptrace" => {
            confine(home);
            // SAFETY: takes numbers.
            unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            println!("went on");
        }
        other => panic!("no role {other}"),
    }
}

fn say<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{what}: ok"),
        Err(error) => println!("{what}: {:?}", error.kind()),
    }
}

fn files(home: &Path) {
    if confine(home).contains(&Note::NoLandlock) {
        println!("no Landlock");
        return;
    }
    for folder in ["read", "write", "outside"] {
        let path = |name: &str| home.join(folder).join(name);
        say(&format!("{folder} list"), fs::read_dir(home.join(folder)));
        say(&format!("{folder} read"), fs::read(path("old")));
        say(&format!("{folder} change"), fs::OpenOptions::new().append(true).open(path("old")));
        say(&format!("{folder} make"), fs::write(path("new"), "new"));
        say(&format!("{folder} rename"), fs::rename(path("new"), path("newer")));
        say(&format!("{folder} bind"), UnixListener::bind(path("socket")));
    }
    // As a deployment does it.
    say("current release", fs::read(home.join("current/old")));
    say("next release", fs::read(home.join("releases/2/old")));
    say("escape", fs::rename(home.join("write/newer"), home.join("outside/newer")));
    say("/etc/resolv.conf", fs::metadata("/etc/resolv.conf").and_then(|_| fs::read("/etc/resolv.conf")));
    say("/etc/passwd", fs::read("/etc/passwd"));
    say("/etc/shadow", fs::read("/etc/shadow"));
    say("/proc/1/cmdline", fs::read("/proc/1/cmdline"));
    say("/proc/self/stat", fs::read("/proc/self/stat"));
    say("/dev/null", fs::write("/dev/null", "x"));
}

fn processes(home: &Path) {
    let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
    confine(home);
    say("spawn", Command::new("/bin/true").status());
    let arguments: [*const libc::c_char; 2] = [c"true".as_ptr(), std::ptr::null()];
    let call = |what: &str, code: libc::c_long| match code {
        -1 => println!("{what}: {}", io::Error::last_os_error().raw_os_error().unwrap_or_default()),
        _ => println!("{what}: ok"),
    };
    // SAFETY: the strings and lists live, and end with zeros; the others take numbers or null pointers.
    unsafe {
        call("execve", libc::execve(c"/bin/true".as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr()).into());
        call("fork", libc::fork().into());
        call("unshare user", libc::unshare(libc::CLONE_NEWUSER).into());
        call("setuid", libc::setuid(libc::geteuid()).into());
        call("setgroups", libc::setgroups(0, std::ptr::null()).into());
        call("mount", libc::mount(c"x".as_ptr(), c"/".as_ptr(), std::ptr::null(), 0, std::ptr::null()).into());
        call("signal to the parent", libc::kill(parent, 0).into());
        call("signal to ourselves", libc::kill(std::process::id() as i32, 0).into());
        call("clone3", libc::syscall(libc::SYS_clone3, 0, 0));
        call("io_uring", libc::syscall(libc::SYS_io_uring_setup, 1, 0));
        call("x32 getpid", libc::syscall(0x4000_0000 + libc::SYS_getpid, 0));
        call("keyctl", libc::syscall(libc::SYS_keyctl, 0, 0, 0));
        let page =
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        call("execute memory", libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC).into());
    }
    say("thread", std::thread::spawn(|| 7).join().map_err(|_| io::Error::other("")));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in
        status.lines().filter(|line| ["Cap", "NoNewPrivs", "Seccomp:"].iter().any(|name| line.starts_with(name)))
    {
        println!("{line}");
    }
    println!("uid: {}", rustix::process::geteuid().as_raw());
    println!("groups: {:?}", rustix::process::getgroups().unwrap().len());
    println!("dumpable: {:?}", rustix::process::dumpable_behavior().unwrap());
}

fn network(home: &Path) {
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    let notes = confine(home);
    let address = bound.local_addr().unwrap();
    println!("notes: {notes:?}");
    say("connect", TcpStream::connect(address));
    say("accept", bound.accept());
    say("bind tcp", TcpListener::bind("127.0.0.1:0"));
    // Somebody else may have it: that is another refusal.
    let lent = TcpListener::bind(("127.0.0.1", LENT)).map(drop);
    say(
        "bind lent tcp",
        lent.or_else(|error| if error.kind() == io::ErrorKind::AddrInUse { Ok(()) } else { Err(error) }),
    );
    say("bind udp", UdpSocket::bind("127.0.0.1:0"));
    say("resolve", std::net::ToSocketAddrs::to_socket_addrs("localhost:80"));
    // SAFETY: takes numbers.
    let code = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0) };
    println!("packet: {}", if code == -1 { "refused" } else { "ok" });
    // SAFETY: takes numbers.
    let code = unsafe { libc::socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0) };
    println!("alg: {}", if code == -1 { "refused" } else { "ok" });
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn assert_lines(text: &str, expected: &[&str]) {
    for line in expected {
        assert!(text.lines().any(|found| found == *line), "no line `{line}` in:\n{text}");
    }
}

#[test]
fn files_outside_are_out_of_reach() {
    let stage = Stage::new();
    let text = text(&stage.play("files"));
    if text == "no Landlock\n" {
        eprintln!("not tested: this kernel has no Landlock");
        return;
    }
    assert_lines(&text, &["read list: ok", "read read: ok", "write list: ok", "write read: ok", "write change: ok"]);
    assert_lines(
        &text,
        &["write make: ok", "write rename: ok", "write bind: ok", "/dev/null: ok", "/proc/self/stat: ok"],
    );
    for denied in ["read change", "read make", "read bind", "outside list", "outside read", "outside change"] {
        assert_lines(&text, &[&format!("{denied}: PermissionDenied")]);
    }
    assert_lines(&text, &["outside make: PermissionDenied", "outside bind: PermissionDenied", "/etc/passwd: ok"]);
    assert_lines(&text, &["/etc/shadow: PermissionDenied", "/proc/1/cmdline: PermissionDenied"]);
    assert_lines(&text, &["current release: ok", "next release: ok"]);
    assert!(!text.contains("escape: ok"), "{text}");
    let outside: PathBuf = stage.0.path().join("outside");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.join("old")).unwrap(), "old");
}

#[test]
fn no_other_program_and_no_other_user() {
    let stage = Stage::new();
    let text = text(&stage.play("processes"));
    assert_lines(&text, &["spawn: PermissionDenied", "signal to ourselves: ok", "thread: ok"]);
    for call in ["execve", "fork", "unshare user", "setuid", "setgroups", "mount", "signal to the parent", "keyctl"] {
        assert_lines(&text, &[&format!("{call}: {}", libc::EPERM)]);
    }
    assert_lines(&text, &[&format!("execute memory: {}", libc::EPERM)]);
    for call in ["clone3", "io_uring", "x32 getpid"] {
        assert_lines(&text, &[&format!("{call}: {}", libc::ENOSYS)]);
    }
    for set in ["Inh", "Prm", "Eff", "Amb"] {
        assert_lines(&text, &[&format!("Cap{set}:\t0000000000000000")]);
    }
    assert_lines(&text, &["NoNewPrivs:\t1", "Seccomp:\t2", "dumpable: NotDumpable"]);
    if is_root() {
        assert_lines(&text, &["CapBnd:\t0000000000000000", "uid: 61190", "groups: 1"]);
    }
}

#[test]
fn the_network_works_and_no_port_can_be_had() {
    let text = text(&Stage::new().play("network"));
    assert_lines(
        &text,
        &[
            "connect: ok",
            "accept: ok",
            "bind udp: ok",
            "bind lent tcp: ok",
            "resolve: ok",
            "packet: refused",
            "alg: refused",
        ],
    );
    if text.contains("notes: []") {
        assert_lines(&text, &["bind tcp: PermissionDenied"]);
    }
}

#[test]
fn an_attack_ends_the_process() {
    let output = Stage::new().play("ptrace");
    assert_eq!((output.status.signal(), output.stdout.as_slice()), (Some(libc::SIGSYS), b"".as_slice()));
}

#[test]
fn a_replaced_folder_is_another_one() {
    let stage = Stage::new();
    let rules = WorkerRules { read: vec![stage.0.path().join("read")], ..WorkerRules::default() };
    let before = rules.identities();
    assert_eq!(rules.identities(), before);
    fs::rename(stage.0.path().join("outside"), stage.0.path().join("new")).unwrap();
    fs::rename(stage.0.path().join("read"), stage.0.path().join("gone")).unwrap();
    assert!(rules.identities()[0].1.is_none());
    fs::rename(stage.0.path().join("new"), stage.0.path().join("read")).unwrap();
    assert_ne!(rules.identities(), before);
}
