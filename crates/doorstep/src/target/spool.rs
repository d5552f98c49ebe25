//! `-`: standard input, stored in a file without a name until it is shared.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use doorstep_model::Action;
use rustix::fs::{Mode, OFlags};

use super::Target;
use crate::args::ShareArgs;
use crate::exit::{Code, Failure, cause};
use crate::limits;
use crate::screen::{Kind, bytes};

/// Reads standard input to its end.
pub fn target(_args: &ShareArgs) -> Result<Target, Failure> {
    let stdin = io::stdin().lock();
    if io::stdin().is_terminal() {
        let _ = writeln!(io::stderr(), "Type or paste what to share; end with Ctrl-D on an empty line.");
    }
    let folder = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let mut file = unnamed(&folder).map_err(|error| cannot_store(&folder, &error))?;
    let (length, start) = store(stdin, &mut file, &folder)?;
    let name = name_for(&start);
    let spool = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok(Target {
        given: "-".to_owned(),
        kind: Kind::Stdin,
        title: name.to_owned(),
        detail: format!("standard input, {}", bytes(length)),
        action: Action::Spool { spool, name: name.to_owned() },
        findings: Vec::new(),
        spool: Some(file),
    })
}

fn cannot_store(folder: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Target, format!("standard input cannot be stored in {}: {}", folder.display(), cause(error)))
        .fix("Set TMPDIR to a folder with room.")
}

/// A file that is gone when nobody has it open any more, whatever becomes of us.
fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    if let Ok(file) = rustix::fs::open(folder, flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    // Some file systems cannot (NFS, old FUSE): make one, and take its name away.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let path = folder.join(format!(".doorstep-{}-{}", std::process::id(), now.as_nanos()));
    let file = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

/// Copies all of `input`, as long as the disk keeps [`limits::SPOOL_RESERVE`] free. Returns its length and its start.
fn store(mut input: impl Read, file: &mut File, folder: &Path) -> Result<(u64, Vec<u8>), Failure> {
    const CHUNK: usize = 256 * 1024;
    const CHECKED_EVERY: u64 = 16 * 1024 * 1024;
    let shows_progress = io::stderr().is_terminal();
    let mut buffer = vec![0; CHUNK];
    let mut start = Vec::new();
    let (mut length, mut checked) = (0_u64, None);
    let mut told = Instant::now();
    loop {
        if checked.is_none_or(|at| length - at >= CHECKED_EVERY) {
            checked = Some(length);
            enough_space(file, folder)?;
        }
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Failure::new(Code::Target, format!("standard input cannot be read: {}", cause(&error))));
            }
        };
        if start.is_empty() {
            start = buffer[..count.min(4096)].to_vec();
        }
        file.write_all(&buffer[..count]).map_err(|error| cannot_store(folder, &error))?;
        length += count as u64;
        if shows_progress && told.elapsed() >= Duration::from_millis(200) {
            told = Instant::now();
            let _ = write!(io::stderr(), "\r\x1b[KReading standard input: {}", bytes(length));
        }
    }
    if shows_progress {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    Ok((length, start))
}

fn enough_space(file: &File, folder: &Path) -> Result<(), Failure> {
    let Ok(disk) = rustix::fs::fstatvfs(file) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= limits::SPOOL_RESERVE {
        return Ok(());
    }
    Err(Failure::new(Code::Target, format!("standard input is larger than the room in {}", folder.display()))
        .because(format!("{} are free, and doorstep leaves {} alone.", bytes(free), bytes(limits::SPOOL_RESERVE)))
        .fix("Set TMPDIR to a folder with room, or share a file."))
}

/// A name whose ending fits the content, so that a browser knows what to do with it.
fn name_for(start: &[u8]) -> &'static str {
    const MAGIC: [(&[u8], &str); 9] = [
        (b"%PDF-", "stdin.pdf"),
        (b"\x89PNG\r\n\x1a\n", "stdin.png"),
        (b"\xff\xd8\xff", "stdin.jpg"),
        (b"GIF8", "stdin.gif"),
        (b"PK\x03\x04", "stdin.zip"),
        (b"\x1f\x8b", "stdin.gz"),
        (b"\xfd7zXZ\0", "stdin.xz"),
        (b"\x28\xb5\x2f\xfd", "stdin.zst"),
        (b"BZh", "stdin.bz2"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return name;
    }
    if start.get(257..262) == Some(b"ustar") {
        return "stdin.tar";
    }
    // The last character may be cut in two.
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            start.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok()).unwrap_or("")
        }
        Err(_) => return "stdin.bin",
    };
    if text.contains('\0') { "stdin.bin" } else { "stdin.txt" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_fits_the_content() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (start, name) in [
            (&b"hello\n"[..], "stdin.txt"),
            (b"", "stdin.txt"),
            ("grüß \u{20ac}".as_bytes().split_last().unwrap().1, "stdin.txt"),
            (b"\x00\x01", "stdin.bin"),
            (b"\xff\xfe\xff", "stdin.bin"),
            (b"%PDF-1.7", "stdin.pdf"),
            (b"\x1f\x8b\x08", "stdin.gz"),
            (&tar, "stdin.tar"),
        ] {
            assert_eq!(name_for(start), name);
        }
    }

    #[test]
    fn stores_everything_in_a_file_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = unnamed(folder.path()).unwrap();
        let input = b"0123456789".repeat(100_000);
        let (length, start) = store(&input[..], &mut file, folder.path()).unwrap();
        assert_eq!((length, start.len()), (1_000_000, 4096));
        assert_eq!(std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap(), input);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
