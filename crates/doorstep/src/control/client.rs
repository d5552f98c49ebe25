//! The person's side of the control socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;

use super::protocol::{Request, Response};
use crate::dirs::Dirs;
use crate::exit::{Code, Failure, cause};
use crate::limits::CONTROL_RESPONSE;

/// Which daemon is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct At {
    /// The daemon that was started with this configuration
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The daemon that keeps its state in this folder
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// Asks the daemon that is meant; its answers follow one by one.
///
/// # Errors
/// In words, when none runs or it cannot be reached.
pub fn ask_daemon(at: &At, request: &Request) -> Result<Answers, Failure> {
    let sockets = sockets(at)?;
    let mut denied = None;
    for path in &sockets {
        match ask(path, request) {
            Ok(answers) => return Ok(answers),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = Some(path),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(error) => {
                return Err(Failure::new(Code::Failed, "the daemon cannot be reached").because(format!(
                    "{}: {}",
                    path.display(),
                    cause(&error)
                )));
            }
        }
    }
    if let Some(path) = denied {
        return Err(Failure::new(Code::Failed, "the daemon belongs to another user")
            .because(format!("{} may not be opened", path.display()))
            .fix("Ask as that user, or as root: put `sudo` in front."));
    }
    let tried: Vec<String> = sockets.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::new(Code::Failed, "no doorstep is up here")
        .because(format!("nobody listens at {}", tried.join(" or ")))
        .fix("Start it with `doorstep up`, or say which one is meant by --config or --state."))
}

/// Asks at a socket.
///
/// # Errors
/// The system's.
pub fn ask(path: &Path, request: &Request) -> io::Result<Answers> {
    let mut stream = UnixStream::connect(path)?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(Answers(BufReader::new(stream)))
}

/// What the daemon says, until it hangs up.
#[derive(Debug)]
pub struct Answers(BufReader<UnixStream>);

impl Iterator for Answers {
    type Item = io::Result<Response>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.0.by_ref().take(CONTROL_RESPONSE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&line).map_err(io::Error::from)),
            // It hung up before it had read all that we said; what it said before that was read already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Where the daemon that is meant may listen, the likeliest first.
fn sockets(at: &At) -> Result<Vec<PathBuf>, Failure> {
    if let Some(state) = &at.state {
        return Ok(vec![Dirs::of(Some(state))?.control()]);
    }
    let here = Path::new("doorstep.toml");
    let config = at.config.as_deref().or_else(|| here.exists().then_some(here));
    let named = config.and_then(state_in).map(|state| Dirs::of(Some(&state))).transpose()?;
    if let Some(named) = named {
        return Ok(vec![named.control()]);
    }
    let mut sockets = vec![Dirs::of(None)?.control()];
    let roots = PathBuf::from("/run/doorstep/control.sock");
    if !sockets.contains(&roots) && at.config.is_none() {
        sockets.push(roots);
    }
    Ok(sockets)
}

/// The folder that a configuration names, if it names one; relative to its own.
fn state_in(config: &Path) -> Option<PathBuf> {
    // Not by the whole configuration: an error elsewhere in it keeps nobody from asking.
    let text = std::fs::read_to_string(config).ok()?;
    let state = text.parse::<toml::Table>().ok()?.get("daemon")?.get("state")?.as_str().map(PathBuf::from)?;
    let folder = std::path::absolute(config).ok()?.parent()?.to_owned();
    Some(folder.join(state))
}
