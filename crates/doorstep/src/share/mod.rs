//! `doorstep share`: from the command line to a session, and its end.

mod exposed;
mod lendable;
mod proof;
mod raw;
mod tunnel;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use doorstep_guard::{Ended, Stop};
use doorstep_model::{
    Action, ByteRate, Guards, HostPolicy, Listener, Matcher, Password, Route, Site, Spec, TlsPolicy, Upstream,
};
use doorstep_net::Connector;
use doorstep_telemetry::AccessLog;
use time::UtcOffset;
use tokio::sync::mpsc;

use crate::addresses::{self, Listening};
use crate::args::{AcceptedHost, ShareArgs, values};
use crate::events::Events;
use crate::exit::{Code, Failure, cause};
use crate::lifecycle::Signals;
use crate::port::{self, Choice};
use crate::screen::{App, Format, Kind, Message, Options, Reason, Screen, Sharing};
use crate::target::{self, Target};
use crate::wiring::{self, Bound, Running};
use crate::{limits, password, tls};

/// Shares until there is a reason to stop.
///
/// # Errors
/// Why sharing could not start.
pub fn run(mut args: ShareArgs, zone: UtcOffset) -> Result<ExitCode, Failure> {
    if let Some(raw) = target::raw::resolve(&args)? {
        let runtime = runtime()?;
        let ended = runtime.block_on(raw::session(&args, raw, zone));
        runtime.shutdown_background();
        return ended;
    }
    let password = password_of(&mut args)?;
    let target = target::resolve(&args)?;
    fits(&args, target.kind)?;
    let log = args.log.as_deref().map(|path| open_log(path, zone)).transpose()?;
    let choice = port::choose(&args)?;
    let spec = spec(&args, &target, &choice, password);
    let runtime = runtime()?;
    let ended = runtime.block_on(session(&args, target, choice, spec, log, zone));
    // What still waits, for a screen that nobody reads for instance, is not waited for.
    runtime.shutdown_background();
    ended
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_resources)
}

async fn session(
    args: &ShareArgs,
    target: Target,
    choice: Choice,
    spec: Spec,
    log: Option<AccessLog>,
    zone: UtcOffset,
) -> Result<ExitCode, Failure> {
    if args.is_public() {
        lendable::check(&target).await?;
    }
    // While the terminal is free: ssh may have questions.
    let ready = if args.is_public() { Some(tunnel::prepare(args, choice.port).await?) } else { None };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let events = Arc::new(Events::new(workers));
    let (over, mut is_over) = mpsc::channel(4);
    let nonce = nonce().map_err(no_resources)?;
    let certificate = args.tls.then(|| tls::certificate(args, &choice.addresses)).transpose()?;
    let bound = Bound::bind(&spec.listeners, workers).map_err(|error| port::explain(&error))?;
    let listen = bound.addresses();
    let engine = wiring::Options {
        workers,
        observer: events.clone(),
        nonce: nonce.clone(),
        stop: stop(over),
        tls: certificate.as_ref().map(|certificate| certificate.config.clone()),
        allowed: if args.is_public() { |ip| !doorstep_tunnel::is_forbidden(ip) } else { |_| true },
    };
    let running = Running::start(&spec, bound, engine).map_err(|error| not_started(&error))?;
    let mut signals = Signals::listen().map_err(no_resources)?;
    let (screen, screen_thread) = Screen::start(options(args, zone), events, log).map_err(no_resources)?;

    let fingerprint = certificate.as_ref().map(|certificate| certificate.fingerprint.clone());
    let sharing = sharing(args, &target, choice.port, &spec, listen, fingerprint);
    let url = sharing.url();
    screen.tell(Message::Sharing(Box::new(sharing)));
    let of_certificate = certificate.iter().flat_map(|certificate| &certificate.findings);
    choice
        .finding
        .iter()
        .chain(&target.findings)
        .chain(of_certificate)
        .cloned()
        .for_each(|finding| screen.tell(Message::Finding(finding)));
    if let Action::Proxy(proxy) = &target.action {
        tokio::spawn(ask_app(proxy.upstream.clone(), ready.is_some(), screen.clone()));
    }
    let (given_up, _stays) = mpsc::unbounded_channel();
    let lending = match ready {
        Some(ready) => {
            exposed::of(args, &target).into_iter().for_each(|finding| screen.tell(Message::Finding(finding)));
            let site = running.lent_site(tunnel::any_name(args));
            let of =
                tunnel::Of::Web { lent: tunnel::web(args, &target), site, nonce: nonce.clone(), port: choice.port };
            match tunnel::start(args, ready, of, &screen, (running.threads(), given_up)) {
                Ok(lending) => Some(lending),
                Err(failure) => {
                    give_back(&screen, screen_thread).await;
                    return Err(failure);
                }
            }
        }
        None => None,
    };
    let listening = Listening {
        addresses: choice.addresses.clone(),
        port: choice.port,
        tls: args.tls,
        nonce,
        service: service_name(&target),
        here_allowed: args.allow.is_empty()
            || args.allow.iter().any(|network| network.contains(&IpAddr::from([127, 0, 0, 1]))),
        guarded: args.password.is_some() || !args.allow.is_empty(),
    };
    let publisher = addresses::tell(listening, screen.clone()).await;
    if args.open {
        open(&url, &screen);
    }

    let reason = signals.end(&mut is_over, &screen).await;
    screen.tell(Message::Stopping(reason));
    running.drain();
    let goodbye = async {
        if let Some(publisher) = publisher {
            publisher.withdraw().await;
        }
    };
    let finished = async {
        let left = async {
            if let Some(lending) = lending {
                lending.leave(limits::DRAIN).await;
            }
        };
        // Transfers are cut off after a while; a port of the router is not left open because that one is slow to close it.
        let left = tokio::time::timeout(limits::DRAIN + limits::GIVE_BACK, left);
        let _ = tokio::join!(tokio::time::timeout(limits::DRAIN, running.drained()), left);
    };
    let mut hurried = tokio::select! {
        _ = async { tokio::join!(goodbye, finished) } => false,
        () = signals.hurry() => true,
    };
    let cut = running.open_connections();
    // First the workers, so that the summary knows of the requests that are cut off with them.
    running.close();
    tokio::select! {
        () = screen.ask(|done| Message::End { reason, cut, done }) => {}
        () = signals.hurry() => hurried = true,
    }
    if !screen_thread.is_finished() {
        Screen::force_restore();
    }
    drop(target.spool);
    Ok(if hurried { Code::Interrupted.into() } else { ExitCode::SUCCESS })
}

