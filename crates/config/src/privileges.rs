//! What a process may do that bears on what a configuration means.

use std::fs;

use serde::{Deserialize, Serialize};

/// What the process that will serve the configuration may do; some defaults depend on it. The supervisor finds it out and
/// hands it on with the [`crate::Sources`], so that both sides understand the file alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// It is started by root.
    pub root: bool,
    /// It may listen on ports below 1024.
    pub low_ports: bool,
}

/// The bit of `CAP_NET_BIND_SERVICE` (capabilities(7)).
const NET_BIND_SERVICE: u64 = 1 << 10;

impl Privileges {
    /// Those of this process, as the kernel tells them; none where it does not.
    pub fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let first_unprivileged = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        Self::read(&status, &first_unprivileged.unwrap_or_default())
    }

    fn read(status: &str, first_unprivileged: &str) -> Self {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        // Real, effective, saved, file system.
        let root = field("Uid:").split_whitespace().nth(1) == Some("0");
        let capabilities = u64::from_str_radix(field("CapEff:").trim(), 16).unwrap_or(0);
        let anybody = first_unprivileged.trim().parse().is_ok_and(|first: u32| first <= 80);
        Self { root, low_ports: anybody || capabilities & NET_BIND_SERVICE != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_capability_and_open_ports() {
        let read = |uid: &str, capabilities: &str, first: &str| {
            let privileges =
                Privileges::read(&format!("Name:\tx\nUid:\t5\t{uid}\t0\t0\nCapEff:\t{capabilities}\n"), first);
            (privileges.root, privileges.low_ports)
        };
        assert_eq!(read("0", "000001ffffffffff", "1024\n"), (true, true));
        assert_eq!(read("1000", "0000000000000400", "1024\n"), (false, true));
        assert_eq!(read("1000", "0000000000000000", "1024\n"), (false, false));
        assert_eq!(read("1000", "0000000000000000", "80\n"), (false, true));
        assert_eq!(Privileges::read("", ""), Privileges::default());
    }
}
