//! An archive on its way out. Each chunk is made in a blocking thread, one ahead of what the client takes; no thread
//! waits for a slow client, and when the client is gone nothing further is read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_http::BodyError;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::archive::Archive;

type Made = (Box<Archive>, io::Result<Option<Vec<u8>>>);

/// Gives out an [`Archive`] to its end.
pub struct ArchiveBody {
    making: Option<JoinHandle<Made>>,
    /// Counts this archive against [`crate::limits::MAX_ZIPS`] until it is dropped.
    _permit: OwnedSemaphorePermit,
}

impl ArchiveBody {
    /// Must be called within a runtime.
    pub fn new(archive: Archive, permit: OwnedSemaphorePermit) -> Self {
        Self { making: Some(make(Box::new(archive))), _permit: permit }
    }
}

fn make(mut archive: Box<Archive>) -> JoinHandle<Made> {
    tokio::task::spawn_blocking(move || {
        let chunk = archive.next_chunk();
        (archive, chunk)
    })
}

impl http_body::Body for ArchiveBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(making) = &mut self.making else { return Poll::Ready(None) };
        let made = ready!(Pin::new(making).poll(cx));
        self.making = None;
        Poll::Ready(match made {
            Ok((archive, Ok(Some(chunk)))) => {
                self.making = Some(make(archive));
                Some(Ok(Frame::data(chunk.into())))
            }
            Ok((_, Ok(None))) => None,
            Ok((_, Err(error))) => Some(Err(BodyError::File(error))),
            Err(panic) => Some(Err(BodyError::File(io::Error::other(panic)))),
        })
    }
}
