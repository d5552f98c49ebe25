use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use doorstep_model::{Blame, CertificateSource, Finding, Issuance, PemPair, Severity};

use super::{RenewError, Shared};
use crate::leaf::{Leaf, since_1970};
use crate::ledger::Ledger;
use crate::plan::Facts;
use crate::status::SourceKind;
use crate::storage::{Meta, Pair};
use crate::{CertName, CertRequest, CertsError, authority, tls};

/// The issuer's name in `meta.json` for this computer's own authority.
pub(super) const LOCAL: &str = "local";

/// What is asked for, and how it stands.
#[derive(Default)]
pub(super) struct Book {
    pub issuance: Arc<Issuance>,
    pub held: BTreeMap<String, Held>,
    pub ledger: Ledger,
}

/// One certificate.
pub(super) struct Held {
    /// The first one names it. More than one only with files.
    pub names: Vec<CertName>,
    pub sites: Vec<String>,
    pub source: Source,
    pub served: Option<Served>,
    pub meta: Meta,
    /// Somebody wants a new one now.
    pub asked: bool,
    /// An order is under way.
    pub busy: bool,
    /// How grave the last warning about its end was.
    pub warned: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Acme,
    Local,
    Files(PemPair),
}

pub(super) struct Served {
    pub leaf: Leaf,
    /// Not on disk yet: kept here until it is.
    pub unstored: Option<Pair>,
}

impl Source {
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Acme => SourceKind::Acme,
            Self::Local => SourceKind::Local,
            Self::Files(_) => SourceKind::Files,
        }
    }
}

impl Book {
    pub fn ask(&mut self, name: &CertName) -> Result<(), RenewError> {
        let held = self.held.values_mut().find(|held| held.names.contains(name)).ok_or(RenewError::Unknown)?;
        if matches!(held.source, Source::Files(_)) {
            return Err(RenewError::Files);
        }
        held.asked = true;
        Ok(())
    }
}

impl Held {
    pub fn name(&self) -> &CertName {
        &self.names[0]
    }

    /// What the plan is made of.
    pub fn facts(&self, issuance: &Issuance, now: SystemTime) -> Facts {
        let leaf = self.served.as_ref().map(|served| &served.leaf);
        let by_authority = self.source == Source::Acme;
        let known = issuance.issuers.iter().any(|issuer| issuer.name == self.meta.issuer);
        let unfit = match self.source {
            Source::Acme => !known,
            // Made at once, so it may as well fit the clock.
            Source::Local => self.meta.issuer != LOCAL || leaf.is_some_and(|leaf| leaf.life.from > now),
            Source::Files(_) => false,
        };
        Facts {
            life: leaf.map(|leaf| leaf.life),
            suggestion: self.meta.suggestion.clone().filter(|_| by_authority),
            asks: by_authority && known && leaf.is_some(),
            retry_at: self.meta.retry_at.map(since_1970),
            asked: self.asked,
            unfit,
            spread: leaf.map_or(0, Leaf::spread),
        }
    }
}

impl Shared {
    /// Makes the book fit `requests`; what stays keeps its state.
    pub(super) fn arrange(
        &self,
        issuance: Arc<Issuance>,
        requests: Vec<CertRequest>,
        now: SystemTime,
        findings: &mut Vec<Finding>,
    ) {
        let mut book = self.book.lock();
        book.issuance = issuance;
        let mut old = std::mem::take(&mut book.held);
        for request in requests {
            for (names, source) in split(&request) {
                let key = names[0].to_string();
                if let Some(held) = book.held.get_mut(&key) {
                    held.sites.push(request.site.clone());
                    continue;
                }
                let same = |held: &Held| held.source.kind() == source.kind() && held.names == names;
                let mut held = match old.remove(&key).filter(same) {
                    Some(held) => Held { sites: Vec::new(), ..held },
                    None => self.load(names, source.clone(), findings),
                };
                held.sites.push(request.site.clone());
                self.refresh(&mut held, source, now, findings);
                book.held.insert(key, held);
            }
        }
    }

    /// What is kept for a name.
    fn load(&self, names: Vec<CertName>, source: Source, findings: &mut Vec<Finding>) -> Held {
        let mut held = Held {
            names,
            sites: Vec::new(),
            source,
            served: None,
            meta: Meta::default(),
            asked: false,
            busy: false,
            warned: 0,
        };
        if matches!(held.source, Source::Files(_)) {
            return held;
        }
        held.meta = self.storage.meta(held.name());
        self.load_pair(&mut held, findings);
        held
    }

