use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::{Mapping, Memory, Quirks, Shared};

pub async fn answer_searches(socket: UdpSocket, http: Arc<Mutex<(u16, JoinHandle<()>)>>, quirks: Arc<Mutex<Quirks>>) {
    let mut buffer = [0; 2048];
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let quirks = quirks.lock().unwrap().clone();
        if !quirks.upnp || !text.starts_with("M-SEARCH") || !text.contains("InternetGatewayDevice:1") {
            continue;
        }
        let from_socket = if quirks.answers_from_elsewhere { &other } else { &socket };
        if quirks.noise {
            for noise in [
                "",
                "HTTP/1.1 200 OK\r\n\r\n",
                "NOTIFY * HTTP/1.1\r\nLOCATION: http://127.0.0.1:1/\r\n\r\n",
                "\u{0}\u{1}",
            ] {
                let _ = from_socket.send_to(noise.as_bytes(), from).await;
            }
            let wrong = "HTTP/1.1 200 OK\r\nLOCATION: http://127.0.0.1:1/none.xml\r\nST: upnp:rootdevice\r\n\r\n";
            let _ = from_socket.send_to(wrong.as_bytes(), from).await;
        }
        let port = http.lock().unwrap().0;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://{}:{port}/desc.xml\r\n\r\n",
            quirks.location_host
        );
        let _ = from_socket.send_to(answer.as_bytes(), from).await;
    }
}

pub async fn serve(listener: TcpListener, memory: Shared, quirks: Arc<Mutex<Quirks>>) {
    // Aborted with this task, so that a router that is off answers nothing.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(answer(stream, memory.clone(), quirks.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(mut stream: TcpStream, memory: Shared, quirks: Arc<Mutex<Quirks>>) {
    let client = stream.peer_addr().unwrap().ip().to_string();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(read) = stream.read(&mut buffer).await else { return };
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if read == 0 {
                return;
            }
            continue;
        };
        let length =
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
        if body.len() >= length || read == 0 {
            break;
        }
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let (status, body) = {
        let (mut memory, quirks) = (memory.lock().unwrap(), quirks.lock().unwrap().clone());
        if head.starts_with("GET /desc.xml") {
            (200, description(&quirks))
        } else if let Some(action) = head.lines().find_map(|line| line.strip_prefix("Soapaction: ")) {
            let action = action.trim_matches('"').split_once('#').map_or("", |(_, action)| action).to_owned();
            let idle = head.starts_with("POST /idle");
            soap(&action, body, (&client, idle), &mut memory, &quirks)
        } else {
            (404, String::new())
        }
    };
    let answer =
        format!("HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn description(quirks: &Quirks) -> String {
    let kind = match (quirks.ppp, quirks.igd2) {
        (true, _) => "WANPPPConnection:1",
        (_, true) => "WANIPConnection:2",
        _ => "WANIPConnection:1",
    };
    let service = |kind: &str, url: &str| {
        format!(
            "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType><controlURL>{url}</controlURL></service>"
        )
    };
    let idle = if quirks.idle_service { service(kind, "/idle") } else { String::new() };
    let firewall = if quirks.firewall { service("WANIPv6FirewallControl:1", "/fw") } else { String::new() };
    format!(
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><modelName>Fake</modelName><serviceList>\
         {idle}{}{firewall}</serviceList></device></root>",
        service(kind, "/ctl")
    )
}

type Arguments = HashMap<String, String>;

fn soap(action: &str, body: &str, (client, idle): (&str, bool), memory: &mut Memory, quirks: &Quirks) -> (u16, String) {
    let document = roxmltree::Document::parse(body).unwrap();
    let arguments: Arguments = document
        .descendants()
        .filter(|node| node.is_element() && node.children().all(|child| child.is_text()))
        .map(|node| (node.tag_name().name().to_owned(), node.text().unwrap_or_default().to_owned()))
        .collect();
    memory.heard.push(format!("{action} {}", arguments.get("NewLeaseDuration").map_or("", String::as_str)));
    match act(action, &arguments, (client, idle), memory, quirks) {
        Ok(values) => {
            let values: String = values.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
            (
                200,
                format!(
                    "<Envelope><Body><u:{action}Response xmlns:u=\"x\">{values}</u:{action}Response></Body></Envelope>"
                ),
            )
        }
        Err(code) => (
            500,
            format!(
                "<Envelope><Body><Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></Fault></Body></Envelope>"
            ),
        ),
    }
}

