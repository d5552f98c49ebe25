use std::sync::Arc;

use bytes::Bytes;
use doorstep_net::Drain;
use doorstep_proto::tunnel::{Code, Role, Sharing};

use super::session::{Reserved, Session};
use crate::link::{Link, LinkEvent, Wire};

/// A data connection, until it ends. Its streams are opened by the session.
pub(super) async fn run(
    session: Arc<Session>,
    sharing: Sharing,
    wire: Wire,
    rest: Bytes,
    place: Reserved,
    drain: Drain,
) {
    let mut link = Link::over(Role::Relay, sharing, wire, rest);
    let number = session.join(sharing, link.handle());
    drop(place);
    let joined = Joined { session, number };
    let mut hurried = std::pin::pin!(drain.hurried());
    let mut hurry = false;
    loop {
        let event = tokio::select! {
            event = link.event() => event,
            () = &mut hurried, if !hurry => {
                hurry = true;
                link.handle().close(Code::Done);
                continue;
            }
        };
        match event {
            Ok(LinkEvent::Free) => {
                if joined.session.freed(number) {
                    link.handle().close(Code::Done);
                }
            }
            Ok(LinkEvent::Opened(..)) => {}
            Err(_) => return,
        }
    }
}

/// A connection among those of its session, for as long as it is there.
struct Joined {
    session: Arc<Session>,
    number: u32,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.session.leave(self.number);
    }
}
