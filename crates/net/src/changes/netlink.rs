use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::NetworkChange;
use crate::limits::KNOWN_LINKS;

/// Groups of rtnetlink(7): links; IPv4 addresses and routes; the same of IPv6.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// The kernel's messages about links, addresses and routes.
pub(super) struct Netlink {
    socket: AsyncFd<OwnedFd>,
    links: Links,
}

impl Netlink {
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // NETLINK_ROUTE is protocol 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        // SAFETY: the descriptor is owned, and nobody replaces or closes it before the `AsyncFd`.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Self { socket, links: Links::default() })
    }

    pub async fn next(&mut self) -> NetworkChange {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(mut ready) = self.socket.readable().await else { std::future::pending().await };
            let received = ready.try_io(|socket| Ok(recv(socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?.0));
            match received {
                Ok(Ok(length)) => {
                    if let Some(change) = self.links.judge(buffer.get(..length).unwrap_or_default()) {
                        return change;
                    }
                }
                // There were more messages than the socket holds: one of them may have mattered.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                    return NetworkChange::DefaultRoute;
                }
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => {}
            }
        }
    }
}

/// What state each interface was in, since there are messages about much else of them.
#[derive(Debug, Default)]
struct Links(HashMap<i32, u32>);

const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
/// IFF_UP, IFF_RUNNING, IFF_LOWER_UP (netdevice(7)).
const STATE: u32 = 0x1 | 0x40 | 0x1_0000;
/// RT_SCOPE_LINK; those above are narrower.
const SCOPE_LINK: u8 = 253;
/// RTN_UNICAST.
const UNICAST: u8 = 1;
/// RTM_F_CLONED: an entry of a cache.
const CLONED: u32 = 0x200;

impl Links {
    /// The change that matters most, of all messages in `bytes`.
    fn judge(&mut self, mut bytes: &[u8]) -> Option<NetworkChange> {
        let mut change = None;
        // struct nlmsghdr (netlink(7)): length, type, flags, sequence, port.
        while let Some(length) = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok()) {
            let Some(body) = bytes.get(16..length) else { break };
            if let Some(kind) = u16_at(bytes, 4) {
                change = change.max(self.message(kind, body));
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        change
    }

    fn message(&mut self, kind: u16, body: &[u8]) -> Option<NetworkChange> {
        match kind {
            // struct ifinfomsg: family, -, type (2), index (4), flags (4).
            NEW_LINK => {
                let (index, state) = (i32_at(body, 4)?, u32_at(body, 8)? & STATE);
                if self.0.len() >= KNOWN_LINKS && !self.0.contains_key(&index) {
                    self.0.clear();
                }
                (self.0.insert(index, state) != Some(state)).then_some(NetworkChange::Links)
            }
            DEL_LINK => {
                self.0.remove(&i32_at(body, 4)?);
                Some(NetworkChange::Links)
            }
            // struct ifaddrmsg: family, prefix length, flags, scope.
            NEW_ADDRESS | DEL_ADDRESS => (*body.get(3)? < SCOPE_LINK).then_some(NetworkChange::Addresses),
            // struct rtmsg: family, destination length, source length, TOS, table, protocol, scope, type, flags (4).
            NEW_ROUTE | DEL_ROUTE => {
                let default = *body.get(1)? == 0 && *body.get(7)? == UNICAST && u32_at(body, 8)? & CLONED == 0;
                default.then_some(NetworkChange::DefaultRoute)
            }
            _ => None,
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|value| u16::from_ne_bytes(*value))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|value| u32::from_ne_bytes(*value))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|value| i32::from_ne_bytes(*value))
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::Poll;

    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend([0; 10]);
        out.extend(body);
        out
    }

    fn link(index: i32, flags: u32) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        message(NEW_LINK, &body)
    }

    #[test]
    fn what_matters_is_told_and_nothing_else() {
        let mut links = Links::default();
        assert_eq!(links.judge(&link(2, 0x1_1043)), Some(NetworkChange::Links));
        // The same state again, as each scan of a wireless interface has it.
        assert_eq!(links.judge(&link(2, 0x1_1043)), None);
        assert_eq!(links.judge(&link(2, 0x1003)), Some(NetworkChange::Links));
        let default = [2, 0, 0, 0, 254, 3, 0, UNICAST, 0, 0, 0, 0];
        let mut other = default;
        other[1] = 24;
        assert_eq!(links.judge(&message(NEW_ROUTE, &other)), None);
        assert_eq!(links.judge(&message(DEL_ROUTE, &default)), Some(NetworkChange::DefaultRoute));
        assert_eq!(links.judge(&message(NEW_ADDRESS, &[2, 24, 0, 0, 2, 0, 0, 0])), Some(NetworkChange::Addresses));
        assert_eq!(links.judge(&message(NEW_ADDRESS, &[10, 64, 0, SCOPE_LINK, 2, 0, 0, 0])), None);
        let both = [message(DEL_ADDRESS, &[2, 24, 0, 0, 2, 0, 0, 0]), message(DEL_ROUTE, &default)].concat();
        assert_eq!(links.judge(&both), Some(NetworkChange::DefaultRoute));
    }

    #[test]
    fn any_bytes_are_judged() {
        let whole = [link(2, 0x1043), message(NEW_ROUTE, &[2, 0, 0, 0, 254, 3, 0, UNICAST, 0, 0, 0, 0])].concat();
        for at in 0..whole.len() {
            let _ = Links::default().judge(&whole[..at]);
            for value in [0, 1, 15, 16, 17, 255] {
                let mut other = whole.clone();
                other[at] = value;
                let _ = Links::default().judge(&other);
            }
        }
    }

    #[tokio::test]
    async fn the_kernel_lets_everybody_listen() {
        let mut netlink = Netlink::open().unwrap();
        // Nothing has to happen; only it must not fail or spin.
        let mut next = std::pin::pin!(netlink.next());
        std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_ready())).await;
    }
}
