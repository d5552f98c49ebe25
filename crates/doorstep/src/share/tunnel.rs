//! `share --via`: the share, lent to visitors from everywhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorstep_model::{
    Blame, CertificateSource, ChallengeKind, Finding, Hostname, Issuance, Issuer, Lent, Pem, Severity, Via, WebLent,
};
use doorstep_net::Connector;
use doorstep_proto::tunnel::Retry;
use doorstep_tunnel::Sink;
use doorstep_tunnel::agent::Threads;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::proof::{self, Proof};
use crate::args::ShareArgs;
use crate::exit::{Code, Failure, cause};
use crate::lend::ways::{Known, ways};
use crate::lend::{Lending, LentSite, News, Offer, OwnCertificates, State, host_of, known, words};
use crate::screen::{Address, Message, Scope, Screen, Tunnel};
use crate::target::Target;

/// Let's Encrypt, where nothing else is said.
const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Ways that were tried as far as a person is needed for it.
pub struct Ready(Vec<Known>);

/// Finds what makes this computer known to each of the ways, and lets `ssh` ask its questions while the terminal is free.
///
/// # Errors
/// This computer is not known somewhere, and what to do.
pub async fn prepare(args: &ShareArgs) -> Result<Ready, Failure> {
    fits(args)?;
    let known = known::of_user(&args.via, args.kite_secret.as_deref())?;
    let terminal = std::io::stdin().is_terminal() && !args.json && !args.quiet;
    for one in &known {
        if let Known::Ssh(options) = one {
            doorstep_ssh::client::prepare(options, terminal).await.map_err(|fault| {
                let fix = fault.fix(&command(options));
                Failure::new(Code::Failed, format!("{}: {fault}", options.server)).fix(fix)
            })?;
        }
    }
    Ok(Ready(known))
}

/// Options that mean nothing for any of the ways are mistakes.
fn fits(args: &ShareArgs) -> Result<(), Failure> {
    let has = |kind: fn(&Via) -> bool| args.via.iter().any(kind);
    let ssh = has(|via| matches!(via, Via::Ssh { .. }));
    let kite = has(|via| matches!(via, Via::PageKite { .. }));
    if args.kite_secret.is_some() && !kite {
        return Err(Failure::new(Code::Usage, "--kite-secret is for pagekite://NAME"));
    }
    let raw = args.tcp || args.udp || args.target.as_deref().and_then(|word| word.to_str()).is_some_and(is_raw);
    if args.remote_port.is_some() && !raw && !ssh {
        return Err(Failure::new(Code::Usage, "--remote-port is for tcp: and udp: targets and for ssh://")
            .because("Web targets have a name there, and the usual ports."));
    }
    Ok(())
}

fn is_raw(word: &str) -> bool {
    word.starts_with("tcp:") || word.starts_with("udp:")
}

/// How a person logs in to the same server.
fn command(options: &doorstep_ssh::client::ClientOptions) -> String {
    let server = &options.server;
    let user = server.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
    let port = server.port.map_or_else(String::new, |port| format!("-p {port} "));
    format!("ssh {port}{user}{}", server.host)
}

/// What a web target is lent as.
pub fn web(args: &ShareArgs, target: &Target) -> WebLent {
    let label: String = target.identity().chars().filter(|c| !c.is_control()).take(200).collect();
    WebLent {
        site: String::new(),
        name: args.name.clone().unwrap_or_default(),
        label,
        end_to_end: args.e2e,
        port: args.remote_port.unwrap_or(0),
    }
}

/// Whether some way has no names, so that visitors come by whatever leads to its port.
pub fn any_name(args: &ShareArgs) -> bool {
    args.via.iter().any(|via| matches!(via, Via::Ssh { .. }))
}

/// What is lent: a site, or a port as it is.
pub enum Of {
    Web { lent: WebLent, site: Arc<LentSite>, nonce: String },
    Raw(Lent),
}

