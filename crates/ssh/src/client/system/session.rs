use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::path::Path;
use std::process::Stdio;
use std::task::Poll;
use std::time::Instant;

use doorstep_net::Io;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use super::command;
use super::lines::{Heard, heard};
use super::pairing::Pairing;
use crate::client::plan::Plan;
use crate::client::said::Said;
use crate::client::urls::plain;
use crate::client::{ClientOptions, Fault, Style};
use crate::limits::{ACCEPT_PAUSE, CONNECT, END, LINE, LINES_KEPT};

/// One session. Tells what happens by `said`; is over when the program is.
pub(in crate::client) async fn run(
    program: &Path,
    options: &ClientOptions,
    plan: &Plan,
    targets: usize,
    said: &mpsc::Sender<Said>,
) -> Fault {
    let folder = match tempfile::Builder::new().prefix("doorstep-ssh-").tempdir() {
        Ok(folder) => folder,
        Err(error) => return Fault::Lost(format!("no folder for sockets can be made: {error}")),
    };
    let listeners: Result<Vec<_>, _> =
        (0..targets).map(|target| UnixListener::bind(folder.path().join(target.to_string()))).collect();
    let listeners = match listeners {
        Ok(listeners) => listeners,
        Err(error) => return Fault::Lost(format!("no socket can be made: {error}")),
    };
    let mut child = match command::forward(program, options, plan, folder.path()).spawn() {
        Ok(child) => child,
        Err(error) => return Fault::NoProgram(error.to_string()),
    };
    let mut session = Session::new(plan, folder.path(), listeners);
    let fault = session.listen(&mut child, said).await;
    end(child).await;
    fault
}

struct Session<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    listeners: Vec<UnixListener>,
    pairings: Vec<Pairing<UnixStream>>,
    /// Ports under which `ssh` speaks of each target.
    ports: Vec<u16>,
    granted: Vec<bool>,
    fault: Option<Fault>,
    last: VecDeque<String>,
}

impl<'a> Session<'a> {
    fn new(plan: &'a Plan, folder: &'a Path, listeners: Vec<UnixListener>) -> Self {
        let targets = listeners.len();
        let mut ports = vec![0; targets];
        for wish in &plan.wishes {
            if let Some(port) = ports.get_mut(wish.target) {
                *port = wish.port;
            }
        }
        let pairings = (0..targets).map(|_| Pairing::new()).collect();
        Self {
            plan,
            folder,
            listeners,
            pairings,
            ports,
            granted: vec![false; targets],
            fault: None,
            last: VecDeque::new(),
        }
    }

    async fn listen(&mut self, child: &mut Child, said: &mpsc::Sender<Said>) -> Fault {
        let Some(errors) = child.stderr.take() else { return Fault::Lost("no output".to_owned()) };
        let mut errors = Lines::new(errors);
        let mut output = child.stdout.take().map(Lines::new);
        loop {
            let deadline = self.pairings.iter().filter_map(Pairing::deadline).min();
            tokio::select! {
                // What `ssh` says of a visitor comes before the visitor.
                biased;
                line = errors.next() => match line {
                    Some(line) => self.error_line(&line, said).await,
                    None => break,
                },
                line = next(&mut output) => match line {
                    Some(line) => drop(said.send(Said::Line(line)).await),
                    None => output = None,
                },
                (target, conn) = accept(&self.listeners) => if let Some(pairing) = self.pairings.get_mut(target) {
                    pairing.arrive(conn, Instant::now());
                },
                () = at(deadline) => {}
            }
            self.let_in(said).await;
        }
        self.fault.take().unwrap_or_else(|| {
            let words = self.last.iter().cloned().collect::<Vec<_>>().join("; ");
            Fault::Lost(if words.is_empty() { "the connection broke".to_owned() } else { words })
        })
    }

    async fn error_line(&mut self, line: &str, said: &mpsc::Sender<Said>) {
        let Some(heard) = heard(line) else { return };
        let say = match heard {
            Heard::Software(software) => Said::Software(software),
            Heard::Authenticated { address, .. } => Said::Authenticated(address),
            Heard::Granted { socket } => {
                let Some((target, port)) = self.target(&socket) else { return };
                // Where the server chose the port, the next line tells which.
                if port == 0 || std::mem::replace(&mut self.granted[target], true) {
                    return;
                }
                Said::Granted { target, port }
            }
            Heard::Allocated { socket, port } => {
                let Some((target, _)) = self.target(&socket) else { return };
                self.ports[target] = port;
                Said::Granted { target, port }
            }
            Heard::Refused { socket } => {
                let Some((target, _)) = self.target(&socket) else { return };
                Said::Refused { target }
            }
            Heard::Visitor { listen, port, originator } => {
                let found = self.plan.wishes.iter().find(|wish| {
                    let host = if wish.host == "localhost" {
                        listen.eq_ignore_ascii_case("localhost")
                    } else {
                        wish.host == listen
                    };
                    host && self.ports.get(wish.target) == Some(&port)
                });
                if let Some(pairing) = found.and_then(|wish| self.pairings.get_mut(wish.target)) {
                    pairing.announce(originator, Instant::now());
                }
                return;
            }
            Heard::Fault(fault) => {
                // The first one is the cause, except that a changed key is also an unknown one.
                self.fault.get_or_insert(fault);
                return;
            }
            Heard::Words(words) => {
                if self.last.len() == LINES_KEPT {
                    self.last.pop_front();
                }
                self.last.push_back(words.clone());
                if self.plan.style != Some(Style::Lender) {
                    return;
                }
                // What such a server says on the session's standard error, too: a name that it refuses, for instance.
                Said::Line(words)
            }
        };
        let _ = said.send(say).await;
    }

