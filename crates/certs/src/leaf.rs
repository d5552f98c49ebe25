use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{CertName, CertsError, fingerprint};

/// What the first certificate of a chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub der: CertificateDer<'static>,
    /// As text: host names, wildcards, addresses.
    pub names: Vec<String>,
    pub issuer: String,
    pub life: Life,
    pub serial: String,
    pub fingerprint: String,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub from: SystemTime,
    pub to: SystemTime,
}

impl Life {
    pub fn length(&self) -> Duration {
        self.to.duration_since(self.from).unwrap_or_default()
    }

    /// The moment at which `numerator / denominator` of it is over.
    pub fn part(&self, numerator: u32, denominator: u32) -> SystemTime {
        self.from + self.length() / denominator * numerator
    }
}

impl Leaf {
    /// Reads the first certificate in `pem`.
    pub fn read(pem: &str) -> Result<Self, CertsError> {
        let broken =
            |error: &dyn std::fmt::Display| CertsError::Pem(format!("the certificate cannot be read: {error}"));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| broken(&error))?;
        let (_, x509) = X509Certificate::from_der(&der).map_err(|error| broken(&error))?;
        let names = x509.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        let common = x509.issuer().iter_common_name().next().and_then(|name| name.as_str().ok());
        let mut serial = String::new();
        for byte in x509.raw_serial() {
            let _ = write!(serial, "{byte:02x}");
        }
        let leaf = Self {
            names: names.unwrap_or_default(),
            issuer: common.map_or_else(|| x509.issuer().to_string(), str::to_owned),
            life: Life {
                from: since_1970(x509.validity().not_before.timestamp()),
                to: since_1970(x509.validity().not_after.timestamp()),
            },
            serial,
            fingerprint: fingerprint(&der),
            der: der.clone(),
        };
        Ok(leaf)
    }

    /// Whether clients that ask for `name` accept it (RFC 6125 section 6.4).
    pub fn covers(&self, name: &CertName) -> bool {
        let asked = name.to_string();
        let above = asked.split_once('.').map(|(_, above)| format!("*.{above}"));
        self.names.iter().any(|own| *own == asked || above.as_ref() == Some(own))
    }

    /// A number that is this certificate's own and spread evenly, so that jitter is the same after a restart.
    pub fn spread(&self) -> u64 {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Times before 1970 do not happen in certificates that anybody uses.
pub(crate) fn since_1970(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.clamp(0, 253_402_300_799).unsigned_abs())
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn what_a_certificate_says() {
        let names = ["a.example.com", "*.b.example.com", "192.0.2.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = since_1970(1_700_000_000).into();
        params.not_after = since_1970(1_700_864_000).into();
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let leaf = Leaf::read(&pem).unwrap();
        assert_eq!(leaf.names, ["a.example.com", "*.b.example.com", "192.0.2.1"]);
        assert_eq!(leaf.life.part(2, 3), since_1970(1_700_576_000));
        for (name, covered) in [
            ("a.example.com", true),
            ("x.b.example.com", true),
            ("x.y.b.example.com", false),
            ("b.example.com", false),
            ("*.b.example.com", true),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
        ] {
            assert_eq!(leaf.covers(&name.parse().unwrap()), covered, "{name}");
        }
        assert!(Leaf::read("nonsense").is_err());
        assert!(Leaf::read(&pem.replacen("MI", "MA", 1)).is_err());
    }
}
