//! Sharing a port as it is: nothing is listened for here, everything comes through the tunnel.

use std::process::ExitCode;
use std::sync::Arc;

use doorstep_tunnel::agent::Threads;
use time::UtcOffset;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{exposed, no_resources, options, tunnel};
use crate::args::ShareArgs;
use crate::events::Events;
use crate::exit::{Code, Failure};
use crate::lifecycle::Signals;
use crate::limits;
use crate::screen::{Message, Reason, Screen, Sharing};
use crate::target::raw::Raw;

/// Shares until there is a reason to stop, or nobody lends an address any more.
///
/// # Errors
/// Why sharing could not start, or go on.
pub async fn session(args: &ShareArgs, raw: Raw, zone: UtcOffset) -> Result<ExitCode, Failure> {
    fits(args, &raw)?;
    let ready = tunnel::prepare(args, 0).await?;
    let events = Arc::new(Events::new(1));
    let mut signals = Signals::listen().map_err(no_resources)?;
    let (screen, screen_thread) = Screen::start(options(args, zone), events, None).map_err(no_resources)?;
    screen.tell(Message::Sharing(Box::new(Sharing {
        target: raw.given.clone(),
        kind: raw.kind,
        title: raw.title.clone(),
        expires: args.expires,
        tunnel: true,
        ..Sharing::default()
    })));
    screen.tell(Message::Finding(exposed::raw(&raw.title)));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (given_up, mut nobody_lends) = mpsc::unbounded_channel();
    let lending = tunnel::start(args, ready, tunnel::Of::Raw(raw.lent), &screen, (Threads::Own(cores), given_up))?;
    let (over, mut is_over) = mpsc::channel(1);
    if let Some(expires) = args.expires {
        tokio::spawn(async move {
            sleep(expires).await;
            let _ = over.send(Reason::Expired).await;
        });
    }
    let ended = tokio::select! {
        reason = signals.end(&mut is_over, &screen) => Ok(reason),
        Some(why) = nobody_lends.recv() => Err(why),
    };
    let shown = *ended.as_ref().unwrap_or(&Reason::Terminate);
    screen.tell(Message::Stopping(shown));
    let hurried = tokio::select! {
        _ = timeout(limits::DRAIN * 2, lending.leave(limits::DRAIN)) => false,
        () = signals.hurry() => true,
    };
    screen.ask(|done| Message::End { reason: shown, cut: 0, done }).await;
    if !screen_thread.is_finished() {
        Screen::force_restore();
    }
    match ended {
        Err(why) => Err(Failure::new(Code::Failed, format!("nobody lends an address for {}", raw.title)).because(why)),
        Ok(_) if hurried => Ok(Code::Interrupted.into()),
        Ok(_) => Ok(ExitCode::SUCCESS),
    }
}

/// What only makes sense for what speaks HTTP.
fn fits(args: &ShareArgs, raw: &Raw) -> Result<(), Failure> {
    let misplaced = [
        (args.spa, "--spa"),
        (args.cors, "--cors"),
        (args.hidden, "--hidden"),
        (args.upload || args.upload_only || args.max_upload.is_some(), "--upload"),
        (args.keep_host, "--keep-host"),
        (args.insecure_upstream, "--insecure-upstream"),
        (args.port.is_some(), "--port"),
        (!args.bind.is_empty(), "--bind"),
        (!args.host.is_empty(), "--host"),
        (args.tls, "--tls"),
        (args.e2e, "--e2e"),
        (args.name.is_some(), "--name"),
        (args.open, "--open"),
        (args.password.is_some(), "--password"),
        (!args.allow.is_empty(), "--allow"),
        (args.once, "--once"),
        (args.max_rate.is_some() || args.max_total_rate.is_some(), "--max-rate"),
        (args.max_conns.is_some(), "--max-conns"),
        (args.log.is_some(), "--log"),
    ];
    match misplaced.iter().find(|(misplaced, _)| *misplaced) {
        Some((_, flag)) => Err(Failure::new(
            Code::Usage,
            format!("{flag} is for folders, files and web apps, and this is {}", raw.title),
        )
        .because("Of a port that is passed on as it is, doorstep reads and writes nothing.")),
        None => Ok(()),
    }
}
