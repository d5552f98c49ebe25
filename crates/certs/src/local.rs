//! The certificate that this computer signs itself, so that `--tls` works without a name on the internet.
//!
//! Browsers warn about it once and remember it by its fingerprint, so it has to be the same one next time. A laptop
//! has other addresses in other places; for each set of names and addresses one certificate is kept, and all share one
//! key. A visitor who comes back, or comes to the same place again, therefore meets the certificate they know.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest;
use doorstep_model::{Blame, Finding, Hostname, Severity};
use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::bundle::{Bundle, Unfit};
use crate::{CertsError, fingerprint, limits};

/// A certificate with its key, ready for rustls, and what to tell the user about it.
#[derive(Debug)]
pub struct LocalCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// SHA-256 of the certificate, `AB:CD:…`, as browsers show it.
    pub fingerprint: String,
    /// The same certificate as in an earlier run, or a new one.
    pub reused: bool,
    /// Why an earlier certificate was not used, or why this one will not be there next time.
    pub findings: Vec<Finding>,
}

/// Whom the certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub(crate) names: BTreeSet<Hostname>,
    pub(crate) ips: BTreeSet<IpAddr>,
}

impl Subject {
    /// The names and addresses that visitors use, in any order. Leave out what changes by itself, such as temporary
    /// IPv6 addresses: each new set is a new certificate. Past 64 the rest is left out.
    pub fn new(names: impl IntoIterator<Item = Hostname>, ips: impl IntoIterator<Item = IpAddr>) -> Self {
        let names: BTreeSet<_> = names.into_iter().take(limits::NAMES).collect();
        let ips = ips.into_iter().take(limits::NAMES - names.len()).collect();
        Self { names, ips }
    }

    /// The file of this set's certificate.
    fn file(&self, dir: &Path) -> PathBuf {
        let names = self.names.iter().map(ToString::to_string);
        let all: Vec<String> = names.chain(self.ips.iter().map(ToString::to_string)).collect();
        let digest = digest::digest(&digest::SHA256, all.join("\n").as_bytes());
        let short: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        dir.join(format!("local-{short}.pem"))
    }
}

/// The certificate for `subject`: the one kept in the folder `dir` if it is good for long enough, else a new one,
/// which is kept there. Without `dir`, or where it cannot be written, the certificate lives in memory only; findings
/// say so.
///
/// Reads and writes files, and makes a key: not for the data plane.
///
/// # Errors
/// `subject` is empty, or the cryptography failed.
pub fn certificate(dir: Option<&Path>, subject: &Subject, now: SystemTime) -> Result<LocalCertificate, CertsError> {
    if subject.names.is_empty() && subject.ips.is_empty() {
        return Err(CertsError::NoNames);
    }
    let mut findings = Vec::new();
    let Some(dir) = dir else {
        findings.push(not_kept("there is no home folder to keep it in"));
        return Ok(local(Bundle::generate(subject, &KeyPair::generate()?, now)?, findings));
    };
    let path = subject.file(dir);
    match Bundle::read(&path) {
        Ok(bundle) => match bundle.check(subject, now) {
            Ok(()) => return Ok(LocalCertificate { reused: true, ..local(bundle, findings) }),
            Err(Unfit::Expiring) => {}
            Err(Unfit::Broken(why)) => findings.push(replaced(&path, &why)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => findings.push(replaced(&path, &error.to_string())),
    }
    let key = match kept_key(dir) {
        Some(key) => key,
        None => KeyPair::generate()?,
    };
    let bundle = Bundle::generate(subject, &key, now)?;
    let kept = doorstep_store::make_private_dir(dir)
        .and_then(|()| doorstep_store::write_private(&path, bundle.to_pem().as_bytes()));
    match kept {
        Ok(()) => forget_oldest(dir),
        Err(error) => findings.push(not_kept(&format!("{} could not be written: {error}", path.display()))),
    }
    Ok(local(bundle, findings))
}

fn local(bundle: Bundle, findings: Vec<Finding>) -> LocalCertificate {
    LocalCertificate {
        fingerprint: fingerprint(&bundle.certificate),
        chain: vec![bundle.certificate],
        key: bundle.key,
        reused: false,
        findings,
    }
}

/// The key of the newest certificate kept, so that all share one.
fn kept_key(dir: &Path) -> Option<KeyPair> {
    kept(dir).into_iter().rev().find_map(|path| Bundle::read(&path).ok()?.key_pair())
}

/// Removes the oldest certificates past [`limits::KEPT`]. What cannot be removed does no harm.
fn forget_oldest(dir: &Path) {
    let kept = kept(dir);
    for path in kept.iter().take(kept.len().saturating_sub(limits::KEPT)) {
        let _ = fs::remove_file(path);
    }
}

/// The files of certificates in `dir`, oldest first.
fn kept(dir: &Path) -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("local-") && name.ends_with(".pem")
    };
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_ours);
    let mut dated: Vec<(SystemTime, PathBuf)> =
        paths.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path))).collect();
    dated.sort();
    dated.into_iter().map(|(_, path)| path).collect()
}

fn replaced(path: &Path, why: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        blame: Blame::Environment,
        id: "local-certificate-replaced",
        what: format!("The certificate kept in {} could not be used ({why}), so there is a new one.", path.display()),
        why: "Browsers that accepted the old one warn again, once.".into(),
        fix: String::new(),
    }
}

