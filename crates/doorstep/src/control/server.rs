//! The daemon's side of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::protocol::{Request, Response};
use crate::limits::{
    CONTROL_ACCEPT_PAUSE, CONTROL_CONNECTIONS, CONTROL_READ, CONTROL_REPLIES, CONTROL_REQUEST, CONTROL_WRITE,
};

/// A request, and the way back to whoever asked.
pub struct Inquiry {
    pub request: Request,
    pub replies: Replies,
}

/// Takes answers. When the last copy is dropped, the connection ends; one that got no last answer was told nothing.
#[derive(Clone)]
pub struct Replies(mpsc::Sender<Response>);

impl Replies {
    /// Waits for a slow reader. `false`: whoever asked is gone.
    pub async fn send(&self, response: Response) -> bool {
        self.0.send(response).await.is_ok()
    }

    /// Resolves when whoever asked is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

/// Listens until it is dropped.
pub struct Server {
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Listens at `path`, in place of whatever socket was there, and gives each request to `deliver`, which does not wait.
    ///
    /// Only its owner may open the socket, and only root and the user of this process are listened to.
    ///
    /// # Errors
    /// The system's.
    pub fn start(path: &Path, deliver: impl Fn(Inquiry) + Send + Sync + 'static) -> io::Result<Self> {
        let listener = bind(path)?;
        let deliver = Arc::new(deliver);
        let task = tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(CONTROL_CONNECTIONS));
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of descriptors, for instance: later there may be some again.
                    tokio::time::sleep(CONTROL_ACCEPT_PAUSE).await;
                    continue;
                };
                // Beyond it, the connection is closed at once.
                let Ok(permit) = room.clone().try_acquire_owned() else { continue };
                let deliver = deliver.clone();
                tokio::spawn(async move {
                    // Whoever does not read or write in time is not served; there is nobody to tell.
                    let _ = serve(stream, &*deliver).await;
                    drop(permit);
                });
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Under another name first: never can a socket be seen that is not yet closed to others, and one that a process left
/// behind is replaced in one step.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let mut temporary = PathBuf::from(path).into_os_string();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&temporary, path)?;
    Ok(listener)
}

async fn serve(stream: UnixStream, deliver: &(dyn Fn(Inquiry) + Send + Sync)) -> io::Result<()> {
    let credentials = stream.peer_cred()?;
    let peer = credentials.uid();
    let (read, mut write) = stream.into_split();
    if credentials.pid().is_some_and(may_be_worker) {
        return say(&mut write, &failed("workers give no orders", "")).await;
    }
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return say(
            &mut write,
            &failed("this daemon belongs to somebody else", "Ask as its user or as root: `sudo doorstep …`."),
        )
        .await;
    }
    let mut read = BufReader::new(read);
    let request = match timeout(CONTROL_READ, line(&mut read)).await {
        Ok(Ok(line)) => serde_json::from_slice::<Request>(&line),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Ok(()),
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            let what =
                format!("the daemon (version {}) does not know what was asked: {error}", env!("CARGO_PKG_VERSION"));
            return say(&mut write, &failed(&what, "`doorstep upgrade` makes it the version of this command.")).await;
        }
    };
    let (sender, mut answers) = mpsc::channel(CONTROL_REPLIES);
    deliver(Inquiry { request, replies: Replies(sender) });
    loop {
        let answer = tokio::select! {
            answer = answers.recv() => answer,
            // Nothing more is ever sent by a client: it went away.
            _ = read.read_u8() => return Ok(()),
        };
        let Some(answer) = answer else { return Ok(()) };
        say(&mut write, &answer).await?;
        if answer.is_last() {
            return Ok(());
        }
    }
}

/// Whether the process is shut in as workers are. For an ordinary user they have the same user as we, and whoever has taken one
/// over could leave its sandbox by having us start a program (`upgrade`). One that is gone already waits for no answer.
fn may_be_worker(pid: i32) -> bool {
    let status = |of: &str| std::fs::read_to_string(format!("/proc/{of}/status"));
    match (status(&pid.to_string()), status("self")) {
        // 0: of another container, which workers cannot be.
        _ if pid == 0 => false,
        (Ok(theirs), Ok(ours)) => filters(&theirs) >= filters(&ours) + doorstep_sandbox::WORKER_FILTERS,
        (Err(_), Ok(_)) => true,
        // Without /proc nothing can be told.
        (_, Err(_)) => false,
    }
}

