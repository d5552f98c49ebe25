use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::net::TcpStream;

/// What a round trip on this connection takes, as the kernel has measured it (TCP_INFO in tcp(7)). `None` where it has not.
pub(super) fn round_trip(socket: &TcpStream) -> Option<Duration> {
    let info = tcp_info(socket).ok()?;
    (info.tcpi_rtt > 0).then(|| Duration::from_micros(info.tcpi_rtt.into()))
}

fn tcp_info(socket: &TcpStream) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel writes at most `length` bytes to `info`.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut length)
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is made of numbers only, for which zeros are good; the kernel has filled in what it knows.
    Ok(unsafe { info.assume_init() })
}