fn act(
    action: &str,
    arguments: &Arguments,
    (client, idle): (&str, bool),
    memory: &mut Memory,
    quirks: &Quirks,
) -> Result<Vec<(&'static str, String)>, u16> {
    let text = |name: &str| arguments.get(name).cloned().unwrap_or_default();
    let external: u16 = text("NewExternalPort").parse().unwrap_or(0);
    let protocol = text("NewProtocol");
    let at =
        |memory: &Memory| memory.mappings.iter().position(|one| one.external == external && one.protocol == protocol);
    match action {
        "GetStatusInfo" => {
            let status = if idle { "Disconnected" } else { "Connected" };
            Ok(vec![("NewConnectionStatus", status.into()), ("NewUptime", memory.uptime.to_string())])
        }
        _ if idle => Err(501),
        "GetExternalIPAddress" if quirks.no_external => Err(501),
        "GetExternalIPAddress" => Ok(vec![("NewExternalIPAddress", quirks.external.into())]),
        "AddPortMapping" | "AddAnyPortMapping" => {
            let lease: u32 = text("NewLeaseDuration").parse().map_err(|_| 402_u16)?;
            let internal: u16 = text("NewInternalPort").parse().map_err(|_| 402_u16)?;
            if external == 0 || !matches!(protocol.as_str(), "TCP" | "UDP") || text("NewInternalClient") != client {
                return Err(402);
            }
            let week = quirks.week_only;
            let checks = [
                (quirks.no_external, 501),
                (quirks.full, 728),
                (quirks.permanent_only && lease != 0, 725),
                (week && lease == 0, 402),
                (week && lease != 604_800, 725),
                (quirks.no_permanent && (lease == 0 || lease > 604_800), 402),
                (quirks.same_port && internal != external, 724),
                (quirks.privileged && external < 1024, 606),
            ];
            if let Some((_, code)) = checks.into_iter().find(|(refused, _)| *refused) {
                return Err(code);
            }
            let taken = quirks.conflict == Some(external)
                || at(memory)
                    .is_some_and(|at| memory.mappings[at].client != client || memory.mappings[at].internal != internal);
            let external = match (taken, action) {
                (true, "AddAnyPortMapping") => external + 1,
                (true, _) => return Err(718),
                _ => external,
            };
            memory.mappings.retain(|one| one.external != external || one.protocol != protocol);
            let description = text("NewPortMappingDescription");
            memory.mappings.push(Mapping { protocol, external, client: client.into(), internal, description, lease });
            Ok(if action == "AddAnyPortMapping" { vec![("NewReservedPort", external.to_string())] } else { Vec::new() })
        }
        "GetSpecificPortMappingEntry" => {
            let at = at(memory).filter(|_| !quirks.forgetful).ok_or(714_u16)?;
            let one = &memory.mappings[at];
            Ok(vec![
                ("NewInternalPort", one.internal.to_string()),
                ("NewInternalClient", one.client.clone()),
                ("NewPortMappingDescription", one.description.clone()),
                ("NewLeaseDuration", one.lease.to_string()),
            ])
        }
        "DeletePortMapping" if quirks.no_delete => Err(501),
        "DeletePortMapping" => {
            let at = at(memory).ok_or(714_u16)?;
            memory.mappings.remove(at);
            Ok(Vec::new())
        }
        "GetFirewallStatus" => Ok(vec![("FirewallEnabled", "1".into()), ("InboundPinholeAllowed", "1".into())]),
        "AddPinhole" => {
            let id = u32::try_from(memory.pinholes.len()).unwrap() + 7;
            memory.pinholes.push((id, text("InternalClient"), text("InternalPort").parse().unwrap_or(0)));
            Ok(vec![("UniqueID", id.to_string())])
        }
        "UpdatePinhole" | "DeletePinhole" => {
            let id = text("UniqueID");
            let at = memory.pinholes.iter().position(|(known, _, _)| known.to_string() == id).ok_or(704_u16)?;
            if action == "DeletePinhole" {
                memory.pinholes.remove(at);
            }
            Ok(Vec::new())
        }
        _ => Err(401),
    }
}
