use std::time::{Duration, SystemTime};

use doorstep_model::{Blame, ChallengeKind, Issuance, Issuer};
use instant_acme::{AuthorizationStatus, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::account::Opened;
use super::challenge::{Answer, acme_type, choose};
use super::patient;
use crate::CertName;
use crate::fault::{Fault, Then};
use crate::leaf::{Leaf, seconds};
use crate::ledger::Deed;
use crate::limits::{ORDER, POLL_FIRST, POLL_MOST};
use crate::manager::Shared;
use crate::storage::{OpenOrder, Pair};
use crate::tls;

/// One certificate to be had from one authority.
pub(crate) struct Work<'a> {
    pub shared: &'a Shared,
    pub issuance: &'a Issuance,
    pub issuer: &'a Issuer,
    pub name: &'a CertName,
    /// The one that it replaces (RFC 9773 section 5), where that one is from the same authority.
    pub replaces: Option<&'a Leaf>,
    /// Attempts that failed in a row.
    pub failures: u32,
}

/// Obtains a certificate, from the order of an earlier attempt where one is still good.
pub(crate) async fn obtain(work: &Work<'_>) -> Result<Pair, Fault> {
    let whole = async {
        match attempt(work).await {
            Err(fault) if fault.then == Then::NewAccount => {
                work.shared.accounts.forget(&work.shared.storage, work.issuer);
                work.shared.storage.forget_order(work.name);
                attempt(work).await
            }
            Err(fault) if fault.then == Then::NewOrder => {
                work.shared.storage.forget_order(work.name);
                attempt(work).await
            }
            done => done,
        }
    };
    let late = |_| Fault::unreachable(&work.issuer.name, &"the order took longer than ten minutes");
    tokio::time::timeout(ORDER, whole).await.map_err(late)?
}

async fn attempt(work: &Work<'_>) -> Result<Pair, Fault> {
    let shared = work.shared;
    shared.reach("account").await;
    let opened = shared.accounts.open(&shared.storage, work.issuer, work.issuance.email.as_deref()).await?;
    if let Some(open) = shared.storage.order(work.name).filter(|open| open.directory == work.issuer.directory) {
        shared.reach("resume").await;
        match patient!(opened.account.order(open.url.clone())) {
            Ok(mut order) => {
                if order.state().status != OrderStatus::Invalid {
                    return finish(work, &opened, order, open.key).await;
                }
                // Refused while nobody was there to answer, which counts as any other refusal. Start over.
                shared.note(&work.issuer.name, Deed::Failure, work.name);
                shared.storage.forget_order(work.name);
            }
            Err(Error::Api(problem)) if problem.status.is_some_and(|status| status < 500) => {
                shared.storage.forget_order(work.name);
            }
            Err(error) => return Err(fault(work, &error)),
        }
    }
    // Before an order, so that nothing is asked for that cannot work.
    let kind = choose(shared, work.issuance, work.name, work.failures).await?;
    shared.reach("order").await;
    let (order, deed) = new_order(work, &opened).await?;
    let key = KeyPair::generate().map_err(|error| ours(&error))?.serialize_pem();
    let open = OpenOrder {
        issuer: work.issuer.name.clone(),
        directory: work.issuer.directory.clone(),
        url: order.url().to_owned(),
        key: key.clone(),
        since: seconds(SystemTime::now()),
    };
    shared.disk(|| shared.storage.keep_order(work.name, &open));
    shared.reach("order-kept").await;
    let pair = answer_and_finish(work, &opened, order, key, kind).await?;
    shared.note(&work.issuer.name, deed, work.name);
    Ok(pair)
}

/// Goes on with an order wherever it stands.
async fn finish(work: &Work<'_>, opened: &Opened, mut order: Order, key: String) -> Result<Pair, Fault> {
    let kind = match order.state().status {
        OrderStatus::Pending => choose(work.shared, work.issuance, work.name, work.failures).await?,
        // No challenge is answered any more.
        _ => ChallengeKind::Http01,
    };
    let pair = answer_and_finish(work, opened, order, key, kind).await?;
    work.shared.note(&work.issuer.name, Deed::Certificate, work.name);
    Ok(pair)
}

/// Orders anew; as a renewal in the authority's own window where it takes that, which the answer says.
async fn new_order(work: &Work<'_>, opened: &Opened) -> Result<(Order, Deed), Fault> {
    let identifiers = [Identifier::Dns(work.name.to_string())];
    let order = || {
        let order = NewOrder::new(&identifiers);
        match &work.issuer.profile {
            Some(profile) => order.profile(profile),
            None => order,
        }
    };
    if let Some(id) = work.replaces.and_then(|leaf| CertificateIdentifier::try_from(&leaf.der).ok()) {
        work.shared.note(&work.issuer.name, Deed::Renewal, work.name);
        let renewal = order().replaces(id);
        // Not everybody knows what to do with it, and a certificate can be replaced only once.
        if let Ok(order) = patient!(opened.account.new_order(&renewal)) {
            return Ok((order, Deed::Renewed));
        }
    }
    work.shared.note(&work.issuer.name, Deed::Order, work.name);
    let order = order();
    let order = patient!(opened.account.new_order(&order)).map_err(|error| fault(work, &error))?;
    Ok((order, Deed::Certificate))
}

