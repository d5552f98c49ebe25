use std::path::Path;

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// By itself, with this code.
    pub code: Option<i32>,
    /// By this signal. Neither: somebody else's child, whose end is all that is known.
    pub signal: Option<i32>,
    /// The kernel ended it because its memory limit was reached.
    pub out_of_memory: bool,
}

impl Exit {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// In words: "ended with exit code 1", "was ended by SIGKILL, perhaps because memory ran out".
    pub fn words(&self) -> String {
        if self.out_of_memory {
            return "was ended by the system because it reached its memory limit".to_owned();
        }
        match (self.code, self.signal) {
            (Some(0), _) => "ended by itself, with exit code 0 (no error)".to_owned(),
            (Some(126), _) => "ended with exit code 126 (the command may not be executed)".to_owned(),
            (Some(127), _) => "ended with exit code 127 (the command was not found)".to_owned(),
            (Some(137), _) => "ended with exit code 137 (killed, perhaps because memory ran out)".to_owned(),
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(9)) => "was ended by SIGKILL, perhaps because memory ran out".to_owned(),
            (None, Some(signal)) => format!("was ended by {}", signal_name(signal)),
            (None, None) => "ended".to_owned(),
        }
    }

    /// Looks whether the kernel ended something in this cgroup for want of memory.
    pub(crate) fn blame_memory(mut self, cgroup: Option<&Path>) -> Self {
        let killed = self.signal == Some(9) || self.code == Some(137);
        if let Some(cgroup) = cgroup
            && killed
        {
            let events = std::fs::read_to_string(cgroup.join("memory.events")).unwrap_or_default();
            self.out_of_memory =
                events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"));
        }
        self
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL (an instruction this processor does not know)",
        6 => "SIGABRT (it gave up by itself)",
        7 => "SIGBUS (a memory error)",
        8 => "SIGFPE (an arithmetic error)",
        11 => "SIGSEGV (a memory error)",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU (out of processor time)",
        31 => "SIGSYS (a forbidden system call)",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let code = |code| Exit { code: Some(code), ..Exit::default() }.words();
        assert_eq!(code(1), "ended with exit code 1");
        assert!(code(137).contains("memory"));
        let signal = |signal| Exit { signal: Some(signal), ..Exit::default() }.words();
        assert_eq!(signal(40), "was ended by signal 40");
        assert!(signal(11).contains("SIGSEGV"));
    }

    #[test]
    fn the_cgroup_tells_about_memory() {
        let dir = tempfile::tempdir().unwrap();
        let killed = Exit { signal: Some(9), ..Exit::default() };
        assert!(!killed.blame_memory(Some(dir.path())).out_of_memory);
        std::fs::write(dir.path().join("memory.events"), "low 0\noom 3\noom_kill 0\n").unwrap();
        assert!(!killed.blame_memory(Some(dir.path())).out_of_memory);
        std::fs::write(dir.path().join("memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        assert!(killed.blame_memory(Some(dir.path())).out_of_memory);
    }
}
