//! What the owner of a relay tells it while it runs.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::values;
use crate::control::client::At;

const INVITE: &str = "\
Examples:
  doorstep relay invite studio                                      prints the line to paste on that computer
  doorstep relay invite studio --names 'studio-*' --names blog      names under the relay's domain: these only
  doorstep relay invite studio --ports 0 --rate 10MB/s              no ports, 10 MB a second each way
  doorstep relay invite guest --expires 1d --for 7d                 a day to paste it, a week to use it

The line is good once. Whoever is invited under a name that has joined already is another computer of the same agent, with
the same names.";

const AGENTS: &str = "\
Examples:
  doorstep relay agents                     who there is, with what, and how it does
  doorstep relay agents --json | jq -r '.[] | select(.sessions == []) | .name'";

const REVOKE: &str = "\
Examples:
  doorstep relay revoke studio                     none of its computers comes in any more
  doorstep relay revoke 4Xo1yF8cQ0KQy0dXwqvW3A     only that key: `doorstep relay agents` shows them

Its names stay its own, for a new invitation of the same name; `doorstep relay forget NAME` frees them.";

const ADD_KEY: &str = "\
Examples:
  doorstep relay add-key anna 'ssh-ed25519 AAAAC3Nza… anna@laptop'
  doorstep relay add-key anna \"$(cat anna.pub)\"

Then, with nothing installed but ssh (and `ssh` in [relay], or `--ssh 2222`):
  ssh -R 80:localhost:8000 -p 2222 tun.example.com";

#[derive(Clone, Debug, Subcommand)]
pub enum RelayCommand {
    /// Let a computer in: prints one line to paste there
    #[command(after_help = INVITE)]
    Invite(Box<InviteArgs>),

    /// Who may lend, with which keys, names and limits, and who is here
    #[command(after_help = AGENTS)]
    Agents {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },

    /// Names and ports, and whose they are
    Names {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },

    /// Let an agent in no more: it is put out at once
    #[command(after_help = REVOKE)]
    Revoke {
        /// The agent's name, or the fingerprint of one of its keys
        agent: String,
        #[command(flatten)]
        at: At,
    },

    /// Switch a name off: visitors are told so, whatever is open ends
    Stop {
        /// blog, or blog.tun.example.com
        name: String,
        #[command(flatten)]
        at: At,
    },

    /// Switch a name on again
    Start {
        /// blog, or blog.tun.example.com
        name: String,
        #[command(flatten)]
        at: At,
    },

    /// Free a name or port: whoever claims it next has it
    Forget {
        /// blog, blog.tun.example.com, or tcp/20000
        name: String,
        #[command(flatten)]
        at: At,
    },

    /// Let somebody in by an ssh key, without doorstep
    #[command(after_help = ADD_KEY)]
    AddKey {
        /// What the relay calls them; one that has joined gets a further key
        agent: String,
        /// The public key, as in ~/.ssh/id_ed25519.pub
        #[arg(value_name = "KEY", num_args = 1.., required = true)]
        key: Vec<String>,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Clone, Debug, Args)]
pub struct InviteArgs {
    /// What the relay calls it: letters, digits, `-`, `_`, `.`
    pub agent: String,

    /// A name that it may have under the relay's domain, with at most one `*`; may be given several times [default: any]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub names: Option<Vec<String>>,

    /// How many names it may have
    #[arg(long, value_name = "N")]
    pub most_names: Option<usize>,

    /// How many ports it may have, TCP and UDP together
    #[arg(long, value_name = "N")]
    pub ports: Option<usize>,

    /// How many connections may be open at once
    #[arg(long, value_name = "N")]
    pub streams: Option<usize>,

    /// How much it may transfer each way, such as 10MB/s [default: any]
    #[arg(long, value_parser = values::rate)]
    pub rate: Option<u64>,

    /// How many requests a second it may get [default: any]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: Option<u32>,

    /// How long the line is good, such as 30m or 2d [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub expires: Option<Duration>,

    /// How long it is let in, such as 7d, counted from now [default: until it is revoked]
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration)]
    pub lasts: Option<Duration>,

    #[command(flatten)]
    pub at: At,
}
