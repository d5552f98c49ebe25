//! `doorstep join LINE`: a key for a relay, made on this computer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use doorstep_model::Hostname;
use doorstep_tunnel::agent::{JoinError, Proxy, join, read_invitation};
use doorstep_tunnel::identity::{AgentIdentity, IdentityError, agent_identities_dir};

use crate::exit::{Code, Failure, cause};

pub const EXAMPLES: &str = "\
Examples:
  doorstep join AbCd…                           the line that `doorstep relay invite` printed there
  doorstep share 8000 --via tun.example.com     from then on
  sudo doorstep join AbCd…                      for a `doorstep up` that runs as root

The key stays on this computer, in ~/.config/doorstep/relays/ (root: /etc/doorstep/relays/). The line is good once.";

#[derive(Clone, Debug, Args)]
pub struct JoinArgs {
    /// What the relay's owner sent you; the words `doorstep join` in front of it do no harm
    #[arg(required = true, value_name = "LINE")]
    pub line: Vec<String>,

    /// In place of the key that this computer has for the relay
    #[arg(long)]
    pub replace: bool,
}

/// Joins, and says what to do next.
///
/// # Errors
/// A line that is no invitation, a relay that refuses or cannot be reached, a key that cannot be kept.
pub fn run(args: &JoinArgs) -> Result<ExitCode, Failure> {
    let line = args.line.join(" ");
    let dir = agent_identities_dir().map_err(|error| unusable(&error))?;
    let (invitation, _) = read_invitation(&line).map_err(|error| refused(&error))?;
    let host = invitation.relay.rsplit_once(':').map_or(invitation.relay.as_str(), |(host, _)| host);
    if let Ok(domain) = host.parse::<Hostname>() {
        check_new(&dir, &domain, args.replace)?;
    }
    // The invitation is good once: that the key can be kept is tried before.
    check_place(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, cause(&error)))?;
    let software = concat!("doorstep/", env!("CARGO_PKG_VERSION"));
    let joined = runtime.block_on(join(&line, None, &Proxy::from_environment(), software));
    let identity = joined.map_err(|error| refused(&error))?;
    check_same(&dir, &identity, args.replace)?;
    let path = identity.save(&dir).map_err(|error| unusable(&error))?;
    crate::print(words(&identity, &path).as_bytes())
}

fn words(identity: &AgentIdentity, path: &Path) -> String {
    let AgentIdentity { domain, name, .. } = identity;
    format!(
        "This computer has joined {domain}, as {name}. Its key is in {}.\n\n\
         Lend it something:\n  doorstep share 8000 --via {domain}\n",
        path.display()
    )
}

/// Another key would be another agent, perhaps one without the names of the first.
fn check_new(dir: &Path, domain: &Hostname, replace: bool) -> Result<(), Failure> {
    match AgentIdentity::load(dir, domain) {
        Ok(old) if !replace => {
            Err(Failure::new(Code::Usage, format!("this computer has joined {domain} already, as {}", old.name))
                .because("The invitation was not used.")
                .fix(format!(
                    "Lend: doorstep share 8000 --via {domain}\nOr join once more, with another key: add --replace"
                )))
        }
        Err(error) if !replace && !matches!(error, IdentityError::Missing { .. }) => Err(unusable(&error)),
        _ => Ok(()),
    }
}

/// Which domain it is, the relay says itself. It does not get to take the place of another one that this computer knows.
fn check_same(dir: &Path, new: &AgentIdentity, replace: bool) -> Result<(), Failure> {
    let AgentIdentity { domain, relay, .. } = new;
    match AgentIdentity::load(dir, domain) {
        Err(IdentityError::Missing { .. }) => Ok(()),
        _ if replace => Ok(()),
        _ => Err(Failure::new(
            Code::Failed,
            format!("the relay at {relay} says that it is {domain}, which this computer has joined already"),
        )
        .because("Nothing was changed: what you lend by that name would go through the new one from now on.")
        .fix("If it has really moved, ask its owner for another invitation, and add --replace.")),
    }
}

fn check_place(dir: &Path) -> Result<(), Failure> {
    let probe: PathBuf = dir.join(".probe");
    let tried = doorstep_store::make_private_dir(dir).and_then(|()| doorstep_store::write_private(&probe, b""));
    let _ = std::fs::remove_file(&probe);
    tried.map_err(|error| {
        Failure::new(Code::Failed, format!("no key can be kept in {}: {}", dir.display(), cause(&error)))
            .because("The invitation was not used.")
    })
}

fn refused(error: &JoinError) -> Failure {
    let code = if matches!(error, JoinError::Line(_)) { Code::Usage } else { Code::Failed };
    Failure::new(code, error.to_string()).fix(error.fix())
}

fn unusable(error: &IdentityError) -> Failure {
    Failure::new(Code::Failed, error.to_string()).fix(error.fix())
}

#[cfg(test)]
mod tests {
    use doorstep_tunnel::identity::AgentKeyPair;

    use super::*;

    #[test]
    fn a_key_is_not_replaced_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let domain: Hostname = "tun.example.com".parse().unwrap();
        check_new(dir.path(), &domain, false).unwrap();
        let identity = AgentIdentity {
            relay: "tun.example.com:443".to_owned(),
            domain: domain.clone(),
            pin: None,
            name: "studio".to_owned(),
            key: AgentKeyPair::generate().unwrap(),
        };
        let path = identity.save(dir.path()).unwrap();
        let failure = check_new(dir.path(), &domain, false).unwrap_err();
        assert!(failure.what.ends_with("already, as studio") && failure.fix.contains("--replace"), "{failure}");
        check_new(dir.path(), &domain, true).unwrap();
        // By another door.
        let moved = AgentIdentity { relay: "evil.example:443".to_owned(), ..identity.clone() };
        let failure = check_same(dir.path(), &moved, false).unwrap_err();
        assert!(failure.what.contains("evil.example:443 says that it is tun.example.com"), "{failure}");
        check_same(dir.path(), &moved, true).unwrap();
        std::fs::write(&path, "nonsense").unwrap();
        assert!(check_new(dir.path(), &domain, false).unwrap_err().what.contains("line 1"));
        check_new(dir.path(), &domain, true).unwrap();
        assert!(words(&identity, &path).contains("doorstep share 8000 --via tun.example.com"));
    }

    #[test]
    fn what_is_no_invitation_is_told_so_before_anything_else() {
        let args = JoinArgs { line: vec!["studio".to_owned()], replace: false };
        let failure = run(&args).unwrap_err();
        assert!(failure.code == Code::Usage && failure.fix.contains("whole line"), "{failure}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_before_the_invitation_is_used() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let failure = check_place(&dir.path().join("file/relays")).unwrap_err();
        assert!(failure.why.contains("not used"), "{failure}");
        check_place(&dir.path().join("new/relays")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("new/relays")).unwrap().count(), 0);
    }
}