/// `--password` with its value, or made up. A value that is not USER:PASS was meant as the target.
fn password_of(args: &mut ShareArgs) -> Result<Option<Password>, Failure> {
    let made_up = || password::made_up().map(Some).map_err(no_resources);
    match args.password.clone() {
        None => Ok(None),
        Some(None) => made_up(),
        Some(Some(value)) => match values::credentials(&value) {
            Some(password) => Ok(Some(password)),
            None if args.target.is_none() && (Path::new(&value).exists() || !value.contains(':')) => {
                args.target = Some(value.into());
                made_up()
            }
            None => Err(Failure::new(Code::Usage, "--password wants USER:PASS, or nothing to have one made up")
                .fix("doorstep share photos --password=ada:secret")),
        },
    }
}

/// Options that mean nothing for a target of this kind are mistakes, not wishes.
fn fits(args: &ShareArgs, kind: Kind) -> Result<(), Failure> {
    let folder = kind == Kind::Folder;
    let app = kind == Kind::App;
    let misplaced = [
        (args.spa && !folder, "--spa", "folders"),
        (args.hidden && !folder, "--hidden", "folders"),
        (args.upload && !folder, "--upload", "folders"),
        (args.upload_only && !folder, "--upload-only", "folders"),
        (args.cors && app, "--cors", "folders and files"),
        (args.once && app, "--once", "folders and files"),
        (args.keep_host && !app, "--keep-host", "apps"),
        (args.insecure_upstream && !app, "--insecure-upstream", "apps"),
    ];
    if let Some((_, flag, kinds)) = misplaced.iter().find(|(misplaced, _, _)| *misplaced) {
        let what = match kind {
            Kind::Folder => "a folder",
            Kind::File => "a file",
            Kind::Stdin => "standard input",
            Kind::App => "an app",
            Kind::Tcp => "a TCP port",
            Kind::Udp => "a UDP port",
        };
        return Err(Failure::new(Code::Usage, format!("{flag} is for {kinds}, and this is {what}")));
    }
    if args.max_upload.is_some() && !args.upload && !args.upload_only {
        return Err(Failure::new(Code::Usage, "--max-upload needs --upload or --upload-only"));
    }
    Ok(())
}

fn open_log(path: &Path, zone: UtcOffset) -> Result<AccessLog, Failure> {
    AccessLog::open(path, zone).map_err(|error| {
        Failure::new(Code::Failed, format!("the log {} cannot be written: {}", path.display(), cause(&error)))
    })
}

