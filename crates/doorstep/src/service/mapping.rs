//! Ports that a router was asked to open, and is asked to close again.

use std::time::{SystemTime, UNIX_EPOCH};

use doorstep_gateway::{GatewayError, Removed, Surroundings, remove};
use doorstep_model::MappingChange;
use doorstep_store::Journal;

use crate::exit::{Code, Failure, cause};

/// A router's clock may be slow, and a lease may have been renewed since it was written down.
const GRACE: i64 = 24 * 3600;

/// `had port 443 of the router 192.168.1.1 opened for 192.168.1.10:8443`
pub fn words(mapping: &MappingChange) -> String {
    let over = if has_ended(mapping) { "; it has closed by itself since" } else { "" };
    format!(
        "had port {} of the router {} opened for {}{over}",
        mapping.external_port, mapping.gateway, mapping.internal
    )
}

/// Has the router close it, and writes that down.
///
/// # Errors
/// The router is not in this network, or does not do it; the entry stays then.
pub fn close(
    mapping: &MappingChange,
    id: u64,
    journal: &mut Journal,
    dry_run: bool,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let what = format!("close port {} of the router {}", mapping.external_port, mapping.gateway);
    if dry_run {
        say(&format!("would {what}"));
        return Ok(());
    }
    let removed = match ask(mapping) {
        Err(GatewayError::NoGateway | GatewayError::Silent | GatewayError::TimedOut) if has_ended(mapping) => {
            Removed::Before
        }
        asked => asked.map_err(|error| not_closed(mapping, &error))?,
    };
    say(&match removed {
        Removed::Now => what,
        Removed::Before => {
            format!("port {} of the router {} was closed already", mapping.external_port, mapping.gateway)
        }
    });
    journal.undone(id).map_err(|error| {
        Failure::new(Code::Failed, "the journal cannot be written").because(cause(&error)).fix("Make room on the disk.")
    })
}

fn not_closed(mapping: &MappingChange, error: &GatewayError) -> Failure {
    let why = match error {
        GatewayError::NoGateway => format!("{} is not the router of this network.", mapping.gateway),
        error => error.to_string(),
    };
    let fix = match mapping.ends_at {
        Some(_) => "Try again in that network; otherwise it closes by itself within the hour.",
        None => "Try again in that network, or remove it in the router's settings: it does not close by itself.",
    };
    let what = format!("port {} of the router {} could not be closed", mapping.external_port, mapping.gateway);
    Failure::new(Code::Failed, what).because(why).fix(fix)
}

fn ask(mapping: &MappingChange) -> Result<Removed, GatewayError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { remove(mapping, &Surroundings::now()).await })
}

fn has_ended(mapping: &MappingChange) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    mapping.ends_at.is_some_and(|at| at.saturating_add(GRACE) < i64::try_from(now).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use doorstep_model::Change;

    use super::*;

    fn mapping(external_port: u16, ends_at: Option<i64>) -> MappingChange {
        MappingChange {
            by: "upnp".into(),
            gateway: "192.0.2.1".parse().unwrap(),
            protocol: "tcp".into(),
            internal: "192.0.2.10:8080".parse().unwrap(),
            external_port,
            key: String::new(),
            ends_at,
        }
    }

    #[test]
    fn what_ended_long_ago_is_forgotten_and_what_did_not_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let (old, lasting) = (mapping(8080, Some(1_000_000)), mapping(443, None));
        let ids = [&old, &lasting].map(|mapping| journal.record(Change::Mapping(mapping.clone())).unwrap());
        let mut said = Vec::new();
        let mut say = |line: &str| said.push(line.to_owned());
        close(&old, ids[0], &mut journal, true, &mut say).unwrap();
        assert_eq!(journal.standing().len(), 2, "a dry run does nothing");
        // Nobody here is a router with that address.
        close(&old, ids[0], &mut journal, false, &mut say).unwrap();
        let failure = close(&lasting, ids[1], &mut journal, false, &mut say).unwrap_err();
        assert!(failure.to_string().contains("does not close by itself"), "{failure}");
        assert_eq!(journal.standing().iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[1]]);
        assert!(said[1].contains("was closed already"), "{said:?}");
        assert!(words(&old).contains("closed by itself") && !words(&lasting).contains("closed by itself"));
    }
}
