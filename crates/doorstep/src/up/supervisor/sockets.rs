//! The listening sockets. They belong to the supervisor, so that no connection is refused while workers come and go.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use doorstep_model::{Blame, Finding, Listener, Severity};
use doorstep_net::{BindError, ListenerGroup};
use serde::{Deserialize, Serialize};

use crate::limits::PORT_WAIT;
use crate::port::{Holder, holder};
use crate::up::link::Socket;

/// All of them, by the address that was asked for.
#[derive(Default)]
pub struct Sockets(Vec<Group>);

struct Group {
    asked: SocketAddr,
    sockets: Vec<TcpListener>,
}

/// [`Sockets`] on their way to the program that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedOn(Vec<(SocketAddr, Vec<RawFd>)>);

impl Sockets {
    /// Binds what is not bound yet, once per worker thread. Nothing is closed. A computer without IPv6 does without.
    ///
    /// # Errors
    /// The first address that cannot be bound; what was bound before it stays.
    pub fn bind(&mut self, listeners: &[Listener], threads: usize) -> Result<Vec<Finding>, BindError> {
        let mut findings = Vec::new();
        for listener in listeners {
            if self.0.iter().any(|group| group.asked == listener.address) {
                continue;
            }
            match patiently(listener.address, threads) {
                Ok(group) => self.0.push(Group { asked: listener.address, sockets: group.sockets }),
                Err(error) if has_no_ipv6(&error) => findings.push(no_ipv6(listener.address)),
                Err(error) => return Err(error),
            }
        }
        Ok(findings)
    }

    /// Takes over what the service manager bound for us (socket activation).
    pub fn take_over(&mut self, inherited: Vec<(SocketAddr, TcpListener)>) {
        for (asked, socket) in inherited {
            match self.0.iter_mut().find(|group| group.asked == asked) {
                Some(group) => group.sockets.push(socket),
                None => self.0.push(Group { asked, sockets: vec![socket] }),
            }
        }
    }

    /// Closes those that no listener asks for.
    pub fn close_others(&mut self, listeners: &[Listener]) {
        self.0.retain(|group| listeners.iter().any(|listener| listener.address == group.asked));
    }

    /// What a worker inherits.
    pub fn list(&self) -> Vec<Socket> {
        let each = |group: &Group| {
            let asked = group.asked;
            group
                .sockets
                .iter()
                .map(move |socket| Socket { address: asked, fd: socket.as_raw_fd() })
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(each).collect()
    }

    /// The addresses as bound, ports chosen by the kernel filled in.
    pub fn addresses(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let bound = |group: &Group| group.sockets.first()?.local_addr().ok().map(|bound| (group.asked, bound));
        self.0.iter().filter_map(bound).collect()
    }

    pub fn hand_on(&self) -> HandedOn {
        HandedOn(
            self.0.iter().map(|group| (group.asked, group.sockets.iter().map(AsRawFd::as_raw_fd).collect())).collect(),
        )
    }

    /// # Safety
    /// The descriptors were inherited from the program before, and nobody else in this one owns them.
    pub unsafe fn inherit(handed: HandedOn) -> Self {
        let group = |(asked, fds): (SocketAddr, Vec<RawFd>)| {
            // SAFETY: by the contract of this function.
            let socket = |fd| TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) });
            Group { asked, sockets: fds.into_iter().map(socket).collect() }
        };
        Self(handed.0.into_iter().map(group).collect())
    }
}

impl HandedOn {
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.0.iter().flat_map(|(_, fds)| fds.iter().copied())
    }
}

/// Looks at a port that is taken and belongs to nobody one can see, before it counts as taken.
const UNKNOWN_TRIES: usize = 5;

/// A worker whose supervisor was killed holds the port for some seconds more.
fn patiently(address: SocketAddr, threads: usize) -> Result<ListenerGroup, BindError> {
    let until = Instant::now() + PORT_WAIT;
    // Who holds it may be nobody by the time it is looked up.
    let mut unknown = 0;
    loop {
        match ListenerGroup::bind(address, threads) {
            Err(error) if error.in_use() && Instant::now() < until => match holder(address.port()) {
                Holder::Orphan => {}
                Holder::Unknown if unknown < UNKNOWN_TRIES => unknown += 1,
                _ => return Err(error),
            },
            done => return done,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn has_no_ipv6(error: &BindError) -> bool {
    use rustix::io::Errno;
    let reason = error.source.raw_os_error();
    error.address.is_ipv6()
        && error.address.ip().is_unspecified()
        && (reason == Some(Errno::AFNOSUPPORT.raw_os_error())
            || reason == Some(Errno::PROTONOSUPPORT.raw_os_error())
            || error.source.kind() == io::ErrorKind::AddrNotAvailable)
}

fn no_ipv6(address: SocketAddr) -> Finding {
    Finding {
        severity: Severity::Note,
        blame: Blame::Environment,
        id: "no-ipv6",
        what: format!("This computer has no IPv6, so nothing listens on {address}."),
        why: "Visitors with IPv6 alone cannot come in.".to_owned(),
        fix: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use doorstep_model::TlsPolicy;

    use super::*;

    fn listener(address: SocketAddr) -> Listener {
        Listener { address, tls: TlsPolicy::Plain, max_connections: None, proxy_from: Vec::new(), map: false }
    }

    #[test]
    fn what_is_bound_stays_and_what_nobody_asks_for_is_closed() {
        let mut sockets = Sockets::default();
        let one = listener("127.0.0.1:0".parse().unwrap());
        assert!(sockets.bind(std::slice::from_ref(&one), 2).unwrap().is_empty());
        let bound = sockets.addresses()[0].1;
        sockets.bind(std::slice::from_ref(&one), 2).unwrap();
        assert_eq!((sockets.list().len(), sockets.addresses()[0].1), (2, bound));
        sockets.close_others(&[]);
        assert!(sockets.list().is_empty());
        TcpListener::bind(bound).unwrap();
    }
}
