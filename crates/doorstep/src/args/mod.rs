//! The command line.

pub mod control;
mod guess;
mod init;
pub mod service;
mod share;
pub mod values;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use guess::{explain, shows_help};
pub use init::InitArgs;
pub use share::ShareArgs;
pub use values::AcceptedHost;

#[derive(Debug, Parser)]
#[command(
    name = "doorstep",
    version,
    about = "Turns this computer into a server: share a folder, a file or a web app",
    disable_help_subcommand = true,
    after_help = "Start with `doorstep share --help`: it teaches by example.\n"
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

    /// Say whether doorstep.toml makes sense, and everything that does not, each at its line
    #[command(after_help = crate::check::EXAMPLES)]
    Check(crate::check::CheckArgs),

    /// Print a JSON Schema of doorstep.toml, for editors
    #[command(after_help = crate::schema::EXAMPLES)]
    Schema(crate::schema::SchemaArgs),

    /// Print the hash of a password, for doorstep.toml
    #[command(after_help = crate::hash_password::EXAMPLES)]
    HashPassword,
    /// Run everything in doorstep.toml: sites, apps and their workers, HTTPS by itself
    Up(crate::up::UpArgs),

    /// Explain how to trust the certificates that this computer makes for local names
    Trust(crate::trust::TrustArgs),

    /// Start with this computer: install as a systemd service
    Service {
        #[command(subcommand)]
        command: service::ServiceCommand,
    },

    /// List what doorstep changed on this computer outside of its own folder, and take it back
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

  doorstep share               this folder
  doorstep share photos        another folder, or one file
  doorstep share 8000          the app that listens on port 8000
  doorstep share --help        every way to share, with examples
  doorstep init                write a file for the app or site in this folder, to keep it up
";

/// Completions for `shell`, to standard output.
pub fn completions(shell: Shell, out: &mut dyn std::io::Write) {
    clap_complete::generate(shell, &mut Cli::command(), "doorstep", out);
}

/// The manual: one page for doorstep and all that it can do.
///
/// # Errors
/// Those of `out`.
pub fn man(out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let share = command.find_subcommand("share").cloned().unwrap_or_default();
    let page = clap_mangen::Man::new(command);
    page.render_title(out)?;
    page.render_name_section(out)?;
    out.write_all(include_bytes!("synopsis.roff"))?;
    let page = clap_mangen::Man::new(share);
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    let (examples, _) = share::EXAMPLES.split_once("\n\nExit codes").unwrap_or((share::EXAMPLES, ""));
    let examples = examples.trim_start_matches("Examples:\n").replace('\\', "\\e").replace('-', "\\-");
    write!(out, ".SH EXAMPLES\n.nf\n{examples}\n.fi\n")?;
    out.write_all(include_bytes!("exit_codes.roff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn man_page_and_completions_name_every_option() {
        let mut page = Vec::new();
        man(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap().replace("\\-", "-");
        let mut script = Vec::new();
        completions(Shell::Bash, &mut script);
        let script = String::from_utf8(script).unwrap();
        let command = Cli::command();
        let share = command.find_subcommand("share").unwrap();
        for option in share.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{option}")), "--{option} in the man page");
            assert!(script.contains(&format!("--{option}")), "--{option} in the completions");
        }
        assert!(page.contains("EXIT STATUS") && page.contains("doorstep share holiday.mp4 --once"));
    }
}
