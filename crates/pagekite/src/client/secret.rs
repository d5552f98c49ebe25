use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use doorstep_proto::pagekite::KiteSecret;

use crate::limits::MAX_FILE;

/// The variable with the secret in it.
pub const ENV: &str = "DOORSTEP_KITE_SECRET";

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret cannot be read from {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not a file with a secret in it", path = path.display())]
    Malformed { path: PathBuf },
    #[error(
        "there is no secret for {domain}. Put it into a file or into ${ENV}, or fly the kite with `pagekite.py` once"
    )]
    Missing { domain: String },
}

/// The secret of a kite: from `file` (its first line), else from the environment, else from the settings of the stock program
/// in `home`. Reads files.
///
/// # Errors
/// When there is none, or `file` has none in it.
pub fn find_secret(domain: &str, file: Option<&Path>, home: Option<&Path>) -> Result<KiteSecret, SecretError> {
    if let Some(path) = file {
        let text = read(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
        return usable(text.lines().next().unwrap_or_default())
            .ok_or_else(|| SecretError::Malformed { path: path.to_owned() });
    }
    if let Some(secret) = std::env::var(ENV).ok().as_deref().and_then(usable) {
        return Ok(secret);
    }
    let missing = || SecretError::Missing { domain: domain.to_owned() };
    let path = home.ok_or_else(missing)?.join(".pagekite.rc");
    match read(&path) {
        Ok(text) => in_settings(&text, domain).and_then(usable).ok_or_else(missing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        Err(source) => Err(SecretError::Unreadable { path, source }),
    }
}

fn usable(text: &str) -> Option<KiteSecret> {
    let text = text.trim();
    (!text.is_empty()).then(|| KiteSecret::new(text))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The secret of `domain` in the text of a `.pagekite.rc`: lines of `key = value`, of which `kitename` and `kitesecret` are
/// the kite, and `service_on = proto:name:host:port:secret` others, until a line `END`.
fn in_settings<'a>(text: &'a str, domain: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim).take_while(|line| *line != "END").filter(|line| !line.starts_with('#'));
    let settings: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect();
    let first = |wanted: &str| settings.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    let (name, secret) = (first("kitename"), first("kitesecret"));
    let of_service =
        settings.iter().filter(|(key, _)| matches!(*key, "service_on" | "backend")).find_map(|(_, value)| {
            let mut parts = value.split(':').map(str::trim);
            let own = match parts.nth(1)? {
                "@kitename" => name?,
                own => own,
            };
            let given = parts.next_back().filter(|_| own.eq_ignore_ascii_case(domain))?;
            if given == "@kitesecret" { secret } else { Some(given) }
        });
    let of_kite = secret.filter(|_| name.is_some_and(|name| name.eq_ignore_ascii_case(domain)));
    of_service.filter(|secret| !secret.is_empty()).or(of_kite)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = "## kites\nkitename   = kite.example.net\nkitesecret = one\n# kitesecret = none\ndefaults\n\
        service_on = http:@kitename : localhost:80 : @kitesecret\nservice_on = raw/22:other.example : localhost:22 : two\n\
        END\nservice_on = http:late.example:localhost:80:three\n";

    #[test]
    fn settings_of_the_stock_program() {
        for (domain, secret) in [
            ("kite.example.net", Some("one")),
            ("Other.example", Some("two")),
            ("late.example", None),
            ("unknown.example", None),
        ] {
            assert_eq!(in_settings(SETTINGS, domain), secret, "{domain}");
        }
    }

    #[test]
    fn a_file_goes_before_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "  from the file \nnot this\n").unwrap();
        let found = find_secret("kite.example.net", Some(&file), Some(folder.path()));
        assert_eq!(found.unwrap(), KiteSecret::new("from the file"));
        std::fs::write(folder.path().join(".pagekite.rc"), SETTINGS).unwrap();
        let found = find_secret("kite.example.net", None, Some(folder.path()));
        assert_eq!(found.unwrap(), KiteSecret::new("one"));
        let missing = find_secret("unknown.example", None, Some(folder.path())).unwrap_err();
        assert!(missing.to_string().contains(ENV), "{missing}");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(find_secret("a.example", Some(&file), None), Err(SecretError::Malformed { .. })));
    }
}
