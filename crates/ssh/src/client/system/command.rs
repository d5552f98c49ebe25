use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::process::Command;

use crate::client::plan::Plan;
use crate::client::{ClientOptions, Program, Server, Style};
use crate::limits::{CONNECT, KEEP_ALIVE};

/// The program to run; none where the built-in client is to be used.
pub(in crate::client) fn program(options: &ClientOptions) -> Option<PathBuf> {
    match &options.program {
        Program::System(path) => Some(path.clone()),
        Program::Builtin(_) => None,
        Program::Auto => {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).map(|folder| folder.join("ssh")).find(|ssh| ssh.is_file())
        }
    }
}

/// How a person connects by hand.
pub(in crate::client) fn by_hand(server: &Server) -> String {
    let port = server.port.map_or(String::new(), |port| format!("-p {port} "));
    let user = server.user.as_ref().map_or(String::new(), |user| format!("{user}@"));
    format!("ssh {port}{user}{}", server.host)
}

/// `ssh` to the server, saying at length what it does. `batch`: it asks nobody anything.
pub(super) fn connect(program: &Path, options: &ClientOptions, batch: bool) -> Command {
    let mut command = Command::new(program);
    command.args(&options.arguments);
    let batch = if batch { "BatchMode=yes" } else { "BatchMode=no" };
    let (alive, connect) = (KEEP_ALIVE.as_secs(), CONNECT.as_secs() / 2);
    for option in [
        batch,
        "LogLevel=DEBUG1",
        "ExitOnForwardFailure=no",
        &format!("ServerAliveInterval={alive}"),
        "ServerAliveCountMax=3",
        &format!("ConnectTimeout={connect}"),
        // A session of our own, which ends when we say so.
        "ControlMaster=no",
        "ControlPath=none",
        "ForkAfterAuthentication=no",
        "RequestTTY=no",
        "RemoteCommand=none",
        "PermitLocalCommand=no",
        // The server gets the forwarding that was asked for, and nothing else of this computer.
        "ForwardAgent=no",
        "ForwardX11=no",
        "Tunnel=no",
        "EscapeChar=none",
    ] {
        command.args(["-o", option]);
    }
    if let Some(port) = options.server.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = &options.server.user {
        command.args(["-l", user]);
    }
    command.env("LC_ALL", "C").env_remove("SSH_ASKPASS").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).kill_on_drop(true);
    // SAFETY: prctl(2) is a plain system call; nothing is allocated between fork and exec.
    unsafe {
        // A doorstep that is killed takes its `ssh` with it: otherwise that would hold the port for nobody.
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into));
    }
    command
}

/// `ssh` that does what the plan says, with the sockets of all targets in `folder`.
pub(super) fn forward(program: &Path, options: &ClientOptions, plan: &Plan, folder: &Path) -> Command {
    let mut command = connect(program, options, true);
    // Ctrl-C is for doorstep, which lets visitors finish first.
    command.process_group(0);
    for wish in &plan.wishes {
        let host = if wish.host.is_empty() { "*" } else { &wish.host };
        let listen = match wish.host.as_str() {
            // As people write it: a port alone.
            "localhost" => wish.port.to_string(),
            _ => format!("{host}:{}", wish.port),
        };
        let mut forward = listen.into_bytes();
        forward.push(b':');
        forward.extend_from_slice(folder.join(wish.target.to_string()).as_os_str().as_bytes());
        command.arg("-R").arg(std::ffi::OsStr::from_bytes(&forward));
    }
    if plan.style == Some(Style::Lender) {
        // A session whose output is read, and whose input does not end.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    } else {
        command.arg("-N");
    }
    command.arg("-T").arg("--").arg(&options.server.host);
    command
}
