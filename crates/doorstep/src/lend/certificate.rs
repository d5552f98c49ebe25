//! Certificates of lent names whose TLS ends here: obtained through the tunnel itself, by tls-alpn-01.

use std::path::Path;
use std::sync::Arc;

use doorstep_certs::{CertName, CertRequest, CertTable, Http01Answers, Manager, ManagerOptions};
use doorstep_model::{CertificateSource, ChallengeKind, Finding, Hostname, Issuance};
use doorstep_net::TlsSelect;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// Looks after the certificates of names as they are granted. Dropped, it asks for no more.
pub struct OwnCertificates {
    table: CertTable,
    manager: Manager,
    issuance: Issuance,
    source: CertificateSource,
    names: Mutex<Vec<CertName>>,
    running: JoinHandle<()>,
}

impl OwnCertificates {
    /// They are kept in `dir`. Must be called in a runtime that is none of the data plane's. Reads files.
    ///
    /// # Errors
    /// This computer gives no random numbers.
    pub fn start(
        dir: &Path,
        issuance: Issuance,
        source: CertificateSource,
        report: impl Fn(Finding) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let table = CertTable::new()?;
        // The relay passes on what is TLS and nothing else.
        let issuance = Issuance { challenges: vec![ChallengeKind::TlsAlpn01], dns: None, ..issuance };
        let options =
            ManagerOptions { report: Arc::new(report), ..ManagerOptions::new(dir, issuance.clone(), Vec::new()) };
        let manager = Manager::new(options, table.clone(), Http01Answers::default());
        let running = tokio::spawn(manager.clone().run());
        Ok(Self { table, manager, issuance, source, names: Mutex::default(), running })
    }

    pub fn select(&self) -> Arc<dyn TlsSelect> {
        Arc::new(self.table.clone())
    }

    /// The name was granted: a certificate is loaded or asked for, unless there is one.
    pub fn want(&self, name: &Hostname) {
        let Ok(name) = name.as_str().parse::<CertName>() else { return };
        let mut names = self.names.lock();
        if names.contains(&name) {
            return;
        }
        names.push(name);
        let request = |name: &CertName| CertRequest {
            site: name.to_string(),
            names: vec![name.clone()],
            source: self.source.clone(),
            client_ca: None,
            unnamed: false,
        };
        self.manager.update(self.issuance.clone(), names.iter().map(request).collect());
    }
}

impl Drop for OwnCertificates {
    fn drop(&mut self) {
        self.manager.stop();
        self.running.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_granted_name_gets_a_certificate_of_this_computer_s_own() {
        let dir = tempfile::tempdir().unwrap();
        let own = OwnCertificates::start(dir.path(), Issuance::default(), CertificateSource::Local, |_| {}).unwrap();
        assert!(own.manager.status().is_empty());
        own.want(&"blog.tun.example.com".parse().unwrap());
        own.want(&"blog.tun.example.com".parse().unwrap());
        let status = own.manager.status();
        assert_eq!((status.len(), status[0].name.to_string().as_str()), (1, "blog.tun.example.com"));
        assert_eq!(own.issuance.challenges, [ChallengeKind::TlsAlpn01]);
    }
}
