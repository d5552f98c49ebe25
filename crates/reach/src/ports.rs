//! Who listens on a TCP port of this computer.
//!
//! Linux tells (proc_pid_fd(5), and the table of sockets in `/proc/net/tcp`); elsewhere the answers are empty.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits;

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// Short name: `python3`, `node`.
    pub name: String,
    /// How it was started, arguments separated by spaces. May be empty.
    pub command_line: String,
}

/// A TCP port with an app behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    pub port: u16,
    /// `None`: it belongs to another user, and only root may know.
    pub process: Option<Process>,
}

/// Which process listens on TCP `port`. `None`: nobody does, or this user may not know who.
///
/// Walks the process table: some milliseconds, not for the data plane.
pub fn port_owner(port: u16) -> Option<Process> {
    let inodes: Vec<u64> =
        sockets().into_iter().filter(|socket| socket.address.port() == port).map(|socket| socket.inode).collect();
    owners(&inodes).into_values().next()
}

/// Apps of this user that listen on this computer and could have been meant, by port: not those below port 1024, and
/// not doorstep itself.
///
/// Walks the process table: some milliseconds, not for the data plane.
pub fn loopback_listeners() -> Vec<Listening> {
    let own_uid = own_uid();
    let mut ports: BTreeMap<u16, u64> = BTreeMap::new();
    for socket in sockets() {
        let local = socket.address.ip().is_loopback() || socket.address.ip().is_unspecified();
        if local && socket.address.port() >= 1024 && Some(socket.uid) == own_uid {
            ports.insert(socket.address.port(), socket.inode);
        }
    }
    let mut owners = owners(&ports.values().copied().collect::<Vec<_>>());
    let own_pid = std::process::id();
    ports
        .into_iter()
        .map(|(port, inode)| Listening { port, process: owners.remove(&inode) })
        .filter(|listening| listening.process.as_ref().is_none_or(|process| process.pid != own_pid))
        .collect()
}

/// A listening socket, as `/proc/net/tcp` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

fn sockets() -> Vec<Socket> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| parse_table(&table))
        .collect()
}

/// Reads the listening sockets out of `/proc/net/tcp` or `/proc/net/tcp6`. Lines that do not parse are left out.
fn parse_table(table: &str) -> Vec<Socket> {
    const LISTEN: &str = "0A";
    let line = |line: &str| -> Option<Socket> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, state) = (fields.next()?, fields.nth(1)?);
        let (uid, inode) = (fields.nth(3)?, fields.nth(1)?);
        if state != LISTEN {
            return None;
        }
        Some(Socket { address: parse_address(address)?, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// `0100007F:1F90`: the address as 32-bit words in the computer's own byte order, then the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |from: usize| u32::from_str_radix(address.get(from..from + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0u8; 16];
            for (chunk, from) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                chunk.copy_from_slice(&word(from)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The processes that hold these sockets open, by inode. With several (a parent and its workers) the lowest pid.
fn owners(inodes: &[u64]) -> HashMap<u64, Process> {
    let mut pids: HashMap<u64, u32> = HashMap::new();
    if inodes.is_empty() {
        return HashMap::new();
    }
    for pid in numbered_entries("/proc") {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                let owner = pids.entry(inode).or_insert(pid);
                *owner = pid.min(*owner);
            }
        }
    }
    pids.into_iter().filter_map(|(inode, pid)| Some((inode, process(pid)?))).collect()
}

fn process(pid: u32) -> Option<Process> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned();
    let mut raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.truncate(limits::COMMAND_LINE);
    let command_line = String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_owned();
    Some(Process { pid, name, command_line })
}

fn numbered_entries(folder: &str) -> impl Iterator<Item = u32> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(unix)]
fn own_uid() -> Option<u32> {
    Some(rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn own_uid() -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_table_of_the_kernel() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 123456 1 0000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000  1000        0 123457 1 0000 20 4 30 10 -1
   2: garbage
   3: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1 0 100 0 0 10 0";
        assert_eq!(
            parse_table(table),
            [
                Socket { address: "127.0.0.1:8080".parse().unwrap(), uid: 1000, inode: 123_456 },
                Socket { address: "[::1]:3000".parse().unwrap(), uid: 0, inode: 77 },
            ]
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_of_our_own_is_found_and_not_suggested() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let owner = port_owner(port).expect("this process owns it");
        assert_eq!(owner.pid, std::process::id());
        assert!(!owner.name.is_empty() && !owner.command_line.is_empty());
        assert!(loopback_listeners().iter().all(|listening| listening.port != port));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_without_listener_has_no_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(port_owner(port), None);
    }
}