async fn answer_and_finish(
    work: &Work<'_>,
    opened: &Opened,
    mut order: Order,
    key: String,
    kind: ChallengeKind,
) -> Result<Pair, Fault> {
    let mut polling = Polling::default();
    if order.state().status == OrderStatus::Pending {
        let answers = answer(work, &mut order, kind).await?;
        work.shared.reach("ready").await;
        let decided = loop {
            match patient!(order.refresh()).map(|state| state.status) {
                Ok(OrderStatus::Pending) => polling.pause(opened.http.retry_after(order.url())).await,
                Ok(status) => break Ok(status),
                Err(error) => break Err(fault(work, &error)),
            }
        };
        for answer in answers {
            answer.remove().await;
        }
        if decided? == OrderStatus::Invalid {
            return Err(refused(work, &mut order).await);
        }
    }
    work.shared.reach("validated").await;
    if order.state().status == OrderStatus::Ready {
        let pair = KeyPair::from_pem(&key).map_err(|error| ours(&error))?;
        let mut params = CertificateParams::new(vec![work.name.to_string()]).map_err(|error| ours(&error))?;
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&pair).map_err(|error| ours(&error))?;
        patient!(order.finalize_csr(csr.der())).map_err(|error| fault(work, &error))?;
        work.shared.reach("finalized").await;
    }
    let chain = loop {
        match order.state().status {
            OrderStatus::Valid => break patient!(order.certificate()).map_err(|error| fault(work, &error))?,
            OrderStatus::Invalid => return Err(refused(work, &mut order).await),
            _ => {}
        }
        polling.pause(opened.http.retry_after(order.url())).await;
        patient!(order.refresh()).map_err(|error| fault(work, &error))?;
    };
    work.shared.reach("issued").await;
    let pair = Pair { chain: chain.unwrap_or_default(), key };
    check(work, &pair)?;
    Ok(pair)
}

/// Answers what the order still asks for, and says so to the authority.
async fn answer(work: &Work<'_>, order: &mut Order, kind: ChallengeKind) -> Result<Vec<Answer>, Fault> {
    // First their states, as often as it takes; they are then at hand for the second round.
    patient!(async {
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            authorization?;
        }
        Ok::<_, Error>(())
    })
    .map_err(|error| fault(work, &error))?;
    let mut answers = Vec::new();
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let mut authorization = authorization.map_err(|error| fault(work, &error))?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(acme_type(kind)) else {
            let what = format!("{} does not offer the challenge {kind:?} for {}.", work.issuer.name, work.name);
            return Err(Fault::new("challenge-not-offered", Blame::Upstream, what, "").then(Then::NextIssuer));
        };
        work.shared.reach("challenge").await;
        let authorization = challenge.key_authorization();
        let token = challenge.token.clone();
        let answer = Answer::provide(work.shared, work.issuance, work.name, kind, &token, &authorization).await?;
        answers.push(answer);
        work.shared.reach("answered").await;
        patient!(challenge.set_ready()).map_err(|error| fault(work, &error))?;
    }
    Ok(answers)
}

/// Why the authority refused: its own words of the challenge that failed, else of the order.
async fn refused(work: &Work<'_>, order: &mut Order) -> Fault {
    work.shared.storage.forget_order(work.name);
    let mut said = None;
    let mut all = order.authorizations();
    while let Some(Ok(mut authorization)) = all.next().await {
        if patient!(authorization.refresh()).is_ok() {
            said = said.or_else(|| authorization.challenges.iter().find_map(|challenge| challenge.error.clone()));
        }
    }
    let refuted = said.is_some();
    match said.or_else(|| order.state().error.clone()) {
        Some(problem) => {
            let fault = Fault::from_problem(&work.issuer.name, &problem);
            if refuted { fault.then(Then::Refuted) } else { fault }
        }
        None => {
            let what = format!("{} refused the order and did not say why.", work.issuer.name);
            Fault::new("acme-refused", Blame::Upstream, what, "").then(Then::NextIssuer)
        }
    }
}

/// Nothing is used that clients would not take.
fn check(work: &Work<'_>, pair: &Pair) -> Result<(), Fault> {
    let unusable = |why: &dyn std::fmt::Display| {
        work.shared.storage.forget_order(work.name);
        let what = format!("the certificate that {} issued cannot be used: {why}.", work.issuer.name);
        Fault::new("acme-certificate", Blame::Upstream, what, "").then(Then::NextIssuer)
    };
    tls::certified(&pair.chain, &pair.key).map_err(|error| unusable(&error))?;
    let leaf = Leaf::read(&pair.chain).map_err(|error| unusable(&error))?;
    if !leaf.covers(work.name) {
        return Err(unusable(&format!("it is for {}", leaf.names.join(", "))));
    }
    Ok(())
}

fn fault(work: &Work<'_>, error: &Error) -> Fault {
    Fault::from_acme(&work.issuer.name, error)
}

fn ours(error: &dyn std::fmt::Display) -> Fault {
    Fault::new("certificate-request", Blame::Doorstep, format!("the request for it could not be made: {error}."), "")
}

/// Waits between two looks: as long as the authority wants, else longer each time.
struct Polling(Duration);

impl Default for Polling {
    fn default() -> Self {
        Self(POLL_FIRST)
    }
}

impl Polling {
    async fn pause(&mut self, retry_after: Option<SystemTime>) {
        let wanted = retry_after.and_then(|at| at.duration_since(SystemTime::now()).ok());
        tokio::time::sleep(wanted.unwrap_or(self.0).min(POLL_MOST)).await;
        self.0 = (self.0 * 3 / 2).min(POLL_MOST);
    }
}
