//! The signals that tell a daemon what to do.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::supervisor::Event;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: let a new binary take over.
    Upgrade,
    /// SIGUSR1: open log files anew.
    Reopen,
    /// SIGTERM, SIGINT, SIGQUIT.
    Stop,
}

/// Turns signals into events, from now on.
///
/// # Errors
/// The system's.
pub fn listen(events: mpsc::UnboundedSender<Event>) -> io::Result<JoinHandle<()>> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    allow();
    Ok(tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                _ = hang_up.recv() => Order::Reload,
                _ = user1.recv() => Order::Reopen,
                _ = user2.recv() => Order::Upgrade,
                _ = terminate.recv() => Order::Stop,
                _ = interrupt.recv() => Order::Stop,
                _ = quit.recv() => Order::Stop,
            };
            if events.send(Event::Order(order)).is_err() {
                return;
            }
        }
    }))
}

/// The signals of [`listen`]. While nobody listens, as between two programs of one process, most of them would end it.
const ORDERS: [Signal; 6] = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::TERM, Signal::INT, Signal::QUIT];

/// Holds these signals back until [`listen`] or [`allow`] lets them in again; across an exec, too.
pub fn hold() {
    mask(libc::SIG_BLOCK);
}

/// Lets them in again.
pub fn allow() {
    mask(libc::SIG_UNBLOCK);
}

/// Takes no notice of them any more. Ctrl-C, a closed terminal and `pkill -HUP doorstep` reach workers as well, which must
/// not end by them: what to do is said by their supervisor.
pub fn ignore() {
    for signal in ORDERS {
        // SAFETY: takes numbers; the disposition is one that runs no code.
        unsafe { libc::signal(signal.as_raw(), libc::SIG_IGN) };
    }
}

fn mask(how: libc::c_int) {
    // SAFETY: the set is initialised by sigemptyset before it is used, and both calls only read or write that set and
    // this thread's mask.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in ORDERS {
            libc::sigaddset(&raw mut set, signal.as_raw());
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}
