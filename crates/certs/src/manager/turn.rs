//! Whose turn it is: of all managers that know a state folder, in whatever process, one works in it.

use std::fs::File;
use std::sync::atomic::Ordering;

use super::Shared;
use super::book::Source;
use crate::limits::TURN_LOOK;

/// The right to work in the state folder; dropping it passes it on, and so does the end of the process.
pub(super) struct Turn {
    _lock: Option<File>,
}

impl Shared {
    /// Waits until no other manager works in the state folder. `None` if this one is to stop before.
    pub(super) async fn turn(&self) -> Option<Turn> {
        while !self.stopped.load(Ordering::Acquire) {
            match self.storage.lock() {
                Ok(Some(lock)) => return Some(Turn { _lock: Some(lock) }),
                Ok(None) => {}
                // Where not even that can be written nobody can keep anything, and certificates live in memory.
                Err(error) => {
                    self.disk(|| Err(error));
                    return Some(Turn { _lock: None });
                }
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TURN_LOOK) => {}
            }
        }
        None
    }

    /// Takes over what another manager has done since the state was read.
    pub(super) fn catch_up(&self) {
        let mut findings = Vec::new();
        let mut book = self.book.lock();
        book.ledger = self.storage.ledger();
        for held in book.held.values_mut().filter(|held| !matches!(held.source, Source::Files(_))) {
            // What is not kept yet is newer than anything on the disk.
            if held.served.as_ref().is_some_and(|served| served.unstored.is_some()) {
                continue;
            }
            held.meta = self.storage.meta(held.name());
            self.load_pair(held, &mut findings);
        }
        drop(book);
        findings.into_iter().for_each(|finding| self.report(finding));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorstep_model::{CertificateSource, Issuance};

    use crate::{CertRequest, CertTable, Http01Answers, Manager, ManagerOptions};

    fn manager(dir: &std::path::Path) -> Manager {
        let request = CertRequest {
            site: "a".to_owned(),
            names: vec!["a.localhost".parse().unwrap()],
            source: CertificateSource::Local,
            client_ca: None,
            unnamed: false,
        };
        let options = ManagerOptions::new(dir, Issuance::default(), vec![request]);
        Manager::new(options, CertTable::new().unwrap(), Http01Answers::default())
    }

    fn shown(manager: &Manager) -> String {
        manager.status()[0].certificate.as_ref().unwrap().fingerprint.clone()
    }

    async fn until_other(manager: &Manager, before: &str) -> String {
        while shown(manager) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        shown(manager)
    }

    #[tokio::test]
    async fn one_works_at_a_time_and_the_next_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let name = "a.localhost".parse().unwrap();
        let (old, new) = (manager(dir.path()), manager(dir.path()));
        let first = shown(&old);
        assert_eq!(shown(&new), first);
        let running = tokio::spawn(old.clone().run());
        old.renew(&name).unwrap();
        let second = until_other(&old, &first).await;
        let waiting = tokio::spawn(new.clone().run());
        // Each wish makes it look; any number of looks later it still is not its turn.
        for _ in 0..100 {
            new.renew(&name).unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!((shown(&new), waiting.is_finished()), (first.clone(), false));
        running.abort();
        let _ = running.await;
        let third = until_other(&new, &first).await;
        assert!(third != second);
        new.stop();
        waiting.await.unwrap();
        assert_eq!(shown(&manager(dir.path())), third);
    }

    #[tokio::test]
    async fn what_another_has_obtained_meanwhile_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (manager(dir.path()), manager(dir.path()));
        let first = shown(&old);
        let running = tokio::spawn(old.clone().run());
        old.renew(&"a.localhost".parse().unwrap()).unwrap();
        let second = until_other(&old, &first).await;
        old.stop();
        running.await.unwrap();
        let _next = tokio::spawn(new.clone().run());
        assert_eq!(until_other(&new, &first).await, second);
    }

    #[tokio::test]
    async fn one_that_waits_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (manager(dir.path()), manager(dir.path()));
        let _running = tokio::spawn(old.clone().run());
        tokio::task::yield_now().await;
        let waiting = tokio::spawn(new.clone().run());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        new.stop();
        waiting.await.unwrap();
    }
}
