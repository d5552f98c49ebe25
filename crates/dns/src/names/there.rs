use futures_util::future::join_all;
use tokio::time::timeout;

use super::wanted::Wanted;
use crate::limits::LOOK;
use crate::{Kind, Lookup};

/// What each server of a zone has at a name, in zone file's words and sorted.
pub(super) type Values = Vec<Vec<String>>;

/// What those of the zone's servers that answer have at `name`; `None` if none answers.
pub(super) async fn there(lookup: &Lookup, zone: &str, name: &str) -> Option<Values> {
    let ask = async {
        let servers = lookup.authorities(zone).await.unwrap_or_default();
        join_all(servers.iter().map(|(_, server)| values(server, name))).await
    };
    let answers: Values = timeout(LOOK, ask).await.ok()?.into_iter().flatten().collect();
    (!answers.is_empty()).then_some(answers)
}

/// Whether every server says what is wanted, and nothing else. Where the provider has no way to remove an address
/// (`can_remove`), one that is not wanted does not count.
pub(super) fn is_as(there: &Values, wanted: &Wanted, can_remove: bool) -> bool {
    let mut wished = wanted.values();
    wished.sort_unstable();
    there.iter().all(|values| {
        let stays = |value: &&String| !can_remove && !wished.iter().any(|wish| kind(wish) == kind(value));
        values.iter().filter(|value| !stays(value)).eq(&wished)
    })
}

pub(super) fn is_alias(value: &str) -> bool {
    kind(value) == Kind::Cname.name()
}

/// What one server has at `name`; `None` where it does not answer.
async fn values(server: &Lookup, name: &str) -> Option<Vec<String>> {
    let ask = |kind| async move { (kind, server.values(name, kind).await) };
    let mut found = Vec::new();
    for (kind, values) in join_all([Kind::Cname, Kind::A, Kind::Aaaa].map(ask)).await {
        found.extend(values.ok()?.into_iter().map(|value| format!("{kind} {value}")));
        // What is at the end of an alias is not this server's to say.
        if found.iter().any(|value| is_alias(value)) {
            break;
        }
    }
    found.sort_unstable();
    Some(found)
}

fn kind(value: &str) -> &str {
    value.split_once(' ').map_or(value, |(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_removed_does_not_count() {
        let wanted = Wanted::Addresses(vec!["192.0.2.1".parse().unwrap()]);
        let there =
            |values: &[&[&str]]| values.iter().map(|values| values.iter().map(ToString::to_string).collect()).collect();
        let left: Values = there(&[&["A 192.0.2.1", "AAAA 2001:db8::1"]]);
        assert!(is_as(&left, &wanted, false) && !is_as(&left, &wanted, true));
        // One of two servers is behind.
        let behind: Values = there(&[&["A 192.0.2.1"], &["A 192.0.2.9"]]);
        assert!(!is_as(&behind, &wanted, false) && !is_as(&behind, &wanted, true));
        assert!(!is_as(&there(&[&["A 192.0.2.1", "A 192.0.2.2"]]), &wanted, false));
        assert!(is_as(&there(&[&["A 192.0.2.1"]]), &wanted, true) && !is_as(&there(&[&[]]), &wanted, false));
    }
}
