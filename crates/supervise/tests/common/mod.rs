//! A supervisor in temporary folders, and apps for it.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorstep_model::{
    App, AppCommand, AppListen, AppName, Exec, Finding, Job, Orphans, Readiness, Rotation, Schedule, Secret,
    UpstreamAddr,
};
use doorstep_supervise::{
    AppStatus, Event, Instance, InstanceState, Options, PlainSpawn, Spawn, StaticFiles, Supervisor,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

/// A web app in a few lines: answers each request with `$VERSION`, the instance and its process number.
pub const SERVER: &str = r#"
import os, signal, socket, sys
if "SOCKET" in os.environ:
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.environ["SOCKET"])
else:
    server = socket.create_server((os.environ["HOST"], int(os.environ["PORT"])))
server.listen(64)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listening", flush=True)
while True:
    peer, _ = server.accept()
    head = peer.recv(4096).decode()
    path = head.split(" ")[1] if " " in head else "/"
    body = f"{os.environ.get('VERSION', '')} {os.environ['INSTANCE']} {os.getpid()}"
    status = "200 OK" if path != "/healthz" or os.path.exists("healthy") else "503 Not Yet"
    print("asked for", path, flush=True)
    try:
        peer.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    except OSError:
        pass  # whoever only looked whether it listens
    peer.close()
"#;

/// Nothing in these tests takes this long, however busy the computer is.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Fixture {
    pub dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    pub supervisor: Supervisor,
    pub seen: Arc<Mutex<Seen>>,
}

/// What the supervisor told.
#[derive(Default)]
pub struct Seen {
    /// Of one app, each list in turn.
    pub members: Vec<(String, Vec<Instance>)>,
    pub findings: Vec<Finding>,
    pub statics: Vec<Option<StaticFiles>>,
}

impl Fixture {
    pub fn new() -> Self {
        // Short: a socket's path has 107 bytes.
        let temporary = tempfile::Builder::new().prefix("ds").tempdir_in("/tmp").unwrap();
        let mut fixture = Self::at(temporary.path(), Arc::new(PlainSpawn));
        fixture._temporary = Some(temporary);
        fixture
    }

    /// In folders that are there already, from an earlier one perhaps.
    pub fn at(dir: &Path, spawn: Arc<dyn Spawn>) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let options = Options {
            state_dir: dir.join("state"),
            run_dir: dir.join("run"),
            log_dir: dir.join("log"),
            worker_group: None,
            spawn,
        };
        std::fs::create_dir_all(dir.join("app")).unwrap();
        std::fs::write(dir.join("app/server.py"), SERVER).unwrap();
        let supervisor = Supervisor::new(options, events).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        tokio::spawn(listen(receiver, supervisor.clone(), Arc::clone(&seen)));
        Self { dir: dir.to_owned(), _temporary: None, supervisor, seen }
    }

    pub fn app(&self, name: &str, command: &str) -> App {
        App {
            name: AppName(name.into()),
            command: AppCommand::Run(command.into()),
            exec: Exec { dir: self.dir.join("app"), ..Exec::default() },
            listen: AppListen::Socket,
            instances: 1,
            after: Vec::new(),
            pre_start: Vec::new(),
            ready: Readiness { path: None, timeout: LONG },
            stop_grace: Duration::from_secs(20),
            drain: LONG,
            watch: false,
            orphans: Orphans::End,
            log: Rotation::default(),
        }
    }

    pub fn server(&self, name: &str) -> App {
        self.app(name, "/usr/bin/python3 server.py")
    }

    pub fn job(&self, name: &str, run: &str, every: Duration) -> Job {
        Job {
            name: AppName(name.into()),
            run: run.into(),
            exec: Exec { dir: self.dir.join("app"), ..Exec::default() },
            schedule: Schedule::Every(every),
            timeout: None,
            log: Rotation::default(),
        }
    }

    pub async fn status(&self, app: &str) -> Option<AppStatus> {
        self.supervisor.status().await.into_iter().find(|status| status.name.0 == app)
    }

    /// Waits until exactly this many instances are ready, and no other is there.
    pub async fn ready(&self, app: &str, count: usize) -> AppStatus {
        until("ready instances", || async {
            let status = self.status(app).await?;
            let all = status.instances.iter().all(|instance| instance.state == InstanceState::Ready);
            (all && status.instances.len() == count).then_some(status)
        })
        .await
    }

    pub async fn finding(&self, id: &str) -> Finding {
        until(id, || async { self.seen.lock().unwrap().findings.iter().find(|finding| finding.id == id).cloned() })
            .await
    }

    pub fn log(&self, app: &str) -> String {
        std::fs::read_to_string(self.dir.join(format!("log/{app}.log"))).unwrap_or_default()
    }

    pub async fn logged(&self, app: &str, text: &str) {
        until(text, || async { self.log(app).contains(text).then_some(()) }).await;
    }
}

async fn listen(mut receiver: mpsc::UnboundedReceiver<Event>, supervisor: Supervisor, seen: Arc<Mutex<Seen>>) {
    while let Some(event) = receiver.recv().await {
        let mut seen = seen.lock().unwrap();
        match event {
            Event::Members { app, members } => {
                // Nothing is ever in flight here.
                for member in members.iter().filter(|member| member.draining) {
                    supervisor.drained(&app.0, &member.id);
                }
                seen.members.push((app.0, members));
            }
            Event::Finding(finding) => {
                eprintln!("{}: {}", finding.id, finding.what);
                seen.findings.push(finding);
            }
            Event::Static { files, .. } => seen.statics.push(files),
        }
    }
}

/// Looks again and again, until there is something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks an instance for a path; its answer's body.
pub async fn get(addr: &UpstreamAddr, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    match addr {
        UpstreamAddr::Unix(path) => {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_string(&mut answer).await?;
        }
        UpstreamAddr::Tcp { host, port } => {
            let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_string(&mut answer).await?;
        }
    }
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Whether a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn with_env(mut app: App, name: &str, value: &str) -> App {
    app.exec.env.retain(|(other, _)| other != name);
    app.exec.env.push((name.into(), Secret::new(value.into())));
    app
}