/// Lends, and tells the screen how it fares.
///
/// # Errors
/// Certificates of one's own cannot be kept, or the authority that was named is none.
pub fn start(
    args: &ShareArgs,
    ready: Ready,
    of: Of,
    screen: &Screen,
    (threads, over): (Threads, mpsc::UnboundedSender<String>),
) -> Result<Lending, Failure> {
    let own = match &of {
        Of::Web { lent, .. } if lent.end_to_end => Some(Arc::new(certificates(args, lent, screen)?)),
        _ => None,
    };
    let (lent, sink) = match &of {
        Of::Web { lent, site, .. } => {
            let handler: Arc<LentSite> = site.clone();
            let sink = match &own {
                Some(own) => Sink::ServeTls { select: own.select(), handler },
                None => Sink::Serve(handler),
            };
            (Lent::Web(lent.clone()), sink)
        }
        Of::Raw(lent @ Lent::Tcp { to, .. }) => (lent.clone(), Sink::Dial(to.clone())),
        Of::Raw(lent @ Lent::Udp { to, .. }) => (lent.clone(), Sink::DialUdp(*to)),
        Of::Raw(Lent::Web(_)) => return Err(Failure::new(Code::Failed, "a web target is not lent as it is")),
    };
    let (says, news) = mpsc::unbounded_channel();
    let ways = ways(ready.0, &threads);
    let lending = Lending::start(ways, vec![Offer { lent, sink }], says);
    let follower = Follower { of, own, screen: screen.clone(), connector: Arc::new(Connector::new()), over };
    tokio::spawn(follower.run(news));
    Ok(lending)
}

fn certificates(args: &ShareArgs, lent: &WebLent, screen: &Screen) -> Result<OwnCertificates, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Code::Failed, format!("there is no certificate: {error}"));
    let state = doorstep_store::user_state_dir().ok_or_else(|| {
        Failure::new(Code::Failed, "there is no place to keep a certificate: HOME is not set").fix("Set HOME.")
    })?;
    // A folder for each name, since only one program at a time works in it.
    let mark = if lent.name.is_empty() { &lent.label } else { &lent.name };
    let dir = state.join("end-to-end").join(format!("{:016x}", crate::dirs::hash(Path::new(mark))));
    doorstep_store::make_private_dir(&dir).map_err(|error| failed(&cause(&error)))?;
    let (issuance, source) = authority(args)?;
    let wall = screen.clone();
    OwnCertificates::start(&dir, issuance, source, move |finding| wall.tell(Message::Finding(finding)))
        .map_err(|error| failed(&error))
}

/// Who signs: `--directory`, else Let's Encrypt.
fn authority(args: &ShareArgs) -> Result<(Issuance, CertificateSource), Failure> {
    let directory = args.directory.as_deref().unwrap_or(LETSENCRYPT);
    if directory == "local" {
        return Ok((Issuance::default(), CertificateSource::Local));
    }
    let name = host_of(directory).filter(|host| !host.is_empty() && directory.starts_with("https://"));
    let name = name.ok_or_else(|| {
        Failure::new(Code::Usage, format!("--directory wants the URL of an ACME directory, and {directory:?} is none"))
            .fix("--directory https://ca.example.com/acme/directory, or --directory local for a try")
    })?;
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Code::Usage, format!("{} cannot be read: {}", path.display(), cause(&error)))
        })?;
        Ok(Pem { path: path.clone(), text: text.into() })
    };
    let issuer = Issuer {
        name: if directory == LETSENCRYPT { "letsencrypt".to_owned() } else { name.to_owned() },
        directory: directory.to_owned(),
        roots: args.directory_roots.as_ref().map(read).transpose()?,
        account: None,
        profile: None,
    };
    let issuance = Issuance {
        issuers: vec![issuer],
        challenges: vec![ChallengeKind::TlsAlpn01],
        // An authority of one's own may come by another port than 443.
        skip_precheck: args.directory.is_some(),
        ..Issuance::default()
    };
    Ok((issuance, CertificateSource::Auto))
}

/// Passes on to the screen what becomes of the lending.
struct Follower {
    of: Of,
    own: Option<Arc<OwnCertificates>>,
    screen: Screen,
    connector: Arc<Connector>,
    over: mpsc::UnboundedSender<String>,
}

