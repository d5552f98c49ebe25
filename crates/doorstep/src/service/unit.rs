//! The unit file. Why each restriction is there, and which are not, stands in the file itself: it is there to be read.

use std::path::Path;

/// What makes a file ours: `uninstall` removes no other.
pub const MARK: &str = "# Written by `doorstep service install`.";

/// What the unit starts.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    pub binary: &'a Path,
    pub config: &'a Path,
    /// `None`: the default one, which systemd makes.
    pub state: Option<&'a Path>,
}

impl Unit<'_> {
    /// For the computer's own systemd; doorstep starts as root.
    pub fn system(&self) -> String {
        let state = if self.state.is_none() { "StateDirectory=doorstep\nStateDirectoryMode=0711\n" } else { "" };
        format!("{}{state}{SYSTEM}", self.head("network-online.target nss-lookup.target"))
    }

    /// For an ordinary user's systemd.
    pub fn user(&self) -> String {
        format!("{}{USER}", self.head("network-online.target"))
    }

    fn head(&self, after: &str) -> String {
        let word = |path: &Path| quoted(&path.to_string_lossy());
        let (binary, config) = (word(self.binary), word(self.config));
        let state = self.state.map(|state| format!(" --state {}", word(state))).unwrap_or_default();
        format!(
            "{MARK}\n# Changes of your own belong beside it: `systemctl edit doorstep`.\n\n\
             [Unit]\n\
             Description=doorstep: sites, apps and HTTPS\n\
             Wants=network-online.target\n\
             After={after}\n\
             \n\
             [Service]\n\
             Type=notify\n\
             ExecStart={binary} up --config {config}{state}\n\
             ExecReload={binary} reload --config {config}{state}\n{SERVICE}"
        )
    }
}

/// One word of a command line in a unit (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    if escaped.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ';')) {
        format!("\"{escaped}\"")
    } else {
        escaped
    }
}

/// The life of the service, whoever it belongs to.
const SERVICE: &str = "\
# It is ready when it says so, and replaced when it hangs or ends.
WatchdogSec=30
Restart=always
RestartSec=1
TimeoutStartSec=180
# Only doorstep is told to stop; it ends its apps in their order. What is left after that is killed.
KillMode=mixed
TimeoutStopSec=120
# One app without memory is that app's trouble alone.
OOMPolicy=continue
# Each instance of an app gets a cgroup of its own, with its limits.
Delegate=cpu memory pids
TasksMax=infinity
# The worker takes what is allowed; apps begin with what programs expect.
LimitNOFILE=1024:524288
";

/// The folders and the restrictions of a service that starts as root.
const SYSTEM: &str = "\
# No LogsDirectory=, which would give root the logs at every start: /var/log/doorstep belongs to the worker.
RuntimeDirectory=doorstep
RuntimeDirectoryMode=0711
RuntimeDirectoryPreserve=restart

# doorstep's supervisor stays root: it becomes each app's user and opens what only they may open. What reads from the
# network is another process, which gives up much more than this. These restrictions hold for the apps too.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_KILL CAP_SYS_RESOURCE
# For each app's own /tmp.
CapabilityBoundingSet=CAP_SYS_ADMIN
ProtectSystem=full
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=mnt
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service mount landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp mincore
SystemCallErrorNumber=EPERM
# Left out on purpose: ProtectHome= and ProtectSystem=strict (apps live and write where they like), ProtectProc= (doorstep
# watches processes of other users), ProtectControlGroups= (it divides its own), MemoryDenyWriteExecute= (Node compiles
# while it runs), NoNewPrivileges= (each app's own setting, on unless it says otherwise).

[Install]
WantedBy=multi-user.target
";

/// The rest for an ordinary user's systemd, which can take away little without taking file capabilities away too.
const USER: &str = "
[Install]
WantedBy=default.target
";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Points of `systemd-analyze security`, in tenths, at most: less is better. Debian's nginx has 96, its apache2 92.
    const EXPOSURE: u32 = 50;

    fn sample() -> Unit<'static> {
        Unit { binary: Path::new("/bin/true"), config: Path::new("/etc/doorstep/doorstep.toml"), state: None }
    }

    fn analyze(arguments: &[&str], unit: &str) -> Option<(bool, String)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("doorstep.service");
        std::fs::write(&path, unit).unwrap();
        let done = Command::new("systemd-analyze").args(arguments).arg(&path).env("SYSTEMD_COLORS", "0").output();
        let Ok(output) = done else {
            eprintln!("not tested: systemd-analyze is missing");
            return None;
        };
        let text = [output.stdout, output.stderr].concat();
        Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    #[test]
    fn systemd_finds_nothing_wrong() {
        for unit in [sample().system(), sample().user()] {
            if let Some(outcome) = analyze(&["verify", "--man=no"], &unit) {
                assert_eq!(outcome, (true, String::new()), "{unit}");
            }
        }
    }

    #[test]
    fn the_score_is_what_the_manual_says() {
        let threshold = format!("--threshold={EXPOSURE}");
        let Some((well, text)) = analyze(&["security", "--offline=true", "--no-pager", &threshold], &sample().system())
        else {
            return;
        };
        assert!(well, "{text}");
    }

    #[test]
    fn strange_paths_stay_one_word() {
        assert_eq!(quoted("/usr/bin/doorstep"), "/usr/bin/doorstep");
        assert_eq!(quoted("/srv/my sites/100%/$a\"b"), "\"/srv/my sites/100%%/$$a\\\"b\"");
        let unit =
            Unit { config: Path::new("/srv/my sites/doorstep.toml"), state: Some(Path::new("/srv/state")), ..sample() };
        let text = unit.system();
        assert!(
            text.contains("\nExecStart=/bin/true up --config \"/srv/my sites/doorstep.toml\" --state /srv/state\n")
        );
        assert!(text.starts_with(MARK) && !text.contains("StateDirectory"));
        assert!(sample().system().contains("\nStateDirectory=doorstep\n"));
        assert!(!sample().user().contains("Capability"));
    }
}
