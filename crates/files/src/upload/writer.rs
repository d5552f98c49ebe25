//! Bytes of a body on their way to the disk: gathered, then written in a blocking thread while the next ones arrive.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::claims::Claim;
use super::refusal::Refusal;
use super::space;
use crate::limits::UPLOAD_BUFFER;

/// Appends to one file. At most twice [`UPLOAD_BUFFER`] is in memory.
pub struct Writer {
    file: Arc<File>,
    /// Shared with the write in flight, where there is something to be claimed.
    claim: Option<Arc<Claim>>,
    offset: u64,
    gathered: Vec<Bytes>,
    gathered_len: usize,
    in_flight: Option<JoinHandle<Result<(), Refusal>>>,
}

impl Writer {
    /// Goes on at `offset`.
    pub fn new(file: Arc<File>, offset: u64, claim: Option<Arc<Claim>>) -> Self {
        Self { file, claim, offset, gathered: Vec::new(), gathered_len: 0, in_flight: None }
    }

    /// Where the next byte goes, those still in memory counted.
    pub fn offset(&self) -> u64 {
        self.offset + self.gathered_len as u64
    }

    /// # Errors
    /// The disk is full or broken, as seen by an earlier write.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        self.gathered_len += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_len >= UPLOAD_BUFFER { self.start_write().await } else { Ok(()) }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn flush(&mut self) -> Result<(), Refusal> {
        if self.gathered_len > 0 {
            self.start_write().await?;
        }
        self.finish_write().await
    }

    async fn start_write(&mut self) -> Result<(), Refusal> {
        self.finish_write().await?;
        let (file, claim, offset) = (Arc::clone(&self.file), self.claim.clone(), self.offset);
        let gathered = std::mem::take(&mut self.gathered);
        self.offset += self.gathered_len as u64;
        let length = std::mem::take(&mut self.gathered_len) as u64;
        self.in_flight = Some(tokio::task::spawn_blocking(move || {
            let written = write(&file, offset, &gathered, length);
            drop(claim);
            written
        }));
        Ok(())
    }

    async fn finish_write(&mut self) -> Result<(), Refusal> {
        match self.in_flight.take() {
            Some(write) => write.await.unwrap_or_else(|panic| Err(Refusal::Disk(io::Error::other(panic)))),
            None => Ok(()),
        }
    }
}

fn write(file: &File, mut offset: u64, gathered: &[Bytes], length: u64) -> Result<(), Refusal> {
    if space::left(file)? < length {
        return Err(Refusal::NoSpace);
    }
    for bytes in gathered {
        file.write_all_at(bytes, offset)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[tokio::test]
    async fn everything_arrives_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(Arc::new(file.try_clone().unwrap()), 0, None);
        let mut sent = Vec::new();
        for n in 0..40_u8 {
            let piece = vec![n; UPLOAD_BUFFER / 10 + usize::from(n)];
            sent.extend_from_slice(&piece);
            writer.push(piece.into()).await.unwrap();
        }
        assert_eq!(writer.offset(), sent.len() as u64);
        writer.flush().await.unwrap();
        let mut written = Vec::new();
        file.read_to_end(&mut written).unwrap();
        assert!(written == sent);
    }
}
