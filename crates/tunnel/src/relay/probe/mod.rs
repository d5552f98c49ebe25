//! Looks from outside whether an agent's address can be reached: at that address only, and a few times a minute.

mod budget;
mod look;
mod public;

use std::sync::Arc;

use bytes::BytesMut;
use doorstep_net::ConnInfo;
use doorstep_proto::tunnel::{Frame, ProbeAsk, ProbeOutcome, encode};
use futures_util::future::join_all;

pub(super) use self::budget::Budget;
use super::Relay;
use crate::link::Wire;

/// Answers the asks of one connection, and ends it.
pub(super) async fn run(relay: &Relay, agent: &Arc<str>, info: &ConnInfo, asks: Vec<ProbeAsk>, mut wire: Wire) {
    let mut out = BytesMut::new();
    encode(&Frame::Observed(info.peer), &mut out);
    let outcomes = join_all(asks.iter().map(|ask| outcome(relay, agent, info, ask))).await;
    for (index, outcome) in (0..).zip(outcomes) {
        encode(&Frame::Probed { index, outcome }, &mut out);
    }
    wire.push(out.freeze());
    wire.finish().await;
}

async fn outcome(relay: &Relay, agent: &Arc<str>, info: &ConnInfo, ask: &ProbeAsk) -> ProbeOutcome {
    let ip = info.peer.ip().to_canonical();
    // Its own address is the relay's machine, whose other ports are nobody's business.
    if ask.port == 0 || !public::is_public(ip) || ip == info.local.ip().to_canonical() || !look::is_plain(&ask.kind) {
        return ProbeOutcome::Forbidden;
    }
    match relay.0.probes.take(agent) {
        Ok(_held) => look::look((ip, ask.port).into(), &ask.kind).await,
        Err(again) => ProbeOutcome::Limited(again),
    }
}
