//! `doorstep trust`: how to trust this computer's own certificate authority. Nothing is installed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::dirs::Dirs;
use crate::exit::{Code, Failure};

pub const EXAMPLES: &str = "\
It tells what to type or click for this computer's browsers and programs, and for other devices.
Nothing is installed by itself. If root runs `doorstep up`: sudo doorstep trust";

/// What `doorstep trust` can be told.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The daemon's state folder, if it is not the usual one
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// # Errors
/// There is no such authority yet, or it belongs to another user.
pub fn run(args: &TrustArgs) -> Result<ExitCode, Failure> {
    let dirs = Dirs::of(args.state.as_deref())?;
    let roots = doorstep_certs::roots(&dirs.tls());
    if roots.is_empty() {
        return Err(Failure::new(
            Code::Failed,
            format!("there is no authority of this computer's own in {}", dirs.tls().display()),
        )
        .fix("It is made when a site with a local name, such as app.localhost, is served by `doorstep up`. If root runs that: sudo doorstep trust"));
    }
    let system = System::of(&std::fs::read_to_string("/etc/os-release").unwrap_or_default());
    let pages: Vec<String> = roots.iter().map(|root| advice(root, &system)).collect();
    crate::print(pages.join("\n").as_bytes())
}

/// Where a Linux distribution keeps the authorities that it trusts, and what brings them into effect.
#[derive(Debug, PartialEq, Eq)]
struct System {
    folder: &'static str,
    extension: &'static str,
    update: &'static str,
}

impl System {
    /// By the text of /etc/os-release (os-release(5)).
    fn of(os_release: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let kinds = format!("{} {}", value("ID"), value("ID_LIKE"));
        kinds.split_whitespace().find_map(|kind| match kind {
            "debian" | "ubuntu" | "alpine" => Some(Self {
                folder: "/usr/local/share/ca-certificates",
                extension: "crt",
                update: "update-ca-certificates",
            }),
            "fedora" | "rhel" | "centos" => {
                Some(Self { folder: "/etc/pki/ca-trust/source/anchors", extension: "pem", update: "update-ca-trust" })
            }
            "suse" | "opensuse" => {
                Some(Self { folder: "/etc/pki/trust/anchors", extension: "pem", update: "update-ca-certificates" })
            }
            "arch" => Some(Self {
                folder: "/etc/ca-certificates/trust-source/anchors",
                extension: "pem",
                update: "update-ca-trust",
            }),
            _ => None,
        })
    }
}

fn advice(root: &Path, system: &Option<System>) -> String {
    let shown = root.display();
    let any_name = root.parent().is_some_and(|dir| dir.ends_with("any-name"));
    let (name, reach) = match any_name {
        true => (
            "doorstep-any-name",
            "It can vouch for every name. Trust it only where you would trust whoever may read its key.",
        ),
        false => ("doorstep", "It can vouch for local names and private addresses alone."),
    };
    let mut page = format!(
        "{shown}\n\nThe root certificate of this computer's own authority. {reach}\nNothing was installed. To trust it:\n\n"
    );
    let _ = match system {
        Some(System { folder, extension, update }) => {
            writeln!(
                page,
                "  This system (curl, Python and others):\n    sudo cp {shown} {folder}/{name}.{extension}\n    sudo {update}"
            )
        }
        None => writeln!(page, "  This system: add the file to the trusted authorities, as its manual says."),
    };
    let _ = write!(
        page,
        "
  Chrome and Chromium (certutil is in libnss3-tools or nss-tools):
    certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {name} -i {shown}
  Firefox: Settings, Privacy & Security, View Certificates, Authorities, Import
  One command only:
    curl --cacert {shown} https://…
  Another computer or a phone: copy root.pem there (never key.pem) and import it the same way.
"
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_folder() {
        let folder = |text| System::of(text).map(|system| system.folder);
        assert_eq!(folder("NAME=x\nID=debian\n"), Some("/usr/local/share/ca-certificates"));
        assert_eq!(folder("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some("/usr/local/share/ca-certificates"));
        assert_eq!(folder("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some("/etc/pki/ca-trust/source/anchors"));
        assert_eq!(folder("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"), Some("/etc/pki/trust/anchors"));
        assert_eq!(folder("ID=nixos\n"), None);
    }

    #[test]
    fn names_the_file_and_tells_the_two_apart() {
        let page = advice(Path::new("/s/authority/root.pem"), &System::of("ID=debian"));
        assert!(page.starts_with("/s/authority/root.pem\n") && page.contains("sudo update-ca-certificates"));
        assert!(page.contains("local names"));
        let page = advice(Path::new("/s/authority/any-name/root.pem"), &None);
        assert!(page.contains("every name") && page.contains("doorstep-any-name"));
    }
}
