use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorstep_proto::tunnel::{Purpose, Role, Sharing};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::shared::Shared;
use super::{greet, visit};
use crate::limits::CLOSE_LINK;
use crate::link::{Link, LinkEvent};

/// What became of a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataReport {
    Opened(Sharing),
    Failed(Sharing),
    Closed(Sharing),
}

/// Opens a data connection of a session and serves the visitors that come by it, until it or the session is over.
pub(super) async fn run(session: Arc<Shared>, sharing: Sharing, reports: mpsc::Sender<DataReport>) {
    if AssertUnwindSafe(live(session, sharing, &reports)).catch_unwind().await.is_err() {
        // By a fault of ours. The session must know that there is one connection less.
        let _ = reports.send(DataReport::Failed(sharing)).await;
    }
}

async fn live(session: Arc<Shared>, sharing: Sharing, reports: &mpsc::Sender<DataReport>) {
    let purpose = Purpose::Data { session: session.id, sharing };
    let (agent, relay) = (&session.agent, &session.relay);
    // In a box of its own: what only this needs is not kept for as long as the connection lives.
    let key = &relay.identity.key;
    let opening = Box::pin(greet::connect(&relay.dialer, session.address, key, purpose, &agent.software));
    let opened = tokio::select! {
        () = session.ended() => return,
        opened = opening => opened,
    };
    let greeted = match opened {
        Ok(greeted) => greeted,
        Err(error) => {
            agent.board.failed(error.to_string());
            let _ = reports.send(DataReport::Failed(sharing)).await;
            return;
        }
    };
    let link = Link::new(Role::Agent, sharing, greeted.io, greeted.rest);
    let Some(number) = session.links.add(&link.handle()) else { return };
    let _ = reports.send(DataReport::Opened(sharing)).await;
    agent.board.traffic.connections.fetch_add(1, Ordering::Relaxed);
    serve(&session, link).await;
    agent.board.traffic.connections.fetch_sub(1, Ordering::Relaxed);
    session.links.remove(number);
    let _ = reports.send(DataReport::Closed(sharing)).await;
}

async fn serve(session: &Arc<Shared>, mut link: Link) {
    let ended = async {
        session.ended().await;
        // The relay is told by then, or cannot be.
        tokio::time::sleep(CLOSE_LINK).await;
    };
    tokio::pin!(ended);
    loop {
        tokio::select! {
            biased;
            event = link.event() => match event {
                Ok(LinkEvent::Opened(open, stream)) => drop(tokio::spawn(visit::serve(session.clone(), open, stream))),
                Ok(LinkEvent::Free) => {}
                Err(_) => return,
            },
            () = &mut ended => return,
        }
    }
}
