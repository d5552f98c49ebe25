use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use doorstep_model::Via;
use ipnet::IpNet;

use super::values::{self, AcceptedHost};

/// Everything that `doorstep share` can be told.
#[derive(Debug, Args)]
pub struct ShareArgs {
    /// A folder, a file, `-` for standard input, a port, HOST:PORT, http(s)://… or unix:PATH; without one, this folder
    ///
    /// With --via also tcp:PORT or tcp:HOST:PORT, and the same with udp: whatever is no web app, such as ssh or a game.
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

    /// Open a door from the internet: a port of your router, or else a relay that this computer has joined
    ///
    /// The router is asked by UPnP, NAT-PMP or PCP, and the port is closed again at the end. A relay looks from outside
    /// whether visitors get here, and lends an address where they do not.
    #[arg(long, group = "internet", conflicts_with = "local", help_heading = "Internet")]
    pub public: bool,

    /// Do not ask before the router is asked for a port
    #[arg(long, short, requires = "public", help_heading = "Internet")]
    pub yes: bool,

    /// Lend an address of the internet: tun.example.com, ssh://HOST or pagekite://NAME; the next when one fails
    ///
    /// A doorstep relay is joined once, with the line that its owner gets by `doorstep relay invite`. For ssh:// any
    /// server will do that you can log in to, and everything in ~/.ssh/config holds. Visitors in this network can come
    /// as before, unless there is --local.
    #[arg(long, value_name = "RELAY", num_args = 1, value_delimiter = ',', value_parser = values::via, group = "internet", help_heading = "Internet")]
    pub via: Vec<Via>,

    /// The name in the address: blog for https://blog.tun.example.com, or a whole name of your own
    ///
    /// Without it the relay makes one up, the same each time for the same target. A name of your own must lead to the
    /// relay by a CNAME record.
    #[arg(long, value_name = "NAME", requires = "internet", value_parser = values::lent_name, help_heading = "Internet")]
    pub name: Option<String>,

    /// Encrypt up to this computer: the certificate and its key are here, the relay sees ciphertext only
    #[arg(long, requires = "via", help_heading = "Internet")]
    pub e2e: bool,

    /// The target is a port that is no web app: connections are passed on as they are, as for tcp:PORT
    #[arg(long, requires = "via", conflicts_with_all = ["udp", "e2e", "name"], help_heading = "Internet")]
    pub tcp: bool,

    /// The target is a UDP port, as for udp:PORT
    #[arg(long, requires = "via", conflicts_with_all = ["e2e", "name"], help_heading = "Internet")]
    pub udp: bool,

    /// The port of the relay or ssh server that visitors come to [default: any that is free]
    #[arg(long, value_name = "N", requires = "via", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Internet")]
    pub remote_port: Option<u16>,

    /// A file with the secret of a kite; the variable DOORSTEP_KITE_SECRET or ~/.pagekite.rc may say it instead
    #[arg(long, value_name = "FILE", requires = "via", help_heading = "Internet")]
    pub kite_secret: Option<PathBuf>,

    /// The certificate authority for --e2e: URL of its ACME directory, or `local` for one of this computer's own, for a try
    #[arg(long, value_name = "URL", requires = "e2e", help_heading = "Internet")]
    pub directory: Option<String>,

    /// Certificates (PEM) that are trusted when talking to that authority, instead of the system's
    #[arg(long, value_name = "FILE", requires = "directory", help_heading = "Internet")]
    pub directory_roots: Option<PathBuf>,

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

impl ShareArgs {
    /// Whether visitors from the internet are wished for.
    pub fn is_public(&self) -> bool {
        self.public || !self.via.is_empty()
    }
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

  From everywhere, by your router, a relay of your own or any ssh server
    doorstep share 8000 --public                    a port of the router, while it runs
    doorstep share 8000 --via tun.example.com       https://NAME.tun.example.com
    doorstep share 8000 --via tun.example.com --name blog --password
    doorstep share photos --via ssh://vps           a port of that server
    doorstep share tcp:22 --via tun.example.com     whatever is no web app

  Be careful
    doorstep share 8000 --local                     only this computer, for a try
    doorstep share photos --allow 192.168.1.0/24    only this network
    doorstep share iso --max-rate 2MB/s             2 MB each second for each visitor
    doorstep share docs --tls                       encrypted, also in the network

Exit codes
    0 ended as asked            2 wrong usage             3 the target cannot be shared
    4 the port cannot be used   130 second Ctrl-C         1 anything else";
