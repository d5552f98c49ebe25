//! An archive being made: asked for bytes again and again, it walks on, reads on and never holds more than a few chunks.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rustix::fs::Stat;

use super::format::{self, Entry, LAST_STORED_BLOCK, Measured, Method, Sizes};
use super::spool::Spool;
use super::walk::{Found, Walk};
use crate::limits::{ZIP_CHUNK, ZIP_DIRECTORY_IN_MEMORY, ZIP_MAX_SKIPPED};
use crate::root::Root;

/// Files of this size and more are declared with 64-bit sizes; below 4 GiB by what deflate may add.
const ZIP64_FROM: u64 = 4_000_000_000;

/// Everything between two chunks.
pub struct Archive {
    root: Arc<Root>,
    /// Where in the root the archive's own folder is.
    start: PathBuf,
    /// The folder that everything is in once unpacked.
    name: String,
    walk: Walk,
    stage: Stage,
    /// Bytes given out so far.
    offset: u64,
    entries: u64,
    directory: Spool,
    skipped: String,
    buffer: Vec<u8>,
}

enum Stage {
    /// Looking for the next file.
    Walking,
    /// Amid a large file.
    Member(Box<Member>),
    /// Giving out the directory: what is left of it, its size, where it began.
    Directory(Box<dyn Read + Send>, u64, u64),
    Done,
}

/// A file too large to be looked at whole.
struct Member {
    path: PathBuf,
    file: File,
    left: u64,
    name: String,
    modified: i64,
    mode: u32,
    zip64: bool,
    began: u64,
    crc: Crc,
    packed: u64,
    size: u64,
    packer: Option<Compress>,
}

impl Archive {
    /// # Errors
    /// The folder cannot be opened.
    pub fn new(root: Arc<Root>, start: PathBuf, name: &str) -> io::Result<Self> {
        let walk = Walk::new(Arc::clone(&root), start.clone())?;
        Ok(Self {
            root,
            start,
            name: clean(name),
            walk,
            stage: Stage::Walking,
            offset: 0,
            entries: 0,
            directory: Spool::new(ZIP_DIRECTORY_IN_MEMORY),
            skipped: String::new(),
            buffer: vec![0; ZIP_CHUNK],
        })
    }

