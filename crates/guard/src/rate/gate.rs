use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

use super::pacer::{Pacer, Turn};

/// Where the bytes of one stream wait for their time.
pub(super) struct Gate {
    pacer: Arc<Pacer>,
    client: IpAddr,
    stage: Stage,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy)]
enum Stage {
    Closed,
    Turn { turn: Turn, bytes: usize },
    Queue { turn: Turn, at: Instant },
}

impl Gate {
    pub(super) fn new(pacer: Arc<Pacer>, client: IpAddr) -> Self {
        Self { pacer, client, stage: Stage::Closed, sleep: None }
    }

    /// The most bytes that may pass at once.
    pub(super) fn slice(&self) -> usize {
        self.pacer.slice()
    }

    /// Ready when `bytes` may pass: then they have, and the next call is for further ones. While it is pending,
    /// `bytes` stays what it was.
    pub(super) fn poll_pass(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        loop {
            match self.stage {
                Stage::Closed => {
                    let turn = self.pacer.turn(self.client, bytes, Instant::now());
                    self.stage = Stage::Turn { turn, bytes };
                }
                Stage::Turn { turn, bytes } => {
                    ready!(self.poll_until(cx, turn.at));
                    self.stage = Stage::Queue { turn, at: self.pacer.queue(bytes, Instant::now()) };
                }
                Stage::Queue { turn, at } => {
                    ready!(self.poll_until(cx, at));
                    self.stage = Stage::Closed;
                    self.pacer.done(turn);
                    return Poll::Ready(());
                }
            }
        }
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Stage::Turn { turn, .. } | Stage::Queue { turn, .. } = self.stage {
            self.pacer.done(turn);
        }
    }
}
