use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{BACKLOG, UNSENT};

/// One address, bound once per worker with `SO_REUSEPORT`: the kernel spreads new connections over the workers.
#[derive(Debug)]
pub struct ListenerGroup {
    pub address: SocketAddr,
    pub sockets: Vec<TcpListener>,
}

#[derive(Debug, thiserror::Error)]
#[error("{address} cannot be bound: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

impl BindError {
    /// Another program (or another doorstep) has the port.
    pub fn in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

impl ListenerGroup {
    /// Binds `address` for `workers` workers. Port 0 lets the kernel choose; an IPv6 address is IPv6 only.
    ///
    /// # Errors
    /// When the address is taken, foreign, or not allowed.
    pub fn bind(address: SocketAddr, workers: usize) -> Result<Self, BindError> {
        let fail = |source| BindError { address, source };
        // With SO_REUSEPORT alone a second doorstep of the same user would share the port in silence.
        drop(open(address, false).map_err(fail)?);
        let first = open(address, true).map_err(fail)?;
        let address = first.local_addr().map_err(fail)?;
        let mut sockets = vec![first];
        for _ in 1..workers {
            sockets.push(open(address, true).map_err(fail)?);
        }
        Ok(Self { address, sockets })
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Inherited by the connections accepted here. Without it every slow client parks megabytes in the kernel, and when
    // a few hundred of them have used up its memory for TCP, everybody else is slow too.
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_also_to_ourselves() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let group = ListenerGroup::bind(loopback, 2).unwrap();
        assert_eq!(group.sockets.len(), 2);
        assert!(ListenerGroup::bind(group.address, 2).unwrap_err().in_use());
    }
}
