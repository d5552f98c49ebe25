use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::values::{self, AcceptedHost};

/// Everything that `doorstep share` can be told.
#[derive(Debug, Args)]
pub struct ShareArgs {
    /// A folder, a file, `-` for standard input, a port, HOST:PORT, http(s)://… or unix:PATH; without one, this folder
    ///
    /// Digits alone are a port: write ./8000 for a folder of that name. Anything with a slash in it and without a
    /// scheme is a path, and so is everything that exists in this folder.
    pub target: Option<OsString>,

    /// Serve /index.html for every path that does not exist (single-page apps)
    #[arg(long, help_heading = "Folders")]
    pub spa: bool,

    /// Let web pages of any origin read the files (CORS)
    #[arg(long, help_heading = "Folders")]
    pub cors: bool,

    /// Serve dotfiles, private keys and databases too
    #[arg(long, help_heading = "Folders")]
    pub hidden: bool,

    /// Let visitors add files; they can never replace one
    #[arg(long, help_heading = "Folders")]
    pub upload: bool,

    /// Let visitors add files and see nothing
    #[arg(long, help_heading = "Folders")]
    pub upload_only: bool,

    /// The largest file a visitor may add, such as 2GB
    #[arg(long, value_name = "SIZE", value_parser = values::size, help_heading = "Folders")]
    pub max_upload: Option<u64>,

    /// Send the app the address the visitor typed, instead of one it accepts
    ///
    /// By default the app sees `localhost:PORT`, finds the visitor's address in X-Forwarded-Host, and its redirects
    /// and cookies are translated.
    #[arg(long, help_heading = "Apps")]
    pub keep_host: bool,

    /// Do not check the certificate of an https:// target
    #[arg(long, help_heading = "Apps")]
    pub insecure_upstream: bool,

    /// Port to listen on [default: 8080, or the next free one; 0 for any]
    #[arg(long, short, value_name = "N", value_parser = values::port, help_heading = "Addresses")]
    pub port: Option<u16>,

    /// Addresses of this computer to listen on [default: all]
    #[arg(long, value_name = "ADDR", num_args = 1.., value_delimiter = ',', help_heading = "Addresses")]
    pub bind: Vec<IpAddr>,

    /// Only this computer can visit
    #[arg(long, conflicts_with = "bind", help_heading = "Addresses")]
    pub local: bool,

    /// Names visitors may use besides this computer's local ones; * for any
    ///
    /// Names that only mean something in your network, and numbers, always work. Others are refused, so that a
    /// web page elsewhere cannot reach you through its visitor's browser.
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = values::host, help_heading = "Addresses")]
    pub host: Vec<AcceptedHost>,

    /// HTTPS with a certificate this computer makes; its fingerprint is printed
    #[arg(long, help_heading = "Addresses")]
    pub tls: bool,

    /// Open the address in the browser
    #[arg(long, help_heading = "Addresses")]
    pub open: bool,

    /// Ask visitors for a password; made up and printed if you give none
    #[arg(long, value_name = "USER:PASS", num_args = 0..=1, help_heading = "Who may come in, and how much they get")]
    pub password: Option<Option<String>>,

    /// Only let these networks in, such as 192.168.1.0/24
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', value_parser = values::network, help_heading = "Who may come in, and how much they get")]
    pub allow: Vec<IpNet>,

    /// Stop after this time, such as 2h
    #[arg(long, value_name = "TIME", value_parser = values::duration, help_heading = "Who may come in, and how much they get")]
    pub expires: Option<Duration>,

    /// Stop after one full download
    #[arg(long, help_heading = "Who may come in, and how much they get")]
    pub once: bool,

    /// The most each visitor gets, such as 2MB/s or 16Mbit/s
    #[arg(long, value_name = "RATE", value_parser = values::rate, help_heading = "Who may come in, and how much they get")]
    pub max_rate: Option<u64>,

    /// The most all visitors get together
    #[arg(long, value_name = "RATE", value_parser = values::rate, help_heading = "Who may come in, and how much they get")]
    pub max_total_rate: Option<u64>,

    /// The most connections at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Who may come in, and how much they get")]
    pub max_conns: Option<u32>,

    /// No QR code
    #[arg(long, help_heading = "Screen")]
    pub no_qr: bool,

    /// One JSON object per line instead of a screen, for programs
    #[arg(long, conflicts_with_all = ["quiet", "verbose"], help_heading = "Screen")]
    pub json: bool,

    /// Print the address and nothing else
    #[arg(long, short, conflicts_with = "verbose", help_heading = "Screen")]
    pub quiet: bool,

    /// Also show each visitor's browser and the name it asked for
    #[arg(long, short, help_heading = "Screen")]
    pub verbose: bool,

    /// Append an access log in the combined format, which log analysers read
    #[arg(long, value_name = "FILE", help_heading = "Screen")]
    pub log: Option<PathBuf>,
}

pub const SHORT_EXAMPLES: &str = "\
Examples:
  doorstep share                       this folder
  doorstep share photos --password     a folder, behind a password made up for you
  doorstep share 8000                  the app on port 8000

`doorstep share --help` has more.";

pub const EXAMPLES: &str = "\
Examples:
  Hand over files
    doorstep share                                  this folder
    doorstep share holiday.mp4 --once               one file, once
    doorstep share photos --password --expires 2h   behind a password made up for you, for two hours
    doorstep share inbox --upload-only              collect files from others
    tar c project | doorstep share -                whatever a program prints

  Show a web app
    doorstep share 8000                             the app on port 8000
    doorstep share dist --spa                       a built single-page app
    doorstep share http://192.168.1.50:3000         an app on another computer
    doorstep share unix:/run/app.sock               an app on a unix socket

  Be careful
    doorstep share 8000 --local                     only this computer, for a try
    doorstep share photos --allow 192.168.1.0/24    only this network
    doorstep share iso --max-rate 2MB/s             2 MB each second for each visitor
    doorstep share docs --tls                       encrypted, also in the network

Exit codes
    0 ended as asked            2 wrong usage             3 the target cannot be shared
    4 the port cannot be used   130 second Ctrl-C         1 anything else";
