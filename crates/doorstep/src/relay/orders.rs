//! What the relay's owner orders, done by the worker.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use doorstep_tunnel::registry::{AgentReport, InviteOptions, NameReport, Registry, RegistryError};

use crate::control::protocol::Response;
use crate::control::relay_orders::{Agent, Invite, Key, Limits, Name, RelayOrder, Session};

/// Does it. `None` is a daemon that is no relay.
pub async fn obey(registry: Option<Registry>, order: RelayOrder) -> Response {
    let Some(registry) = registry else {
        return Response::Failed {
            what: "the doorstep that runs here is no relay".to_owned(),
            why: String::new(),
            fix: "Start one: `doorstep relay --domain tun.example.com`; or put [relay] into doorstep.toml, then `doorstep reload`."
                .to_owned(),
        };
    };
    let done = match order {
        RelayOrder::Invite(invite) => registry.invite(options(*invite)).await,
        RelayOrder::Agents => {
            return Response::RelayAgents { agents: registry.agents().into_iter().map(agent).collect() };
        }
        RelayOrder::Names => return Response::RelayNames { names: registry.names().into_iter().map(name).collect() },
        RelayOrder::Revoke { agent } => registry.revoke(&agent).await.map(|name| match name == agent {
            true => format!("{name} is not let in any more; its names stay its own."),
            false => format!("This key of {name} is not let in any more."),
        }),
        RelayOrder::Stop { name } => registry
            .stop_name(&name)
            .await
            .map(|host| format!("{host} is switched off, for visitors and for its agent.")),
        RelayOrder::Start { name } => registry.start_name(&name).await.map(|host| {
            format!("{host} is on again, once its agent claims it: one that was told of it has to be started again.")
        }),
        RelayOrder::Forget { name } => {
            registry.forget(&name).await.map(|what| format!("{what} is nobody's now: whoever claims it next has it."))
        }
        RelayOrder::AddKey { agent, key } => registry
            .add_ssh_key(&agent, &key)
            .await
            .map(|fingerprint| format!("{agent} comes in by ssh with this key (here: {fingerprint}).")),
    };
    match done {
        Ok(text) => Response::done(text),
        Err(error) => failed(&error),
    }
}

fn failed(error: &RegistryError) -> Response {
    Response::Failed { what: error.to_string(), why: String::new(), fix: error.fix() }
}

fn options(invite: Invite) -> InviteOptions {
    let Invite { agent, names, most_names, ports, streams, rate, requests, expires, until } = invite;
    let expires = expires.map(Duration::from_secs);
    InviteOptions { agent, expires, names, most_names, ports, streams, rate, requests, until }
}

fn agent(report: AgentReport) -> Agent {
    let limits = &report.limits;
    Agent {
        revoked: report.revoked,
        joined_at: seconds(report.joined),
        keys: report
            .keys
            .into_iter()
            .map(|key| Key { fingerprint: key.fingerprint, comment: key.comment, revoked: key.revoked })
            .collect(),
        sessions: report
            .sessions
            .into_iter()
            .map(|session| Session {
                fingerprint: session.fingerprint,
                since: seconds(session.since),
                from: session.from.to_string(),
                software: session.software,
                round_trip_ms: session.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
            })
            .collect(),
        names: report.names,
        ports: report.ports,
        limits: Limits {
            names: limits.names.clone(),
            most_names: limits.most_names,
            ports: limits.ports,
            streams: limits.streams,
            rate: limits.rate,
            requests: limits.requests,
            until: limits.until,
        },
        streams: report.usage.streams as u64,
        requests: report.usage.requests,
        refused: report.usage.refused,
        bytes_in: report.usage.bytes_in,
        bytes_out: report.usage.bytes_out,
        name: report.name.to_string(),
    }
}

fn name(report: NameReport) -> Name {
    let NameReport { name, agent, lent, tls, stopped } = report;
    Name { name, agent: agent.to_string(), lent, end_to_end: tls, stopped }
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use doorstep_tunnel::registry::RegistryOptions;

    use super::*;

    fn words(response: Response) -> String {
        match response {
            Response::Done { text } => text,
            Response::Failed { what, fix, .. } => format!("{what}. {fix}"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn orders_are_obeyed_or_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), RegistryOptions::new("tun.example.com")).unwrap();
        let obey = |order| obey(Some(registry.clone()), order);
        let invite = Invite { agent: "studio".to_owned(), ports: Some(1), ..Invite::default() };
        let line = words(obey(RelayOrder::Invite(Box::new(invite))).await);
        assert!(
            line.len() > 100 && line.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'),
            "{line}"
        );
        let bad = Invite { agent: "a b".to_owned(), ..Invite::default() };
        assert!(words(obey(RelayOrder::Invite(Box::new(bad))).await).contains("no name for an agent. Use up to 64"));
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB anna@laptop";
        let added = RelayOrder::AddKey { agent: "anna".to_owned(), key: key.to_owned() };
        assert!(words(obey(added.clone()).await).starts_with("anna comes in by ssh"));
        assert!(words(obey(added).await).starts_with("this key is anna's already"));
        let Response::RelayAgents { agents } = obey(RelayOrder::Agents).await else { panic!() };
        assert_eq!((agents.len(), agents[0].name.as_str(), agents[0].keys.len()), (1, "anna", 1));
        let print = agents[0].keys[0].fingerprint.clone();
        assert_eq!(words(obey(RelayOrder::Revoke { agent: print }).await), "This key of anna is not let in any more.");
        let stopped = words(obey(RelayOrder::Stop { name: "blog".to_owned() }).await);
        assert_eq!(stopped, "blog.tun.example.com is nobody's. `doorstep relay names` shows whose is what.");
        assert!(
            words(obey(RelayOrder::Forget { name: "tcp/20000".to_owned() }).await).starts_with("tcp/20000 is nobody's")
        );
        assert_eq!(obey(RelayOrder::Names).await, Response::RelayNames { names: Vec::new() });
        let nowhere = words(super::obey(None, RelayOrder::Agents).await);
        assert!(nowhere.contains("is no relay. Start one: `doorstep relay --domain"), "{nowhere}");
    }
}
