use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};

use proptest::prelude::*;
use rustix::fs::CWD;
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;

/// A share with a file, a folder, and a secret beside it that nothing may reach.
struct Fixture {
    dir: TempDir,
    root: Root,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let share = dir.path().join("share");
        fs::create_dir_all(share.join("sub/deep")).unwrap();
        fs::write(share.join("a.txt"), "a").unwrap();
        fs::write(share.join("sub/b.txt"), "bb").unwrap();
        fs::write(share.join("sub/deep/c.txt"), "ccc").unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        let root = Root::open(&share, Policy::default()).unwrap();
        Self { dir, root }
    }

    fn share(&self) -> PathBuf {
        self.dir.path().join("share")
    }

    /// The ways a path is resolved: as the system does it, and as it would without `openat2`.
    fn both(&self, relative: &str, flags: OFlags) -> [Result<OwnedFd, Errno>; 2] {
        let inner = &self.root;
        let open =
            |openat2| beneath::open(&inner.folder, &inner.path, Path::new(relative), flags | OFlags::CLOEXEC, openat2);
        [open(inner.openat2), open(false)]
    }

    fn size(&self, relative: &str) -> [Result<u64, Errno>; 2] {
        self.both(relative, OFlags::RDONLY | OFlags::NONBLOCK)
            .map(|opened| opened.map(|fd| File::from(fd).metadata().unwrap().len()))
    }
}

#[test]
fn what_is_inside_opens() {
    let fixture = Fixture::new();
    assert_eq!(fixture.size("a.txt"), [Ok(1); 2]);
    assert_eq!(fixture.size("sub/deep/c.txt"), [Ok(3); 2]);
    assert_eq!(fixture.size("./sub/./b.txt"), [Ok(2); 2]);
    assert_eq!(fixture.root.open_file(Path::new("sub/b.txt")).unwrap().1.st_size, 2);
    assert_eq!(fixture.root.stat(Path::new("")).unwrap().st_ino, fs::metadata(fixture.share()).unwrap().ino());
}

#[test]
fn dots_and_absolute_paths_do_not_lead_out() {
    let fixture = Fixture::new();
    let absolute = fixture.dir.path().join("secret");
    for path in ["..", "../secret", "sub/../../secret", "/etc/passwd", absolute.to_str().unwrap()] {
        assert_eq!(fixture.size(path), [Err(Errno::XDEV); 2], "{path}");
    }
}

#[test]
fn links_inside_work_and_links_out_do_not() {
    let fixture = Fixture::new();
    let share = fixture.share();
    let link = |target: &Path, name: &str| symlink(target, share.join(name)).unwrap();
    link(Path::new("a.txt"), "near");
    link(Path::new("../a.txt"), "sub/up");
    link(Path::new("sub"), "folder");
    link(&share.canonicalize().unwrap().join("sub/b.txt"), "absolute");
    link(Path::new("../../secret"), "sub/out");
    link(&fixture.dir.path().join("secret"), "out");
    link(Path::new(".."), "parent");
    link(Path::new("sub/../../share/a.txt"), "out-and-back");
    link(Path::new("loop"), "loop");
    link(Path::new("pong"), "ping");
    link(Path::new("ping"), "pong");
    link(Path::new("nowhere"), "dangling");
    for (path, size) in [("near", 1), ("sub/up", 1), ("folder/b.txt", 2), ("folder/up", 1), ("absolute", 2)] {
        assert_eq!(fixture.size(path), [Ok(size); 2], "{path}");
    }
    for path in ["sub/out", "folder/out", "out", "parent", "parent/secret", "out-and-back"] {
        assert_eq!(fixture.size(path), [Err(Errno::XDEV); 2], "{path}");
        let stats = fixture.both(path, OFlags::PATH).map(|opened| opened.map(drop));
        assert_eq!(stats, [Err(Errno::XDEV); 2], "{path}");
    }
    assert_eq!(fixture.size("loop"), [Err(Errno::LOOP); 2]);
    assert_eq!(fixture.size("ping/x"), [Err(Errno::LOOP); 2]);
    assert_eq!(fixture.size("dangling"), [Err(Errno::NOENT); 2]);
}

