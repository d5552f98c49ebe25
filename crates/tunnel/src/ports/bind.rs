use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{PORT_BACKLOG, PORT_UNSENT, UDP_BUFFER};

/// Sockets at `port` of each address, `copies` of each, between which the kernel spreads connections (SO_REUSEPORT).
/// `shared`: the worker before this one may still have them open, so that the kernel must not refuse what is ours.
pub(super) fn tcp(ips: &[IpAddr], port: u16, copies: usize, shared: bool) -> io::Result<Vec<Vec<TcpListener>>> {
    let open = |address: SocketAddr, reuse: bool| {
        let socket = socket(address, Type::STREAM, Protocol::TCP)?;
        // After the agent's last connections, which the kernel remembers for a while.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse)?;
        socket.set_tcp_notsent_lowat(PORT_UNSENT)?;
        socket.bind(&address.into())?;
        socket.listen(PORT_BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    every(ips, port, |address| {
        if !shared {
            // With SO_REUSEPORT alone we would share the port with other programs of this user, in silence.
            drop(open(address, false)?);
        }
        (0..copies).map(|_| open(address, true)).collect()
    })
}

/// One socket for each address.
pub(super) fn udp(ips: &[IpAddr], port: u16, shared: bool) -> io::Result<Vec<UdpSocket>> {
    every(ips, port, |address| {
        let open = |reuse: bool| {
            let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
            socket.set_reuse_port(reuse)?;
            // The system may give less.
            let _ = socket.set_recv_buffer_size(UDP_BUFFER);
            socket.bind(&address.into())?;
            Ok(UdpSocket::from(socket))
        };
        if !shared {
            drop(open(false)?);
        }
        open(true)
    })
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A computer without IPv6 (or without IPv4) has the other one; but a port that is taken on one is not lent on the other.
fn every<T>(ips: &[IpAddr], port: u16, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<Vec<T>> {
    let mut opened = Vec::new();
    let mut missing = None;
    for ip in ips {
        match open(SocketAddr::new(*ip, port)) {
            Ok(socket) => opened.push(socket),
            Err(error) if is_absent(&error) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno == Some(Errno::AFNOSUPPORT) || errno == Some(Errno::ADDRNOTAVAIL)
}
