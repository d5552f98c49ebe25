use std::sync::Arc;

use doorstep_net::Io;
use doorstep_proto::tunnel::{Code, Open};

use super::metered::{Count, Metered};
use super::shared::Shared;
use crate::link::LinkStream;
use crate::{Delivery, Visitor};

/// Serves one visitor's stream, in the thread of the data connection that it came by.
pub(super) async fn serve(session: Arc<Shared>, open: Open, stream: LinkStream) {
    let Some(target) = session.links.target(open.claim).and_then(|index| session.agent.targets.get(index)) else {
        // The claim was given back just now.
        return stream.reset(Code::UnknownClaim);
    };
    let count = Count::new(&session);
    let visitor = Visitor { peer: open.visitor, local: open.local, tls: open.tls };
    match Delivery::begin_relayed(target, &visitor).await {
        Ok(delivery) => {
            stream.accept();
            let io = Io::Other(Box::new(Metered::new(stream, count)));
            delivery.run(io, session.drain.clone()).await;
        }
        Err(code) => stream.reset(code),
    }
}
