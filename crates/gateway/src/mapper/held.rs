use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use doorstep_model::MappingChange;
use doorstep_proto::gateway::{Protocol, pcp};
use tokio::time::Instant;

use super::{Mapped, Want};
use crate::DESCRIPTION;
use crate::gateway::{Gateway, Grant, Grip, Standing};
use crate::limits::{LEASE, VERIFY};
use crate::upnp::Wish;

/// A grant in hand.
pub(super) struct Held {
    pub gateway: Gateway,
    pub grant: Grant,
    /// The address outside, as last heard.
    pub outside: Option<std::net::IpAddr>,
    /// Its number in the journal.
    pub entry: u64,
    granted: Instant,
    looked: Instant,
    /// The gateway's age when it was last told, by our clock.
    age: Option<(u64, Instant)>,
}

impl Held {
    pub fn new(gateway: Gateway, grant: Grant, entry: u64) -> Self {
        let now = Instant::now();
        let outside = grant.ip.or(gateway.external_ip);
        let age = grant.age.map(|age| (age, now));
        Self { gateway, grant, outside, entry, granted: now, looked: now, age }
    }

    pub fn renewed(&mut self, grant: Grant) {
        let now = Instant::now();
        self.age = grant.age.map(|age| (age, now)).or(self.age);
        self.outside = grant.ip.or(self.outside);
        (self.grant, self.granted, self.looked) = (grant, now, now);
    }

    /// When it is to be renewed: at half of its life.
    pub fn renew_at(&self) -> Option<Instant> {
        self.grant.lease.map(|lease| self.granted + lease / 2)
    }

    pub fn look_at(&self) -> Instant {
        self.looked + VERIFY
    }

    pub fn until(&self) -> Option<Instant> {
        self.grant.lease.map(|lease| self.granted + lease)
    }

    /// Takes in what the gateway said; whether the mapping is gone.
    pub fn is_gone(&mut self, standing: &Standing) -> bool {
        let now = Instant::now();
        self.looked = now;
        let younger = matches!((self.age, standing.age), (Some(before), Some(age)) if is_younger(before, age, now));
        self.age = standing.age.map(|age| (age, now)).or(self.age);
        younger || standing.holds == Some(false)
    }

    pub fn mapped(&self) -> Mapped {
        Mapped {
            internal: self.gateway.road.local,
            gateway: self.gateway.road.gateway,
            outside: self.outside,
            external: self.grant.external,
            by: self.grant.grip.name(),
            lease: self.grant.lease,
        }
    }
}

/// RFC 6887 section 8.5: a gateway's clock may go an eighth too slow, and two seconds are lost in rounding.
fn is_younger((before, at): (u64, Instant), age: u64, now: Instant) -> bool {
    let passed = now.saturating_duration_since(at).as_secs();
    age + 2 < before + passed * 7 / 8
}

pub(super) fn wish(want: &Want, gateway: &Gateway) -> Wish<'static> {
    Wish {
        protocol: want.protocol,
        internal: SocketAddr::new(gateway.road.local, want.port),
        external: want.external,
        lease: LEASE,
        description: DESCRIPTION,
    }
}

/// As the journal knows it. `grip` is what will be tried, or what was granted.
pub(super) fn change(
    want: &Want,
    gateway: &Gateway,
    grip: &Grip,
    external: u16,
    lease: Option<Duration>,
) -> MappingChange {
    let (by, key) = match grip {
        Grip::Pcp(nonce) => ("pcp", hex(nonce)),
        Grip::NatPmp => ("nat-pmp", String::new()),
        Grip::Upnp => ("upnp", String::new()),
        Grip::Pinhole(id) => ("upnp", id.clone()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    MappingChange {
        by: by.to_owned(),
        gateway: gateway.road.gateway,
        protocol: match want.protocol {
            Protocol::Tcp => "tcp".to_owned(),
            Protocol::Udp => "udp".to_owned(),
        },
        internal: SocketAddr::new(gateway.road.local, want.port),
        external_port: external,
        key,
        ends_at: lease.map(|lease| i64::try_from(now + lease.as_secs()).unwrap_or(i64::MAX)),
    }
}

fn hex(nonce: &pcp::Nonce) -> String {
    nonce.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_is_younger_than_it_must_be_has_forgotten() {
        let then = Instant::now();
        let later = then + Duration::from_secs(80);
        assert!(!is_younger((1000, then), 1080, later));
        assert!(!is_younger((1000, then), 1068, later), "its clock is an eighth too slow");
        assert!(is_younger((1000, then), 1060, later));
        assert!(is_younger((1000, then), 3, later));
        assert!(!is_younger((0, then), 0, then));
    }
}
