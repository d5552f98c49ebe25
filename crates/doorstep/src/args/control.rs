//! The commands that talk to a daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::control::client::At;

#[derive(Debug, Subcommand)]
pub enum ControlCommand {
    /// How everything is: sites, certificates, apps, upstreams, and what needs somebody
    Status {
        /// As JSON, for programs (docs/status-json.md)
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },

    /// What the apps print
    Logs(LogsArgs),

    /// Take the changed doorstep.toml: checked whole, swapped in without dropping a connection
    Reload {
        #[command(flatten)]
        at: At,
    },

    /// Replace an app's instances one by one, each new one ready before the old one goes
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
    Upgrade {
        /// The new binary [default: the file that the running one was started from]
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },

    /// Certificates: list, show, renew
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