    /// The next bytes, about [`ZIP_CHUNK`] of them; `None` at the end. Blocks on the disk.
    ///
    /// # Errors
    /// Only of the archive itself (its temporary file). What is wrong with a file that goes into it is noted in it.
    pub fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut out = Vec::with_capacity(ZIP_CHUNK + ZIP_CHUNK / 8);
        while out.len() < ZIP_CHUNK {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Walking => self.walk_on(&mut out)?,
                Stage::Member(member) => self.read_on(member, &mut out)?,
                Stage::Directory(mut reader, size, began) => {
                    let got = reader.read(&mut self.buffer)?;
                    if got == 0 {
                        format::push_end(self.entries, size, began, &mut out);
                        break;
                    }
                    out.extend_from_slice(&self.buffer[..got]);
                    self.stage = Stage::Directory(reader, size, began);
                }
                Stage::Done => break,
            }
        }
        self.offset += out.len() as u64;
        Ok((!out.is_empty()).then_some(out))
    }

    fn walk_on(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.stage = Stage::Walking;
        match self.walk.next() {
            Some(Found::Folder(path, stat)) => {
                let name = self.name_of(&path) + "/";
                self.add_whole(&name, stat.st_mtime, 0o040_755, &[], out)
            }
            Some(Found::File(path)) => match self.root.open_file(&path) {
                Ok((file, stat)) => self.begin(path, file, &stat, out),
                Err(error) => {
                    self.skip(&path, &error.to_string());
                    Ok(())
                }
            },
            Some(Found::Skipped(path, why)) => {
                self.skip(&path, &why);
                Ok(())
            }
            None => self.end_walk(out),
        }
    }

    fn end_walk(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !self.skipped.is_empty() {
            let taken = self.root.stat(&self.start.join("_skipped.txt")).is_ok();
            let name = format!("{}/{}", self.name, if taken { "_skipped by doorstep.txt" } else { "_skipped.txt" });
            let text = format!("These are in the folder, but not or not whole in this archive:\n\n{}", self.skipped);
            self.add_whole(&name, now(), 0o100_644, text.as_bytes(), out)?;
        }
        let directory = std::mem::replace(&mut self.directory, Spool::new(0));
        let size = directory.len();
        self.stage = Stage::Directory(directory.into_reader()?, size, self.offset + out.len() as u64);
        Ok(())
    }

    fn begin(&mut self, path: PathBuf, mut file: File, stat: &Stat, out: &mut Vec<u8>) -> io::Result<()> {
        let name = self.name_of(&path);
        let mode = if stat.st_mode & 0o111 == 0 { 0o100_644 } else { 0o100_755 };
        let expected = u64::try_from(stat.st_size).unwrap_or(0);
        let first = match read_full(&mut file, &mut self.buffer, expected) {
            Ok(first) => first,
            Err(error) => {
                self.skip(&path, &error.to_string());
                return Ok(());
            }
        };
        if first as u64 >= expected {
            let content = std::mem::take(&mut self.buffer);
            let added = self.add_whole(&name, stat.st_mtime, mode, &content[..first], out);
            self.buffer = content;
            return added;
        }
        let compressible = is_worth_packing(&name) && shrinks(&self.buffer[..first]);
        let mut member = Box::new(Member {
            left: expected,
            name,
            modified: stat.st_mtime,
            mode,
            zip64: expected >= ZIP64_FROM,
            began: self.offset + out.len() as u64,
            crc: Crc::new(),
            packed: 0,
            size: 0,
            packer: compressible.then(|| Compress::new(Compression::fast(), false)),
            path,
            file,
        });
        format::push_local_header(&member.entry(), out);
        member.push(&self.buffer[..first], out)?;
        self.stage = Stage::Member(member);
        Ok(())
    }

    fn read_on(&mut self, mut member: Box<Member>, out: &mut Vec<u8>) -> io::Result<()> {
        let got = if member.left == 0 { Ok(0) } else { read_full(&mut member.file, &mut self.buffer, member.left) };
        match got {
            Ok(got) if got > 0 => {
                member.push(&self.buffer[..got], out)?;
                self.stage = Stage::Member(member);
                return Ok(());
            }
            Ok(_) if member.left > 0 => self.skip(&member.path, "it became shorter while it was read"),
            Ok(_) => {}
            Err(error) => self.skip(&member.path, &format!("not whole: {error}")),
        }
        let measured = member.finish(out)?;
        format::push_descriptor(measured, member.zip64, out);
        self.record(&member.entry(), measured, member.began)?;
        self.stage = Stage::Walking;
        Ok(())
    }

    /// Adds an entry whose whole content is at hand.
    fn add_whole(&mut self, name: &str, modified: i64, mode: u32, content: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let packed = if is_worth_packing(name) { pack(content) } else { None };
        let data = packed.as_deref().unwrap_or(content);
        let mut crc = Crc::new();
        crc.update(content);
        let measured = Measured { crc32: crc.sum(), packed: data.len() as u64, size: content.len() as u64 };
        let method = if packed.is_some() { Method::Deflated } else { Method::Stored };
        let entry = Entry { name, method, modified, mode, sizes: Sizes::Known(measured) };
        let began = self.offset + out.len() as u64;
        format::push_local_header(&entry, out);
        out.extend_from_slice(data);
        self.record(&entry, measured, began)
    }

    fn record(&mut self, entry: &Entry<'_>, measured: Measured, began: u64) -> io::Result<()> {
        let mut record = Vec::with_capacity(64 + entry.name.len());
        format::push_central_record(entry, measured, began, &mut record);
        self.entries += 1;
        self.directory.push(&record)
    }

    /// A path beneath the root as a name in the archive.
    fn name_of(&self, path: &Path) -> String {
        let inner = path.strip_prefix(&self.start).unwrap_or(path);
        let mut name = self.name.clone();
        for component in inner.components() {
            name.push('/');
            name.push_str(&clean(&String::from_utf8_lossy(component.as_os_str().as_bytes())));
        }
        name
    }

    fn skip(&mut self, path: &Path, why: &str) {
        if self.skipped.len() > ZIP_MAX_SKIPPED {
            return;
        }
        self.skipped.push_str(&format!("{}: {why}\n", self.name_of(path)));
        if self.skipped.len() > ZIP_MAX_SKIPPED {
            self.skipped.push_str("… and more\n");
        }
    }
}

