//! The home router, asked to let visitors in: port mappings for IPv4 (UPnP IGD 1 and 2, NAT-PMP, PCP), pinholes for IPv6
//! (UPnP IGD 2, PCP).