    fn target(&self, socket: &str) -> Option<(usize, u16)> {
        let name = Path::new(socket).strip_prefix(self.folder).ok()?;
        let target = name.to_str()?.parse().ok()?;
        Some((target, *self.ports.get(target)?))
    }

    async fn let_in(&mut self, said: &mpsc::Sender<Said>) {
        for (target, pairing) in self.pairings.iter_mut().enumerate() {
            while let Some((conn, peer)) = pairing.next(Instant::now()) {
                let _ = said.send(Said::Visitor { target, io: Io::Unix(conn), peer }).await;
            }
        }
    }
}

async fn accept(listeners: &[UnixListener]) -> (usize, UnixStream) {
    loop {
        let accepted = poll_fn(|cx| {
            let mut polls = listeners.iter().map(|listener| listener.poll_accept(cx)).enumerate();
            match polls.find(|(_, poll)| poll.is_ready()) {
                Some((target, Poll::Ready(accepted))) => Poll::Ready((target, accepted)),
                _ => Poll::Pending,
            }
        });
        match accepted.await {
            (target, Ok((conn, _))) => return (target, conn),
            // Out of descriptors: trying again at once would only spin.
            _ => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Option<Lines<R>>) -> Option<String> {
    match lines {
        Some(lines) => lines.next().await,
        None => pending().await,
    }
}

/// Lines of bounded length; what is longer is cut. May be dropped and asked again at any time.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new() }
    }

    /// None when there are no more.
    async fn next(&mut self) -> Option<String> {
        loop {
            let buffered = self.reader.fill_buf().await.ok()?;
            if buffered.is_empty() {
                return None;
            }
            let (part, whole) = match buffered.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffered.len(), false),
            };
            let room = LINE.saturating_sub(self.line.len()).min(part);
            self.line.extend_from_slice(buffered.get(..room).unwrap_or_default());
            self.reader.consume(part);
            if whole {
                // What a server says is shown to people: nothing in it commands their terminal.
                let line = plain(String::from_utf8_lossy(&self.line).trim_end());
                self.line.clear();
                return Some(line);
            }
        }
    }
}

/// Asks the program to end, so that the server hears of it.
async fn end(mut child: Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(END, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Logs in and out again. Where `batch` is false, `ssh` may ask on the terminal. Gives the method that succeeded.
pub(in crate::client) async fn login(program: &Path, options: &ClientOptions, batch: bool) -> Result<String, Fault> {
    let mut command = command::connect(program, options, batch);
    command.args(["-N", "-T", "--"]).arg(&options.server.host);
    if !batch {
        command.stdin(Stdio::inherit());
    }
    let mut child = command.spawn().map_err(|error| Fault::NoProgram(error.to_string()))?;
    let Some(errors) = child.stderr.take() else { return Err(Fault::Lost("no output".to_owned())) };
    let listening = async {
        let (mut lines, mut fault, mut last) = (Lines::new(errors), None, String::new());
        while let Some(line) = lines.next().await {
            match heard(&line) {
                Some(Heard::Authenticated { method, .. }) => return Ok(method),
                Some(Heard::Fault(found)) => drop(fault.get_or_insert(found)),
                Some(Heard::Words(words)) => last = words,
                _ => {}
            }
        }
        Err(fault.unwrap_or(Fault::Lost(last)))
    };
    let result = match batch {
        true => timeout(CONNECT, listening).await.unwrap_or_else(|_| Err(Fault::Unreachable("no answer".to_owned()))),
        // People take the time they need.
        false => listening.await,
    };
    end(child).await;
    result
}

/// The host behind an alias, as `~/.ssh/config` says.
pub(in crate::client) async fn host_name(program: &Path, options: &ClientOptions) -> Option<String> {
    let mut command = command::connect(program, options, true);
    command.args(["-G", "--"]).arg(&options.server.host).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut text = String::new();
    let output = child.stdout.take()?.take(1024 * 1024);
    let reading = async { BufReader::new(output).read_to_string(&mut text).await };
    timeout(END, reading).await.ok()?.ok()?;
    text.lines().find_map(|line| line.strip_prefix("hostname ")).map(|host| host.trim().to_owned())
}
