use std::future::poll_fn;
use std::sync::Arc;

use doorstep_net::{ConnInfo, Drain, Io};
use doorstep_proto::pagekite::{CONNECT_ANSWER, Connect, Opening};
use doorstep_proto::tunnel::Code;
use doorstep_tunnel::registry::Admission;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::time::timeout;

use super::Server;
use super::carrier::Flying;
use super::session::say_and_go;
use crate::limits::{FAREWELL, OPEN};

/// A visitor who asked for `host:port` with CONNECT; `rest` came behind that.
pub(super) async fn visitor(
    server: &Server,
    mut io: Io,
    asked: &Connect,
    rest: Vec<u8>,
    info: &Arc<ConnInfo>,
    drain: Drain,
) {
    let Connect { host, port, .. } = asked;
    let found = {
        let table = server.0.table.lock();
        let protocols = ["raw", "https"].into_iter().take(if *port == 443 { 2 } else { 1 });
        let mut found = protocols.filter_map(|protocol| Some((protocol, table.sessions.find(protocol, host, *port)?)));
        found.find_map(|(protocol, session)| {
            let live = table.live.get(session)?;
            Some((protocol, live.link.clone(), live.flying.clone()))
        })
    };
    let Some((protocol, link, flying)) = found else {
        let why = format!("No back-end is here for port {port} of {host}. Is pagekite running there?");
        let answer = refusal("503 Service Unavailable", &why);
        let _ = timeout(FAREWELL, say_and_go(&mut io, answer.as_bytes())).await;
        return;
    };
    let admission = match admit(server, &flying, host) {
        Ok(admission) => admission,
        Err(code) => {
            let answer = refusal("503 Service Unavailable", &format!("Not now: {code}."));
            let _ = timeout(FAREWELL, say_and_go(&mut io, answer.as_bytes())).await;
            return;
        }
    };
    let opening = Opening {
        protocol: protocol.to_owned(),
        host: host.clone(),
        port: *port,
        visitor: Some(info.peer),
        tls: info.tls.is_some(),
    };
    let mut stream = link.visitor(opening);
    // The app may be the one who speaks first.
    let opened = timeout(OPEN, poll_fn(|cx| stream.poll_open(cx, &rest))).await;
    let Ok(Ok(sent)) = opened else {
        let answer = refusal("503 Service Unavailable", "The way to the app is full. Try again later.");
        let _ = timeout(FAREWELL, say_and_go(&mut io, answer.as_bytes())).await;
        return;
    };
    let mut stream = admission.meter(Io::Other(Box::new(stream)), false);
    let carry = async {
        io.write_all(CONNECT_ANSWER).await?;
        io.flush().await?;
        stream.write_all(rest.get(sent..).unwrap_or_default()).await?;
        copy_bidirectional(&mut io, &mut stream).await
    };
    tokio::select! {
        _ = carry => {}
        () = drain.hurried() => {}
    }
}

/// Leave for one more stream, within what the kite's owner may use.
fn admit(server: &Server, flying: &Flying, host: &str) -> Result<Admission, Code> {
    let owner = server.0.names.lock().owner(host).ok_or(Code::Withdrawn)?;
    let session = flying.session(&owner, server.0.lending.as_ref()).map_err(|error| error.code)?;
    session.admit(host).map_err(|failed| failed.code)
}

/// An answer in words, for people and their programs.
pub(super) fn refusal(status: &str, why: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{why}\n",
        why.len() + 1
    )
}
