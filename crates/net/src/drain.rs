use tokio::sync::watch;

/// Seen by every connection: whether to finish and go.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

/// Starts a drain and waits for its end.
#[derive(Debug)]
pub struct DrainControl(watch::Sender<bool>);

impl DrainControl {
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Drain(receiver))
    }

    /// Stop accepting, finish in-flight work.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// Ends when every holder of a [`Drain`] is gone.
    pub async fn finished(&self) {
        self.0.closed().await;
    }
}

impl Drain {
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the drain starts, or whoever could start it is gone.
    pub async fn started(&self) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|draining| *draining).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finishes_when_the_last_holder_is_gone() {
        let (control, drain) = DrainControl::new();
        let other = drain.clone();
        control.start();
        other.started().await;
        assert!(drain.is_draining());
        drop((drain, other));
        control.finished().await;
    }
}