impl Follower {
    async fn run(self, mut news: mpsc::UnboundedReceiver<News>) {
        let mut vias: Vec<String> = Vec::new();
        // Why the last way was given up.
        let mut last = String::new();
        // Addresses that are being proven: one that is taken back meanwhile is not shown.
        let mut proving: HashMap<String, AbortHandle> = HashMap::new();
        while let Some(news) = news.recv().await {
            match news {
                News::State { way, via, state } => {
                    vias.resize(vias.len().max(way + 1), String::new());
                    vias[way].clone_from(&via);
                    if let State::Stopped { why, .. } = &state {
                        last = format!("{via}: {why}");
                    }
                    self.screen.tell(Message::Tunnel(Tunnel { way, via, state: Some(state) }));
                }
                News::StandsBy { way } => {
                    let via = vias.get(way).cloned().unwrap_or_default();
                    self.screen.tell(Message::Tunnel(Tunnel { way, via, state: None }));
                }
                News::Lent { address, via, .. } => {
                    if let Some(finding) = self.nameless(&via, &address) {
                        self.screen.tell(Message::Finding(finding));
                    }
                    if let Some(proof) = self.lent(address.clone()) {
                        proving.insert(address, proof);
                    }
                }
                News::Gone { address } => {
                    if let Some(proof) = proving.remove(&address) {
                        proof.abort();
                    }
                    self.screen.tell(Message::Gone(address));
                }
                News::Refused { way, via, why, .. } => {
                    let finding = words::refused(&via, &why);
                    if why.code.retry() == Retry::Never {
                        last = format!("{via}: {why}");
                        let state = Some(State::Stopped { why: why.to_string(), fix: finding.fix });
                        self.screen.tell(Message::Tunnel(Tunnel { way, via, state }));
                    } else {
                        self.screen.tell(Message::Finding(finding));
                    }
                }
                News::Notice { via, text } => self.screen.tell(Message::Finding(words::notice(&via, &text))),
                News::Over => {
                    let _ = self.over.send(std::mem::take(&mut last));
                }
            }
        }
    }

    /// A plain ssh server lends a port, whatever name was asked for.
    fn nameless(&self, via: &str, address: &str) -> Option<Finding> {
        let Of::Web { lent, .. } = &self.of else { return None };
        let unheard = via.starts_with("ssh://") && !lent.name.is_empty() && !address.contains(&lent.name);
        unheard.then(|| Finding {
            severity: Severity::Note,
            blame: Blame::Client,
            id: "tunnel-nameless",
            what: format!("{via} lends a port, and no names: --name {} is of no use there.", lent.name),
            why: String::new(),
            fix: String::new(),
        })
    }

    /// An address is told when it answered, or when it is known why it did not.
    fn lent(&self, address: String) -> Option<AbortHandle> {
        let screen = self.screen.clone();
        let Of::Web { site, nonce, .. } = &self.of else {
            screen.tell(Message::Address(Address::new(address, Scope::Tunnel)));
            return None;
        };
        site.answers_at(&address);
        let name = host_of(&address).and_then(|host| host.parse::<Hostname>().ok());
        if let (Some(own), Some(name)) = (self.own.clone(), name) {
            // Reads and writes files.
            tokio::task::spawn_blocking(move || own.want(&name));
        }
        let (connector, nonce) = (self.connector.clone(), nonce.clone());
        let proving = tokio::spawn(async move {
            let proof = proof::of(&connector, &address, &nonce).await;
            screen.tell(Message::Address(Address::new(address.clone(), Scope::Tunnel)));
            match proof {
                Proof::Answers => {}
                Proof::Untrusted(why) => screen.tell(Message::Finding(untrusted(&address, &why))),
                Proof::Silent(why) => screen.tell(Message::Finding(silent(&address, &why))),
            }
        });
        Some(proving.abort_handle())
    }
}

fn untrusted(address: &str, why: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "tunnel-untrusted",
        what: format!("Browsers will warn of {address}: {why}."),
        why: "Its certificate is not one that they trust.".to_owned(),
        fix: String::new(),
    }
}

fn silent(address: &str, why: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "tunnel-unproven",
        what: format!("{address} is lent, and did not answer a request from this computer: {why}."),
        why: "Others may reach it all the same, if it is only this computer that cannot.".to_owned(),
        fix: "Open it from elsewhere, for instance from a phone that is not in this network.".to_owned(),
    }
}