fn not_kept(why: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "local-certificate-not-kept",
        what: format!("The certificate lives only until doorstep ends: {why}."),
        why: "Browsers warn again next time.".into(),
        fix: "Set XDG_STATE_HOME to a folder that you may write to.".into(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn subject(ip: &str) -> Subject {
        Subject::new(["my-laptop.local".parse().unwrap()], [ip.parse().unwrap()])
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn ids(local: &LocalCertificate) -> Vec<&'static str> {
        local.findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn the_same_one_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Some(dir.path());
        let first = certificate(dir, &subject("192.168.1.5"), now()).unwrap();
        let again = certificate(dir, &subject("192.168.1.5"), now() + 30 * DAY).unwrap();
        assert!(!first.reused && again.reused);
        assert_eq!(first.fingerprint, again.fingerprint);
        assert_eq!((ids(&first), ids(&again)), (vec![], vec![]));
    }

    #[test]
    fn another_place_has_another_certificate_with_the_same_key_and_the_first_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Some(dir.path());
        let home = certificate(dir, &subject("192.168.1.5"), now()).unwrap();
        let cafe = certificate(dir, &subject("10.0.0.7"), now()).unwrap();
        assert_ne!(home.fingerprint, cafe.fingerprint);
        assert_eq!(home.key, cafe.key);
        let back = certificate(dir, &subject("192.168.1.5"), now()).unwrap();
        assert_eq!(home.fingerprint, back.fingerprint);
    }

    #[test]
    fn replaced_with_a_third_of_its_life_left_and_the_key_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Some(dir.path());
        let subject = subject("192.168.1.5");
        let first = certificate(dir, &subject, now()).unwrap();
        let fine = certificate(dir, &subject, now() + 263 * DAY).unwrap();
        assert_eq!(first.fingerprint, fine.fingerprint);
        let renewed = certificate(dir, &subject, now() + 265 * DAY).unwrap();
        assert_ne!(first.fingerprint, renewed.fingerprint);
        assert_eq!(first.key, renewed.key);
        assert_eq!(ids(&renewed), Vec::<&str>::new());
        // A clock that was set back: not valid yet.
        let early = certificate(dir, &subject, now()).unwrap();
        assert_ne!(renewed.fingerprint, early.fingerprint);
    }

    #[test]
    fn damaged_files_are_replaced_and_that_is_said() {
        let subject = subject("192.168.1.5");
        let damages: [fn(String) -> String; 6] = [
            |_| String::new(),
            |text| text[..text.len() / 2].to_owned(),
            |text| text.replace("BEGIN CERTIFICATE", "BEGIN NONSENSE"),
            |text| text.replace("PRIVATE KEY", "SECRET KEY"),
            |text| text.replacen("MI", "MA", 1),
            |_| "\u{0}\u{1}".repeat(100_000),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            certificate(Some(dir.path()), &subject, now()).unwrap();
            let file = subject.file(dir.path());
            let text = fs::read_to_string(&file).unwrap();
            let damaged = damage(text.clone());
            assert_ne!(text, damaged, "damage {number} changes nothing");
            doorstep_store::write_private(&file, damaged.as_bytes()).unwrap();
            let local = certificate(Some(dir.path()), &subject, now()).unwrap();
            assert_eq!(ids(&local), ["local-certificate-replaced"], "damage {number}");
            let again = certificate(Some(dir.path()), &subject, now()).unwrap();
            assert!(again.reused && again.fingerprint == local.fingerprint);
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_noticed() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let subject = subject("192.168.1.5");
        let texts: Vec<String> = dirs
            .iter()
            .map(|dir| {
                certificate(Some(dir.path()), &subject, now()).unwrap();
                fs::read_to_string(subject.file(dir.path())).unwrap()
            })
            .collect();
        let certificate_of = |text: &str| text[text.find("-----BEGIN CERTIFICATE").unwrap()..].to_owned();
        let mixed = texts[0].replace(&certificate_of(&texts[0]), &certificate_of(&texts[1]));
        doorstep_store::write_private(&subject.file(dirs[0].path()), mixed.as_bytes()).unwrap();
        let local = certificate(Some(dirs[0].path()), &subject, now()).unwrap();
        assert_eq!(ids(&local), ["local-certificate-replaced"]);
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let subject = subject("192.168.1.5");
        let first = certificate(Some(dir.path()), &subject, now()).unwrap();
        fs::set_permissions(subject.file(dir.path()), fs::Permissions::from_mode(0o644)).unwrap();
        let second = certificate(Some(dir.path()), &subject, now()).unwrap();
        assert_eq!(ids(&second), ["local-certificate-replaced"]);
        assert_ne!(first.key, second.key);
    }

    #[test]
    fn without_a_folder_it_lives_in_memory_and_that_is_said() {
        let homeless = certificate(None, &subject("192.168.1.5"), now()).unwrap();
        assert_eq!(ids(&homeless), ["local-certificate-not-kept"]);
        // A file where the folder should be: not even root can write there.
        let file = tempfile::NamedTempFile::new().unwrap();
        let blocked = certificate(Some(file.path()), &subject("192.168.1.5"), now()).unwrap();
        assert!(ids(&blocked).contains(&"local-certificate-not-kept"), "{:?}", ids(&blocked));
    }

    #[test]
    fn only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for last in 0..limits::KEPT + 3 {
            certificate(Some(dir.path()), &subject(&format!("10.0.0.{last}")), now()).unwrap();
        }
        assert_eq!(kept(dir.path()).len(), limits::KEPT);
    }

    #[test]
    fn nobody_is_no_subject() {
        assert!(matches!(certificate(None, &Subject::default(), now()), Err(CertsError::NoNames)));
    }
}
