//! The HTTP/2 server: the `h2` crate's framing, our rules around it. One task per connection, one per stream.

mod body;
mod duplex;
mod request;
mod stream;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorstep_net::{Conn, Drain};
use h2::Reason;
use h2::server::Builder;

use crate::Engine;
use crate::limits::{
    H2_CONNECTION_WINDOW, H2_HEADER_LIST, H2_RESET_WINDOW, H2_RESETS, H2_SEND_BUFFER, H2_STREAM_WINDOW, H2_STREAMS,
};
use crate::timer::Timer;

/// What the streams of one connection share with it.
#[derive(Default)]
struct Shared {
    active: AtomicU32,
    /// Streams that the client cancelled before their answer was complete.
    resets: AtomicU32,
}

/// How long a connection that was told to go may still finish.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves a connection until it is closed, by either side.
pub(crate) async fn serve(engine: &Engine, conn: Conn, drain: Drain) {
    let Conn { io, info } = conn;
    let handshake = builder().handshake::<_, Bytes>(io);
    let Ok(Ok(mut connection)) = tokio::time::timeout(engine.limits.first_byte, handshake).await else { return };
    let shared = Arc::new(Shared::default());
    let mut timer = Timer::default();
    let mut draining = pin!(drain.started());
    let mut budget = ResetBudget::new();
    let mut served_any = false;
    let mut idle_since = Some(Instant::now());
    let mut cut_by = None;
    let mut leaving: Option<Instant> = None;
    std::future::poll_fn(|cx| {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    served_any = true;
                    idle_since = None;
                    let active = Active::new(&shared);
                    tokio::spawn(stream::serve(engine.clone(), info.clone(), request, respond, active));
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if cut_by.is_none() && budget.is_spent(shared.resets.load(Ordering::Relaxed)) {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            cut_by = Some(Instant::now() + Duration::from_secs(1));
            cx.waker().wake_by_ref();
        }
        let idle = shared.active.load(Ordering::Relaxed) == 0;
        let since = if idle { Some(*idle_since.get_or_insert_with(Instant::now)) } else { None };
        idle_since = since;
        let patience = if served_any { engine.limits.keep_alive } else { engine.limits.first_byte };
        let stays = leaving.is_none() && cut_by.is_none();
        let drained = stays && draining.as_mut().poll(cx).is_ready();
        let bored = stays && since.is_some_and(|since| timer.poll(cx, since + patience).is_ready());
        if drained || bored {
            // GOAWAY in two steps (RFC 9113 section 6.8): what the client sends before it learns of the first is still
            // answered, so a gentle drain and a hurried one are the same here.
            connection.graceful_shutdown();
            leaving = Some(Instant::now());
            cx.waker().wake_by_ref();
        }
        // Streams under way may take as long as whoever drains lets them.
        let goodbye = leaving.zip(since).map(|(left, since)| left.max(since) + GOODBYE);
        match cut_by.or(goodbye) {
            Some(at) => timer.poll(cx, at),
            None => Poll::Pending,
        }
    })
    .await;
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_concurrent_streams(H2_STREAMS)
        .max_header_list_size(H2_HEADER_LIST)
        .max_send_buffer_size(H2_SEND_BUFFER)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(H2_RESETS as usize))
        .enable_connect_protocol();
    builder
}

/// One stream at work, counted.
struct Active(Arc<Shared>);

impl Active {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.active.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }

    fn was_reset(&self) {
        self.0.resets.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Watches how many streams the client cancels in a window of time (CVE-2023-44487).
struct ResetBudget {
    window_began: Instant,
    at_begin: u32,
}

impl ResetBudget {
    fn new() -> Self {
        Self { window_began: Instant::now(), at_begin: 0 }
    }

    fn is_spent(&mut self, resets: u32) -> bool {
        if resets == self.at_begin {
            return false;
        }
        if self.window_began.elapsed() > H2_RESET_WINDOW {
            *self = Self { window_began: Instant::now(), at_begin: resets };
        }
        resets - self.at_begin > H2_RESETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_budget_counts_within_its_window() {
        let mut budget = ResetBudget::new();
        assert!(!budget.is_spent(H2_RESETS));
        assert!(budget.is_spent(H2_RESETS + 1));
        budget.window_began = Instant::now().checked_sub(H2_RESET_WINDOW * 2).unwrap();
        assert!(!budget.is_spent(H2_RESETS + 2));
        assert!(!budget.is_spent(2 * H2_RESETS + 2));
        assert!(budget.is_spent(2 * H2_RESETS + 3));
    }
}
