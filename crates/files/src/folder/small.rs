//! A small file in memory with all its variants.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::HeaderMap;

use super::find::{self, Opened};
use crate::limits::{CACHE_SETTLED, CACHE_TRUST, CACHED_OVERHEAD, MAX_READ_TRIES, MAX_SMALL_FILE, MIN_COMPRESSED};
use crate::read;
use crate::root::Root;
use crate::stamp::Stamp;
use crate::variant::{Source, Variant};
use doorstep_http::coding::{Accepted, Coding, compress};

/// The file as it is, and, made when they are first asked for, what compressed siblings and compression give.
pub struct Small {
    relative: String,
    stamp: Stamp,
    headers: HeaderMap,
    /// The file itself.
    bytes: Bytes,
    compressible: bool,
    plain: Variant,
    siblings: OnceLock<[Sibling; 3]>,
    compressed: [OnceLock<Option<Variant>>; 3],
    /// Nanoseconds on [`CLOCK`] when the disk was last asked.
    checked: AtomicU64,
    used: AtomicBool,
}

/// A file beside the file, compressed by somebody ahead of time.
struct Sibling {
    /// As it stood when it was looked for, to see whether that changed.
    stamp: Option<Stamp>,
    variant: Option<Variant>,
}

static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Small {
    /// Reads an open file. `headers` says what all its variants have in common. A file that never holds still, or has
    /// grown large, is given back as it was opened last.
    ///
    /// # Errors
    /// As `open(2)` and `read(2)`.
    pub async fn read(
        root: &Root,
        mut opened: Opened,
        headers: &HeaderMap,
        compressible: bool,
    ) -> io::Result<Result<Self, Opened>> {
        for _ in 0..MAX_READ_TRIES {
            let len = opened.stamp.len;
            if len > MAX_SMALL_FILE {
                break;
            }
            let bytes = read::whole(&opened.file, len as usize).await;
            let after = Stamp::of(&rustix::fs::fstat(&opened.file)?);
            match bytes {
                // The same before and after: these bytes belong to this stamp.
                Ok(bytes) if after == opened.stamp => {
                    return Ok(Ok(Self::new(opened.relative, after, headers, compressible, bytes.into())));
                }
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                _ => opened = find::open(root, opened.relative)?,
            }
        }
        Ok(Err(opened))
    }

    pub fn new(relative: String, stamp: Stamp, headers: &HeaderMap, compressible: bool, bytes: Bytes) -> Self {
        Self {
            plain: Variant::stored(headers, Source::Memory(bytes.clone()), &stamp, None),
            relative,
            stamp,
            headers: headers.clone(),
            bytes,
            compressible,
            siblings: OnceLock::new(),
            compressed: [const { OnceLock::new() }; 3],
            checked: AtomicU64::new(now()),
            used: AtomicBool::new(false),
        }
    }

    /// The most bytes it can take: no variant is longer than the file.
    pub fn weight(&self) -> usize {
        let variants = if self.compressible { 7 } else { 1 };
        self.relative.len() + self.bytes.len() * variants + CACHED_OVERHEAD
    }

    pub fn mark_used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    pub fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Whether a later change will show in its time stamp, so that it may be kept.
    pub fn is_settled(&self) -> bool {
        self.stamp.is_settled(SystemTime::now(), CACHE_SETTLED)
    }

    /// Whether it is still what is on the disk. Asked of the disk only every [`CACHE_TRUST`].
    pub fn is_current(&self, root: &Root) -> bool {
        let now = now();
        let age = now.saturating_sub(self.checked.load(Ordering::Relaxed));
        if u128::from(age) < CACHE_TRUST.as_nanos() {
            return true;
        }
        let stamp = |relative: &str| root.stat(Path::new(relative)).ok().map(|stat| Stamp::of(&stat));
        let same = stamp(&self.relative) == Some(self.stamp)
            && self.siblings.get().is_none_or(|siblings| {
                Coding::BY_SIZE.iter().all(|coding| stamp(&self.beside(*coding)) == siblings[*coding as usize].stamp)
            });
        if same {
            self.checked.store(now, Ordering::Relaxed);
        }
        same
    }

    /// The variant for a client, if it is there already. A client that wants parts gets no compression of our own.
    pub fn ready(&self, accepted: Accepted, wants_parts: bool) -> Option<&Variant> {
        if !self.compressible || accepted.is_none() {
            return Some(&self.plain);
        }
        let siblings = self.siblings.get()?;
        let stored = accepted.in_order(Coding::BY_SIZE).find_map(|coding| siblings[coding as usize].variant.as_ref());
        if stored.is_some() {
            return stored;
        }
        match self.to_compress(accepted, wants_parts) {
            Some(coding) => Some(self.compressed[coding as usize].get()?.as_ref().unwrap_or(&self.plain)),
            None => Some(&self.plain),
        }
    }

    /// Makes what [`Small::ready`] lacks, and gives it.
    pub async fn prepared(&self, root: &Root, accepted: Accepted, wants_parts: bool) -> &Variant {
        if let Some(ready) = self.ready(accepted, wants_parts) {
            return ready;
        }
        if self.siblings.get().is_none() {
            let mut found = [const { Sibling { stamp: None, variant: None } }; 3];
            for coding in Coding::BY_SIZE {
                found[coding as usize] = self.sibling(root, coding).await;
            }
            let _ = self.siblings.set(found);
        }
        if let Some(ready) = self.ready(accepted, wants_parts) {
            return ready;
        }
        if let Some(coding) = self.to_compress(accepted, wants_parts) {
            let bytes = self.bytes.clone();
            let made = read::elsewhere(move || compress(coding, &bytes)).await.ok();
            let smaller = made.filter(|made| made.len() < self.bytes.len());
            let variant = smaller.map(|made| Variant::compressed(&self.headers, made, &self.stamp, coding));
            let _ = self.compressed[coding as usize].set(variant);
        }
        self.ready(accepted, wants_parts).unwrap_or(&self.plain)
    }

    fn to_compress(&self, accepted: Accepted, wants_parts: bool) -> Option<Coding> {
        let worth_it = !wants_parts && self.stamp.len >= MIN_COMPRESSED;
        accepted.in_order(Coding::BY_WORK).next().filter(|_| worth_it)
    }

    fn beside(&self, coding: Coding) -> String {
        format!("{}{}", self.relative, coding.extension())
    }

    async fn sibling(&self, root: &Root, coding: Coding) -> Sibling {
        let relative = self.beside(coding);
        let stamp = root.stat(Path::new(&relative)).ok().map(|stat| Stamp::of(&stat));
        let Some(usable) = stamp.filter(|stamp| stamp.is_newer_or_equal(&self.stamp) && stamp.len <= self.stamp.len)
        else {
            return Sibling { stamp, variant: None };
        };
        let read = async {
            let opened = find::open(root, relative).ok().filter(|opened| opened.stamp == usable)?;
            read::whole(&opened.file, usable.len as usize).await.ok()
        };
        let source = read.await.map(|bytes| Source::Memory(bytes.into()));
        let variant = source.map(|source| Variant::stored(&self.headers, source, &usable, Some(coding)));
        Sibling { stamp, variant }
    }
}

/// Puts a file under the path of a request; a file that has just been written may change again unseen, and is not kept.
pub fn keep(cache: &super::cache::Cache, path: &str, file: &Arc<Small>) {
    if file.is_settled() {
        cache.insert(path, Arc::clone(file));
    }
}

/// Nanoseconds on [`CLOCK`].
pub(super) fn now() -> u64 {
    u64::try_from(CLOCK.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