    /// Serves what is kept.
    pub(super) fn load_pair(&self, held: &mut Held, findings: &mut Vec<Finding>) {
        let served = match self.storage.pair(held.name()) {
            Ok(pair) => self.serve(held, &pair).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        // One of our own is made again, and nobody has lost anything by it.
        if let Err(error) = served
            && held.source != Source::Local
        {
            findings.push(damaged(held.name(), &self.storage.certificate_dir(held.name()), &error));
        }
    }

    /// What needs no waiting: files as they are now, and certificates of our own.
    fn refresh(&self, held: &mut Held, source: Source, now: SystemTime, findings: &mut Vec<Finding>) {
        if let Source::Files(files) = &source {
            // Some keep both in one file.
            let key = files.key.as_ref().map_or(&files.chain.text, |key| &key.reveal().text).as_ref().to_owned();
            let pair = Pair { chain: files.chain.text.as_ref().to_owned(), key };
            match self.serve(held, &pair) {
                Ok(()) => {
                    (held.meta.error, held.warned) = (None, 0);
                    findings.extend(uncovered(held, files));
                }
                Err(error) => {
                    let fault = bad_files(files, held.served.is_some(), &error);
                    held.meta.error = Some(super::report::remembered(&fault, now));
                    findings.push(fault);
                }
            }
        }
        held.source = source;
        if held.source == Source::Local
            && crate::plan::plan(now, &held.facts(&Issuance::default(), now)) == crate::plan::Step::Obtain
        {
            let made = authority::issue(&self.storage, held.name(), now);
            let done = made.and_then(|pair| self.install(held, pair, LOCAL, now));
            if let Err(error) = done {
                findings.push(super::report::no_local(held.name(), &error));
            }
        }
        // Names may have come to it, or the table may be new.
        if let Some(served) = &held.served
            && let Some(pair) = served.unstored.clone()
        {
            let _ = self.serve_again(held, &pair);
        }
    }

    fn serve_again(&self, held: &Held, pair: &Pair) -> Result<(), CertsError> {
        let certified = tls::certified(&pair.chain, &pair.key)?;
        held.names.iter().for_each(|name| self.table.set(name, certified.clone()));
        Ok(())
    }

    /// Serves `pair` from now on.
    pub(super) fn serve(&self, held: &mut Held, pair: &Pair) -> Result<(), CertsError> {
        let leaf = Leaf::read(&pair.chain)?;
        self.serve_again(held, pair)?;
        held.served = Some(Served { leaf, unstored: None });
        Ok(())
    }

    /// Serves a new certificate and keeps it; from memory if it cannot be kept.
    pub(super) fn install(&self, held: &mut Held, pair: Pair, issuer: &str, now: SystemTime) -> Result<(), CertsError> {
        self.serve(held, &pair)?;
        held.meta = Meta { issuer: issuer.to_owned(), obtained_at: Some(crate::leaf::seconds(now)), ..Meta::default() };
        (held.asked, held.warned) = (false, 0);
        self.store(held, pair);
        Ok(())
    }

    /// Tries to keep it.
    pub(super) fn store(&self, held: &mut Held, pair: Pair) {
        let name = held.names[0].clone();
        let kept = if held.source == Source::Local {
            self.disk(|| self.storage.keep_local(&name, &pair, &held.meta))
        } else {
            self.disk(|| self.storage.keep(&name, &pair)) && self.disk(|| self.storage.keep_meta(&name, &held.meta))
        };
        if kept {
            self.disk_full.store(false, Ordering::Relaxed);
            self.storage.forget_order(&name);
        }
        if let Some(served) = &mut held.served {
            served.unstored = (!kept).then_some(pair);
        }
    }
}

/// The certificates that a request needs: one for each name, or the one that is in files.
fn split(request: &CertRequest) -> Vec<(Vec<CertName>, Source)> {
    let each = |source: fn(&CertName) -> Source| {
        request.names.iter().map(|name| (vec![name.clone()], source(name))).collect::<Vec<_>>()
    };
    match &request.source {
        CertificateSource::None => Vec::new(),
        CertificateSource::Auto => each(|name| if name.is_local() { Source::Local } else { Source::Acme }),
        CertificateSource::Local => each(|_| Source::Local),
        CertificateSource::Files(_) if request.names.is_empty() => Vec::new(),
        CertificateSource::Files(pair) => vec![(request.names.clone(), Source::Files(pair.clone()))],
    }
}

fn damaged(name: &CertName, dir: &std::path::Path, error: &dyn std::fmt::Display) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "certificate-damaged",
        what: format!(
            "The certificate for {name} kept in {} cannot be used: {error}. A new one is asked for.",
            dir.display()
        ),
        why: "Authorities give only so many for one name in a week.".into(),
        fix: String::new(),
    }
}

fn bad_files(files: &PemPair, serves_on: bool, error: &CertsError) -> Finding {
    let path = files.chain.path.display();
    let (severity, why) = match serves_on {
        true => (Severity::Warning, "The certificate that was there before serves on."),
        false => (Severity::Error, "There is no HTTPS for its site until then."),
    };
    Finding {
        severity,
        blame: Blame::Environment,
        id: "certificate-files-unusable",
        what: format!("The certificate in {path} cannot be used: {error}."),
        why: why.into(),
        fix: format!("Put the chain into {path} and the key that belongs to it beside it, both as PEM."),
    }
}

/// Names that a certificate from files is not good for.
fn uncovered(held: &Held, files: &PemPair) -> Option<Finding> {
    let leaf = &held.served.as_ref()?.leaf;
    let missing: Vec<String> = held.names.iter().filter(|name| !leaf.covers(name)).map(ToString::to_string).collect();
    (!missing.is_empty()).then(|| Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "certificate-other-names",
        what: format!(
            "The certificate in {} is not for {}, but for {}.",
            files.chain.path.display(),
            missing.join(", "),
            leaf.names.join(", ")
        ),
        why: "Browsers refuse it there.".into(),
        fix: "Use a certificate for these names, or leave `certificate` out and let doorstep obtain one.".into(),
    })
}