#[test]
fn links_of_the_proc_file_system_lead_nowhere() {
    let root = Root::open(Path::new("/proc/self"), Policy::default()).unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&secret);
    for path in [format!("fd/{fd}"), "cwd".into(), "root/etc/passwd".into()] {
        assert!(root.stat(Path::new(&path)).is_err(), "{path}");
    }
}

#[test]
fn pipes_and_folders_are_refused_without_waiting() {
    let fixture = Fixture::new();
    rustix::fs::mknodat(CWD, fixture.share().join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let kind = |path: &str| fixture.root.open_file(Path::new(path)).unwrap_err().kind();
    assert_eq!(kind("pipe"), io::ErrorKind::InvalidInput);
    assert_eq!(kind("sub"), io::ErrorKind::IsADirectory);
    assert_eq!(kind(""), io::ErrorKind::IsADirectory);
    assert_eq!(kind("none"), io::ErrorKind::NotFound);
    assert_eq!(kind("a.txt/below"), io::ErrorKind::NotADirectory);
    assert_eq!(fixture.root.open_folder(Path::new("a.txt")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
}

#[test]
fn nul_and_endless_names_are_errors() {
    let fixture = Fixture::new();
    assert_eq!(fixture.size("a.txt\0.png"), [Err(Errno::INVAL); 2]);
    assert_eq!(fixture.size(&"n".repeat(300)), [Err(Errno::NAMETOOLONG); 2]);
    assert_eq!(fixture.size(&"n/".repeat(3000)), [Err(Errno::NAMETOOLONG); 2]);
}

#[test]
fn new_entries_never_replace_old_ones() {
    let fixture = Fixture::new();
    let folder = Folder::from(fixture.root.open_folder(Path::new("sub")).unwrap());
    assert_eq!(folder.create_new("b.txt").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    drop(folder.create_new("new").unwrap());
    assert_eq!(folder.rename_new("new", "b.txt").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    folder.rename_new("new", "named").unwrap();
    assert_eq!(fs::read(fixture.share().join("sub/b.txt")).unwrap(), b"bb");
    assert!(fixture.share().join("sub/named").exists() && !fixture.share().join("sub/new").exists());
    for name in ["", ".", "..", "a/b", "../x", "x\0"] {
        assert!(folder.create_new(name).is_err(), "{name:?}");
    }
}

#[test]
fn opening_says_what_is_wrong() {
    let fixture = Fixture::new();
    let open = |path: &str| Root::open(&fixture.share().join(path), Policy::default()).unwrap_err();
    assert!(matches!(open("none"), FilesError::Missing { .. }));
    assert!(matches!(open("a.txt"), FilesError::NotAFolder { .. }));
}

/// Components that matter to a resolver, mixed with anything.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop_oneof![Just(".."), Just("."), Just(""), Just("sub"), Just("deep"), Just("secret")].prop_map(String::from),
        3 => prop_oneof![Just("in"), Just("out"), Just("up"), Just("abs"), Just("abs-out"), Just("share")].prop_map(String::from),
        1 => "[^/]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is asked for, and wherever the links point, what opens lies inside, both ways agree about it, and
    /// neither panics.
    #[test]
    fn no_path_escapes(
        parts in prop::collection::vec(component(), 0..8),
        target in prop::collection::vec(component(), 0..5),
        absolute in any::<bool>(),
    ) {
        let fixture = Fixture::new();
        let real = fixture.share().canonicalize().unwrap();
        symlink("sub/deep", real.join("in")).unwrap();
        symlink("..", real.join("sub/up")).unwrap();
        symlink("../secret", real.join("out")).unwrap();
        symlink(real.join("sub"), real.join("abs")).unwrap();
        symlink(fixture.dir.path(), real.join("abs-out")).unwrap();
        let target = target.join("/");
        let target = if absolute { real.join(target.trim_start_matches('/')) } else { PathBuf::from(target) };
        let _ = symlink(target, real.join("sub/share"));
        let path = parts.join("/");
        let opened = fixture.both(&path, OFlags::PATH).map(|opened| {
            opened.ok().map(|fd| {
                let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
                fs::read_link(own).unwrap()
            })
        });
        prop_assert_eq!(&opened[0], &opened[1], "{}", path);
        for inside in opened.iter().flatten() {
            prop_assert!(inside.starts_with(&real), "{path} led to {}", inside.display());
        }
    }
}
