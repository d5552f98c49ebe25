//! `doorstep service` and `doorstep undo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub const EXAMPLES: &str = "\
Examples:
  sudo doorstep service install --dry-run     only show what would be done, and the whole unit
  sudo doorstep service install               for the computer, from doorstep.toml here
  doorstep service install --user             for yourself, without root
  sudo doorstep service uninstall";

pub const UNDO_EXAMPLES: &str = "\
Examples:
  doorstep undo              list what was changed, numbered
  doorstep undo 3            take one change back
  doorstep undo --all        take everything back, the last change first";

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Write a hardened unit, enable it, start it; says each thing it does
    Install(InstallArgs),
    /// Stop, disable and remove the unit
    Uninstall(UninstallArgs),
}

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The configuration [default: doorstep.toml here, else /etc/doorstep/doorstep.toml]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// A service of your own, without root
    #[arg(long)]
    pub user: bool,

    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// The service of your own
    #[arg(long)]
    pub user: bool,

    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,

    /// The folder with the journal, where the configuration names one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Numbers of the changes to take back; without any, all changes are listed
    #[arg(value_name = "NUMBER")]
    pub changes: Vec<u64>,

    /// Take everything back
    #[arg(long, conflicts_with = "changes")]
    pub all: bool,

    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,

    /// The folder with the journal, where the configuration names one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}
