use std::path::{Path, PathBuf};

use doorstep_model::Python;

use super::interpreter;
use crate::journal::Addr;
use crate::prepare::Workshop;

/// doorstep keeps its connections to the app open for the next request; the app must not close them under its feet, as gunicorn
/// would after 2 seconds and uvicorn after 5. Seconds.
const KEEP_ALIVE: u32 = 75;

/// The program that runs the app.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    python: PathBuf,
    entry: String,
    asgi: bool,
    threads: u32,
    /// Seconds.
    graceful: u64,
    /// Those that only some versions have.
    pub options: Vec<String>,
}

impl Server {
    pub fn new(workshop: &Workshop, python: &Python, environment: &Path, asgi: bool) -> Self {
        Self {
            python: interpreter(environment),
            entry: python.entry.clone(),
            asgi,
            threads: python.threads.max(1),
            // It gives up before it is given up.
            graceful: workshop.app.stop_grace.as_secs().saturating_sub(1).max(1),
            options: Vec::new(),
        }
    }

    /// The module, and what pip is asked for where the project does not bring it itself.
    pub fn package(&self) -> (&'static str, &'static str) {
        if self.asgi { ("uvicorn", "uvicorn>=0.30,<1") } else { ("gunicorn", "gunicorn>=23,<28") }
    }

    pub fn argv(&self, addr: &Addr) -> Vec<String> {
        let mut argv = vec![self.python.display().to_string(), "-m".to_owned(), self.package().0.to_owned()];
        let mut add = |arguments: &[&str]| argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let keep_alive = KEEP_ALIVE.to_string();
        let graceful = self.graceful.to_string();
        let threads = self.threads.to_string();
        if self.asgi {
            match addr {
                Addr::Socket(path) => add(&["--uds", &path.display().to_string()]),
                Addr::Port(port) => add(&["--host", "127.0.0.1", "--port", &port.to_string()]),
                Addr::Nowhere => {}
            }
            // Only doorstep reaches the socket, so that its X-Forwarded-* headers can be believed.
            add(&["--no-access-log", "--proxy-headers", "--forwarded-allow-ips", "*"]);
            add(&["--timeout-keep-alive", &keep_alive, "--timeout-graceful-shutdown", &graceful]);
            match self.entry.strip_suffix("()") {
                Some(factory) => add(&["--factory", factory]),
                None => add(&[&self.entry]),
            }
        } else {
            match addr {
                Addr::Socket(path) => add(&["--bind", &format!("unix:{}", path.display())]),
                Addr::Port(port) => add(&["--bind", &format!("127.0.0.1:{port}")]),
                Addr::Nowhere => {}
            }
            add(&["--workers", "1", "--worker-class", "gthread", "--threads", &threads]);
            add(&["--keep-alive", &keep_alive, "--graceful-timeout", &graceful, "--forwarded-allow-ips", "*"]);
            self.options.iter().for_each(|option| add(&[option]));
            add(&[&self.entry]);
        }
        argv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let server = |asgi, entry: &str| Server {
            python: "/e/bin/python".into(),
            entry: entry.into(),
            asgi,
            threads: 4,
            graceful: 9,
            options: Vec::new(),
        };
        let wsgi = server(false, "main:app").argv(&Addr::Socket("/run/a.sock".into())).join(" ");
        assert!(wsgi.starts_with("/e/bin/python -m gunicorn --bind unix:/run/a.sock --workers 1"), "{wsgi}");
        assert!(wsgi.contains("--threads 4 --keep-alive 75 --graceful-timeout 9") && wsgi.ends_with(" main:app"));
        let asgi = server(true, "main:make()").argv(&Addr::Port(4000)).join(" ");
        assert!(asgi.contains("-m uvicorn --host 127.0.0.1 --port 4000"), "{asgi}");
        assert!(asgi.ends_with(" --factory main:make"), "{asgi}");
    }
}
