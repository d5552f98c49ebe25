use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;

/// Small packets go at once, and a path on which nothing is acknowledged for `unacknowledged` is dead.
pub(crate) fn prepare(socket: &TcpStream, unacknowledged: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let millis = u32::try_from(unacknowledged.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(socket, millis)?;
    Ok(())
}
