//! What the service manager is told (sd_notify(3)), and what it hands over. Without one, nothing happens.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{SocketType, getsockname};
use sd_notify::NotifyState;

/// Everything is up; also the end of a reload.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it, whatever came of it (`Type=notify-reload` in systemd.service(5)).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The end begins.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    // A line end would begin another message.
    let line = text.lines().next().unwrap_or_default();
    tell(&[NotifyState::Status(line)]);
}

/// Not hanging. Called more often than `WatchdogSec` asks for; without a watchdog it is ignored.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState<'_>]) {
    // A manager that does not listen is no reason to serve less.
    let _ = sd_notify::notify(state);
}

/// The listening TCP sockets that a socket unit bound for us, by their address (sd_listen_fds(3)). Each can be had once.
///
/// Call it before anything else opens files: the numbers are only known to be these sockets as long as nobody closed them.
pub fn inherited_sockets() -> Vec<(SocketAddr, TcpListener)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    sd_notify::listen_fds().map(|fds| fds.filter_map(take).collect()).unwrap_or_default()
}

/// The socket of this number, if it is one that we can use. Others are left alone.
fn take(fd: RawFd) -> Option<(SocketAddr, TcpListener)> {
    // SAFETY: it was just found open, by the same number that the service manager named; it is only looked at.
    let looked = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    let listens =
        socket_type(looked).is_ok_and(|kind| kind == SocketType::STREAM) && socket_acceptconn(looked).unwrap_or(false);
    let address = SocketAddr::try_from(getsockname(looked).ok()?).ok()?;
    if !listens {
        return None;
    }
    // SAFETY: the service manager gave it to this process, and nothing else here owns it: it is taken once.
    let socket = TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) });
    socket.set_nonblocking(true).ok()?;
    Some((address, socket))
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};

    use super::*;

    #[test]
    fn only_listening_sockets_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (found, socket) = take(listener.into_raw_fd()).unwrap();
        assert_eq!((found, socket.local_addr().unwrap()), (address, address));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(take(file.as_raw_fd()).is_none());
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(take(udp.as_raw_fd()).is_none());
        let unix = std::os::unix::net::UnixListener::bind(tempfile::tempdir().unwrap().path().join("s")).unwrap();
        assert!(take(unix.as_raw_fd()).is_none());
        // Nobody started the tests as a service.
        assert!(inherited_sockets().is_empty());
        ready();
        status("one\ntwo");
        reloading();
        alive();
        stopping();
    }
}
