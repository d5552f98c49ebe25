//! The commands that talk to a daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::control::client::At;

const STATUS: &str = "\
Examples:
  doorstep status                          the daemon of this folder's doorstep.toml, else the usual one
  doorstep status --json | jq .findings    for programs
  watch -c doorstep status                 again every two seconds";

const LOGS: &str = "\
Examples:
  doorstep logs                            the last lines of all apps and jobs
  doorstep logs -f blog                    what one app prints, as it comes
  doorstep logs -n 500 blog | grep ERROR";

const RELOAD: &str = "\
Example:
  doorstep check && doorstep reload

A file with errors changes nothing. What is open (requests, WebSockets, downloads) goes on as it began.";

const RESTART: &str = "\
Example:
  git pull && doorstep restart blog        a new version, and nobody's request fails

Changed requirements are installed first. A new version that does not start leaves the old one running.";

const UPGRADE: &str = "\
Examples:
  doorstep upgrade                         the binary was replaced by a newer one
  doorstep upgrade --binary ./doorstep     try another one

One that does not become ready leaves the old one running.";

const CERT: &str = "\
Examples:
  doorstep cert list                       all, with their days left
  doorstep cert show blog.example.com
  doorstep cert renew blog.example.com     now, instead of when it is due";

#[derive(Debug, Subcommand)]
pub enum ControlCommand {
    /// How everything is: sites, certificates, apps, upstreams, and what needs somebody
    #[command(after_help = STATUS)]
    Status {
        /// As JSON, for programs (docs/status-json.md)
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },

    /// What the apps print
    #[command(after_help = LOGS)]
    Logs(LogsArgs),

    /// Take the changed doorstep.toml: checked whole, swapped in without dropping a connection
    #[command(after_help = RELOAD)]
    Reload {
        #[command(flatten)]
        at: At,
    },

    /// Replace an app's instances one by one, each new one ready before the old one goes
    #[command(after_help = RESTART)]
    Restart {
        /// Its name in doorstep.toml
        app: String,
        #[command(flatten)]
        at: At,
    },

    /// Finish what is in flight, and end
    Stop {
        #[command(flatten)]
        at: At,
    },

    /// Hand over to a new binary without dropping a connection
    #[command(after_help = UPGRADE)]
    Upgrade {
        /// The new binary [default: the file that the running one was started from]
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },

    /// Certificates: list, show, renew
    #[command(after_help = CERT)]
    Cert {
        #[command(subcommand)]
        command: CertCommand,
    },
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// An app or job; without one, all of them
    pub app: Option<String>,

    /// Go on with what they print from now on, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,

    /// How many of the last lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub lines: usize,

    #[command(flatten)]
    pub at: At,
}

#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// All certificates, their issuers and days left
    List {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },

    /// One certificate in full
    Show {
        /// A name in it
        name: String,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },

    /// Get a new certificate now
    Renew {
        /// A name in it
        name: String,
        #[command(flatten)]
        at: At,
    },
}
