use roxmltree::{Document, Node, ParsingOptions};

use super::http;
use crate::error::GatewayError;
use crate::limits::{ELEMENTS, SERVICES};

/// A service of a device that can let visitors in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// `urn:schemas-upnp-org:service:WANIPConnection:2`.
    pub kind: String,
    /// Where it is controlled, on the server that described it.
    pub path: String,
}

impl Service {
    pub fn is_firewall(&self) -> bool {
        self.kind.contains(":WANIPv6FirewallControl:")
    }

    /// Hands out another port by itself where the wished one is taken (IGD:2).
    pub fn adds_any_port(&self) -> bool {
        self.kind.ends_with(":WANIPConnection:2")
    }
}

/// What a description says of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// `FRITZ!Box 7590`.
    pub model: String,
    /// Newest first; IP before PPP.
    pub services: Vec<Service>,
}

/// Reads the description that was found at `path`.
///
/// # Errors
/// It is not XML, or too much of it.
pub(crate) fn read(text: &str, path: &str) -> Result<Description, GatewayError> {
    let document = parse(text)?;
    let text_of = |name| {
        document
            .descendants()
            .find(|node| node.has_tag_name(name) || node.tag_name().name() == name)
            .and_then(|node| node.text())
    };
    let base = text_of("URLBase").and_then(http::split).map(|(_, _, path)| path);
    let base = base.as_deref().unwrap_or(path);
    let services = document.descendants().filter(|node| node.tag_name().name() == "service").take(64);
    let mut services: Vec<Service> = services
        .filter_map(|service| {
            let kind = child(service, "serviceType")?.trim().to_owned();
            rank(&kind)?;
            Some(Service { kind, path: join(base, child(service, "controlURL")?.trim())? })
        })
        .collect();
    services.sort_by_key(|service| rank(&service.kind));
    services.truncate(SERVICES);
    let model: String = text_of("modelName").or(text_of("friendlyName")).unwrap_or_default().trim().to_owned();
    let model = model.chars().filter(|c| !c.is_control()).take(60).collect();
    Ok(Description { model, services })
}

/// XML from a device, within bounds. No document types: they are how small texts become large ones.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, GatewayError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: ELEMENTS, ..ParsingOptions::default() };
    // Some devices begin with an empty line, which XML forbids before its declaration, or end with a NUL.
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    Document::parse_with_options(text, options).map_err(|error| GatewayError::Nonsense(error.to_string()))
}

pub(crate) fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.tag_name().name() == name)?.text()
}

/// The order in which services are tried; `None` for those of no use.
fn rank(kind: &str) -> Option<u8> {
    let name = kind.strip_prefix("urn:schemas-upnp-org:service:")?;
    let known = ["WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1", "WANIPv6FirewallControl:1"];
    known.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok())
}

/// A path on the same server. Other servers are nobody that we were told of by the gateway itself.
fn join(base: &str, url: &str) -> Option<String> {
    if url.is_empty() || url.len() > 1024 || url.chars().any(|c| c.is_control() || c == ' ') {
        return None;
    }
    if url.contains("://") {
        return http::split(url).map(|(_, _, path)| path);
    }
    if url.starts_with('/') {
        return Some(url.to_owned());
    }
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{folder}/{url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(services: &str) -> String {
        format!(
            "\n<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><modelName>Box 1</modelName>\
             <deviceList><device><serviceList>{services}</serviceList></device></deviceList></device></root>\0"
        )
    }

    fn service(kind: &str, url: &str) -> String {
        format!(
            "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType><controlURL>{url}</controlURL></service>"
        )
    }

    #[test]
    fn services_are_found_in_the_order_of_use() {
        let text = description(
            &[
                service("WANIPv6FirewallControl:1", "/fw"),
                service("Layer3Forwarding:1", "/l3"),
                service("WANPPPConnection:1", "ppp"),
                service("WANIPConnection:1", "http://10.9.9.9:1/ip?x=1"),
                service("WANIPConnection:2", "/ip2"),
            ]
            .concat(),
        );
        let found = read(&text, "/igd/desc.xml").unwrap();
        let paths: Vec<&str> = found.services.iter().map(|service| service.path.as_str()).collect();
        assert_eq!(paths, ["/ip2", "/ip?x=1", "/igd/ppp", "/fw"]);
        assert_eq!(found.model, "Box 1");
        assert!(found.services[3].is_firewall() && found.services[0].adds_any_port());
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert!(read(bomb, "/").is_err());
        assert!(read(&description(&"<x/>".repeat(10_000)), "/").is_err());
        assert!(read("no xml", "/").is_err());
        assert_eq!(read("<root/>", "/").unwrap(), Description::default());
    }
}
