//! From the first visitor to the last: signals, the end of the time, and letting transfers finish.

use std::io;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::screen::{Message, Reason, Screen};

/// The signals that matter to sharing.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    resize: tokio::signal::unix::Signal,
    suspend: tokio::signal::unix::Signal,
    resume: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over. Until then they end the program at once, as everybody expects of one that starts.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            resize: signal(SignalKind::window_change())?,
            suspend: signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
            resume: signal(SignalKind::from_raw(Signal::CONT.as_raw()))?,
        })
    }

    /// Waits for a reason to end; the screen follows resizes and Ctrl-Z meanwhile.
    pub async fn end(&mut self, over: &mut mpsc::Receiver<Reason>, screen: &Screen) -> Reason {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Reason::Interrupt,
                _ = self.terminate.recv() => return Reason::Terminate,
                _ = self.hang_up.recv() => return Reason::Terminate,
                _ = self.quit.recv() => return Reason::Terminate,
                Some(reason) = over.recv() => return reason,
                _ = self.resize.recv() => screen.tell(Message::Resized),
                _ = self.suspend.recv() => suspend(screen).await,
                // Also after a stop that could not be caught, and when `fg` follows `bg`.
                _ = self.resume.recv() => screen.tell(Message::Resume),
            }
        }
    }

    /// Waits for somebody who does not want to wait.
    pub async fn hurry(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// Gives the terminal back and stops until `fg` or `bg`, which come as SIGCONT.
async fn suspend(screen: &Screen) {
    screen.ask(Message::Suspend).await;
    // The signal itself was caught, so stopping is up to us.
    let _ = kill_process(getpid(), Signal::STOP);
}