impl Member {
    fn entry(&self) -> Entry<'_> {
        Entry {
            name: &self.name,
            method: Method::Deflated,
            modified: self.modified,
            mode: self.mode,
            sizes: Sizes::Later { zip64: self.zip64 },
        }
    }

    fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.crc.update(data);
        self.size += data.len() as u64;
        self.left = self.left.saturating_sub(data.len() as u64);
        let before = out.len();
        match &mut self.packer {
            None => format::push_stored_blocks(data, out),
            Some(packer) => deflate(packer, data, FlushCompress::None, out)?,
        }
        self.packed += (out.len() - before) as u64;
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<Measured> {
        let before = out.len();
        match &mut self.packer {
            None => out.extend_from_slice(&LAST_STORED_BLOCK),
            Some(packer) => deflate(packer, &[], FlushCompress::Finish, out)?,
        }
        self.packed += (out.len() - before) as u64;
        Ok(Measured { crc32: self.crc.sum(), packed: self.packed, size: self.size })
    }
}

/// Fills `buffer` from `file` with at most `most` bytes; less only at the file's end.
fn read_full(file: &mut File, buffer: &mut [u8], most: u64) -> io::Result<usize> {
    let want = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    let mut got = 0;
    while got < want {
        match file.read(&mut buffer[got..want]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn deflate(packer: &mut Compress, mut data: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> io::Result<()> {
    loop {
        out.reserve(32 * 1024);
        let before = packer.total_in();
        let status = packer.compress_vec(data, out, flush).map_err(io::Error::other)?;
        let taken = usize::try_from(packer.total_in() - before).unwrap_or(usize::MAX);
        data = data.get(taken..).unwrap_or_default();
        let room = out.len() < out.capacity();
        match flush {
            FlushCompress::Finish if status == Status::StreamEnd => return Ok(()),
            FlushCompress::Finish => {}
            _ if data.is_empty() && room => return Ok(()),
            _ => {}
        }
    }
}

/// `content` deflated, where that is smaller.
fn pack(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() < 64 {
        return None;
    }
    let mut packer = Compress::new(Compression::fast(), false);
    let mut packed = Vec::with_capacity(content.len() / 2);
    deflate(&mut packer, content, FlushCompress::Finish, &mut packed).ok()?;
    (packed.len() < content.len()).then_some(packed)
}

/// Whether deflate saves at least a tenth of a file that begins so.
fn shrinks(sample: &[u8]) -> bool {
    pack(&sample[..sample.len().min(64 * 1024)])
        .is_some_and(|packed| packed.len() < sample.len().min(64 * 1024) / 10 * 9)
}

/// Whether a file of this name may shrink at all: pictures, films, music and archives are packed already.
fn is_worth_packing(name: &str) -> bool {
    const PACKED: [&str; 40] = [
        "jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "heif", "jxl", "mp4", "m4v", "mkv", "webm", "mov", "avi",
        "mp3", "m4a", "aac", "ogg", "oga", "opus", "flac", "wma", "zip", "gz", "tgz", "bz2", "xz", "zst", "br", "7z",
        "rar", "lz4", "jar", "apk", "docx", "xlsx", "pptx", "woff2", "epub",
    ];
    name.rsplit_once('.').is_none_or(|(_, end)| !PACKED.iter().any(|packed| end.eq_ignore_ascii_case(packed)))
}

/// A name that no unpacking program can take for a path or a command.
fn clean(name: &str) -> String {
    let cleaned: String =
        name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
    match cleaned.as_str() {
        "" | "." | ".." => "folder".to_owned(),
        _ => cleaned,
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).unwrap_or(0)
}
