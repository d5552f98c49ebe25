use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::limits;

/// What a program of the system answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is not installed.
    Missing,
    /// It failed, took too long or said too much; mostly it wants to be run by root.
    Refused,
    Text(String),
}

/// Runs `program` and takes what it prints, within [`limits::COMMAND_TIME`].
pub(super) async fn ask(program: &str, arguments: &[&str]) -> Answer {
    // Programs for root are not on the path of ordinary users everywhere, though they may answer them.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let spawned = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = spawned else { return Answer::Missing };
    let answer = async {
        let mut text = Vec::new();
        let mut output = child.stdout.take()?.take(limits::COMMAND_OUTPUT);
        output.read_to_end(&mut text).await.ok()?;
        let complete = output.limit() > 0 && child.wait().await.ok()?.success();
        complete.then(|| String::from_utf8_lossy(&text).into_owned())
    };
    timeout(limits::COMMAND_TIME, answer).await.ok().flatten().map_or(Answer::Refused, Answer::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn answers() {
        assert_eq!(ask("no-such-program-anywhere", &[]).await, Answer::Missing);
        assert_eq!(ask("sh", &["-c", "echo no; exit 1"]).await, Answer::Refused);
        assert_eq!(ask("sh", &["-c", "echo yes; echo no >&2"]).await, Answer::Text("yes\n".into()));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_that_hangs_is_left() {
        assert_eq!(ask("sleep", &["60"]).await, Answer::Refused);
    }
}
