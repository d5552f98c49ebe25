//! Reading files without making the data plane wait for a disk: what is in the page cache is read in the calling
//! thread, all else in another.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

/// Reads exactly `len` bytes from the file's start.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if it is shorter; as `read(2)`.
pub async fn whole(file: &Arc<File>, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    match read_cached(file, &mut bytes, 0) {
        Some(Ok(got)) if got == len => return Ok(bytes),
        Some(Err(error)) => return Err(error),
        Some(Ok(_)) | None => {}
    }
    let file = Arc::clone(file);
    elsewhere(move || file.read_exact_at(&mut bytes, 0).map(|()| bytes)).await
}

/// Runs what may wait for a disk, or takes the processor for long, in another thread.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// Reads parts of a file, one at a time.
pub struct Reader {
    file: Arc<File>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reader {
    pub fn new(file: Arc<File>) -> Self {
        Self { file, reading: None }
    }

    /// Up to `most` bytes from `offset`, at least one. Until it is ready it must be asked for the same bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] at the file's end; as `read(2)`.
    pub fn poll(&mut self, cx: &mut Context<'_>, offset: u64, most: usize) -> Poll<io::Result<Bytes>> {
        if self.reading.is_none() {
            let mut bytes = vec![0; most];
            match read_cached(&self.file, &mut bytes, offset) {
                Some(got) => return Poll::Ready(got.and_then(|got| cut(bytes, got))),
                None => {
                    let file = Arc::clone(&self.file);
                    self.reading = Some(tokio::task::spawn_blocking(move || {
                        let got = file.read_at(&mut bytes, offset)?;
                        cut(bytes, got)
                    }));
                }
            }
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let done = std::task::ready!(std::pin::Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(done.unwrap_or_else(|panic| Err(io::Error::other(panic))))
    }
}

fn cut(mut bytes: Vec<u8>, len: usize) -> io::Result<Bytes> {
    if len == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
    }
    bytes.truncate(len);
    Ok(bytes.into())
}

/// `None` where it would have to wait for a disk.
fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) {
        Ok(got) => Some(Ok(got)),
        Err(Errno::AGAIN) => None,
        // Not every file system can tell; those that cannot are mostly in memory.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Some(file.read_at(bytes, offset)),
        Err(error) => Some(Err(error.into())),
    }
}