/// What the engine is asked to make true.
fn spec(args: &ShareArgs, target: &Target, choice: &Choice, password: Option<Password>) -> Spec {
    let tls = if args.tls { TlsPolicy::LocalCertificate } else { TlsPolicy::Plain };
    let max_connections = args.max_conns.map(|most| most as usize);
    let listeners = choice
        .addresses
        .iter()
        .map(|&address| Listener { address, tls: tls.clone(), max_connections, proxy_from: Vec::new(), map: false })
        .collect();
    let rate = (args.max_rate.is_some() || args.max_total_rate.is_some()).then(|| ByteRate {
        per_client: args.max_rate.unwrap_or(u64::MAX),
        total: args.max_total_rate.unwrap_or(u64::MAX),
    });
    let guards = Guards {
        password,
        allow: args.allow.clone(),
        rate,
        expires: args.expires,
        once: args.once,
        ..Guards::default()
    };
    let names = args.host.iter().filter_map(|host| match host {
        AcceptedHost::Name(name) => Some(name.clone()),
        AcceptedHost::Any => None,
    });
    let hosts = if args.host.contains(&AcceptedHost::Any) {
        HostPolicy::Any
    } else {
        HostPolicy::Local { also: names.collect() }
    };
    let routes = vec![Route::new(Matcher::any(), target.action.clone())];
    Spec { listeners, sites: vec![Site { guards, ..Site::new("default", hosts, routes) }], ..Spec::default() }
}

/// Called by a guard when the share is over by itself.
fn stop(over: mpsc::Sender<Reason>) -> Stop {
    Stop::new(move |ended| {
        let _ = over.try_send(match ended {
            Ended::Expired => Reason::Expired,
            Ended::Downloaded => Reason::Once,
        });
    })
}

/// Ends the screen before a failure is told.
async fn give_back(screen: &Screen, thread: std::thread::JoinHandle<()>) {
    screen.ask(Message::Suspend).await;
    if !thread.is_finished() {
        Screen::force_restore();
    }
}

fn options(args: &ShareArgs, zone: UtcOffset) -> Options {
    let format = match (args.json, args.quiet) {
        (true, _) => Format::Json,
        (_, true) => Format::Quiet,
        _ => Format::Auto,
    };
    Options { format, verbose: args.verbose, qr: !args.no_qr, zone }
}

fn sharing(
    args: &ShareArgs,
    target: &Target,
    port: u16,
    spec: &Spec,
    listen: Vec<SocketAddr>,
    fingerprint: Option<String>,
) -> Sharing {
    let password = spec.sites.first().and_then(|site| site.guards.password.as_ref());
    Sharing {
        target: target.given.clone(),
        kind: target.kind,
        title: target.title.clone(),
        detail: target.detail.clone(),
        scheme: if args.tls { "https" } else { "http" },
        port,
        listen,
        credentials: password.map(|password| (password.user.clone(), password.password.reveal().clone())),
        fingerprint,
        expires: args.expires,
        local: args.local,
        tunnel: args.is_public(),
    }
}

/// Asks the app what it is, and tells what is found.
async fn ask_app(upstream: Upstream, public: bool, screen: Screen) {
    let Some(info) = doorstep_proxy::framework::probe(&Connector::new(), &upstream).await else { return };
    if info.debug && public {
        screen.tell(Message::Finding(exposed::debug(&info.name)));
    }
    screen.tell(Message::App(App { name: info.name, version: info.version, debug: info.debug }));
    info.findings.into_iter().for_each(|finding| screen.tell(Message::Finding(finding)));
}

/// How the share is called in lists of services: `photos on my-laptop`.
fn service_name(target: &Target) -> String {
    let what = match &target.action {
        Action::Folder { root: path, .. } | Action::File { path, .. } => {
            path.file_name().map(|name| name.to_string_lossy().into_owned())
        }
        Action::Spool { name, .. } => Some(name.clone()),
        Action::Proxy(proxy) => Some(proxy.upstream.authority.clone()),
        _ => None,
    };
    let computer = doorstep_reach::mdns::host_name();
    format!("{} on {computer}", what.unwrap_or_else(|| "doorstep".to_owned()))
}

fn open(url: &str, screen: &Screen) {
    if let Err(error) = doorstep_reach::open_url(url) {
        screen.tell(Message::Finding(doorstep_model::Finding {
            severity: doorstep_model::Severity::Note,
            blame: error.blame(),
            id: "no-browser",
            what: error.to_string(),
            why: String::new(),
            fix: String::new(),
        }));
    }
}

/// 128 bits that nobody else knows.
fn nonce() -> std::io::Result<String> {
    let random = password::random::<16>()?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn not_started(error: &anyhow::Error) -> Failure {
    Failure::new(Code::Target, format!("sharing could not start: {error:#}"))
}

fn no_resources(error: std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("the system did not give what doorstep needs: {}", cause(&error)))
}
