use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// The one timer of a connection. Moving its deadline later costs nothing: it is re-armed only when it goes off too early.
#[derive(Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready once `at` has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadlines_move_both_ways() {
        let mut timer = Timer::default();
        let begin = tokio::time::Instant::now();
        for seconds in [60, 10, 90] {
            let at = (begin + Duration::from_secs(seconds)).into_std();
            let pending = std::future::poll_fn(|cx| Poll::Ready(timer.poll(cx, at).is_pending())).await;
            assert!(pending, "{seconds}");
        }
        let at = (begin + Duration::from_secs(20)).into_std();
        std::future::poll_fn(|cx| timer.poll(cx, at)).await;
        assert_eq!(begin.elapsed().as_secs(), 20);
    }
}
