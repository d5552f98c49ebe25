use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;

use crate::limits::UNREAD;

/// Small packets go at once; a path on which nothing is acknowledged for `unacknowledged` is dead; and what the kernel takes in
/// before we read it is bounded, because it stands before everything that comes later, on whatever channel.
pub(crate) fn prepare(socket: &TcpStream, unacknowledged: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let millis = u32::try_from(unacknowledged.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(socket, millis)?;
    clamp_window(socket, UNREAD)
}

/// TCP_WINDOW_CLAMP (tcp(7)).
fn clamp_window(socket: &TcpStream, bytes: libc::c_int) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the option's value is an int of that size.
    let result = unsafe {
        let value = std::ptr::from_ref(&bytes).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, value, size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
