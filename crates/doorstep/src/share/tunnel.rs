//! `share --via`: the share, lent to visitors from everywhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorstep_gateway::Family;
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
use crate::dirs::Dirs;
use crate::exit::{Code, Failure, cause};
use crate::lend::ways::{Known, ways};
use crate::lend::{Lending, LentSite, News, Offer, OwnCertificates, State, Way, host_of, known, words};
use crate::outside::{Direct, Eyes, FileLedger, consent, is_direct};
use crate::screen::{Address, Message, Scope, Screen, Tunnel};
use crate::target::Target;

/// Let's Encrypt, where nothing else is said.
const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Ways that were tried as far as a person is needed for it.
pub struct Ready {
    known: Vec<Known>,
    /// Straight to this computer, besides.
    direct: Option<Straight>,
}

/// What the direct ways need.
struct Straight {
    eyes: Eyes,
    ledger: Arc<FileLedger>,
}

/// Finds what makes this computer known to each of the ways, and lets `ssh` ask its questions while the terminal is free.
///
/// # Errors
/// This computer is not known somewhere, and what to do.
pub async fn prepare(args: &ShareArgs, port: u16) -> Result<Ready, Failure> {
    fits(args)?;
    let joined = if args.public { known::joined() } else { Vec::new() };
    let vias = if args.via.is_empty() { &joined } else { &args.via };
    let known = known::of_user(vias, args.kite_secret.as_deref())?;
    let direct = if args.public { Some(straight(args, port, &known, &joined)?) } else { None };
    let terminal = std::io::stdin().is_terminal() && !args.json && !args.quiet;
    for one in &known {
        if let Known::Ssh(options) = one {
            doorstep_ssh::client::prepare(options, terminal).await.map_err(|fault| {
                let fix = fault.fix(&command(options));
                Failure::new(Code::Failed, format!("{}: {fault}", options.server)).fix(fix)
            })?;
        }
    }
    Ok(Ready { known, direct })
}

/// What the direct ways need: leave to ask the router, a journal, and relays that look.
fn straight(args: &ShareArgs, port: u16, known: &[Known], joined: &[Via]) -> Result<Straight, Failure> {
    let state = Dirs::of(None)?.state;
    consent::ask(&state, port, args.yes)?;
    let others = known::of_user(joined, None).unwrap_or_default();
    let relays = known.iter().chain(&others).filter_map(|known| match known {
        Known::Relay { identity, .. } => Some((**identity).clone()),
        Known::Ssh(_) | Known::Kite { .. } => None,
    });
    Ok(Straight { eyes: Eyes::new(relays), ledger: Arc::new(FileLedger::new(state)) })
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
#[derive(Clone)]
pub enum Of {
    /// `port` is what is listened on here.
    Web {
        lent: WebLent,
        site: Arc<LentSite>,
        nonce: String,
        port: u16,
    },
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
) -> Result<Lendings, Failure> {
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
    let mut all = Vec::new();
    let mut beside = Vec::new();
    if let (Some(straight), Of::Web { nonce, port, .. }) = (ready.direct, &of) {
        let direct = |family| Direct {
            family,
            port: *port,
            tls: args.tls,
            nonce: nonce.clone(),
            eyes: straight.eyes.clone(),
            ledger: straight.ledger.clone(),
        };
        all.push(way(direct(Family::V4)));
        // Beside the others and not instead of them: an address that only visitors with IPv6 can use is not enough.
        beside.push(way(direct(Family::V6)));
    }
    all.extend(ways(ready.known, &threads));
    let offers = vec![Offer { lent, sink }];
    let follower = |news, from| {
        let (of, own, screen) = (of.clone(), own.clone(), screen.clone());
        let follower = Follower { of, own, screen, connector: Arc::new(Connector::new()), over: over.clone(), from };
        tokio::spawn(follower.run(news));
    };
    let mut lendings = Lendings(Vec::new());
    if !beside.is_empty() {
        let (says, news) = mpsc::unbounded_channel();
        follower(news, all.len());
        lendings.0.push(Lending::start(beside, offers.clone(), says));
    }
    follower(news, 0);
    lendings.0.push(Lending::start(all, offers, says));
    Ok(lendings)
}

fn way(direct: Direct) -> Way {
    Way { via: direct.via().to_owned(), names: Vec::new(), carrier: Box::new(direct) }
}

/// Ways among which one is taken, and those that are taken beside them.
pub struct Lendings(Vec<Lending>);

impl Lendings {
    /// Leaves all of them. See [`Lending::leave`].
    pub async fn leave(self, patience: Duration) {
        futures_util::future::join_all(self.0.into_iter().map(|lending| lending.leave(patience))).await;
    }
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
    /// The number of its first way on the screen. The first lending's is 0; what is beside it is nobody's loss.
    from: usize,
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
                // That there is no IPv6 here is nothing that anybody has to know.
                News::State { state: State::Waiting { .. } | State::Connecting, .. } if self.from > 0 => {}
                News::State { way, via, state } => {
                    vias.resize(vias.len().max(way + 1), String::new());
                    vias[way].clone_from(&via);
                    if let State::Stopped { why, .. } = &state {
                        last = format!("{via}: {why}");
                    }
                    let way = way + self.from;
                    self.screen.tell(Message::Tunnel(Tunnel { way, via, state: Some(state) }));
                }
                News::StandsBy { way } => {
                    let via = vias.get(way).cloned().unwrap_or_default();
                    let way = way + self.from;
                    self.screen.tell(Message::Tunnel(Tunnel { way, via, state: None }));
                }
                News::Lent { address, via, .. } => {
                    if let Some(finding) = self.nameless(&via, &address) {
                        self.screen.tell(Message::Finding(finding));
                    }
                    if is_direct(&via) {
                        // Proven from outside, where alone it can be: many routers do not let it be seen from inside.
                        self.screen.tell(Message::Address(Address::new(address, Scope::Tunnel)));
                    } else if let Some(proof) = self.lent(address.clone()) {
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
                News::Over if self.from > 0 => {}
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
