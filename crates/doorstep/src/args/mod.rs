//! The command line.

pub mod control;
mod guess;
mod init;
mod manual;
pub mod relay;
pub mod service;
mod share;
pub mod values;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

pub use guess::{explain, shows_help};
pub use init::InitArgs;
pub use manual::{completions, man};
pub use share::ShareArgs;
pub use values::AcceptedHost;

#[derive(Debug, Parser)]
#[command(
    name = "doorstep",
    version,
    about = "Turns this computer into a server: share a folder, a file or a web app, or run sites and apps that stay up",
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Share a folder, a file, an app or a URL right now, until Ctrl-C
    #[command(after_long_help = share::EXAMPLES, after_help = share::SHORT_EXAMPLES)]
    Share(Box<ShareArgs>),

    /// Look at a folder, and write a doorstep.toml for the app or site in it
    #[command(after_help = init::EXAMPLES)]
    Init(InitArgs),

    /// Run everything in doorstep.toml: sites, apps, jobs, with HTTPS by itself
    #[command(after_help = crate::up::EXAMPLES)]
    Up(crate::up::UpArgs),

    /// Lend a public address: names beneath a domain and ports, to computers that have none
    #[command(after_help = crate::relay::command::EXAMPLES)]
    Relay(Box<crate::relay::command::RelayArgs>),

    /// Join a relay, with the line that its owner gave you: makes a key for it on this computer
    #[command(after_help = crate::join::EXAMPLES)]
    Join(crate::join::JoinArgs),

    /// Show this computer's addresses, its router's, and what each is good for
    #[command(after_help = crate::ip::EXAMPLES)]
    Ip(crate::ip::IpArgs),

    /// Say whether doorstep.toml makes sense, and everything that does not, each at its line
    #[command(after_help = crate::check::EXAMPLES)]
    Check(crate::check::CheckArgs),

    /// Print a JSON Schema of doorstep.toml, for editors
    #[command(after_help = crate::schema::EXAMPLES)]
    Schema(crate::schema::SchemaArgs),

    /// Print the hash of a password, for doorstep.toml
    #[command(after_help = crate::hash_password::EXAMPLES)]
    HashPassword,

    /// Explain how to trust the certificates that this computer makes for local names
    #[command(after_help = crate::trust::EXAMPLES)]
    Trust(crate::trust::TrustArgs),

    /// Start with this computer: install as a systemd service
    #[command(after_help = service::EXAMPLES)]
    Service {
        #[command(subcommand)]
        command: service::ServiceCommand,
    },

    /// List what doorstep changed on this computer outside of its own folder, and take it back
    #[command(after_help = service::UNDO_EXAMPLES)]
    Undo(service::UndoArgs),

    #[command(flatten)]
    Control(control::ControlCommand),

    /// Print completions for a shell
    ///
    /// For bash: doorstep completions bash > ~/.local/share/bash-completion/completions/doorstep
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: Shell,
    },

    /// Print the man page (`doorstep man | man -l -`)
    Man,
}

/// What `doorstep` alone says.
pub const WELCOME: &str = "\
doorstep turns this computer into a server.

Now, for everyone in the room, until Ctrl-C:
  doorstep share               this folder
  doorstep share photos        another folder, or one file
  doorstep share 8000          the app that listens on port 8000
  doorstep share --help        every way to share, with examples

To stay, with HTTPS, under a name of your own:
  doorstep init                look at the app or site in this folder, write doorstep.toml
  doorstep up                  run it
  doorstep status              how it is

doorstep --help                all commands
";

const EXAMPLES: &str = "\
Examples:
  doorstep share                     this folder, for everyone in the room
  doorstep init && doorstep up       the app or site in this folder, to stay
  doorstep service install           and to come back with the computer

Each command teaches by example: `doorstep share --help`. The manual: `doorstep man | man -l -`.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
