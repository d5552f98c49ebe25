//! The worker: reads everything that comes from the network. It has no privileges, and sees only the folders that it serves.

mod answers;
mod certificates;
mod guards;
mod kept;
mod ledger;
mod members;
mod metrics;
mod public;
mod relay;
mod routes;
mod samples;
mod serving;
mod tunnel;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use doorstep_config::Sources;
use doorstep_sandbox::confine_worker;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::sync::mpsc;

pub use self::relay::RELAY_NO_AGENTS;
use self::serving::Serving;
use super::dirs::Dirs;
use super::link::{self, FromWorker, PROTOCOL, Reader, Start, ToWorker, Writer};
use super::shape::Shape;
use super::signals;
use super::supervisor::configuration;
use crate::control::protocol::Found;
use crate::limits::{LAST_WORDS, ORPHANED_WORKER};

/// What a worker says, from wherever in it.
pub type Says = mpsc::UnboundedSender<FromWorker>;

/// Serves until its supervisor says that it should end, or is gone.
pub fn run(link: RawFd) -> ExitCode {
    // SAFETY: the supervisor made this descriptor for us, and nobody else in this process knows of it.
    let link = UnixStream::from(unsafe { OwnedFd::from_raw_fd(link) });
    let _ = fcntl_setfd(&link, FdFlags::CLOEXEC);
    signals::ignore();
    // It was started by way of /proc/self/exe, and would be called `exe`.
    let _ = rustix::thread::set_name(c"doorstep");
    // One thread, until the process is confined: what confines it holds for the calling thread and those it starts.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let ended = runtime.block_on(serve(link));
    runtime.shutdown_background();
    ended
}

async fn serve(link: UnixStream) -> ExitCode {
    let Ok((mut reader, mut writer)) = link::split(link, Vec::new()) else { return ExitCode::FAILURE };
    let Ok(Some(ToWorker::Start(start))) = reader.next().await else { return ExitCode::FAILURE };
    let (says, said) = mpsc::unbounded_channel();
    match begin(*start, &says).await {
        Ok(serving) => {
            let speaking = tokio::spawn(speak(writer, said));
            let ended = obey(serving, reader, &says).await;
            drop(says);
            let _ = tokio::time::timeout(LAST_WORDS, speaking).await;
            ended
        }
        Err(problem) => {
            let _ = writer.send(&FromWorker::Failed { problem }).await;
            ExitCode::FAILURE
        }
    }
}

/// Confines the process, and makes everything that serves.
async fn begin(start: Start, says: &Says) -> Result<Serving, String> {
    if start.protocol != PROTOCOL {
        return Err(format!("it speaks protocol {PROTOCOL}, and the supervisor {}", start.protocol));
    }
    let spec = configuration::parse(&start.sources, start.privileges).map_err(|failure| failure.to_string())?;
    let dirs = Dirs { state: start.state.clone(), run: start.run.clone(), logs: start.logs.clone() };
    let shape = Shape::of(&spec, &dirs);
    confine(&start, &shape, says)?;
    let generation = start.generation;
    let serving = Serving::start(start, spec, dirs, says).await.map_err(|error| format!("{error:#}"))?;
    let _ = says.send(FromWorker::Ready { generation });
    Ok(serving)
}

fn confine(start: &Start, shape: &Shape, says: &Says) -> Result<(), String> {
    let confinement = confine_worker(&shape.rules(start.user)).map_err(|error| format!("{error}. {}", error.fix()))?;
    for note in &confinement.notes {
        let _ = says.send(FromWorker::Found(Found::new(&note.finding(), 0)));
    }
    Ok(())
}

async fn speak(mut writer: Writer, mut said: mpsc::UnboundedReceiver<FromWorker>) {
    while let Some(message) = said.recv().await {
        if writer.send(&message).await.is_err() {
            return;
        }
    }
}

/// Does what the supervisor says, until it says that it is over.
async fn obey(mut serving: Serving, mut reader: Reader, says: &Says) -> ExitCode {
    loop {
        match reader.next::<ToWorker>().await {
            Ok(Some(ToWorker::Drain { seconds, for_good })) => {
                serving.drain(Duration::from_secs(seconds), for_good, reader).await;
                return ExitCode::SUCCESS;
            }
            Ok(Some(ToWorker::Configure { generation, sources })) => {
                let problem = reconfigure(&mut serving, generation, &sources);
                let _ = says.send(FromWorker::Configured { generation, problem });
            }
            Ok(Some(message)) => serving.obey(message),
            // The supervisor was killed. Another may start at any moment, and wants the ports.
            Ok(None) | Err(_) => {
                serving.drain(ORPHANED_WORKER, false, reader).await;
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Why the configuration could not be put in force, and nothing changed; `None` if it is.
fn reconfigure(serving: &mut Serving, generation: u64, sources: &Sources) -> Option<String> {
    let spec = match configuration::parse(sources, serving.privileges) {
        Ok(spec) => spec,
        Err(failure) => return Some(failure.to_string()),
    };
    serving.configure(generation, spec).err().map(|error| format!("{error:#}"))
}
