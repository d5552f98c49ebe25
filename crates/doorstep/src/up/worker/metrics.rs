//! Numbers of the worker for `doorstep status`.

use std::collections::HashMap;

use doorstep_telemetry::{SiteStatus, Snapshot};

use crate::control::protocol::Traffic;

/// What went through each site, by its name.
pub fn sites(snapshot: &Snapshot) -> HashMap<String, Traffic> {
    snapshot.sites.iter().map(|site| (site.name.clone(), traffic(site))).collect()
}

/// What went through all of them. The time that 99 of 100 requests took at most is that of the slowest site, which holds for
/// all of them together; the middle one is known only where there is one site.
pub fn total(snapshot: &Snapshot, connections: usize) -> Traffic {
    let mut total = Traffic { connections: connections as u64, ..Traffic::default() };
    let mut busy = 0;
    for site in &snapshot.sites {
        total.requests_per_second += site.rate_1m;
        total.requests += site.requests;
        total.errors += site.errors;
        total.bytes_in += site.received;
        total.bytes_out += site.sent;
        busy += usize::from(site.p50_ms.is_some());
        total.p50_ms = site.p50_ms.or(total.p50_ms);
        total.p99_ms = [total.p99_ms, site.p99_ms].into_iter().flatten().reduce(f64::max);
    }
    total.p50_ms = total.p50_ms.filter(|_| busy == 1);
    total
}

fn traffic(site: &SiteStatus) -> Traffic {
    Traffic {
        requests_per_second: site.rate_1m,
        requests: site.requests,
        errors: site.errors,
        p50_ms: site.p50_ms,
        p99_ms: site.p99_ms,
        bytes_in: site.received,
        bytes_out: site.sent,
        connections: site.active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_sites() {
        let site = |requests, p50_ms, p99_ms| SiteStatus { requests, p50_ms, p99_ms, ..SiteStatus::default() };
        let one = Snapshot { sites: vec![site(2, Some(1.0), Some(5.0)), site(0, None, None)] };
        assert_eq!((total(&one, 3).p50_ms, total(&one, 3).connections), (Some(1.0), 3));
        let two = Snapshot { sites: vec![site(2, Some(1.0), Some(5.0)), site(3, Some(2.0), Some(4.0))] };
        let sum = total(&two, 0);
        assert_eq!((sum.requests, sum.p50_ms, sum.p99_ms), (5, None, Some(5.0)));
    }
}