/// How many filters of system calls a process has, by its `/proc/PID/status` (since Linux 5.9).
fn filters(status: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// A line of bounded length.
async fn line(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    read.take(CONTROL_REQUEST).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::InvalidData.into()) }
}

async fn say(write: &mut OwnedWriteHalf, answer: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    timeout(CONTROL_WRITE, write.write_all(&line)).await?
}

fn failed(what: &str, fix: &str) -> Response {
    Response::Failed { what: what.to_owned(), why: String::new(), fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, Write as _};
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;
    use crate::control::client;

    /// Answers `Stop`, goes on forever with `Logs`, and forgets everything else.
    fn fake(inquiry: Inquiry) {
        tokio::spawn(async move {
            match inquiry.request {
                Request::Stop => {
                    inquiry.replies.send(Response::Progress { text: "stopping".into() }).await;
                    inquiry.replies.send(Response::done("stopped")).await;
                }
                Request::Logs { .. } => {
                    let line = || Response::Line { app: "blog".into(), text: "x".repeat(1000) };
                    while inquiry.replies.send(line()).await {}
                }
                _ => {}
            }
        });
    }

    fn raw(path: &Path, text: &[u8]) -> String {
        let mut stream = StdStream::connect(path).unwrap();
        // The daemon may have hung up already.
        let _ = stream.write_all(text);
        let mut line = String::new();
        let _ = io::BufReader::new(stream).read_line(&mut line);
        line
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_are_delivered_and_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        // What a daemon that was killed left behind is in nobody's way.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let server = Server::start(&path, fake).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let answers: Vec<_> = client::ask(&path, &Request::Stop).unwrap().map(Result::unwrap).collect();
                assert_eq!(answers, [Response::Progress { text: "stopping".into() }, Response::done("stopped")]);
                // One that is dropped without an answer ends without one.
                assert_eq!(client::ask(&path, &Request::Reload).unwrap().count(), 0);
                let line = raw(&path, b"{\"request\":\"dance\"}\n");
                assert!(
                    line.contains("does not know what was asked") && line.contains("unknown variant `dance`"),
                    "{line}"
                );
                assert!(raw(&path, b"\xff\xfe nonsense\n").contains("does not know"));
                assert_eq!(raw(&path, &[b'x'; CONTROL_REQUEST as usize + 1]), "");
            }
        })
        .await
        .unwrap();
        drop(server);
    }

    #[test]
    fn workers_are_told_by_their_filters() {
        assert_eq!(filters("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t4\nThreads:\t1\n"), 4);
        assert_eq!(filters("Name:\tx\n"), 0);
        assert!(!may_be_worker(i32::try_from(std::process::id()).unwrap()) && !may_be_worker(0));
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert!(may_be_worker(i32::try_from(gone.id()).unwrap()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_goes_away_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let (ended, mut end) = mpsc::unbounded_channel();
        let _server = Server::start(&path, move |inquiry| {
            let ended = ended.clone();
            tokio::spawn(async move {
                inquiry.replies.send(Response::Progress { text: "begun".into() }).await;
                inquiry.replies.gone().await;
                let _ = ended.send(());
            });
        })
        .unwrap();
        tokio::task::spawn_blocking(move || {
            let mut answers = client::ask(&path, &Request::Status).unwrap();
            assert!(matches!(answers.next(), Some(Ok(Response::Progress { .. }))));
        })
        .await
        .unwrap();
        end.recv().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn connections_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let _server = Server::start(&path, fake).unwrap();
        tokio::task::spawn_blocking(move || {
            let begin = || {
                let mut answers = client::ask(&path, &Request::Logs { app: None, lines: 1, follow: true }).unwrap();
                answers.next().map(|_| answers)
            };
            let open: Vec<_> = (0..CONTROL_CONNECTIONS).map(|_| begin().expect("served")).collect();
            assert!(begin().is_none(), "one too many");
            drop(open);
        })
        .await
        .unwrap();
    }
}
