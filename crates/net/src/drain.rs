use tokio::sync::watch;

/// Seen by every connection: whether to finish and go.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Option<Patience>>);

/// Starts a drain and waits for its end.
#[derive(Debug)]
pub struct DrainControl(watch::Sender<Option<Patience>>);

/// What a drain does with connections that are open and have nothing under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patience {
    /// They stay until their next request, whose answer is their last and says so, or until they have idled for too long.
    /// To close one earlier would race with a request that is already on its way.
    Gentle,
    /// They are closed at once.
    Now,
}

impl DrainControl {
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Drain(receiver))
    }

    /// Stop accepting, finish in-flight work. A gentle drain may be hurried by a second call, never the other way round.
    pub fn start(&self, patience: Patience) {
        self.0.send_if_modified(|now| {
            let later = Some(patience).max(*now);
            std::mem::replace(now, later) != later
        });
    }

    /// Ends when every holder of a [`Drain`] is gone.
    pub async fn finished(&self) {
        self.0.closed().await;
    }
}

impl Drain {
    pub fn is_draining(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Ends when a drain starts, or whoever could start it is gone.
    pub async fn started(&self) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(Option::is_some).await;
    }

    /// Ends when a drain is [`Patience::Now`], or whoever could start it is gone.
    pub async fn hurried(&self) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|patience| *patience == Some(Patience::Now)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finishes_when_the_last_holder_is_gone() {
        let (control, drain) = DrainControl::new();
        let other = drain.clone();
        control.start(Patience::Now);
        other.started().await;
        assert!(drain.is_draining());
        drop((drain, other));
        control.finished().await;
    }

    #[tokio::test]
    async fn a_gentle_drain_can_be_hurried_and_not_slowed() {
        let (control, drain) = DrainControl::new();
        control.start(Patience::Gentle);
        drain.started().await;
        let mut hurried = std::pin::pin!(drain.hurried());
        let early = std::future::poll_fn(|cx| std::task::Poll::Ready(hurried.as_mut().poll(cx))).await;
        assert!(early.is_pending());
        control.start(Patience::Now);
        control.start(Patience::Gentle);
        hurried.await;
    }
}
